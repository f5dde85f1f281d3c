"""What a document says of each field: value, empty, missing or unreadable (RULES 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crm_master.domain.fields import Clear, Lenses, Mapped, Presence, Reading, Rejected
from mappings import CompiledMapping, compile_file

HERE = Path(__file__).parent

V, E, M, U = Presence.VALUE, Presence.EMPTY, Presence.MISSING, Presence.UNREADABLE


def read(mapped: CompiledMapping, document: Any, name: str, *, full: bool = True) -> Reading:
    found = mapped.apply(document, full_payload=full)
    assert isinstance(found, Mapped)
    return found.readings[name]


PARTY: dict[str, Any] = {
    "id": 12,
    "name": "  Brouwerij  De Kroon ",
    "active": True,
    "lang": {"code": "nl_BE"},
    "contact_mechanisms": [
        {"id": 1, "type": "phone", "value": "02 550 12 12"},
        {"id": 2, "type": "email", "value": "Info@DeKroon.example"},
        {"id": 3, "type": "email", "value": "orders@dekroon.example"},
        {"id": 4, "type": "email", "value": "jan@dekroon.example"},
    ],
    "identifiers": [{"id": 9, "type": "eu_vat", "code": "BE 0428.759.497"}],
    "addresses": [{"id": 7, "street": "Kerkstraat 1", "postal_code": "9000", "city": None}],
    "categories": [{"id": 3}, {"id": 7}],
}


def test_a_tryton_party_is_read(customer):
    party = compile_file(HERE / "tryton_party.yaml", customer, {"newsletter_category": 7})
    checked: Lenses = party
    assert checked.hash
    found = party.apply(PARTY, full_payload=True)
    assert isinstance(found, Mapped)
    assert {name: reading.value for name, reading in found.readings.items()} == {
        "name": "Brouwerij De Kroon",
        "email": "info@dekroon.example",
        "other_emails": {
            "orders@dekroon.example": "orders@dekroon.example",
            "jan@dekroon.example": "jan@dekroon.example",
        },
        "phone": "+3225501212",
        "mobile": None,
        "tax_id": "BE0428759497",
        "address": {"street": "Kerkstraat 1", "postal_code": "9000"},
        "lifecycle": "active",
        "language": "nl",
        "consent_email": {"status": "granted"},
    }
    assert found.readings["name"].native == "  Brouwerij  De Kroon "
    assert found.readings["address"].native == {
        "street": "Kerkstraat 1",
        "postal_code": "9000",
        "city": None,
        "country": None,
    }
    assert found.readings["consent_email"].native == {"status": True}
    assert "language" not in party.writable
    assert {"name", "email", "other_emails", "address", "consent_email"} <= party.writable


def test_a_mailman_subscriber_is_read(customer):
    subscriber = compile_file(HERE / "mailman_subscriber.yaml", customer)
    document = {"display_name": "Ann", "addresses": [{"email": "ann@example.com"}], "member": None}
    assert read(subscriber, document, "email").value == "ann@example.com"
    assert read(subscriber, document, "consent_email").value == {"status": "denied"}
    subscribed = {**document, "member": {"list_id": "news.example.com"}}
    assert read(subscriber, subscribed, "consent_email").value == {"status": "granted"}


class Case(NamedTuple):
    title: str
    line: str
    document: dict[str, Any]
    full: Presence
    partial: Presence


CONTACT = 'email: {at: "contacts[type=email].value", as: email}'
CASES = [
    Case("a value", "name: n", {"n": "Ann"}, V, V),
    Case("null", "name: n", {"n": None}, E, E),
    Case("white space", "name: n", {"n": " \n"}, E, E),
    Case("an absent key", "name: n", {}, E, M),
    Case("an absent key that says nothing", "name: {at: n, when_absent: keep}", {}, M, M),
    Case("null with keep", "name: {at: n, when_absent: keep}", {"n": None}, E, E),
    Case("an object for text", "name: n", {"n": {"a": 1}}, U, U),
    Case("a null on the way", "name: a.b", {"a": None}, E, E),
    Case("an absent key on the way", "name: a.b", {}, E, M),
    Case("text on the way", "name: a.b", {"a": "b"}, U, U),
    Case("no matching child", CONTACT, {"contacts": [{"type": "phone", "value": "x"}]}, E, E),
    Case("no children", CONTACT, {"contacts": []}, E, E),
    Case("no list of children", CONTACT, {}, E, M),
    Case("a list of ids instead of children", CONTACT, {"contacts": [1, 2]}, U, U),
    Case("an object instead of a list", CONTACT, {"contacts": {}}, U, U),
    Case("a child without the key", CONTACT, {"contacts": [{"type": "email"}]}, E, M),
    Case("no first child", "name: a[0].b", {"a": []}, E, E),
    Case("a group without members", "address.city: c\naddress.street: s", {"c": "", "s": None}, E, E),
    Case("a group with one", "address.city: c\naddress.street: s", {"c": "Gent"}, V, V),
    Case("a group, not spoken of", "address.city: c\naddress.street: s", {}, E, M),
    Case("a group with a bad member", "address.city: c\naddress.street: s", {"c": "Gent", "s": []}, U, U),
    Case("a group of which the known part is empty", "address.city: c\naddress.street: s", {"c": None}, E, E),
    Case("an empty list", "other_emails: {at: e, many: all}", {"e": []}, V, V),
    Case("a null list", "other_emails: {at: e, many: all}", {"e": None}, V, V),
    Case("an absent list", "other_emails: {at: e, many: all}", {}, V, M),
    Case("an absent list with keep", "other_emails: {at: e, when_absent: keep}", {}, M, M),
    Case("one bad element", "other_emails: {at: e}", {"e": ["a@example.com", "b"]}, U, U),
    Case("text for a list", "other_emails: {at: e}", {"e": "a@example.com"}, U, U),
    Case("a presence", "consent_email.status: {at: 'c[id=7]', as: {present: {yes: granted, no: denied}}}",
         {"c": []}, V, V),
    Case("a presence, not spoken of", "consent_email.status: {at: 'c[id=7]', as: {present: {yes: granted, no: denied}}}",
         {}, V, M),
    Case("an absence that asserts nothing", "consent_email.status: {at: 'c[id=7]', as: {present: {yes: granted}}}",
         {"c": [{"id": 8}]}, M, M),
    Case("a constant", "kind: {const: person}", {}, V, V),
    Case("a query", "name: {query: \"join(' ', [a, b])\"}", {"a": "x", "b": "y"}, V, V),
    Case("a query without result", "name: {query: a.b}", {}, E, M),
    Case("a query that does not fit", "name: {query: \"join(' ', a)\"}", {"a": 1}, U, U),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_presence(case: Case, mapping):
    made = mapping(case.line)
    (name,) = made.fields
    assert read(made, case.document, name).presence is case.full
    assert read(made, case.document, name, full=False).presence is case.partial


def test_an_unreadable_field_spoils_no_other_and_its_value_is_not_quoted(mapping):
    made = mapping("name: n\nemail: e")
    document = {"n": "Ann", "e": "secret"}
    assert read(made, document, "name").value == "Ann"
    reason = read(made, document, "email").reason
    assert reason is not None
    assert reason.startswith("e: ")
    assert "allowed" in reason
    assert "secret" not in reason


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_what_is_no_document_is_rejected(document: Any, mapping):
    assert isinstance(mapping("name: n").apply(document, full_payload=True), Rejected)


def test_a_member_of_which_a_partial_payload_does_not_speak_is_left_out(mapping):
    made = mapping("address.city: c\naddress.street: s")
    reading = read(made, {"c": "Gent"}, "address", full=False)
    assert reading.native == {"city": "Gent"}
    held = {"city": "Brugge", "street": "Kerkstraat 1"}
    whole = made.complete("address", reading.native, held)
    assert made.decode("address", whole) == {"city": "Gent", "street": "Kerkstraat 1"}


def test_a_member_that_a_partial_payload_empties_is_empty_and_the_others_stay(mapping):
    made = mapping("address.city: c\naddress.street: s\naddress.country: {const: BE}")
    reading = read(made, {"c": None}, "address", full=False)
    assert reading.native == {"city": None}
    for held, value in (
        ({"city": "Gent", "street": "Markt 2"}, {"street": "Markt 2", "country": "BE"}),
        ({"city": "Gent", "street": None, "country": "BE"}, None),
        ({"city": "Gent", "country": "BE"}, None),
    ):
        whole = made.complete("address", reading.native, held)
        assert made.decode("address", whole) == value


def test_a_constant_member_holds_only_where_there_is_a_group(mapping):
    made = mapping("address.city: c\naddress.country: {const: BE}")
    assert read(made, {}, "address").presence is E
    reading = read(made, {"c": "Gent"}, "address")
    assert reading.value == {"city": "Gent", "country": "BE"}
    assert made.decode("address", reading.native) == reading.value


def test_first_and_rest_never_overlap(mapping):
    made = mapping('email: "c[t=e].v"\nother_emails: {at: "c[t=e].v", many: rest}')
    document = {"c": [{"t": "x"}, {"t": "e", "v": ""}, {"t": "e", "v": "b@example.com"}]}
    assert read(made, document, "email").presence is E
    assert read(made, document, "other_emails").value == {"b@example.com": "b@example.com"}


def test_elements_are_known_by_what_they_say_not_by_where_they_stand(mapping):
    made = mapping("other_addresses: {at: addresses, each: {street: s, city: c}}")
    one, two = {"s": "Kerkstraat  1", "c": "Gent"}, {"s": "Markt 2", "c": None}
    forth = read(made, {"addresses": [one, two]}, "other_addresses")
    back = read(made, {"addresses": [two, {"s": "KERKSTRAAT 1", "c": "gent"}]}, "other_addresses")
    assert (
        set(forth.value) == set(back.value) == {"city=gent|street=kerkstraat 1", "street=markt 2"}
    )


def test_a_delimited_text_is_a_set(mapping):
    made = mapping('other_emails: {at: mails, as: {split: {separator: ";", of: email}}}')
    reading = read(made, {"mails": "A@example.com ;; b@example.com;a@example.com"}, "other_emails")
    assert reading.native == {"a@example.com": "A@example.com", "b@example.com": "b@example.com"}


def test_a_field_that_is_only_written_is_not_read(mapping):
    made = mapping("name: {at: n, direction: write}")
    assert made.apply({"n": "x"}, full_payload=True) == Mapped({})
    assert made.writable == {"name"}


def test_clear_is_declared_for_each_field(mapping):
    lines = "name: n\nemail: {at: e, clear: ignore}\naddress.city: {at: c, clear: review}"
    made = mapping(lines + "\nother_emails: {at: m, many: all, clear: review}")
    clears = [Clear.ALLOWED, Clear.IGNORE, Clear.REVIEW, Clear.REVIEW]
    assert [made.clear(name) for name in made.fields] == clears


def test_nothing_there_has_one_form(mapping):
    made = mapping("name: n\naddress.city: c\naddress.street: s\nother_emails: e")
    for name in made.fields:
        assert made.encode(name, None) is None
        assert made.decode(name, None) is None
    assert made.encode("address", {"region": "x"}) is None
    assert made.encode("address", {"city": "Gent"}) == {"city": "Gent", "street": None}
    assert made.encode("other_emails", {}) == {}


def test_a_system_that_truncates_is_known_to(mapping):
    made = mapping("name: {at: n, max: 6}")
    sent = made.encode("name", "Brouw erij")
    assert sent == "Brouw"
    assert made.encode("name", made.decode("name", sent)) == sent


def test_the_key_of_an_element_is_that_of_what_the_system_will_show(mapping):
    made = mapping("other_addresses: {at: a, each: {street: {at: s, max: 5}, city: c}}")
    golden = {"k": {"street": "Kerkstraat 1", "city": "Gent", "country": "BE"}}
    sent = made.encode("other_addresses", golden)
    assert sent == {"city=gent|street=kerks": {"street": "Kerks", "city": "Gent"}}
    shown = made.apply(made.put({}, {"other_addresses": sent}), full_payload=True)
    assert isinstance(shown, Mapped)
    assert shown.readings["other_addresses"].native == sent


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("name: n", "name: {at: n}", True),
        ("name: n\nemail: e", "email: e\nname: n", True),
        ("name: n", "name: m", False),
        ("phone: p", "phone: {at: p, as: {phone: {region: BE}}}", False),
        ("name: n", "name: {at: n, clear: ignore}", False),
    ],
)
def test_the_hash_is_that_of_the_meaning(one: str, other: str, same: bool, mapping):
    assert (mapping(one).hash == mapping(other).hash) is same


def test_the_hash_knows_the_parameters_that_are_used(mapping):
    line = 'name: "meta[key=${k}].value"'
    assert mapping(line, k="a", unused=1).hash == mapping(line, k="a").hash
    assert mapping(line, k="a").hash != mapping(line, k="b").hash


def test_a_mapping_can_be_checked_on_sample_data(customer):
    party = compile_file(HERE / "tryton_party.yaml", customer, {"newsletter_category": 7})
    assert party.broken_laws(PARTY) == []

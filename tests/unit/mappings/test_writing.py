"""Putting values into a document: the smallest change that shows them, and the laws of lenses."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_master.domain.fields import Mapped, Presence
from mappings import SHIPPED, compile_file, load_entity


class Case(NamedTuple):
    title: str
    lines: str
    before: dict[str, Any]
    changes: dict[str, Any]
    after: dict[str, Any]


MAIL = 'email: "c[type=email].value"'
BOTH = MAIL + '\nother_emails: {at: "c[type=email].value", many: rest}'
ADDRESS = "address.street: a[0].street\naddress.city: a[0].city"
YES_NO = "consent_email.status: {at: 'k[id=7]', as: {present: {yes: granted, no: denied}}}"

CASES = [
    Case("a key is set, others stay", "name: n", {"n": "a", "x": 1}, {"name": "b"}, {"n": "b", "x": 1}),
    Case("a key is made", "name: a.b", {}, {"name": "x"}, {"a": {"b": "x"}}),
    Case("a key becomes null", "name: n", {"n": "a"}, {"name": None}, {"n": None}),
    Case("what is empty stays as it is", "name: n", {"n": " "}, {"name": None}, {"n": " "}),
    Case("what is absent stays so", "name: a.b", {}, {"name": None}, {}),
    Case("true is not one", "lifecycle: {at: s, as: {enum: {active: true, lost: 1}}}", {"s": 1},
         {"lifecycle": True}, {"s": True}),
    Case("a text in two places: the one whose words stay keeps them", "name: {parts: [f, l]}",
         {"f": "Ada Maria", "l": "King"}, {"name": "Ada Maria Noel"}, {"f": "Ada Maria", "l": "Noel"}),
    Case("the same at the end", "name: {parts: [f, l]}",
         {"f": "Ada", "l": "King Noel"}, {"name": "Eva Maria King Noel"}, {"f": "Eva Maria", "l": "King Noel"}),
    Case("else the first word goes first", "name: {parts: [f, l]}",
         {"f": "Ada", "l": "King"}, {"name": "Eva van Dam"}, {"f": "Eva", "l": "van Dam"}),
    Case("a single word goes to the second", "name: {parts: [f, l]}",
         {"f": "Ada", "l": "King"}, {"name": "Madonna"}, {"f": None, "l": "Madonna"}),
    Case("and both are emptied", "name: {parts: [f, l]}",
         {"f": "Ada", "l": "King"}, {"name": None}, {"f": None, "l": None}),
    Case("words that only change their place are no change", "name: {parts: [f, l]}",
         {"f": "Ada King", "l": "Noel"}, {"name": "Ada King Noel"}, {"f": "Ada King", "l": "Noel"}),
    Case("the selected child is updated and keeps its id", MAIL,
         {"c": [{"id": 1, "type": "phone", "value": "1"}, {"id": 2, "type": "email", "value": "a@x.example"}]},
         {"email": "b@x.example"},
         {"c": [{"id": 1, "type": "phone", "value": "1"}, {"id": 2, "type": "email", "value": "b@x.example"}]}),
    Case("a child is made with its selector's attributes", MAIL, {"c": [{"id": 1, "type": "phone"}]},
         {"email": "a@x.example"}, {"c": [{"id": 1, "type": "phone"}, {"type": "email", "value": "a@x.example"}]}),
    Case("a list is made for it", MAIL, {}, {"email": "a@x.example"},
         {"c": [{"type": "email", "value": "a@x.example"}]}),
    Case("a child of which nothing remains is removed", MAIL,
         {"c": [{"id": 2, "type": "email", "value": "a@x.example"}, {"id": 3, "type": "fax"}]},
         {"email": None}, {"c": [{"id": 3, "type": "fax"}]}),
    Case("a child of which something remains stays", MAIL + "\nwebsite: 'c[type=email].site'",
         {"c": [{"id": 2, "type": "email", "value": "a@x.example", "site": "x.example"}]},
         {"email": None}, {"c": [{"id": 2, "type": "email", "value": None, "site": "x.example"}]}),
    Case("the first of a list is made", ADDRESS, {}, {"address": {"street": "s", "city": None}},
         {"a": [{"street": "s"}]}),
    Case("members move at once, and the child keeps its id", ADDRESS, {"a": [{"id": 5, "street": "s"}]},
         {"address": {"street": None, "city": "c"}}, {"a": [{"id": 5, "street": None, "city": "c"}]}),
    Case("a group that is cleared takes its child along", ADDRESS, {"a": [{"id": 5, "street": "s", "city": "c"}]},
         {"address": None}, {"a": []}),
    Case("members that are not named stay", ADDRESS, {"a": [{"street": "s", "city": "c"}]},
         {"address": {"city": "d"}}, {"a": [{"street": "s", "city": "d"}]}),
    Case("an element is made present", YES_NO, {"k": [{"id": 3}]}, {"consent_email": {"status": True}},
         {"k": [{"id": 3}, {"id": 7}]}),
    Case("an element is removed, wherever it stands", YES_NO, {"k": [{"id": 7, "x": 1}, {"id": 3}, {"id": "7"}]},
         {"consent_email": {"status": False}}, {"k": [{"id": 3}]}),
    Case("an element that is there stays as it is", YES_NO, {"k": [{"id": 7, "x": 1}]},
         {"consent_email": {"status": True}}, {"k": [{"id": 7, "x": 1}]}),
    Case("an id in a list of ids", YES_NO.replace("id=7", ".=7"), {"k": [3]},
         {"consent_email": {"status": True}}, {"k": [3, 7]}),
    Case("an object is made present", YES_NO.replace("'k[id=7]'", "m"), {"m": None},
         {"consent_email": {"status": True}}, {"m": {}}),
    Case("an object is made absent", YES_NO.replace("'k[id=7]'", "m"), {"m": {"list": "news"}},
         {"consent_email": {"status": False}}, {"m": None}),
    Case("elements come and go by key, those that stay keep their ids", BOTH,
         {"c": [{"id": 1, "type": "email", "value": "a@x.example"}, {"id": 2, "type": "email", "value": "B@x.example"},
                {"id": 3, "type": "email", "value": "c@x.example"}, {"id": 4, "type": "fax"}]},
         {"other_emails": {"b@x.example": "B@x.example", "d@x.example": "d@x.example"}},
         {"c": [{"id": 1, "type": "email", "value": "a@x.example"}, {"id": 2, "type": "email", "value": "B@x.example"},
                {"id": 4, "type": "fax"}, {"type": "email", "value": "d@x.example"}]}),
    Case("first and rest are made in order", BOTH, {},
         {"other_emails": {"b@x.example": "b@x.example"}, "email": "a@x.example"},
         {"c": [{"type": "email", "value": "a@x.example"}, {"type": "email", "value": "b@x.example"}]}),
    Case("where the first goes, the rest moves up and is not doubled", BOTH,
         {"c": [{"id": 1, "type": "email", "value": "a@x.example"}, {"id": 2, "type": "email", "value": "b@x.example"}]},
         {"email": None, "other_emails": {"b@x.example": "b@x.example"}},
         {"c": [{"id": 2, "type": "email", "value": "b@x.example"}]}),
    Case("values in a list", "other_emails: e", {"e": ["A@x.example", "b@x.example"]},
         {"other_emails": {"a@x.example": "A@x.example", "c@x.example": "c@x.example"}},
         {"e": ["A@x.example", "c@x.example"]}),
    Case("all elements go", "other_emails: e", {"e": ["a@x.example"]}, {"other_emails": None}, {"e": []}),
    Case("groups in a list", "other_addresses: {at: a, each: {street: s, city: t.name}}",
         {"a": [{"id": 1, "s": "x", "t": {"name": "y"}}, {"id": 2, "s": "z"}]},
         {"other_addresses": {"street=z": {"street": "z", "city": None}, "city=q": {"street": None, "city": "q"}}},
         {"a": [{"id": 2, "s": "z"}, {"t": {"name": "q"}}]}),
    Case("a delimited text", "other_emails: {at: m, as: {split: {of: email}}}", {"m": "a@x.example,B@x.example"},
         {"other_emails": {"b@x.example": "B@x.example", "c@x.example": "c@x.example"}},
         {"m": "B@x.example, c@x.example"}),
    Case("a delimited text in which nothing changes", "other_emails: {at: m, as: {split: {of: email}}}",
         {"m": "a@x.example ,b@x.example,,"},
         {"other_emails": {"a@x.example": "a@x.example", "b@x.example": "b@x.example"}},
         {"m": "a@x.example ,b@x.example,,"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_put(case: Case, mapping):
    before = deepcopy(case.before)
    assert mapping(case.lines).put(before, case.changes) == case.after
    assert before == case.before, "the document that was given is not modified"


@pytest.mark.parametrize(
    ("lines", "document", "changes"),
    [
        ("name: {at: n, direction: read}", {}, {"name": "x"}),
        ("name: n", {}, {"email": "x"}),
        ("name: a.b", {"a": "text"}, {"name": "x"}),
        (MAIL, {"c": [1]}, {"email": "a@x.example"}),
        ("name: a[2].b", {"a": []}, {"name": "x"}),
        ("other_emails: e", {}, {"other_emails": ["a@x.example"]}),
    ],
)
def test_what_cannot_be_put_is_an_error_and_no_wrong_document(lines, document, changes, mapping):
    with pytest.raises(ValueError):
        mapping(lines).put(document, changes)


def test_an_element_that_holds_the_separator_cannot_be_written(mapping):
    made = mapping(
        'other_emails: {at: m, as: {split: {separator: "a", of: {email: {lenient: true}}}}}'
    )
    with pytest.raises(ValueError, match="separator"):
        made.encode("other_emails", {"x": "bab"})


# The laws, on parties of every shape.

CUSTOMER = load_entity(SHIPPED / "entities" / "customer.yaml")
MORE = """\
  other_addresses: {at: addresses, many: rest, each: {street: street, city: city}}
  other_phones: {at: extra, as: {split: {separator: ";", of: {phone: {region: BE}}}}}
"""
TRYTON = (Path(__file__).parent / "tryton_party.yaml").read_text(encoding="utf-8")
PARTY = compile_file(TRYTON + MORE, CUSTOMER, {"newsletter_category": 7})

texts = st.sampled_from([None, "", " ", "Gent", "Kerkstraat 1", "x "])
mails = st.sampled_from([None, "", "a@x.example", "A@x.example", "b@x.example", "c@x.example"])
phones = st.sampled_from([None, "+3225501212", "02 550 12 12", "0470 12 34 56"])
ids = st.integers(1, 9)
contacts = st.lists(
    st.fixed_dictionaries({"id": ids, "type": st.just("email"), "value": mails})
    | st.fixed_dictionaries(
        {"id": ids, "type": st.sampled_from(["phone", "mobile"]), "value": phones}
    )
    | st.fixed_dictionaries({"id": ids, "type": st.just("fax"), "value": texts}),
    max_size=5,
)
addresses = st.lists(
    st.fixed_dictionaries(
        {"id": ids},
        optional={
            "street": texts,
            "city": texts,
            "postal_code": texts,
            "country": st.none()
            | st.fixed_dictionaries({"code": st.sampled_from(["BE", "be", None])}),
            "note": texts,
        },
    ),
    max_size=3,
)
parties = st.fixed_dictionaries(
    {"id": ids},
    optional={
        "name": texts,
        "active": st.sampled_from([True, False, None]),
        "contact_mechanisms": st.none() | contacts,
        "identifiers": st.lists(st.fixed_dictionaries({"type": st.just("eu_vat"), "code": st.just("BE0428759497")})),
        "addresses": addresses,
        "categories": st.lists(st.fixed_dictionaries({"id": ids}), max_size=3),
        "extra": st.sampled_from([None, "", "02 550 12 12;0470 12 34 56", "+3225501212;+3225501212"]),
        "lang": st.none() | st.just({"code": "nl"}),
        "more": texts,
    },
)  # fmt: skip


def natives(document: dict[str, Any]) -> dict[str, Any]:
    found = PARTY.apply(document, full_payload=True)
    assert isinstance(found, Mapped)
    assert all(reading.presence is not Presence.UNREADABLE for reading in found.readings.values())
    return {name: found.readings[name].native for name in PARTY.writable}


def normal(name: str, native: Any) -> Any:
    """Groups and lists compare by what they hold."""
    if isinstance(native, dict):
        return {
            key: part for key, part in native.items() if part is not None and part != {}
        } or None
    return native


@given(parties)
def test_putting_back_what_was_read_changes_nothing(document: dict[str, Any]):
    assert PARTY.put(document, natives(document)) == document


@given(parties, parties)
def test_what_was_put_is_what_is_shown(document: dict[str, Any], other: dict[str, Any]):
    wanted = natives(other)
    shown = natives(PARTY.put(document, wanted))
    for name in PARTY.writable:
        if _moves_up(document, wanted, name):
            continue
        assert normal(name, shown[name]) == normal(name, wanted[name]), name


def _moves_up(document: dict[str, Any], wanted: dict[str, Any], name: str) -> bool:
    """Whether a first child is cleared that others follow: then the next one moves up, and is shown."""
    for first, rest in (("email", "other_emails"), ("address", "other_addresses")):
        if name in (first, rest):
            children = document.get("addresses", []) if first == "address" else []
            return wanted[first] is None and (bool(wanted[rest]) or len(children) > 1)
    if wanted[name] is not None:
        return False
    if name == "tax_id":
        return len(document.get("identifiers", [])) > 1
    contacts = document.get("contact_mechanisms") or []
    return len([child for child in contacts if child["type"] == name]) > 1


@given(parties, parties)
def test_where_the_first_is_cleared_the_next_moves_up_and_none_is_lost(
    document: dict[str, Any], other: dict[str, Any]
):
    wanted = natives(other) | {"email": None}
    shown = natives(PARTY.put(document, wanted))
    first = {PARTY.decode("email", shown["email"])} - {None}
    assert first | set(shown["other_emails"]) == set(wanted["other_emails"])


@given(parties, parties)
def test_putting_twice_is_putting_once(document: dict[str, Any], other: dict[str, Any]):
    wanted = natives(other)
    once = PARTY.put(document, wanted)
    if not any(_moves_up(document, wanted, name) for name in wanted):
        assert PARTY.put(once, wanted) == once


@given(parties, parties)
def test_the_other_parts_of_the_document_are_untouched(
    document: dict[str, Any], other: dict[str, Any]
):
    before = deepcopy(document)
    after = PARTY.put(document, natives(other))
    assert document == before
    for key in ("id", "more", "lang"):
        assert after.get(key) == document.get(key)
    faxes = [c for c in document.get("contact_mechanisms") or [] if c["type"] == "fax"]
    assert [c for c in after.get("contact_mechanisms") or [] if c["type"] == "fax"] == faxes
    categories = [c for c in document.get("categories", []) if c["id"] != 7]
    assert [c for c in after.get("categories", []) if c["id"] != 7] == categories


@given(parties)
def test_what_the_golden_record_needs_is_shown_once_it_is_written(document: dict[str, Any]):
    """encode, put, apply: what the engine does for a delivery."""
    found = PARTY.apply(document, full_payload=True)
    assert isinstance(found, Mapped)
    golden = {name: found.readings[name].value for name in PARTY.writable}
    wanted = {name: PARTY.encode(name, value) for name, value in golden.items()}
    if any(_moves_up({}, wanted, name) for name in wanted):
        return
    again = PARTY.apply(PARTY.put({"id": 1}, wanted), full_payload=True)
    assert isinstance(again, Mapped)
    for name, value in golden.items():
        if name == "consent_email":
            assert again.readings[name].value == value
        else:
            assert (again.readings[name].value or None) == (value or None), name

"""RULES 9: value, empty, missing and unreadable are four things."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.contract import Document
from crm_master.domain.attribution import Attributed, attribute
from crm_master.domain.claims import ClaimKey, FieldShadow, Observed, Shadow
from crm_master.domain.fields import Mapped, Presence, Reading
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.notices import Why
from crm_master.domain.settling import intend
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING, entity, mapping
from tests.rules.world import Setting, World

SPEC = entity_spec(entity())
READ = Observed(seq=9, watermark=100, started=195, ended=200)
NAME = ClaimKey("name")
HELD = Shadow({"name": FieldShadow(held="Ada")})


def _read(reading: Reading, shadow: Shadow = HELD, name: str = "name", lines: str = FULL_MAPPING):
    return attribute(Mapped({name: reading}), {}, shadow, mapping(lines), SPEC, READ)


def test_rule_09_missing_asserts_nothing() -> None:
    found = _read(Reading(Presence.MISSING))
    assert (found.claims, found.shadow, found.notices) == ({}, HELD, ())


def test_rule_09_unreadable_asserts_nothing_and_is_noticed_once() -> None:
    found = _read(Reading(Presence.UNREADABLE, reason="name: 7; allowed: text"))
    assert found.claims == {}
    assert [notice.why for notice in found.notices] == [Why.UNREADABLE]
    again = _read(Reading(Presence.UNREADABLE), found.shadow)
    assert again.notices == ()


def test_rule_09_empty_asserts_a_clear_where_the_shadow_was_not_empty() -> None:
    found = _read(Reading(Presence.EMPTY))
    assert found.claims[NAME].value is None


@pytest.mark.parametrize(
    "shadow",
    [Shadow(), Shadow({"name": FieldShadow(held=None)})],
    ids=["first sight", "empty before"],
)
def test_rule_09_empty_asserts_nothing_elsewhere(shadow: Shadow) -> None:
    found = _read(Reading(Presence.EMPTY), shadow)
    assert found.claims == {}
    assert found.shadow.fields["name"].held is None


def test_rule_09_a_value_by_absence_asserts_nothing_at_first_sight() -> None:
    silent = Reading(Presence.VALUE, False, "denied", silent=True)
    found = _read(silent, Shadow())
    assert found.claims == {}
    assert found.shadow.fields["name"].held is False


@pytest.mark.parametrize(
    ("clear", "claims"), [("allowed", {NAME: None}), ("ignore", {}), ("review", {})]
)
def test_rule_09_clear_is_a_choice_per_field(clear: str, claims: dict[ClaimKey, Any]) -> None:
    found = _read(Reading(Presence.EMPTY), lines=f"  name: {{at: name, clear: {clear}}}")
    assert {key: claim.value for key, claim in found.claims.items()} == claims


def test_rule_09_a_group_of_a_partial_payload_keeps_the_members_that_it_lacks() -> None:
    """The payload speaks of the city only; the street is missing, which asserts nothing."""
    shadow = Shadow({"address": FieldShadow(held={"street": "Main St 1", "city": "Gent"})})
    mapped = mapping().apply({"city": "Gent"}, full_payload=False)
    assert isinstance(mapped, Mapped)
    same = attribute(mapped, {}, shadow, mapping(), SPEC, READ)
    assert same.edits == frozenset()
    assert same.shadow.fields["address"].held == {"street": "Main St 1", "city": "Gent"}

    mapped = mapping().apply({"city": "Brugge"}, full_payload=False)
    assert isinstance(mapped, Mapped)
    found = attribute(mapped, {}, shadow, mapping(), SPEC, READ)
    assert found.claims[ClaimKey("address")].value == {"street": "Main St 1", "city": "Brugge"}


STANDS = Shadow({"address": FieldShadow(held={"street": "Main St 1", "city": "Gent"})})
ADDRESS = ClaimKey("address")


def _partial(document: Document, shadow: Shadow, clear: str = "allowed") -> Attributed:
    lines = f"  address.street: {{at: street, clear: {clear}}}\n  address.city: city"
    mapped = mapping(lines).apply(document, full_payload=False)
    assert isinstance(mapped, Mapped)
    return attribute(mapped, {}, shadow, mapping(lines), SPEC, READ)


@pytest.mark.parametrize("clear", ["allowed", "ignore", "review"])
def test_rule_09_to_clear_one_member_is_an_edit_of_the_group_whatever_clear_says(
    clear: str,
) -> None:
    found = _partial({"street": None}, STANDS, clear)
    stands = {"street": None, "city": "Gent"}
    assert {key: claim.value for key, claim in found.claims.items()} == {ADDRESS: stands}
    assert found.shadow.fields["address"].held == stands
    assert found.notices == ()


@pytest.mark.parametrize(
    ("clear", "claims", "review"),
    [("allowed", {ADDRESS: None}, False), ("ignore", {}, False), ("review", {}, True)],
)
def test_rule_09_to_clear_the_last_member_is_a_clear_of_the_group(
    clear: str, claims: dict[ClaimKey, Any], review: bool
) -> None:
    stands = Shadow({"address": FieldShadow(held={"street": "Main St 1", "city": None})})
    found = _partial({"street": None}, stands, clear)
    assert {key: claim.value for key, claim in found.claims.items()} == claims
    assert found.shadow.fields["address"].review == review
    again = _partial({"street": None}, found.shadow, clear)
    assert (again.edits, again.notices, again.shadow) == (frozenset(), (), found.shadow)


def test_rule_09_a_constant_is_no_member_that_remains() -> None:
    lines = "  address.street: street\n  address.country: {const: BE}"
    there = Shadow({"address": FieldShadow(held={"street": "Main St 1", "country": "BE"})})
    mapped = mapping(lines).apply({"street": None}, full_payload=False)
    assert isinstance(mapped, Mapped)
    found = attribute(mapped, {}, there, mapping(lines), SPEC, READ)
    assert found.claims[ADDRESS].value is None


def test_rule_09_a_group_of_which_only_empty_members_are_known_makes_no_claim_at_first_sight() -> (
    None
):
    assert _partial({"street": None}, Shadow()).claims == {}


@pytest.mark.parametrize("where", ["pending", "sent"])
@pytest.mark.parametrize(
    ("written", "part"),
    [
        (None, {"street": None}),
        ({"street": "Side St 2", "city": "Brugge"}, {"street": "Side St 2"}),
    ],
    ids=["cleared", "changed"],
)
def test_rule_09_what_the_hub_wrote_is_no_edit_when_a_part_of_it_comes_back(
    where: str, written: Any, part: Document
) -> None:
    """The answer to the write was lost; the next payload speaks of one member only."""
    now = replace(STANDS.fields["address"], **{where: written})
    found = _partial(part, Shadow({"address": now}))
    assert (found.claims, found.doubts) == ({}, False)
    assert _partial({"street": "Elm St 3"}, Shadow({"address": now})).claims != {}


def test_rule_09_a_part_of_what_is_on_its_way_is_measured_by_that_part() -> None:
    """The street may have been cut by the system; of the city the payload says nothing."""
    sent = {"street": "Side Street 2", "city": "Brugge"}
    shadow = intend(STANDS, {"address": sent})
    found = _partial({"street": "Side Str"}, shadow)
    assert (found.claims, found.doubts) == ({}, True)
    assert found.shadow.fields["address"].held == {"street": "Side Str", "city": "Gent"}


def _pair(world: MakeWorld, lines: str = FULL_MAPPING, **more: Any) -> World:
    hub = world("erp", "shop", shop=Setting(lines, **more))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1", tags=["a"])
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1", tags=["a"])
    return hub.settle()


def test_rule_09_unreadable_blocks_writes_and_goes_to_the_dead_letter_queue(
    world: MakeWorld,
) -> None:
    hub = _pair(world)
    hub.shop.edit("s1", phone=["not", "text"])
    hub.round()
    letter = hub.task(TaskKind.DEAD_LETTER)
    assert letter.subject == "shop/people/s1:phone"
    assert hub.golden["phone"] == "1", "it asserts nothing"

    hub.erp.edit("e1", phone="2", note="x")
    hub.round()
    assert hub.shop["s1"]["phone"] == ["not", "text"], "what is not understood is not overwritten"
    assert hub.shop["s1"]["note"] == "x", "the other fields are written"
    assert hub.verify().converged, "a field that waits for repair is excepted"


def test_rule_09_a_newer_success_closes_the_letter_and_what_was_held_back_is_written(
    world: MakeWorld,
) -> None:
    hub = _pair(world)
    hub.shop.edit("s1", phone=["not", "text"])
    hub.round()
    hub.erp.edit("e1", phone="2")
    hub.round()

    hub.shop.edit("s1", phone="1")
    hub.round()

    assert hub.tasks(TaskKind.DEAD_LETTER) == []
    assert hub.shop["s1"]["phone"] == "2"


def test_rule_09_a_repaired_field_with_a_new_value_is_an_edit(world: MakeWorld) -> None:
    hub = _pair(world)
    hub.shop.edit("s1", phone=["not", "text"])
    hub.round()
    hub.shop.edit("s1", phone="3")
    hub.round()
    assert hub.erp["e1"]["phone"] == "3"
    assert hub.tasks(TaskKind.DEAD_LETTER) == []


def test_rule_09_an_unreadable_field_at_first_sight_blocks_too(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone=[])
    hub.settle()
    assert hub.shop["s1"]["phone"] == []
    assert hub.task(TaskKind.DEAD_LETTER).subject == "shop/people/s1:phone"


def test_rule_09_a_clear_is_spread(world: MakeWorld) -> None:
    hub = _pair(world)
    hub.shop.edit("s1", phone=None)
    hub.round()
    assert hub.erp["e1"].get("phone") is None
    assert hub.golden["phone"] is None


def test_rule_09_an_empty_field_at_first_sight_clears_nobody_and_is_filled(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone=None)
    hub.settle()
    assert hub.erp["e1"]["phone"] == hub.shop["s1"]["phone"] == "1"


def test_rule_09_an_ignored_clear_is_delivered_again(world: MakeWorld) -> None:
    hub = _pair(world, FULL_MAPPING.replace("phone: phone", "phone: {at: phone, clear: ignore}"))
    hub.shop.edit("s1", phone=None)
    hub.round()
    assert hub.golden["phone"] == "1"
    assert hub.shop["s1"]["phone"] == "1"
    assert hub.round() == 0


def test_rule_09_an_ignored_removal_from_a_list_is_delivered_again(world: MakeWorld) -> None:
    lines = FULL_MAPPING.replace("many: all", "many: all, clear: ignore")
    hub = _pair(world, lines)
    hub.shop.edit("s1", tags=[])
    hub.round()
    assert hub.shop["s1"]["tags"] == ["a"]
    assert hub.golden["tags"] == {"a": "a"}


REVIEW = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, clear: review}")


def test_rule_09_a_clear_under_review_waits_for_a_person(world: MakeWorld) -> None:
    hub = _pair(world, REVIEW)
    hub.shop.edit("s1", phone=None)
    hub.round()
    hub.erp.edit("e1", note="x")
    hub.round()
    assert hub.shop["s1"]["note"] == "x"
    assert hub.golden["phone"] == "1"
    assert hub.shop["s1"]["phone"] is None, "not written back before the decision"
    assert hub.task(TaskKind.CLEAR).subject == "shop/people/s1:phone"


@pytest.mark.parametrize(("answer", "phone"), [("accept", None), ("restore", "1")])
def test_rule_09_a_clear_under_review_is_accepted_or_restored(
    world: MakeWorld, answer: str, phone: str | None
) -> None:
    hub = _pair(world, REVIEW)
    hub.shop.edit("s1", phone=None)
    hub.round()
    hub.decide(hub.task(TaskKind.CLEAR), answer)
    hub.round()
    assert hub.shop["s1"].get("phone") == hub.erp["e1"].get("phone") == phone


def test_rule_09_a_value_typed_in_while_a_clear_is_under_review_answers_it(
    world: MakeWorld,
) -> None:
    hub = _pair(world, REVIEW)
    hub.shop.edit("s1", phone=None)
    hub.round()
    hub.shop.edit("s1", phone="2")
    hub.round()
    assert hub.erp["e1"]["phone"] == "2"
    assert hub.tasks(TaskKind.CLEAR) == []


def test_rule_09_a_partial_payload_says_nothing_of_what_it_lacks(world: MakeWorld) -> None:
    hub = _pair(world, full_payload=False)
    kept = hub.shop.kept["s1"]
    kept.document = {"mail": "ada@example.org", "name": "Ada Lovelace"}
    hub.shop.edit("s1")
    hub.round()
    assert hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.erp["e1"]["phone"] == "1"


@pytest.fixture
def partial(world: MakeWorld) -> World:
    """Two systems with an address. The shop's documents speak of what was touched last; the country it alone knows."""
    lines = FULL_MAPPING + "  address.country: country\n"
    hub = world("erp", "shop", shop=Setting(lines, full_payload=False))
    there = {"street": "Main St 1", "city": "Gent"}
    hub.erp.add("e1", name="Ada", mail="ada@example.org", **there)
    hub.shop.add("s1", name="Ada", mail="ada@example.org", country="Belgium", **there)
    return hub.settle()


def _show(hub: World, **document: Any) -> None:
    """From now on the shop's document speaks of these fields only."""
    hub.shop.kept["s1"].document = {}
    hub.shop.edit("s1", mail="ada@example.org", **document)


def test_rule_09_a_member_cleared_by_a_partial_payload_is_cleared_and_the_others_stay(
    partial: World,
) -> None:
    hub = partial
    _show(hub, street=None)
    hub.round()
    assert hub.golden["address"] == {"city": "Gent", "country": "Belgium"}
    assert (hub.erp["e1"].get("street"), hub.erp["e1"]["city"]) == (None, "Gent")
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_09_a_write_that_is_read_back_in_part_keeps_the_members_that_it_lacks(
    partial: World,
) -> None:
    """The hub writes the street; the shop's answer speaks of nothing else. Then somebody there edits the city."""
    hub = partial
    for street in ("Side St 2", None):
        _show(hub, street=hub.shop["s1"]["street"])
        hub.erp.edit("e1", street=street)
        hub.round()
        assert hub.shop["s1"].get("street") == street
        held = hub.shadow("shop", "s1").fields["address"].held
        assert held == {"street": street, "city": "Gent", "country": "Belgium"}

    _show(hub, city="Brugge")
    hub.round()
    assert hub.golden["address"] == {"city": "Brugge", "country": "Belgium"}
    assert hub.rebuilt().equal


def test_rule_09_a_lost_answer_that_is_looked_up_in_part_can_be_replayed(partial: World) -> None:
    """The hub writes the street, does not hear of it, and finds a document that speaks of the street alone."""
    hub = partial
    _show(hub, street="Main St 1")
    hub.erp.edit("e1", street="Side St 2")
    hub.shop.losses = ["done"]
    hub.round()
    hub.clock.sleep(60)
    hub.round()
    _show(hub, city="Brugge")
    hub.round()
    stands = {"street": "Side St 2", "city": "Brugge", "country": "Belgium"}
    assert hub.golden["address"] == stands
    assert hub.rebuilt().equal


def test_rule_09_a_full_payload_means_that_what_it_lacks_is_empty(world: MakeWorld) -> None:
    hub = _pair(world)
    kept = hub.shop.kept["s1"]
    kept.document = {"mail": "ada@example.org", "name": "Ada", "tags": ["a"]}
    hub.shop.edit("s1")
    hub.round()
    assert hub.erp["e1"].get("phone") is None

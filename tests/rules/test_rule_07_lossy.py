"""RULES 7: systems that make something else of what they are sent, or nothing, or keep undoing it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from crm_master.domain.attribution import attribute
from crm_master.domain.changes import patch
from crm_master.domain.claims import UNSET, ClaimKey, FieldShadow, Shadow
from crm_master.domain.fields import Mapped
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Reconciled, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import mapping
from tests.rules.losing import READ, SPEC, cut, pair
from tests.rules.world import Setting, World

OWNED = {"name": FieldPolicy(Rule.OWNER, {"erp": 0})}


class Case(NamedTuple):
    title: str
    field: str
    golden: Any
    shadow: FieldShadow
    expected: Any


WRITES = [
    Case("what differs is written", "name", "B", FieldShadow(held="A"), "B"),
    Case("what is held already is not", "name", "A", FieldShadow(held="A"), UNSET),
    Case(
        "a value that the system made something of is not sent again",
        "name",
        "Ada Lovelace",
        FieldShadow(held="Ada Love", sent="Ada Lovelace"),
        UNSET,
    ),
    Case(
        "a write without effect is not sent again",
        "name",
        "B",
        FieldShadow(held="A", sent="B"),
        UNSET,
    ),
    Case(
        "... until the golden record changes",
        "name",
        "C",
        FieldShadow(held="A", sent="B"),
        "C",
    ),
    Case(
        "a field that a person changed since is sent again",
        "name",
        "B",
        FieldShadow(held="A", sent=UNSET),
        "B",
    ),
    Case("a clear", "name", None, FieldShadow(held="A"), None),
    Case("a clear without effect", "name", None, FieldShadow(held="A", sent=None), UNSET),
    Case(
        "of a group only the members that differ",
        "address",
        {"street": "Main St 1", "city": "Brugge"},
        FieldShadow(held={"street": "Main St 1", "city": "Gent"}),
        {"city": "Brugge"},
    ),
    Case(
        "members that the system made something of are not sent again",
        "address",
        {"street": "Main Street 1", "city": "Brugge"},
        FieldShadow(
            held={"street": "Main St 1", "city": "Gent"},
            sent={"street": "Main Street 1", "city": "Gent"},
        ),
        {"city": "Brugge"},
    ),
    Case(
        "a group is cleared",
        "address",
        None,
        FieldShadow(held={"street": None, "city": "Gent"}),
        None,
    ),
    Case(
        "a list is written whole",
        "tags",
        {"a": "a", "b": "b"},
        FieldShadow(held={"a": "a"}),
        {"a": "a", "b": "b"},
    ),
    Case(
        "an element that the system will not keep is not sent again",
        "tags",
        {"a": "a", "b": "b"},
        FieldShadow(held={"a": "a"}, sent={"a": "a", "b": "b"}),
        UNSET,
    ),
    Case(
        "an element that the system will not let go is not removed again",
        "tags",
        {"b": "b"},
        FieldShadow(held={"a": "a", "b": "b"}, sent={"b": "b"}),
        UNSET,
    ),
    Case(
        "the last element that the system will not let go is not removed again",
        "tags",
        {},
        FieldShadow(held={"a": "a"}, sent={}),
        UNSET,
    ),
]


@pytest.mark.parametrize("case", WRITES, ids=lambda case: case.title)
def test_rule_07_what_is_written(case: Case) -> None:
    shadow = Shadow({case.field: case.shadow})
    made = patch(Reconciled({case.field: case.golden}, {}), shadow, mapping(), SPEC)
    assert made.writes.get(case.field, UNSET) == case.expected


def test_rule_07_a_truncated_value_is_no_edit_and_the_golden_record_is_not_degraded(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    hub.shop.makes = cut
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada Love"
    now = hub.shadow("shop", "s1").fields["name"]
    assert (now.sent, now.held) == ("Ada Lovelace", "Ada Love")

    hub.ingest("shop", full=True)
    hub.shop.edit("s1", note="something else")
    assert hub.round() == 1, "the note for the ERP, nothing else"

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.verify().converged


def test_rule_07_a_truncated_value_of_a_create_is_no_edit(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.shop.makes = cut
    hub.erp.add("e1", name="Ada Lovelace", mail="ada@example.org")
    hub.settle()
    assert hub.shop.only()["name"] == "Ada Love"
    assert hub.golden["name"] == "Ada Lovelace"
    assert hub.round() == 0


def test_rule_07_a_person_who_changes_the_truncated_value_makes_an_edit(world: MakeWorld) -> None:
    hub = pair(world)
    hub.shop.makes = cut
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    hub.shop.edit("s1", name="Ada King")
    hub.round()
    assert hub.erp["e1"]["name"] == "Ada King"


def test_rule_07_a_person_who_only_reformats_makes_no_edit(world: MakeWorld) -> None:
    hub = pair(world)
    hub.shop.edit("s1", mail="ADA@Example.org")
    assert hub.round() == 0
    assert hub.golden["email"] == "ada@example.org"


def test_rule_07_a_write_without_effect_is_not_resent_until_the_golden_record_changes(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    hub.shop.makes = lambda document: {**document, "name": "Ada"}
    hub.erp.edit("e1", name="Ada Lovelace")
    assert hub.round() == 1
    assert hub.task(TaskKind.INEFFECTIVE).subject == "shop/people/s1:name"

    hub.erp.edit("e1", note="x")
    hub.round()
    assert "name" not in _sent(hub), "another field's delivery does not carry it along"
    assert hub.verify().converged

    hub.erp.edit("e1", name="Ada King")
    hub.round()
    assert _sent(hub)["name"] == "Ada King"


def _sent(hub: World) -> dict[str, Any]:
    last = hub.shop.writes[-1]
    return {name: value for name, value in last.after.items() if last.before.get(name) != value}


def test_rule_07_a_value_without_effect_is_sent_again_when_the_golden_record_returns_to_it(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    hub.shop.makes = lambda document: {**document, "name": "Ada"}
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada", "no effect"
    hub.erp.edit("e1", name="Ada")
    hub.round()
    hub.shop.makes = lambda document: document
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada"

    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()

    assert hub.shop["s1"]["name"] == "Ada Lovelace"


def test_rule_07_the_same_value_undone_three_times_is_quarantined_and_reported(
    world: MakeWorld,
) -> None:
    hub = pair(world, policies=OWNED)
    for time in range(3):
        assert hub.tasks(TaskKind.QUARANTINE) == [], f"undone {time} times"
        hub.erp.edit("e1", name="Ada Lovelace", note=str(time))
        hub.round()
        hub.round()
        assert hub.shop["s1"]["name"] == "Ada Lovelace"
        hub.shop.edit("s1", name="Ada")
        hub.ingest("shop")
        hub.reconcile()

    assert hub.task(TaskKind.QUARANTINE).subject == "shop/people/s1:name"
    assert ClaimKey("name") not in hub.record("shop", "s1").claims, "no claims"
    hub.erp.edit("e1", name="Ada King", phone="9")
    hub.round()
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada", "no deliveries"
    assert hub.shop["s1"]["phone"] == "9", "of that field only"
    hub.shop.edit("s1", name="Countess")
    hub.round()
    assert hub.golden["name"] == "Ada King"
    assert hub.verify().converged, "a quarantined field is excepted"


def test_rule_07_a_release_ends_the_quarantine(world: MakeWorld) -> None:
    hub = pair(world, policies=OWNED)
    for time in range(3):
        hub.erp.edit("e1", name="Ada Lovelace", note=str(time))
        hub.round()
        hub.shop.edit("s1", name="Ada")
        hub.ingest("shop")
        hub.reconcile()
    hub.decide(hub.task(TaskKind.QUARANTINE), "release")
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada Lovelace"


def test_rule_07_inside_a_group_members_equal_to_held_take_the_golden_value() -> None:
    """The system cut the street; a person there corrects the city. The claim has the whole street."""
    now = FieldShadow(
        held={"street": "Main St", "city": "Gent"},
        sent={"street": "Main Street 1", "city": "Gent"},
    )
    mapped = mapping().apply({"street": "Main St", "city": "Brugge"}, full_payload=True)
    assert isinstance(mapped, Mapped)
    found = attribute(mapped, {}, Shadow({"address": now}), mapping(), SPEC, READ)
    claim = found.claims[ClaimKey("address")]
    assert claim.value == {"street": "Main Street 1", "city": "Brugge"}


def test_rule_07_a_lossy_member_survives_an_edit_of_another_member(world: MakeWorld) -> None:
    hub = pair(world)
    hub.shop.makes = lambda document: {**document, "street": (document.get("street") or "")[:7]}
    hub.erp.edit("e1", street="Main Street 1")
    hub.round()
    assert hub.shop["s1"]["street"] == "Main St"

    hub.shop.edit("s1", city="Brugge")
    hub.round()
    hub.round()

    assert (hub.erp["e1"]["street"], hub.erp["e1"]["city"]) == ("Main Street 1", "Brugge")
    assert hub.round() == 0


def test_rule_07_a_member_that_a_system_fills_in_by_itself_is_no_difference(
    world: MakeWorld,
) -> None:
    """A shop that takes no address without a city: where nobody says one, it puts its own."""
    hub = pair(world)
    hub.shop.makes = lambda document: {**document, "city": document.get("city") or "Gent"}
    hub.erp.add("e2", name="Bob", mail="bob@example.org", street="Main St 2", city=None)
    hub.shop.add("s2", name="Bob", mail="bob@example.org", street=None, city=None)
    hub.round()
    assert (hub.shop["s2"]["street"], hub.shop["s2"]["city"]) == ("Main St 2", "Gent")
    assert hub.erp["e2"]["city"] is None
    assert hub.verify().converged
    assert hub.round() == 0


def test_rule_07_an_element_that_is_taken_out_again_and_again_is_quarantined(
    world: MakeWorld,
) -> None:
    """A list whose removals count for nothing: after the third time the hub gives up, and says so."""
    lines = "  name: name\n  email: {at: mail, as: email}\n"
    lines += "  tags: {at: tags, many: all, clear: ignore}"
    hub = world("erp", "shop", shop=Setting(lines=lines))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", tags=["x"])
    hub.shop.add("s1", name="Ada", mail="ada@example.org", tags=[])
    hub.settle()
    writes = []
    for _ in range(6):
        hub.shop.edit("s1", tags=[])
        writes.append(hub.round())
    assert writes == [1, 1, 0, 0, 0, 0]
    assert hub.task(TaskKind.QUARANTINE).payload["field"] == "tags"
    assert hub.golden["tags"] == {"x": "x"}

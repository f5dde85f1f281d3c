"""RULES 21 where something is open while a field moves: a question, a row, a write whose answer was lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.moving import MOVED, PHONE, hide, settled, two
from tests.rules.world import Setting, World

NICK = FULL_MAPPING.replace("note: note", "note: nick")
CODED = FULL_MAPPING.replace(
    "phone: phone", "phone: {at: phone, as: {enum: {one: '1', five: '5', six: '6'}}}"
)


def _move(hub: World, system: str, mappings: Sequence[str]) -> None:
    for lines in mappings:
        proposed = hub.proposed(erp=lines) if system == "erp" else hub.proposed(shop=lines)
        hub.put_in_force(proposed)
        hub.sweep()


def test_rule_21_what_cannot_be_read_stays_so_when_another_line_changes(world: MakeWorld) -> None:
    hub = world("erp", "shop", erp=Setting(CODED), shop=Setting(CODED))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.settle()
    hub.shop.edit("s1", phone="junk")
    hub.round()
    hub.apply(hub.proposed(shop=CODED.replace("note: note", "note: {at: note, clear: review}")))
    assert hub.shadow("shop", "s1").fields["phone"].unreadable
    hub.erp.edit("e1", phone="6", note="new")
    settled(hub)
    assert hub.shop["s1"] | {"phone": "junk", "note": "new"} == hub.shop["s1"]


def test_rule_21_a_row_that_waited_while_its_field_was_moved_empties_nothing(
    world: MakeWorld,
) -> None:
    """It was read before, and shows the fields that were mapped then."""
    hub = two(world, {"note": "M"}, {"note": "old"})
    hub.erp.edit("e1", note="N")
    hub.round()
    newest = hub.record("erp", "e1").claims[ClaimKey("note")]
    hub.erp.edit("e1", phone="7")
    hub.ingest("erp")
    hide(hub, "erp", "e1", nick="N")
    _move(hub, "erp", [NICK])
    hub.reconcile()
    hub.deliver("shop")
    assert hub.shop["s1"]["note"] == "N"
    settled(hub)
    assert hub.record("erp", "e1").claims[ClaimKey("note")] == newest


def test_rule_21_a_record_that_shows_a_moved_field_first_to_a_delivery_is_landed(
    world: MakeWorld,
) -> None:
    hub = two(world, {"phone": "0"}, {"phone": "1"})
    hub.erp.edit("e1", phone="1")
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    hide(hub, "shop", "s1", mobile="1")
    hub.shop.losses = ["done"]
    hub.erp.edit("e1", note="n5")
    hub.round()
    _move(hub, "shop", [MOVED])
    hub.clock.sleep(4000)
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.shop.edit("s1", mobile="7")
    settled(hub)
    assert hub.golden["phone"] == "7"


def test_rule_21_a_field_that_is_empty_where_it_is_read_now_says_nothing(world: MakeWorld) -> None:
    hub = world("erp", "shop", erp=Setting(writes=False))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.apply(hub.proposed(erp=MOVED))
    settled(hub)
    assert PHONE not in hub.record("erp", "e1").claims
    assert "phone" not in hub.golden


@pytest.mark.parametrize("found", [True, False], ids=["found", "open"])
def test_rule_21_what_a_lost_answer_hid_is_known_where_a_field_moves_back(
    world: MakeWorld, found: bool
) -> None:
    hub = world("shop", "erp")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1", mobile="2")
    hub.settle()
    hub.shop.losses = ["done"]
    hub.erp.edit("e1", phone="5")
    hub.round("erp")
    hub.clock.sleep(4000)
    if not found:
        hub.round("shop")
    for _ in range(3 if found else 0):
        hub.deliver("shop")
        hub.clock.sleep(4000)
    _move(hub, "shop", [MOVED, FULL_MAPPING])
    hub.clock.sleep(100)
    hub.erp.edit("e1", phone="7")
    settled(hub)
    assert hub.shop["s1"]["phone"] == "7"


def test_rule_21_a_field_that_is_only_written_is_delivered_to_its_new_place(
    world: MakeWorld,
) -> None:
    written = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, direction: write}")
    hub = two(world, {"phone": "1"}, {}, shop=Setting(written))
    hub.apply(hub.proposed(shop=written.replace("at: phone", "at: mobile")))
    settled(hub)
    assert hub.shop["s1"]["mobile"] == "1"


@pytest.mark.parametrize("hidden", [True, False])
def test_rule_21_a_list_that_moves_has_the_elements_that_stand_there(
    world: MakeWorld, hidden: bool
) -> None:
    there: dict[str, Any] = {"labels": ["b"]}
    hub = two(world, {"tags": ["a"]} | ({} if hidden else there), {"tags": ["c"]})
    if hidden:
        hide(hub, "erp", "e1", **there)
    hub.apply(hub.proposed(erp=FULL_MAPPING.replace("tags: {at: tags", "tags: {at: labels")))
    settled(hub)
    assert sorted(hub.erp["e1"]["labels"]) == ["b", "c"]


def test_rule_21_a_member_that_moves_says_what_stands_there(world: MakeWorld) -> None:
    there = {"street": "A 1", "city": "Ghent"}
    hub = two(world, there | {"street2": "X"}, there)
    hub.erp.edit("e1", street2="Y")
    hub.round()
    hub.apply(
        hub.proposed(erp=FULL_MAPPING.replace("address.street: street", "address.street: street2"))
    )
    settled(hub)
    assert hub.erp["e1"]["street2"] == "Y"
    assert hub.golden["address"]["street"] == "Y"


def test_rule_21_a_question_about_a_field_ends_when_it_moves(world: MakeWorld) -> None:
    asks = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, clear: review}")
    hub = world("erp", "shop", erp=Setting(asks))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", phone=None)
    hub.round()
    assert [task.kind for task in hub.tasks()] == [TaskKind.CLEAR]
    hub.apply(hub.proposed(erp=asks.replace("at: phone", "at: mobile")))
    assert not hub.tasks()


def test_rule_21_a_decision_is_not_about_what_stands_elsewhere(world: MakeWorld) -> None:
    manual = {"phone": FieldPolicy(Rule.MANUAL)}
    hub = world("erp", "shop", policies=manual)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1", mobile="2")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="3")
    hub.settle()
    [task] = hub.tasks()
    hub.decide(task, "erp/people/e1")
    hub.round()
    assert hub.record("erp", "e1").claims[PHONE].author is not None
    hub.apply(hub.proposed(manual, erp=MOVED))
    assert hub.record("erp", "e1").claims[PHONE].author is None

"""RULES 17: who is created where is said in the configuration, and nowhere by default."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from crm_master.domain.lifecycle import Leaving, RecordStatus
from crm_master.engine.plan import Test as Condition
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World


class Case(NamedTuple):
    title: str
    creates: tuple[Condition, ...] | None
    document: dict[str, Any]
    created: bool


GRANTED = (Condition("consent", "status", ("granted",)),)
CASES = [
    Case("nobody by default", None, {}, False),
    Case("everybody", (), {}, True),
    Case("whoever has a phone", (Condition("phone"),), {"phone": "1"}, True),
    Case("whoever has a phone: without", (Condition("phone"),), {}, False),
    Case("whoever agreed", GRANTED, {"consent": "yes"}, True),
    Case("whoever agreed: denied", GRANTED, {"consent": "no"}, False),
    Case("whoever agreed: never asked", GRANTED, {}, False),
    Case("all conditions", (*GRANTED, Condition("phone")), {"consent": "yes"}, False),
    Case("a list with something in it", (Condition("tags"),), {"tags": ["a"]}, True),
    Case("an empty list", (Condition("tags"),), {"tags": []}, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_rule_17_who_is_created(world: MakeWorld, case: Case) -> None:
    hub = world("erp", "shop", shop=Setting(creates=case.creates))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", **case.document)
    hub.settle()
    assert len(hub.shop.kept) == case.created


def test_rule_17_existing_records_are_linked_and_updated_although_nobody_is_created(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    assert hub.shop["s1"]["phone"] == "1"


def test_rule_17_a_customer_is_created_when_the_condition_comes_to_hold(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=GRANTED))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", consent="yes")
    hub.round()
    assert hub.shop.only()["consent"] == "yes"


def test_rule_17_a_list_that_was_emptied_holds_nothing(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(Condition("tags"),)))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", tags=["a"])
    hub.ingest("erp", full=True)
    hub.reconcile()
    hub.erp.edit("e1", tags=[])
    hub.settle()
    assert hub.shop.kept == {}


def test_rule_17_a_create_that_waits_is_taken_back_when_the_condition_ends(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", shop=Setting(creates=GRANTED))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", consent="yes")
    hub.round("erp")
    assert hub.queued() == {"pending": 1}
    hub.erp.edit("e1", consent="no")
    hub.round()
    assert hub.shop.kept == {}
    assert hub.queued() == {}


def test_rule_17_of_whom_nobody_says_anything_is_not_created(world: MakeWorld) -> None:
    """Their only word was merged into somebody else's before they were made in the second place."""
    everybody = Setting(creates=())
    hub = world("erp", "desk", "shop", desk=everybody, shop=everybody).settle()
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.erp.add("e2", name="Grace", mail="grace@example.org")
    hub.ingest("erp")
    hub.reconcile()
    hub.deliver("desk")
    hub.clock.sleep(10)
    hub.erp.merge("e2", "e1")
    hub.round("erp", "desk", "shop")
    assert len(hub.desk.kept) == 2
    assert hub.shop.only()["name"] == "Ada"
    assert hub.queued() == {}


def test_rule_17_leaving_the_scope_is_no_delete(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=GRANTED))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", consent="yes")
    hub.settle()
    hub.erp.edit("e1", consent="no")
    hub.round()
    assert hub.shop.only()["consent"] == "no", "it is told, and kept"


def test_rule_17_a_record_that_vanished_is_not_created_again(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.remove(next(iter(hub.shop.kept)))
    hub.round()
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    hub.round()
    assert hub.shop.kept == {}
    assert hub.queued() == {}


def _left(world: MakeWorld, leaving: Leaving) -> World:
    """Ada agreed, was created in the shop, and has withdrawn since."""
    hub = world("erp", "shop", shop=Setting(creates=GRANTED, leaving=leaving))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", consent="yes")
    hub.settle()
    hub.erp.edit("e1", consent="no")
    hub.round()
    assert len(hub.shop.kept) == 1, "leaving is no delete"
    return hub


def test_rule_17_archive_leaves_the_record_as_it_is_until_the_condition_holds_again(
    world: MakeWorld,
) -> None:
    hub = _left(world, Leaving.ARCHIVE)
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    assert hub.shop.only()["name"] == "Ada"
    assert hub.verify().converged
    hub.shop.edit(next(iter(hub.shop.kept)), phone="1")
    hub.round()
    assert hub.golden["phone"] == "1", "what people say there counts"
    hub.erp.edit("e1", consent="yes")
    hub.round()
    hub.round()
    assert hub.shop.only()["name"] == "Ada L"
    assert hub.rebuilt().equal


def test_rule_17_unlink_leaves_the_record_to_itself_and_makes_no_second_one(
    world: MakeWorld,
) -> None:
    hub = _left(world, Leaving.UNLINK)
    key = next(iter(hub.shop.kept))
    assert hub.record("shop", key).status is RecordStatus.LEFT
    hub.shop.edit(key, phone="1")
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    assert "phone" not in hub.golden
    assert hub.shop.only()["name"] == "Ada"
    hub.erp.edit("e1", consent="yes")
    hub.round()
    assert len(hub.shop.kept) == 1
    assert hub.verify().converged
    assert hub.rebuilt().equal


def test_rule_17_a_record_that_people_made_is_not_the_hubs_to_leave(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=GRANTED, leaving=Leaving.UNLINK))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", consent="no")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada L"

"""RULES 13: a system merges a customer's record into one that is nobody's yet, in the hub's eyes: whose is it?"""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import InboxState, TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.test_rule_13_merge_in_a_target import ADA, ALSO_ADA, duplicates, strangers
from tests.rules.world import Setting, World


def _two(hub: World) -> None:
    """Ada and A. Lovelace are two customers still, each under her own address, and a person is asked about them."""
    ids = hub.owner("shop/s1").id, hub.owner("shop/s2").id
    assert hub.owner("erp/e1").id == ids[0]
    task = hub.task(TaskKind.MERGE)
    assert (task.payload["entities"], task.payload["entity"]) == ([ids[0]], ids[1])
    assert [hub.owner(f"shop/{key}").golden["email"] for key in ("s1", "s2")] == [ADA, ALSO_ADA]
    assert [hub.shop[key]["mail"] for key in ("s1", "s2")] == [ADA, ALSO_ADA]
    assert hub.erp["e1"]["name"] == "Ada"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_that_is_somebody_elses_by_what_it_shows(world: MakeWorld) -> None:
    """Nobody knew the record. Her address says that it is Ada's: the merge does not make it A. Lovelace's."""
    hub = world("erp", "shop")
    hub.erp.add("e2", name="A. Lovelace", mail=ALSO_ADA)
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.shop.add("s2", name="A. Lovelace", mail=ALSO_ADA)
    hub.settle()
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.merge("e2", "e1")
    hub.round()
    _two(hub)


def test_rule_13_a_survivor_that_was_deleted_and_came_back(world: MakeWorld) -> None:
    """The hub hears of the merge only after the survivor was gone and is there again."""
    hub = strangers(world)
    hub.erp.merge("e2", "e1", told=False)
    hub.erp.gone.pop("e2")
    survivor = dict(hub.erp["e1"])
    hub.erp.remove("e1")
    hub.round()
    hub.erp.add("e1", **survivor)
    hub.erp.merged["e2"], hub.erp.gone["e2"] = "e1", next(hub.erp._versions)
    hub.round()
    _two(hub)


@pytest.mark.parametrize("mail", [ALSO_ADA, "new@example.org"])
def test_rule_13_a_survivor_of_whom_a_person_said_that_it_is_not_the_losers(
    world: MakeWorld, mail: str
) -> None:
    """Neither what it shows nor the merge outweighs that."""
    hub = strangers(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    hub.decide(hub.task(TaskKind.MERGE), "apart")
    del hub.erp.gone["e2"], hub.erp.merged["e2"]
    hub.erp.add("e2", name="A. Lovelace", mail=ALSO_ADA)
    hub.erp.remove("e1")
    hub.round()
    hub.erp.add("e1", name="A. Lovelace", mail=mail)
    hub.erp.merge("e2", "e1")
    hub.round()
    assert hub.owner("erp/e1").id != hub.owner("shop/s2").id
    assert hub.task(TaskKind.MERGE).payload["into"] == ["erp/people/e1"]


def _in_doubt(world: MakeWorld) -> tuple[World, str, str]:
    """A. Lovelace's record was merged into one that is like Ada's, who has a record in the ERP already."""
    hub = strangers(world)
    ada, lovelace = hub.owner("erp/e1").id, hub.owner("erp/e2").id
    hub.erp.add("e3", name="Ada", mail=ADA)
    hub.erp.merge("e2", "e3")
    hub.round()
    return hub, ada, lovelace


def test_rule_13_a_survivor_in_doubt_may_be_the_losers_too(world: MakeWorld) -> None:
    """Whoever is asked whose it is can say that it is A. Lovelace's."""
    hub, ada, lovelace = _in_doubt(world)
    match = hub.task(TaskKind.MATCH)
    assert match.payload["entities"] == [ada, lovelace]
    hub.decide(match, lovelace)
    hub.round()
    assert hub.owner("erp/e3").id == lovelace
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_in_doubt_is_the_losers_customers(world: MakeWorld) -> None:
    """It is like a third record of his: that alone would be a question, and the merge answers it."""
    hub = duplicates(world)
    hub.erp.add("e3", name="Ada", mail=ADA)
    hub.erp.merge("e2", "e3")
    hub.round()
    assert hub.owner("erp/e3").id == hub.customer().id
    assert hub.tasks(TaskKind.MATCH, TaskKind.MERGE) == []
    assert hub.rebuilt().equal


# --- what is not decided at once


def test_rule_13_a_survivor_that_waits_for_a_person_goes_on_waiting(world: MakeWorld) -> None:
    hub = strangers(world)
    ada, lovelace = hub.owner("erp/e1").id, hub.owner("erp/e2").id
    hub.erp.add("e3", name="Ada", mail=ADA)
    hub.round()
    assert hub.task(TaskKind.MATCH).payload["entities"] == [ada]
    hub.erp.merge("e2", "e3")
    hub.round()
    match = hub.task(TaskKind.MATCH)
    assert match.payload["entities"] == [ada, lovelace]
    assert "erp/people/e2 was merged into it" in match.payload["reason"]
    assert hub.owner("shop/s2").golden["email"] == ALSO_ADA
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_in_doubt_that_was_merged_in_turn(world: MakeWorld) -> None:
    hub, _, _ = _in_doubt(world)
    hub.erp.merge("e3", "e1")
    hub.round()
    assert hub.tasks(TaskKind.MATCH) == []
    assert hub.task(TaskKind.MERGE).payload["into"] == ["erp/people/e1"]
    assert hub.rebuilt().equal


def _sent(world: MakeWorld) -> World:
    """Ada is to be made in the ERP, which cannot be searched. She was not, and nobody knows."""
    setting = Setting(creates=(), lines="  name: name\n  phone: phone", can={"find": False})
    hub = world("erp", "shop", erp=setting)
    hub.erp.add("e2", name="Ada", phone="2")
    hub.settle()
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.hear("shop")
    hub.erp.losses = ["undone"]
    hub.deliver("erp")
    return hub


@pytest.mark.parametrize("at_once", [True, False])
def test_rule_13_a_survivor_that_might_have_been_made_by_a_lost_create(
    world: MakeWorld, at_once: bool
) -> None:
    """It is set aside until that is settled. That somebody's record was merged into it is known then as well."""
    hub = _sent(world)
    ada = hub.owner("erp/e2").id
    hub.erp.add("e3", name="Ada")
    if not at_once:
        hub.hear("erp")
    hub.erp.merge("e2", "e3")
    hub.hear("erp")
    assert hub.inbox(InboxState.PARKED) == 1
    hub.clock.sleep(100)
    hub.deliver("erp")
    hub.decide(hub.task(TaskKind.UNKNOWN), "drop")
    hub.round()
    hub.round()
    assert hub.owner("erp/e3").id == ada
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_that_is_somebodys_by_a_write_under_way(world: MakeWorld) -> None:
    """Her key is her address, which was changed; the answer was lost, and she has moved on since."""
    hub = world("erp", "list")
    hub.list.keyed_by = hub.list.find_by = "mail"
    for key, mail, name in (("e1", ADA, "Ada"), ("e2", ALSO_ADA, "A. Lovelace")):
        hub.erp.add(key, name=name, mail=mail)
        hub.list.add(mail, name=name, mail=mail)
    hub.settle()
    hub.erp.edit("e1", mail="new@example.org")
    hub.hear("erp")
    hub.list.losses = ["done"]
    hub.deliver("list")
    hub.erp.edit("e1", mail="third@example.org")
    hub.ingest("erp")
    hub.reconcile()
    hub.list.merge(ALSO_ADA, "new@example.org")
    hub.hear("list")
    assert hub.record("list", "new@example.org").entity_id is None


@pytest.mark.parametrize("order", [("erp", "shop"), ("shop", "erp")])
def test_rule_13_who_else_shows_what_a_survivor_shows(
    world: MakeWorld, order: tuple[str, str]
) -> None:
    """Both are new, and the survivor is known to be Ada's: so the other one is hers, too."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.settle()
    hub.erp.add("e2", name="Ada", mail="another@example.org")
    hub.erp.merge("e1", "e2")
    hub.shop.add("s2", name="Ada", mail="another@example.org")
    hub.round(*order)
    assert hub.owner("erp/e2").id == hub.owner("shop/s1").id
    assert len(hub.customers()) == 1


# --- whose it is not


@pytest.mark.parametrize("was", ["survivor", "alias"])
def test_rule_13_a_key_that_is_somebody_elses_now_inherits_nothing(
    world: MakeWorld, was: str
) -> None:
    """What was merged into the record that had the key before was not merged into this one."""
    hub = duplicates(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    if was == "survivor":
        hub.erp.remove("e1")
    else:
        hub.erp.add("e3", name="Ada", mail=ADA)
        hub.erp.merge("e1", "e3")
    hub.round()
    hub.erp.gone.pop("e1")
    hub.erp.merged.pop("e1", None)
    hub.erp.add("e1", name="Grace", mail="grace@example.org")
    hub.round()
    assert hub.owner("erp/e1").id != hub.owner("shop/s1").id
    assert hub.owner("erp/e1").golden["name"] == "Grace"
    assert hub.rebuilt().equal


@pytest.mark.parametrize(
    ("change", "asked"), [({"phone": "7"}, True), ({"mail": "hopper@example.org"}, False)]
)
def test_rule_13_a_key_that_is_somebody_elses_now_inherits_nothing_later_either(
    world: MakeWorld, change: dict[str, str], asked: bool
) -> None:
    """Whose it is now is in doubt first: Grace has another record in the ERP."""
    hub = duplicates(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    hub.erp.remove("e1")
    hub.erp.add("e9", name="Grace", mail="grace@example.org")
    hub.round()
    hub.erp.gone.pop("e1")
    hub.erp.add("e1", name="Grace", mail="grace@example.org")
    hub.round()
    hub.erp.edit("e1", **change)
    hub.round()
    grace, ada = hub.owner("erp/e9").id, hub.owner("shop/s1").id
    questions = [task.payload["entities"] for task in hub.tasks(TaskKind.MATCH)]
    assert questions == ([[grace]] if asked else [])
    assert (hub.record("erp", "e1").entity_id is None) is asked
    assert hub.record("erp", "e1").entity_id != ada
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_that_comes_back_has_its_aliases_still(world: MakeWorld) -> None:
    hub = duplicates(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    survivor = dict(hub.erp["e1"])
    hub.erp.remove("e1")
    hub.round()
    hub.erp.gone.pop("e1")
    hub.erp.add("e1", **survivor)
    hub.round()
    hub.split("shop/s1", "erp/e1")
    assert hub.owner("erp/e2").id == hub.owner("erp/e1").id
    assert hub.rebuilt().equal


# --- what it says


def test_rule_13_a_merge_that_is_turned_round_loses_nothing(world: MakeWorld) -> None:
    """What the hub had put into the new survivor is its own word when the other is an alias."""
    hub = duplicates(world)
    survivor = dict(hub.erp["e1"])
    assert survivor["note"] == "VIP"
    hub.erp.merge("e1", "e2")
    hub.round()
    hub.erp.gone.pop("e1")
    hub.erp.merged.pop("e1")
    hub.erp.add("e1", **survivor)
    hub.erp.merge("e2", "e1")
    hub.round()
    assert hub.owner("erp/e1").id == hub.owner("shop/s1").id
    assert hub.golden["note"] == "VIP"
    assert hub.rebuilt().equal


def test_rule_13_a_merge_that_is_told_twice_is_not_forgotten(world: MakeWorld) -> None:
    hub, ada, lovelace = _in_doubt(world)
    hub.erp.merged.pop("e2")
    hub.erp.gone["e2"] = next(hub.erp._versions)
    hub.erp.edit("e3", phone="7")
    hub.round()
    assert hub.task(TaskKind.MATCH).payload["entities"] == [ada, lovelace]

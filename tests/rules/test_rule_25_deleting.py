"""RULES 25, ``erase: delete``: Concord itself deletes an erased customer's records, once each, whoever dies meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.contract import Guard, Scan
from connectors.errors import RateLimited
from crm_master.domain.lifecycle import SystemState, TaskKind
from crm_master.engine import erasure
from crm_master.engine.deliver import Deliverer
from crm_master.engine.erasing import Eraser
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.ingest import land
from crm_master.ports import Receipt
from tests.rules.conftest import MakeWorld
from tests.rules.erased import (
    PERSON,
    WORDS,
    erased_during_the_write,
    grace_in,
    held,
    hub_of,
    in_files,
    live,
)
from tests.rules.fakes import Killed
from tests.rules.world import Setting, World, dying

DELETES = {"delete": True}
LEASE = 601


def _deleting(world: MakeWorld, **more: object) -> World:
    """Grace is in the ERP, where a person erases, and in the shop, where Concord does."""
    return hub_of(world, shop=Setting(erase="delete", can={**DELETES, **more}))


def _receipt(hub: World, receipt: Receipt) -> Receipt:
    with hub.store() as uow:
        found = uow.erasures.get(receipt.id)
    assert found is not None
    return found


def _shop(receipt: Receipt) -> dict[str, object]:
    return next(entry for entry in receipt.systems if entry["system"] == "shop")


def test_rule_25_concord_deletes_where_hub_yaml_says_so(world: MakeWorld) -> None:
    hub = _deleting(world)
    live(hub)
    before = hub.written()
    receipt = hub.erase(grace_in(hub))

    assert receipt.state == "deleting"
    assert _shop(receipt) == {
        "system": "shop",
        "records": 1,
        "in_doubt": 0,
        "state": "deleting",
        "deleted": 0,
    }
    assert [task.subject for task in hub.tasks(TaskKind.ERASE)] == [f"{receipt.id}:erp"]
    assert hub.written() == before, "the erasure itself writes nowhere"
    assert held(hub.store, WORDS) == ["outbox.sent"], "the key, for as long as it is needed"

    assert hub.deliver("shop")["deleted"] == 1

    assert [command.key for command in hub.shop.writes[-1:]] == ["shop-key-of-grace"]
    assert sorted(hub.shop.kept) == ["s2"], "and nobody else"
    after = _receipt(hub, receipt)
    assert (_shop(after)["state"], _shop(after)["deleted"]) == ("deleted", 1)
    assert after.state == "done"
    assert held(hub.store, WORDS) == []
    assert hub.queued() == {}
    hub.decide(hub.task(TaskKind.ERASE), "done")
    assert in_files(hub, ["shop-key-of-grace"]) == []
    written = hub.written()
    hub.round()
    hub.deliver("shop")
    assert hub.written() == written, "once"
    assert hub.rebuilt().equal


@pytest.mark.parametrize("fate", ["killed", "done"], ids=["the worker dies", "the answer is lost"])
def test_rule_25_a_delete_whose_end_nobody_saw_is_looked_for(world: MakeWorld, fate: str) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    before = len(hub.shop.writes)
    hub.shop.losses = [fate]
    if fate == "killed":
        with dying():
            hub.deliver("shop")
    else:
        assert hub.deliver("shop") == {"postponed": 1}
    assert hub.deliver("shop") == {}, "leased, or not due"
    hub.clock.sleep(LEASE)
    assert hub.deliver("shop")["deleted"] == 1
    assert len(hub.shop.writes) - before == 1, "nothing is sent twice"
    assert _shop(_receipt(hub, receipt))["state"] == "deleted"
    assert held(hub.store, WORDS) == []


def test_rule_25_files_that_a_dead_worker_did_not_clean_are_cleaned_by_the_next(
    world: MakeWorld,
) -> None:
    hub = _deleting(world)
    live(hub)
    receipt = hub.erase(grace_in(hub))
    Eraser(hub.hub, "shop", hub.shop, hub.store, hub.clock, hub.run())()
    assert _receipt(hub, receipt).state == "erased", "and nobody cleans"
    hub.deliver("erp")
    assert _receipt(hub, receipt).state == "done"
    assert in_files(hub, ["shop-key-of-grace"]) == []


def _dies() -> None:
    raise Killed


def test_rule_25_a_worker_that_dies_before_the_delete_leaves_it_to_the_next(
    world: MakeWorld,
) -> None:
    hub = _deleting(world)
    hub.erase(grace_in(hub))

    hub.shop.meanwhile = _dies
    with dying():
        hub.deliver("shop")
    assert "shop-key-of-grace" in hub.shop.kept
    hub.clock.sleep(LEASE)
    hub.deliver("shop")
    assert sorted(hub.shop.kept) == ["s2"]


def test_rule_25_who_died_over_it_too_often_leaves_it_to_a_person(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))

    for _ in range(3):
        hub.shop.meanwhile = _dies
        with dying():
            hub.deliver("shop")
        hub.clock.sleep(LEASE)
    assert hub.deliver("shop")["refused"] == 1
    entry = _shop(_receipt(hub, receipt))
    task = next(of for of in hub.tasks(TaskKind.ERASE) if of.id == entry["task"])
    assert task.payload["records"] == ["shop/people/shop-key-of-grace"]
    assert entry["state"] == "asked"
    assert hub.queued() == {}


def test_rule_25_a_delete_is_guarded_and_tried_again(world: MakeWorld) -> None:
    """Somebody edits the record between the look and the delete: the next look shows them, and it goes."""
    hub = _deleting(world, guard=Guard.ETAG)
    hub.erase(grace_in(hub))
    hub.shop.meanwhile = lambda: hub.shop.edit("shop-key-of-grace", phone="7")
    assert hub.deliver("shop") == {"postponed": 1}
    assert "shop-key-of-grace" in hub.shop.kept
    hub.clock.sleep(10)
    hub.deliver("shop")
    assert sorted(hub.shop.kept) == ["s2"]


def test_rule_25_a_record_that_is_gone_is_not_deleted_again(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    hub.shop.remove("shop-key-of-grace")
    before = len(hub.shop.writes)
    assert hub.deliver("shop")["deleted"] == 1
    assert len(hub.shop.writes) == before
    assert _shop(_receipt(hub, receipt))["state"] == "deleted"


def test_rule_25_a_refused_delete_goes_to_a_person(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    hub.shop.losses = ["refused"]
    assert hub.deliver("shop")["refused"] == 1
    entry = _shop(_receipt(hub, receipt))
    assert entry["state"] == "asked"
    task = next(of for of in hub.tasks(TaskKind.ERASE) if of.id == entry["task"])
    assert task.payload["records"] == ["shop/people/shop-key-of-grace"]
    assert task.payload["reason"] == "not allowed"
    assert _receipt(hub, receipt).state == "done", "no key is left but in the request"
    for each in hub.tasks(TaskKind.ERASE):
        hub.decide(each, "done")
    assert held(hub.store, WORDS) == []


def test_rule_25_a_record_that_was_merged_away_since_is_for_a_person(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    hub.shop.merge("shop-key-of-grace", "s2")
    hub.deliver("shop")
    assert _shop(_receipt(hub, receipt))["state"] == "asked"
    assert "s2" in hub.shop.kept


def test_rule_25_a_system_that_is_away_keeps_the_delete_waiting(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    hub.shop.down = True
    assert hub.deliver("shop") == {"postponed": 1}
    hub.shop.down = False
    assert _shop(_receipt(hub, receipt))["state"] == "deleting"
    hub.clock.sleep(10)
    assert hub.deliver("shop")["deleted"] == 1


def test_rule_25_a_system_that_asks_for_patience_gets_it(world: MakeWorld) -> None:
    hub = _deleting(world)
    hub.erase(grace_in(hub))

    def busy() -> None:
        raise RateLimited("slow down")

    hub.shop.meanwhile = busy
    assert hub.deliver("shop") == {"postponed": 1}
    hub.clock.sleep(10)
    assert hub.deliver("shop")["deleted"] == 1


def test_rule_25_the_kill_switch_holds_deletes_and_a_fuse_does_not(world: MakeWorld) -> None:
    hub = _deleting(world)
    hub.erase(grace_in(hub))
    with hub.store() as uow:
        uow.states.stop("shop", True)
        uow.commit()
    assert hub.deliver("shop") == {}
    with hub.store() as uow:
        uow.states.stop("shop", False)
        uow.commit()
    hub.erp.edit("e2", name="Ada Byron")
    hub.ingest("erp")
    hub.reconcile()
    hub.set_fuses(writes=0.0, deletes=0.0)
    with pytest.raises(FuseBlown):
        hub.deliver("shop")
    assert sorted(hub.shop.kept) == ["s2"], "each erasure was asked for by a person"


@pytest.mark.parametrize("why", ["no way to delete", "observed", "observed from now on"])
def test_rule_25_where_concord_cannot_delete_a_person_is_asked(world: MakeWorld, why: str) -> None:
    can = {} if why == "no way to delete" else DELETES
    hub = hub_of(world, shop=Setting(erase="delete", observe=why == "observed", can=can))
    if why == "observed from now on":
        shop = replace(hub.hub.systems["shop"], observe=True)
        hub.hub = replace(hub.hub, systems={**hub.hub.systems, "shop": shop})
    before = hub.written()
    receipt = hub.erase(grace_in(hub))
    assert (_shop(receipt)["state"], receipt.state) == ("asked", "done")
    assert len(hub.tasks(TaskKind.ERASE)) == 2
    hub.round()
    assert hub.written() == before


def test_rule_25_before_it_has_joined_nothing_is_deleted_in_a_system(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(erase="delete", can=DELETES))
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.shop.add("shop-key-of-grace", **PERSON)
    for name in hub.systems:
        hub.ingest(name, full=True)
    hub.reconcile()
    assert _shop(hub.erase(grace_in(hub)))["state"] == "asked"
    with hub.store() as uow:
        assert uow.states.systems()["shop"] is SystemState.JOINING


def test_rule_25_a_create_in_doubt_is_for_a_person_still(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(), erase="delete", can=DELETES))
    hub.settle()
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.round("erp")
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    entry = _shop(hub.erase(hub.customer().id))
    assert (entry["in_doubt"], entry["state"]) == (1, "asked")


def test_rule_25_a_record_made_while_its_customer_was_erased_is_deleted_too(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(), erase="delete", can=DELETES))
    hub.settle()
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.round("erp")
    erased_during_the_write(hub, hub.customer().id)
    assert hub.deliver("shop")["erased"] == 1
    assert len(hub.shop.kept) == 1
    assert hub.deliver("shop")["deleted"] == 1
    assert hub.shop.kept == {}
    assert held(hub.store, WORDS) == []


def test_rule_25_what_is_read_meanwhile_takes_no_delete_along(world: MakeWorld) -> None:
    """A worker that looked before the erasure lands the record after it: its rows go, the delete stays."""
    hub = _deleting(world)
    customer = grace_in(hub)
    hub.shop.edit("shop-key-of-grace", phone="9")
    pages = list(hub.shop.read("people", None, Scan.DELTA))
    hub.erase(customer)
    with hub.store() as uow:
        land(hub.hub.stream("shop", "people"), pages[0].records, pages[0], 0, uow, "slow")
        uow.commit()
    assert hub.reconcile()["suppressed"] == 1
    assert hub.deliver("shop")["deleted"] == 1
    assert sorted(hub.shop.kept) == ["s2"]


def test_rule_25_who_is_let_in_again_with_their_records_keeps_them(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    erasure.lift(receipt.id, "ada", hub.store, hub.clock, records=True)
    assert _shop(_receipt(hub, receipt))["state"] == "let in again"
    assert hub.deliver("shop") == {}
    assert "shop-key-of-grace" in hub.shop.kept
    assert hub.queued() == {}


def test_rule_25_who_is_let_in_as_somebody_new_loses_the_old_records(world: MakeWorld) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    erasure.lift(receipt.id, "ada", hub.store, hub.clock, records=False)
    assert hub.deliver("shop")["deleted"] == 1


@pytest.mark.parametrize("there", [True, False])
def test_rule_25_a_slow_worker_deletes_and_counts_nothing_twice(
    world: MakeWorld, there: bool
) -> None:
    hub = _deleting(world)
    receipt = hub.erase(grace_in(hub))
    if not there:
        hub.shop.remove("shop-key-of-grace")

    def overtaken() -> None:
        hub.clock.sleep(LEASE)
        hub.deliver("shop")

    hub.shop.meanwhile = overtaken
    assert hub.deliver("shop") == {}
    assert _shop(_receipt(hub, receipt))["deleted"] == 1


def test_rule_25_ordinary_deliveries_and_erasures_do_not_take_each_other(world: MakeWorld) -> None:
    hub = _deleting(world)
    hub.erase(grace_in(hub))
    Deliverer(hub.hub, "shop", hub.shop, hub.store, hub.clock, hub.run())()
    assert hub.queued() == {"pending": 1}

"""Rule 25: what the systems are asked for, and deliveries that were on their way."""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import InboxState, TaskKind
from crm_master.engine.stewardship import Undecidable
from tests.rules.conftest import MakeWorld
from tests.rules.erased import PERSON, WORDS, erased_during_the_write, grace_in, held, hub_of
from tests.rules.world import Setting, World


def test_rule_25_each_system_is_asked_for_the_same(world: MakeWorld) -> None:
    hub = hub_of(world, shop=Setting(erase="keep"))
    before = hub.written()
    receipt = hub.erase(grace_in(hub))
    assert (receipt.author, receipt.reason, receipt.at > 0) == ("ada", "case 7", True)
    task = hub.task(TaskKind.ERASE)
    assert task.payload["records"] == ["erp/people/erp-key-of-grace"]
    assert receipt.systems == [
        {"system": "erp", "records": 1, "in_doubt": 0, "state": "asked", "task": task.id},
        {"system": "shop", "records": 1, "in_doubt": 0, "state": "kept by policy"},
    ]
    assert hub.written() == before


def test_rule_25_a_request_is_answered_and_then_forgets_the_record(world: MakeWorld) -> None:
    hub = hub_of(world, shop=Setting(erase="keep"))
    receipt = hub.erase(grace_in(hub))
    task = hub.task(TaskKind.ERASE)
    with pytest.raises(Undecidable, match="done, kept"):
        hub.decide(task, "seen")
    hub.decide(task, "done")
    with hub.store() as uow:
        kept = uow.erasures.get(receipt.id)
    assert kept is not None
    assert (kept.systems[0]["state"], kept.systems[0]["by"]) == ("done", "ada")
    assert hub.tasks(TaskKind.ERASE) == []
    assert held(hub.store, WORDS) == []
    assert hub.rebuilt().equal


def test_rule_25_what_is_gone_there_already_is_not_asked_for(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.shop.remove("shop-key-of-grace")
    hub.round()
    receipt = hub.erase(grace_in(hub))
    assert [entry["state"] for entry in receipt.systems] == ["asked", "gone already"]


def test_rule_25_verify_tells_who_is_still_in_a_system(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    verdict = hub.verify()
    assert verdict.converged
    assert sum(number for why, number in verdict.excepted.items() if "erased" in why) == 2


# Deliveries that were on their way


def _creating(world: MakeWorld, fate: str) -> World:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.settle()
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.round("erp")
    hub.shop.losses = [fate] if fate else []
    return hub


def test_rule_25_a_create_whose_answer_is_open_is_to_be_looked_for(world: MakeWorld) -> None:
    hub = _creating(world, "done")
    hub.deliver("shop")
    customer = hub.customer().id
    receipt = hub.erase(customer)

    shop = next(entry for entry in receipt.systems if entry["system"] == "shop")
    assert (shop["records"], shop["in_doubt"], shop["state"]) == (0, 1, "asked")
    task = next(of for of in hub.tasks(TaskKind.ERASE) if of.id == shop["task"])
    assert task.payload["look_for"] == [f"shop/people: CRM-{customer}"]
    assert hub.queued() == {}
    hub.clock.sleep(10_000)
    assert hub.round() == 0
    assert hub.customers() == []
    assert held(hub.store, WORDS) == []


def test_rule_25_a_record_read_while_its_create_is_open_goes_too(world: MakeWorld) -> None:
    hub = _creating(world, "done")
    hub.deliver("shop")
    hub.ingest("shop")
    assert hub.reconcile()["parked"] == 1
    hub.erase(hub.customer().id)
    assert hub.inbox(InboxState.PARKED) == 0
    assert held(hub.store, WORDS) == []


def test_rule_25_a_record_made_while_its_customer_was_erased_is_to_be_erased(
    world: MakeWorld,
) -> None:
    hub = _creating(world, "")
    customer = hub.customer().id
    erased_during_the_write(hub, customer)
    assert hub.deliver("shop")["erased"] == 1

    (made,) = hub.shop.kept
    requests = [task.payload["records"] for task in hub.tasks(TaskKind.ERASE)]
    assert sorted(requests) == [["erp/people/erp-key-of-grace"], [f"shop/people/{made}"]]
    assert held(hub.store, WORDS) == []
    hub.shop.edit(made, mail="unknown@example.org", note="kobold")
    assert hub.ingest("shop")["suppressed"] == 1


def test_rule_25_an_update_on_its_way_leaves_nothing_behind(world: MakeWorld) -> None:
    hub = hub_of(world)
    customer = grace_in(hub)
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-East")
    hub.round("erp")
    erased_during_the_write(hub, customer)
    assert hub.deliver("shop")["erased"] == 1
    assert held(hub.store, WORDS) == []
    assert hub.rebuilt().equal


def test_rule_25_what_waits_to_be_delivered_is_not_sent(world: MakeWorld) -> None:
    hub = _creating(world, "")
    hub.erase(hub.customer().id)
    hub.deliver("shop")
    assert hub.shop.kept == {}

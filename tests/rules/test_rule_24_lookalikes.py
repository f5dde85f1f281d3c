"""Rule 24: what is read while a create is open is not taken for somebody else."""

from __future__ import annotations

from crm_master.domain.lifecycle import DeletePolicy, InboxState, TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.lost_answers import hub_with_shop
from tests.rules.world import Setting


def test_rule_24_lookalikes_are_parked_while_a_create_is_open(world: MakeWorld) -> None:
    """The record that our lost create made is read before its answer is settled: it is not a new customer."""
    hub = hub_with_shop(world, "done", find=False)
    hub.deliver("shop")
    hub.ingest("shop")
    hub.reconcile()

    assert len(hub.customers()) == 1
    assert hub.record("shop", "shop-1").entity_id is None
    assert hub.inbox(InboxState.PARKED) == 1


def test_rule_24_a_lookalike_without_identity_is_parked_by_its_content(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(), lines="  name: name", can={"find": False}))
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve()
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.round("erp")
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    hub.shop.add("s8", name="Grace")
    hub.ingest("shop")
    hub.reconcile()
    assert hub.inbox(InboxState.PARKED) == 1, "Ada's lookalike only"
    assert len(hub.customers()) == 2


def test_rule_24_parked_records_come_back_when_the_create_is_settled(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.ingest("shop")
    hub.reconcile()
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    assert hub.inbox(InboxState.PARKED) == 0
    assert len(hub.customers()) == 1
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id
    assert hub.round() == 0


def test_rule_24_parked_records_come_back_when_a_person_drops_the_create(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done", find=False)
    hub.deliver("shop")
    hub.ingest("shop")
    hub.reconcile()
    hub.clock.sleep(100)
    hub.deliver("shop")
    hub.decide(hub.task(TaskKind.UNKNOWN), "drop")
    hub.round()
    hub.round()

    assert hub.inbox(InboxState.PARKED) == 0
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id
    assert len(hub.shop.kept) == 1


def test_rule_24_lookalikes_stay_parked_while_a_worker_looks(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.clock.sleep(100)
    with hub.store() as uow:
        uow.outbox.claim("shop", 10, hub.clock(), 120_000_000, 2)
        uow.commit()
    hub.ingest("shop")
    hub.reconcile()
    assert hub.inbox(InboxState.PARKED) == 1
    assert hub.record("shop", "shop-1").entity_id is None


def test_rule_24_a_lookalike_of_whom_nobody_has_any_more_is_parked_by_its_keys(
    world: MakeWorld,
) -> None:
    """Somebody has changed what our create made, and the customer was deleted elsewhere: they are not a new customer."""
    hub = hub_with_shop(world, "done")
    hub.set_deletes(DeletePolicy.ARCHIVE)
    hub.deliver("shop")
    hub.shop.edit("shop-1", name="Ada L")
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.ingest("shop")
    hub.reconcile()
    assert hub.inbox(InboxState.PARKED) == 1
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    assert len(hub.customers()) == 1
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id
    assert hub.golden["name"] == "Ada L"
    assert hub.rebuilt().equal


def test_rule_24_an_edit_of_what_was_bound_is_not_swallowed(world: MakeWorld) -> None:
    """A person edits the new record before the hub has found it again: that is their claim."""
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.shop.edit("shop-1", phone="1")
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    assert hub.erp["e1"]["phone"] == "1"


def test_rule_24_an_edit_of_what_was_sent_is_not_swallowed_either(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.shop.edit("shop-1", name="Countess")
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["shop-1"]["name"] == "Countess"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_24_who_has_entered_herself_meanwhile_keeps_what_she_said(world: MakeWorld) -> None:
    """The create never arrived. She is found by her address, under another name, and with a note."""
    hub = hub_with_shop(world, "undone")
    hub.shop.find_by = "mail"
    hub.deliver("shop")
    hub.shop.add("s9", name="Countess", mail="ada@example.org", note="call me")
    hub.clock.sleep(100)
    hub.round()
    hub.round()

    assert hub.shop.only()["name"] == hub.erp["e1"]["name"] == "Countess"
    assert hub.erp["e1"]["note"] == "call me"
    assert len(hub.customers()) == 1
    assert hub.round() == 0
    assert hub.rebuilt().equal

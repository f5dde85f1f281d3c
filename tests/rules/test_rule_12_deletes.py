"""RULES 12: what a deletion says, of whom, and what policy makes of it elsewhere."""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import DeletePolicy, RecordStatus, TaskKind
from crm_master.engine.deletion import silenced
from crm_master.engine.fuses import FuseBlown
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.losing import CAN, deleting
from tests.rules.world import Setting, World, dying


def _outcome(hub: World) -> str:
    return str(hub.task(TaskKind.GONE).payload["outcome"])


def test_rule_12_by_default_a_deletion_deletes_nothing_elsewhere(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.IGNORE)
    hub.erp.remove("e1")
    hub.round()
    assert hub.shop.only()["name"] == "Ada"
    assert "policy ignores" in _outcome(hub)
    hub.shop.edit("shop-1", name="Ada L")
    hub.round()
    assert hub.golden["name"] == "Ada L", "the customer lives on"
    assert hub.rebuilt().equal


def test_rule_12_propagate_deletes_where_the_manifest_says_how(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE)
    held = dict(hub.shop.only())
    hub.erp.remove("e1")
    hub.round()
    assert hub.shop.kept == {}
    assert hub.record("shop", "shop-1").status is RecordStatus.DELETED
    assert hub.customer().archived
    with hub.store() as uow:
        steps = [
            entry
            for commit in uow.journal.commits()
            for entry in uow.journal.deliveries(commit.pos)
        ]
    intent = next(e for e in steps if e.operation == "delete" and e.outcome == "intent")
    assert intent.held["name"] == held["name"], "what it took away is on record"
    hub.round()
    assert hub.round() == 0, "and is not made again"
    assert len(hub.tasks(TaskKind.GONE)) == 1, "of what the hub deleted nobody is told"
    assert hub.rebuilt().equal
    assert hub.verify().converged


def test_rule_12_a_system_that_cannot_delete_keeps_its_record(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE, delete=False)
    hub.erp.remove("e1")
    hub.round()
    assert hub.shop.only()["name"] == "Ada"
    assert hub.customer().archived
    assert hub.verify().converged


def test_rule_12_an_edit_that_the_deleted_record_did_not_show_keeps_the_customer(
    world: MakeWorld,
) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.shop.edit("shop-1", phone="2")
    hub.erp.remove("e1")
    hub.round()
    assert hub.shop.only()["phone"] == "2"
    assert "shop has said something since" in _outcome(hub)
    hub.round()
    assert set(hub.erp.kept) == set(), "and it is not created again where it was deleted"
    assert hub.rebuilt().equal


def test_rule_12_another_live_record_in_the_same_system_keeps_the_customer(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", within_system="link", shop=Setting(creates=(), can=CAN))
    hub.set_deletes(DeletePolicy.PROPAGATE)
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.erp.add("e2", name="Ada", mail="ada@example.org")
    hub.settle()
    members = [hub.record("erp", "e1"), hub.record("erp", "e2")]
    assert "another live record" in silenced(members[1], members)
    hub.erp.remove("e2")
    hub.round()
    assert hub.shop.only()["name"] == "Ada"
    assert not hub.customer().archived


def test_rule_12_somebody_who_is_faster_than_the_delete_saves_the_record(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    assert hub.queued() == {"pending": 1}
    hub.shop.edit("shop-1", phone="2")
    hub.deliver("shop")
    assert hub.shop.only()["phone"] == "2"
    hub.reconcile()
    hub.clock.sleep(60)
    hub.round()
    assert hub.shop.only()["phone"] == "2"
    assert not hub.customer().archived, "the customer lives"
    assert hub.rebuilt().equal


def test_rule_12_between_the_look_and_the_delete_the_guard_stands(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    hub.shop.meanwhile = lambda: hub.shop.edit("shop-1", phone="2")
    hub.deliver("shop")
    assert hub.shop.only()["phone"] == "2"


def test_rule_12_a_lost_answer_to_a_delete_is_looked_up(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.erp.remove("e1")
    hub.shop.losses = ["undone"]
    hub.round()
    assert len(hub.shop.kept) == 1
    hub.clock.sleep(60)
    hub.round()
    assert hub.shop.kept == {}


def test_rule_12_of_a_delete_whose_answer_was_lost_nobody_is_told_either(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.erp.remove("e1")
    hub.shop.losses = ["killed"]
    with dying():
        hub.round()
    hub.clock.sleep(4000)
    hub.round()
    assert hub.shop.kept == {}
    assert [task.subject for task in hub.tasks(TaskKind.GONE)] == ["erp/people/e1"]
    assert hub.rebuilt().equal


def test_rule_12_archive_keeps_the_customer_and_tells_nobody(world: MakeWorld) -> None:
    hub = deleting(world, DeletePolicy.ARCHIVE)
    hub.erp.remove("e1")
    hub.round()
    assert hub.customer().archived
    assert hub.shop.only()["name"] == "Ada"
    hub.shop.edit("shop-1", phone="2")
    hub.round()
    assert not hub.customer().archived, "who is spoken of again lives"
    assert hub.rebuilt().equal


def test_rule_12_unlink_takes_back_what_the_record_said(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.set_deletes(DeletePolicy.UNLINK)
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada Lovelace", mail="ada@example.org")
    hub.settle()
    assert hub.golden["name"] == "Ada"
    # the deletion speaks only if nobody has said anything since: the shop's claims are as old
    hub.erp.remove("e1")
    hub.round()
    assert hub.golden["name"] == "Ada Lovelace"
    assert hub.rebuilt().equal


def test_rule_12_what_was_taken_back_does_not_return_with_another_mapping(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.set_deletes(DeletePolicy.UNLINK)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada Lovelace", mail="ada@example.org")
    hub.settle()
    hub.erp.remove("e1")
    hub.round()
    hub.apply(hub.proposed(erp=FULL_MAPPING.replace("  name: name\n", "")))
    hub.apply(hub.proposed(erp=FULL_MAPPING))
    assert not hub.claims("erp", "e1")
    assert hub.golden["name"] == "Ada Lovelace"
    assert hub.rebuilt().equal


def test_rule_12_many_deletes_at_once_blow_the_fuse_before_the_first(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(), can=CAN))
    hub.set_deletes(DeletePolicy.PROPAGATE)
    for number in range(4):
        hub.erp.add(f"e{number}", name=f"P{number}", mail=f"p{number}@example.org")
    hub.settle()
    hub.set_fuses(deletes=0.25)
    for number in range(3):
        hub.erp.remove(f"e{number}")
    hub.ingest("erp")
    hub.reconcile()
    with pytest.raises(FuseBlown, match="3 deletes of 4 in shop/people; allowed: 1"):
        hub.deliver("shop")
    hub.deliver("shop")
    assert len(hub.shop.kept) == 4
    assert hub.approve_run() == ["deletes shop/people"]
    hub.deliver("shop")
    assert len(hub.shop.kept) == 1


def test_rule_12_a_key_that_reappears_is_matched_anew(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.shop.add("s2", name="Bea", mail="bea@example.org")
    hub.settle()
    ada, bea = hub.record("shop", "s1").entity_id, hub.record("shop", "s2").entity_id
    hub.erp.remove("e1")
    hub.round()
    hub.erp.add("e1", name="Beatrix", mail="bea@example.org")
    hub.round()
    assert hub.record("erp", "e1").entity_id == bea
    assert hub.shop["s1"]["name"] == "Ada"
    assert {customer.id for customer in hub.customers()} == {ada, bea}
    assert hub.rebuilt().equal


def test_rule_12_who_comes_back_as_who_they_were_is_the_same_customer(world: MakeWorld) -> None:
    hub = world("erp")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    before = hub.customer().id
    hub.erp.remove("e1")
    hub.round()
    hub.erp.gone.clear()
    hub.erp.add("e1", name="Ada L", mail="ada@example.org")
    hub.round()
    assert hub.customer().id == before
    assert hub.golden["name"] == "Ada L"
    assert hub.tasks(TaskKind.GONE) == []
    assert hub.rebuilt().equal


def test_rule_12_who_comes_back_unchanged_after_a_write_found_it_gone_is_seen(
    world: MakeWorld,
) -> None:
    """The delivery was the first to miss the record: it comes back as it was last read, and that is news."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    kept = hub.shop.kept["s1"]
    hub.shop.vanish("s1")
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    hub.round()
    assert hub.record("shop", "s1").status is RecordStatus.DELETED
    hub.shop.kept["s1"] = kept
    hub.ingest("shop", full=True)
    hub.round()
    assert hub.record("shop", "s1").status is RecordStatus.LIVE
    assert hub.record("shop", "s1").entity_id == hub.customer().id
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_12_who_comes_back_as_the_hub_had_made_them_is_the_same_customer(
    world: MakeWorld,
) -> None:
    """The record never said anything by itself; what it shows is who it was."""
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    before, made = hub.customer().id, hub.shop.kept["shop-1"]
    hub.erp.remove("e1")
    hub.shop.remove("shop-1")
    hub.round()
    hub.shop.gone.clear()
    hub.shop.kept["shop-1"] = made
    hub.ingest("shop", full=True)
    hub.round()
    assert hub.record("shop", "shop-1").entity_id == before
    assert hub.rebuilt().equal


def test_rule_12_a_record_that_only_a_delivery_finds_gone_is_deleted_as_policy_says(
    world: MakeWorld,
) -> None:
    """What was on its way there, nobody says any more: so nothing speaks against the deletion."""
    hub = deleting(world, DeletePolicy.ARCHIVE)
    hub.shop.edit("shop-1", phone="2")
    hub.erp.losses = ["undone"]
    hub.round()
    hub.apply(hub.proposed(shop=FULL_MAPPING.replace("  phone: phone\n", "")))
    hub.erp.vanish("e1")
    hub.clock.sleep(1000)
    hub.round()
    assert hub.record("erp", "e1").status is RecordStatus.DELETED
    assert hub.customer().archived
    assert len(hub.tasks(TaskKind.GONE)) == 1
    assert hub.rebuilt().equal


def test_rule_12_of_a_stream_that_is_never_read_a_delivery_says_who_is_gone(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", shop=Setting(reads=False, creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.vanish("shop-1")
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    hub.round()
    assert hub.record("shop", "shop-1").status is RecordStatus.DELETED
    assert hub.task(TaskKind.GONE).subject == "shop/people/shop-1"
    hub.erp.edit("e1", name="Ada Lovelace")
    assert hub.round() == 0, "and is asked for no more"
    assert hub.rebuilt().equal

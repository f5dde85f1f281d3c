"""RULES 12: absence is a tombstone only after a complete, error-free full scan, confirmed one by one, under the fuse."""

from __future__ import annotations

import pytest

from connectors.contract import BadRow
from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import RecordStatus, TaskKind
from crm_master.engine.fuses import FuseBlown
from tests.rules.conftest import MakeWorld
from tests.rules.world import World, dying


def _hub(world: MakeWorld, people: int = 3) -> World:
    hub = world("erp", "shop")
    for number in range(people):
        hub.erp.add(f"e{number}", name=f"P{number}", mail=f"p{number}@example.org")
        hub.shop.add(f"s{number}", name=f"P{number}", mail=f"p{number}@example.org")
    return hub.settle()


def _status(hub: World, key: str) -> RecordStatus:
    return hub.record("shop", key).status


def test_rule_12_a_record_that_a_full_scan_no_longer_shows_is_gone(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.vanish("s1")
    assert hub.ingest("shop", full=True)["absent"] == 1
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.DELETED
    assert _status(hub, "s0") is RecordStatus.LIVE
    assert hub.task(TaskKind.GONE).subject == "shop/people/s1"
    assert hub.rebuilt().equal


def test_rule_12_a_delta_says_nothing_of_what_it_does_not_show(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.vanish("s1")
    hub.round()
    assert _status(hub, "s1") is RecordStatus.LIVE


def test_rule_12_a_stream_without_deltas_is_a_full_scan_every_time(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.can = type(hub.shop.can)(delta=False, update=True)
    hub.shop.vanish("s1")
    hub.round()
    assert _status(hub, "s1") is RecordStatus.DELETED


def test_rule_12_what_a_listing_missed_is_asked_for_before_it_is_believed_gone(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    hub.shop.unlisted = {"s1"}
    hub.shop.edit("s1", phone="1")
    counts = hub.ingest("shop", full=True)
    hub.reconcile()
    assert counts["unlisted"] == 1
    assert _status(hub, "s1") is RecordStatus.LIVE
    assert hub.claims("shop", "s1")[ClaimKey("phone")] == "1", "and what it shows comes in"


def test_rule_12_one_bad_row_and_the_scan_says_nothing_of_absence(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.vanish("s1")
    hub.shop.rejects = [BadRow(b"{", "no JSON")]
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.LIVE


def test_rule_12_a_scan_that_broke_off_says_nothing_until_it_has_gone_on_to_its_end(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    hub.shop.vanish("s1")
    hub.shop.page_size, hub.shop.dies_after = 1, 1
    with dying():
        hub.ingest("shop", full=True)
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.LIVE
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.DELETED
    assert _status(hub, "s0") is RecordStatus.LIVE, "it was on a page before the scan broke off"


def test_rule_12_a_full_scan_does_not_go_on_where_a_delta_broke_off(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.edit("s1", phone="1")
    hub.shop.edit("s2", phone="2")
    hub.shop.page_size, hub.shop.dies_after = 1, 1
    with dying():
        hub.ingest("shop")
    hub.shop.vanish("s0")
    hub.ingest("shop", full=True)
    hub.reconcile()
    gone, live = RecordStatus.DELETED, RecordStatus.LIVE
    assert [_status(hub, key) for key in ("s0", "s1", "s2")] == [gone, live, live]


def test_rule_12_what_cannot_be_read_is_not_gone(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.unlisted = hub.shop.garbled = {"s1"}
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.LIVE


def test_rule_12_an_empty_listing_blows_the_fuse_and_buries_nobody(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.set_fuses(deletes=0.4)
    for key in ("s0", "s1", "s2"):
        hub.shop.vanish(key)
    with pytest.raises(FuseBlown, match="3 absences of 3 in shop/people; allowed: 1"):
        hub.ingest("shop", full=True)
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.LIVE
    task = hub.task(TaskKind.FUSE)
    assert task.payload["found"] == 3
    requests = len(hub.shop.requests)
    hub.ingest("shop")
    assert hub.shop.requests[requests:] == ["read"], "while it waits, nobody is asked for again"
    assert hub.approve_run() == ["absences shop/people"]
    hub.ingest("shop")
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.DELETED
    assert hub.tasks(TaskKind.FUSE) == []


def test_rule_12_what_comes_back_before_the_approval_is_not_buried(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.set_fuses(deletes=0.4)
    kept = dict(hub.shop.kept)
    for key in ("s0", "s1", "s2"):
        hub.shop.vanish(key)
    with pytest.raises(FuseBlown):
        hub.ingest("shop", full=True)
    hub.shop.kept = kept
    hub.approve_run()
    hub.ingest("shop")
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.LIVE


def test_rule_12_a_later_scan_that_shows_them_answers_for_itself(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.set_fuses(deletes=0.4)
    kept = dict(hub.shop.kept)
    for key in ("s0", "s1", "s2"):
        hub.shop.vanish(key)
    with pytest.raises(FuseBlown):
        hub.ingest("shop", full=True)
    hub.shop.kept = kept
    hub.ingest("shop", full=True)
    assert hub.tasks(TaskKind.FUSE) == []


def test_rule_12_a_delivery_to_the_stream_neither_answers_the_question_nor_spends_the_answer(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    hub.set_fuses(deletes=0.4)
    for key in ("s1", "s2"):
        hub.shop.vanish(key)
    with pytest.raises(FuseBlown):
        hub.ingest("shop", full=True)
    for phone in ("1", "2"):
        hub.erp.edit("e0", phone=phone)
        hub.ingest("erp")
        hub.reconcile()
        hub.deliver("shop")
        if phone == "1":
            assert hub.approve_run() == ["absences shop/people"]
    hub.ingest("shop")
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.DELETED


def test_rule_12_the_fuse_does_not_stop_a_small_hub(world: MakeWorld) -> None:
    hub = _hub(world)
    for key in ("s0", "s1"):
        hub.shop.vanish(key)
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert _status(hub, "s1") is RecordStatus.DELETED


def test_rule_12_all_at_once_is_stopped_however_few_they_are(world: MakeWorld) -> None:
    hub = _hub(world)
    for key in ("s0", "s1", "s2"):
        hub.shop.vanish(key)
    with pytest.raises(FuseBlown, match="3 absences of 3"):
        hub.ingest("shop", full=True)

"""What the engine asks of the inbox, kept by every database alike."""

from __future__ import annotations

from crm_master.domain.claims import Claim, ClaimKey
from crm_master.domain.ids import record_id
from crm_master.domain.lifecycle import InboxState
from crm_master.store import Database
from tests.contract.rows import claimed, finish, land, ref_of, row


def test_a_row_lands_as_it_was_read(store: Database) -> None:
    raw = b'{"name":"\xc3\x84da \\ud800","n":1e400}\x00'
    assert land(store, row("k/ö", raw, stamp=7, deleted=True)) == (1, 0)
    [item] = claimed(store)
    assert (item.ref, item.rec_id) == (ref_of("k/ö"), record_id(ref_of("k/ö")))
    assert (item.raw, item.stamp, item.started, item.ended, item.watermark) == (raw, 7, 10, 20, 5)
    assert item.deleted
    with store() as uow:
        assert uow.inbox.get(item.seq) is not None
        assert uow.inbox.get(item.seq + 1) is None
        assert uow.inbox.runs_of([item.seq]) == {item.seq: "run-1"}


def test_a_row_that_equals_the_last_one_of_its_record_ends_there(store: Database) -> None:
    assert land(store, row("a", b"1"), row("b", b"1")) == (2, 0)
    assert land(store, row("a", b"1"), row("b", b"2")) == (1, 1)
    assert land(store, row("a", b"2"), row("a", b"2"), row("a", b"1")) == (2, 1)
    assert land(store, row("a", b"1")) == (0, 1)
    assert land(store, row("a", b"2")) == (1, 0)


def test_a_record_that_must_be_read_again_lands_whatever_it_shows(store: Database) -> None:
    land(store, row("a", b"1"))
    with store() as uow:
        [record] = uow.records.get([record_id(ref_of("a"))]).values()
        record.reread = True
        uow.records.save([record])
        uow.commit()
    with store() as uow:
        assert [r.ref.key for r in uow.records.to_reread("erp", "people", 10)] == ["a"]
        assert uow.records.to_reread("shop", "people", 10) == []
    assert land(store, row("a", b"1")) == (1, 0)
    with store() as uow:
        assert uow.records.to_reread("erp", "people", 10) == []


def test_landing_keeps_what_is_known_of_a_record(store: Database) -> None:
    land(store, row("a", b"1"))
    with store() as uow:
        [record] = uow.records.get([record_id(ref_of("a"))]).values()
        record.entity_id, record.claims = "E1", {ClaimKey("name"): Claim("Ada", 1, 2, 3)}
        uow.records.save([record])
        uow.commit()
    land(store, row("a", b"2"))
    with store() as uow:
        [after] = uow.records.get([record.rec_id]).values()
    assert (after.entity_id, after.claims) == ("E1", record.claims)


def test_dead_rows_are_kept_once_and_found_by_name(store: Database) -> None:
    bad = row("row-1", b"\xff\x00", dead="not JSON")
    assert land(store, bad) == (1, 0)
    assert land(store, bad) == (0, 1)
    with store() as uow:
        assert uow.inbox.pending() == 0
        assert uow.inbox.dead("erp", "people", "row-1") == b"\xff\x00"
        assert uow.inbox.dead("erp", "people", "row-2") is None
        assert uow.records.get([record_id(ref_of("row-1"))]) == {}


def test_items_are_claimed_oldest_first_and_by_entity(store: Database) -> None:
    land(store, *(row(key) for key in "dcba"), row("x", entity="order"))
    assert [item.ref.key for item in claimed(store, 3)] == ["d", "c", "b"]
    with store() as uow:
        assert (uow.inbox.pending(), uow.inbox.pending("order")) == (5, 1)


def test_a_claim_leaves_what_failed_behind_and_all_that_waits_for_it(store: Database) -> None:
    land(store, row("a", b"1"), row("b"), row("a", b"2"), row("b", b"2"), row("c"))
    failed, done = claimed(store, 2)
    finish(store, [done], InboxState.DONE)
    assert [item.raw for item in claimed(store, after=done.seq)] == [b"2", b"{}"]
    assert [item.ref.key for item in claimed(store, alone_from=9)] == ["a", "a", "b", "c"]
    finish(store, [failed], InboxState.DEAD)
    rest = claimed(store, after=done.seq, alone_from=9)
    assert [item.ref.key for item in rest] == ["a", "b", "c"]


def test_attempts_are_counted_even_if_the_work_dies(store: Database) -> None:
    land(store, row("a"))
    assert [claimed(store)[0].attempts for _ in range(3)] == [0, 1, 2]


def test_an_item_that_was_tried_too_often_comes_alone(store: Database) -> None:
    land(store, *(row(key) for key in "abc"))
    [first] = claimed(store, 1)
    with store() as uow:
        for _ in range(2):
            uow.inbox.claim("customer", 1, 0, 0, 9, first.seq)
        uow.commit()
    assert [item.ref.key for item in claimed(store)] == ["a"], (
        "those before the repeater come first"
    )
    finish(store, claimed(store), InboxState.DONE)
    assert [item.ref.key for item in claimed(store)] == ["b"], "then it is the oldest: alone"


def test_a_row_that_is_tried_again_keeps_its_place_in_the_journal(store: Database) -> None:
    land(store, row("a"))
    [first] = claimed(store)
    finish(store, [first], InboxState.DONE, pos=7)
    with store() as uow:
        assert uow.inbox.requeue([first.seq]) == 1
        assert uow.inbox.requeue([first.seq]) == 0, "a newer one is there now"
        uow.commit()
    [again] = claimed(store)
    assert (again.raw, again.seq > first.seq) == (first.raw, True)
    with store() as uow:
        assert [item.seq for item in uow.inbox.applied(7)] == [first.seq]


def test_what_was_applied_of_a_record_waits_again_from_a_read_on(store: Database) -> None:
    land(store, row("a"), row("b"))
    land(store, row("a", b"later", started=30), row("a", b"gone", started=31, deleted=True))
    items = claimed(store)
    finish(store, items, InboxState.DONE, pos=7)
    with store() as uow:
        uow.inbox.reopen(items[0].rec_id, 30)
        uow.commit()
    assert [(item.raw, item.attempts) for item in claimed(store)] == [(b"later", 0)]


def test_finished_items_stand_under_their_position(store: Database) -> None:
    land(store, *(row(key) for key in "abc"))
    items = claimed(store)
    finish(store, items[:2], InboxState.DONE, pos=7)
    finish(store, items[2:], InboxState.DEAD, pos=8)
    with store() as uow:
        assert [item.ref.key for item in uow.inbox.applied(7)] == ["a", "b"]
        assert [item.state for item in uow.inbox.applied(8)] == [InboxState.DEAD]
        assert uow.inbox.pending() == 0


def test_what_another_worker_has_finished_waits_no_more(store: Database) -> None:
    land(store, *(row(key) for key in "abc"))
    seqs = [item.seq for item in claimed(store)]
    finish(store, claimed(store)[:1], InboxState.PARKED)
    with store() as uow:
        assert uow.inbox.waiting(seqs) == set(seqs[1:])


def test_what_was_tried_can_be_queued_again(store: Database) -> None:
    land(store, *(row(key) for key in "ab"), row("bad", b"\xff", dead="not JSON"))
    items = claimed(store)
    finish(store, items, InboxState.DEAD)
    with store() as uow:
        assert uow.inbox.requeue([item.seq for item in items] + [99, items[-1].seq + 1]) == 2
        uow.commit()
    assert [item.attempts for item in claimed(store)] == [0, 0]


def test_parked_items_come_back_by_stream(store: Database) -> None:
    land(store, row("a"), row("b", ref=ref_of("b", "shop")))
    finish(store, claimed(store), InboxState.PARKED)
    with store() as uow:
        uow.inbox.unpark("shop", "people")
        uow.commit()
    assert [item.ref.system for item in claimed(store)] == ["shop"]

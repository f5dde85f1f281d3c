"""What the engine asks of a store (``crm_master.ports``), kept by every database alike."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from crm_master.domain.claims import Claim, ClaimKey, FieldShadow, Seen, Shadow
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import (
    DeliveryState,
    InboxState,
    Origin,
    RecordStatus,
    SystemState,
    TaskKind,
)
from crm_master.domain.survivorship import Rule, Winner
from crm_master.ports import (
    Customer,
    DeliveryEntry,
    HistoryEntry,
    InboxItem,
    Landing,
    LinkEntry,
    OutboxMessage,
    RunEntry,
    SourceRecord,
    StreamState,
    Task,
    UnitOfWork,
)
from crm_master.store import Database

LEASE = 100


def _ref(key: str, system: str = "erp") -> ExternalRef:
    return ExternalRef(system, "people", key)


def _row(key: str, content: bytes = b"{}", **more: Any) -> Landing:
    values: dict[str, Any] = {
        "ref": _ref(key),
        "entity": "customer",
        "raw": content,
        "raw_hash": content.ljust(16)[:16],
        "stamp": None,
        "started": 10,
        "ended": 20,
        "watermark": 5,
    }
    return Landing(**(values | more))


def _land(store: Database, *rows: Landing) -> tuple[int, int]:
    with store() as uow:
        found = uow.inbox.land(rows, "run-1")
        uow.commit()
    return found


def _claim(store: Database, limit: int = 100, **more: Any) -> list[InboxItem]:
    with store() as uow:
        items = uow.inbox.claim("customer", limit, **{"now": 0, "lease": 0, "alone_from": 2} | more)
        uow.commit()
    return items


def _finish(store: Database, items: list[InboxItem], state: InboxState, pos: int = 1) -> None:
    for item in items:
        item.state = state
    with store() as uow:
        uow.inbox.finish(items, pos)
        uow.commit()


# the unit of work


def test_nothing_is_kept_without_commit(store: Database) -> None:
    with store() as uow:
        uow.inbox.land([_row("a")], "run-1")
    with store() as uow:
        assert uow.inbox.pending() == 0


def test_nothing_is_kept_after_an_error(store: Database) -> None:
    def fail(uow: UnitOfWork) -> None:
        uow.inbox.land([_row("a")], "run-1")
        raise RuntimeError

    with pytest.raises(RuntimeError), store() as uow:
        fail(uow)
    with store() as uow:
        assert uow.inbox.pending() == 0


def test_a_savepoint_fails_alone(store: Database) -> None:
    def fail(uow: UnitOfWork) -> None:
        with uow.savepoint():
            uow.inbox.land([_row("b")], "run-1")
            raise RuntimeError

    with store() as uow:
        uow.inbox.land([_row("a")], "run-1")
        with pytest.raises(RuntimeError):
            fail(uow)
        with uow.savepoint():
            uow.inbox.land([_row("c")], "run-1")
        uow.commit()
    assert [item.ref.key for item in _claim(store)] == ["a", "c"]


# the inbox


def test_a_row_lands_as_it_was_read(store: Database) -> None:
    raw = b'{"name":"\xc3\x84da \\ud800","n":1e400}\x00'
    assert _land(store, _row("k/ö", raw, stamp=7, deleted=True)) == (1, 0)
    [item] = _claim(store)
    assert (item.ref, item.rec_id) == (_ref("k/ö"), record_id(_ref("k/ö")))
    assert (item.raw, item.stamp, item.started, item.ended, item.watermark) == (raw, 7, 10, 20, 5)
    assert item.deleted
    with store() as uow:
        assert uow.inbox.get(item.seq) is not None
        assert uow.inbox.get(item.seq + 1) is None
        assert uow.inbox.runs_of([item.seq]) == {item.seq: "run-1"}


def test_a_row_that_equals_the_last_one_of_its_record_ends_there(store: Database) -> None:
    assert _land(store, _row("a", b"1"), _row("b", b"1")) == (2, 0)
    assert _land(store, _row("a", b"1"), _row("b", b"2")) == (1, 1)
    assert _land(store, _row("a", b"2"), _row("a", b"2"), _row("a", b"1")) == (2, 1)
    assert _land(store, _row("a", b"1")) == (0, 1)
    assert _land(store, _row("a", b"2")) == (1, 0)


def test_a_record_that_must_be_read_again_lands_whatever_it_shows(store: Database) -> None:
    _land(store, _row("a", b"1"))
    with store() as uow:
        [record] = uow.records.get([record_id(_ref("a"))]).values()
        record.reread = True
        uow.records.save([record])
        uow.commit()
    with store() as uow:
        assert [r.ref.key for r in uow.records.to_reread("erp", "people", 10)] == ["a"]
        assert uow.records.to_reread("shop", "people", 10) == []
    assert _land(store, _row("a", b"1")) == (1, 0)
    with store() as uow:
        assert uow.records.to_reread("erp", "people", 10) == []


def test_landing_keeps_what_is_known_of_a_record(store: Database) -> None:
    _land(store, _row("a", b"1"))
    with store() as uow:
        [record] = uow.records.get([record_id(_ref("a"))]).values()
        record.entity_id, record.claims = "E1", {ClaimKey("name"): Claim("Ada", 1, 2, 3)}
        uow.records.save([record])
        uow.commit()
    _land(store, _row("a", b"2"))
    with store() as uow:
        [after] = uow.records.get([record.rec_id]).values()
    assert (after.entity_id, after.claims) == ("E1", record.claims)


def test_dead_rows_are_kept_once_and_found_by_name(store: Database) -> None:
    bad = _row("row-1", b"\xff\x00", dead="not JSON")
    assert _land(store, bad) == (1, 0)
    assert _land(store, bad) == (0, 1)
    with store() as uow:
        assert uow.inbox.pending() == 0
        assert uow.inbox.dead("erp", "people", "row-1") == b"\xff\x00"
        assert uow.inbox.dead("erp", "people", "row-2") is None
        assert uow.records.get([record_id(_ref("row-1"))]) == {}


def test_items_are_claimed_oldest_first_and_by_entity(store: Database) -> None:
    _land(store, *(_row(key) for key in "dcba"), _row("x", entity="order"))
    assert [item.ref.key for item in _claim(store, 3)] == ["d", "c", "b"]
    with store() as uow:
        assert (uow.inbox.pending(), uow.inbox.pending("order")) == (5, 1)


def test_a_claim_leaves_what_failed_behind_and_all_that_waits_for_it(store: Database) -> None:
    _land(store, _row("a", b"1"), _row("b"), _row("a", b"2"), _row("b", b"2"), _row("c"))
    failed, done = _claim(store, 2)
    _finish(store, [done], InboxState.DONE)
    assert [item.raw for item in _claim(store, after=done.seq)] == [b"2", b"{}"]
    assert [item.ref.key for item in _claim(store, alone_from=9)] == ["a", "a", "b", "c"]
    _finish(store, [failed], InboxState.DEAD)
    rest = _claim(store, after=done.seq, alone_from=9)
    assert [item.ref.key for item in rest] == ["a", "b", "c"]


def test_attempts_are_counted_even_if_the_work_dies(store: Database) -> None:
    _land(store, _row("a"))
    assert [_claim(store)[0].attempts for _ in range(3)] == [0, 1, 2]


def test_an_item_that_was_tried_too_often_comes_alone(store: Database) -> None:
    _land(store, *(_row(key) for key in "abc"))
    [first] = _claim(store, 1)
    with store() as uow:
        for _ in range(2):
            uow.inbox.claim("customer", 1, 0, 0, 9, first.seq)
        uow.commit()
    assert [item.ref.key for item in _claim(store)] == ["a"], "those before the repeater come first"
    _finish(store, _claim(store), InboxState.DONE)
    assert [item.ref.key for item in _claim(store)] == ["b"], "then it is the oldest: alone"


def test_a_row_that_is_tried_again_keeps_its_place_in_the_journal(store: Database) -> None:
    _land(store, _row("a"))
    [first] = _claim(store)
    _finish(store, [first], InboxState.DONE, pos=7)
    with store() as uow:
        assert uow.inbox.requeue([first.seq]) == 1
        assert uow.inbox.requeue([first.seq]) == 0, "a newer one is there now"
        uow.commit()
    [again] = _claim(store)
    assert (again.raw, again.seq > first.seq) == (first.raw, True)
    with store() as uow:
        assert [item.seq for item in uow.inbox.applied(7)] == [first.seq]


def test_finished_items_stand_under_their_position(store: Database) -> None:
    _land(store, *(_row(key) for key in "abc"))
    items = _claim(store)
    _finish(store, items[:2], InboxState.DONE, pos=7)
    _finish(store, items[2:], InboxState.DEAD, pos=8)
    with store() as uow:
        assert [item.ref.key for item in uow.inbox.applied(7)] == ["a", "b"]
        assert [item.state for item in uow.inbox.applied(8)] == [InboxState.DEAD]
        assert uow.inbox.pending() == 0


def test_what_another_worker_has_finished_waits_no_more(store: Database) -> None:
    _land(store, *(_row(key) for key in "abc"))
    seqs = [item.seq for item in _claim(store)]
    _finish(store, _claim(store)[:1], InboxState.PARKED)
    with store() as uow:
        assert uow.inbox.waiting(seqs) == set(seqs[1:])


def test_what_was_tried_can_be_queued_again(store: Database) -> None:
    _land(store, *(_row(key) for key in "ab"), _row("bad", b"\xff", dead="not JSON"))
    items = _claim(store)
    _finish(store, items, InboxState.DEAD)
    with store() as uow:
        assert uow.inbox.requeue([item.seq for item in items] + [99, items[-1].seq + 1]) == 2
        uow.commit()
    assert [item.attempts for item in _claim(store)] == [0, 0]


def test_parked_items_come_back_by_stream(store: Database) -> None:
    _land(store, _row("a"), _row("b", ref=_ref("b", "shop")))
    _finish(store, _claim(store), InboxState.PARKED)
    with store() as uow:
        uow.inbox.unpark("shop", "people")
        uow.commit()
    assert [item.ref.system for item in _claim(store)] == ["shop"]


# records


def _record(key: str, entity_id: str | None = None, **more: Any) -> SourceRecord:
    return SourceRecord(record_id(_ref(key)), _ref(key), "customer", entity_id, **more)


FULL = _record(
    "full",
    "E1",
    status=RecordStatus.DELETED,
    primary=False,
    origin=Origin.HUB,
    claims={
        ClaimKey("name"): Claim("Ada", 1, 2, 3, 4, 5, "Adah", "ada"),
        ClaimKey("tags", "vip"): Claim(None, 1, 2, 3),
    },
    shadow=Shadow(
        {"name": FieldShadow(held="Ada", sent=None, undone=2, undone_to="x", withheld_at=3)},
        (Seen(1, 10), Seen(2, 20)),
        30,
    ),
    raw_hash=b"\x00" * 16,
    mapping_hash="m",
    reread=True,
)


def _saved(store: Database, *records: SourceRecord) -> None:
    with store() as uow:
        uow.records.save(records)
        uow.commit()


@pytest.mark.parametrize("lock", [False, True])
def test_a_record_is_loaded_as_it_was_saved(store: Database, lock: bool) -> None:
    _saved(store, FULL, _record("other", "E2"))
    with store() as uow:
        assert uow.records.get([FULL.rec_id, "unknown"], lock=lock) == {FULL.rec_id: FULL}
        assert uow.records.of_entities(["E1"], lock=lock) == [FULL]
        assert uow.records.hashes([FULL.rec_id]) == {FULL.rec_id: b"\x00" * 16}


def test_saving_again_replaces(store: Database) -> None:
    _saved(store, FULL)
    after = replace(FULL, claims={}, shadow=Shadow(), status=RecordStatus.LIVE, entity_id=None)
    _saved(store, after)
    with store() as uow:
        assert uow.records.get([FULL.rec_id]) == {FULL.rec_id: after}


def test_records_are_found_by_block_keys_up_to_a_cap(store: Database) -> None:
    records = [_record(f"{n}", blocks=frozenset({"h1", f"h-{n}"})) for n in range(5)]
    _saved(store, *records)
    with store() as uow:
        uow.records.save_blocks(records)
        uow.records.save_blocks([replace(records[0], blocks=frozenset({"h2"}))])
        uow.commit()
    with store() as uow:
        found = uow.records.by_blocks({"h1", "h2", "h-0", "h-1"}, 3)
    assert found["h2"] == [records[0].rec_id]
    assert "h-0" not in found
    assert found["h-1"] == [records[1].rec_id]
    assert sorted(found["h1"]) == sorted(record.rec_id for record in records[1:])[:3]


def test_records_are_scanned_in_pages_and_counted(store: Database) -> None:
    records = [_record(f"{n}", "E1" if n else None) for n in range(5)]
    records[4].status = RecordStatus.DELETED
    _saved(store, *records)
    seen: list[str] = []
    after = ""
    with store() as uow:
        while page := uow.records.scan("erp", "people", after, 2):
            after = page[-1].rec_id
            seen += [record.rec_id for record in page]
        assert seen == sorted(record.rec_id for record in records)
        counts = uow.records.count("erp", "people")
    assert counts == {"live": 4, "deleted": 1, "linked": 3, "unlinked": 1}


# customers


CUSTOMER = Customer(
    "E1",
    "customer",
    3,
    {"name": "Ädá", "tags": {}, "phone": None},
    {
        ClaimKey("name"): Winner("r1", 4, Rule.MANUAL),
        ClaimKey("tags", "a"): Winner("r", 1, Rule.UNION),
    },
    frozenset({"phone"}),
    "config",
)


def _customers(store: Database, *ids: str, at: int = 1) -> None:
    with store() as uow:
        uow.customers.save([Customer(id_, "customer") for id_ in ids], at)
        uow.commit()


def test_a_customer_is_loaded_as_it_was_saved(store: Database) -> None:
    _customers(store, "E1", "E2")
    with store() as uow:
        uow.customers.save([CUSTOMER], 2)
        uow.commit()
    with store() as uow:
        assert uow.customers.get(["E1", "E9"], lock=True) == {"E1": CUSTOMER}
        assert uow.customers.count("customer") == 2


def test_customers_are_scanned_without_those_that_were_merged_away(store: Database) -> None:
    _customers(store, "E3", "E1", "E2")
    with store() as uow:
        uow.customers.save([Customer("E2", "customer", redirect_to="E1")], 2)
        uow.commit()
    with store() as uow:
        assert [c.id for c in uow.customers.scan("customer", "", 1)] == ["E1"]
        assert [c.id for c in uow.customers.scan("customer", "E1", 9)] == ["E3"]
        assert uow.customers.scan("order", "", 9) == []
        assert uow.customers.count("customer") == 2


def test_history_and_links_are_kept_in_order(store: Database) -> None:
    entries = [HistoryEntry("E1", n, 10 * n, {"name": ["x", None]}, (n,), "run") for n in (2, 3)]
    links = [LinkEntry(f"r{n}", "E1", "link", "policy", {"because": ["email"]}) for n in range(2)]
    with store() as uow:
        uow.customers.add_history(entries[::-1])
        uow.customers.add_links(links[:1], 1, pos=5)
        uow.customers.add_links(links[1:], 1, pos=6)
        uow.commit()
    with store() as uow:
        assert uow.customers.history("E1") == entries
        assert uow.customers.history("E2") == []
        assert uow.customers.links(entity_id="E1") == links
        assert [entry.at for entry in uow.customers.links(entity_id="E1")] == [1, 1]
        assert uow.customers.links(pos=6) == links[1:]


def test_dirty_customers_are_taken_once(store: Database) -> None:
    _customers(store, "E1", "E2", "E3")
    _saved(store, _record("a", "E1"))
    with store() as uow:
        assert uow.customers.mark_all_dirty(["erp"], []) == 1
        uow.customers.mark_dirty(ids=["E3", "E9"])
        uow.commit()
    with store() as uow:
        assert uow.customers.take_dirty("order", 9) == []
        assert uow.customers.take_dirty("customer", 9) == ["E1", "E3"]
        # not committed: whoever took them has died
    with store() as uow:
        assert uow.customers.take_dirty("customer", 1) == ["E1"]
        uow.customers.save([Customer("E1", "customer", 1)], 2)
        uow.commit()
    with store() as uow:
        assert uow.customers.take_dirty("customer", 9) == ["E3"]
        uow.commit()
    with store() as uow:
        assert uow.customers.take_dirty("customer", 9) == []


# the outbox


def _message(entity: str = "E1", rec_id: str | None = "r1", version: int = 1) -> OutboxMessage:
    return OutboxMessage(entity, "customer", "shop", "people", rec_id, version)


def _put(store: Database, *messages: OutboxMessage, at: int = 0) -> None:
    with store() as uow:
        uow.outbox.put(messages, at)
        uow.commit()


def _lease(store: Database, now: int = 0, limit: int = 10) -> list[OutboxMessage]:
    with store() as uow:
        found = uow.outbox.claim("shop", limit, now, LEASE, 2)
        uow.commit()
    return found


def _save(store: Database, message: OutboxMessage, **changes: Any) -> None:
    with store() as uow:
        uow.outbox.save([replace(message, **changes)])
        uow.commit()


def _done(store: Database, message: OutboxMessage) -> None:
    with store() as uow:
        uow.outbox.done([message])
        uow.commit()


def _states(store: Database) -> dict[str, int]:
    with store() as uow:
        return uow.outbox.count("shop")


def test_deliveries_are_claimed_in_the_order_in_which_they_were_queued(store: Database) -> None:
    _put(store, _message("E2"), at=1)
    _put(store, _message("E1", None), at=2)
    assert [message.entity_id for message in _lease(store, limit=1)] == ["E2"]
    [create] = _lease(store)
    assert (create.id, create.rec_id, create.attempts, create.fence) == (
        "E1:shop/people",
        None,
        1,
        1,
    )
    assert _lease(store) == []


def test_a_delivery_for_another_system_is_not_claimed(store: Database) -> None:
    _put(store, replace(_message(), system="erp"))
    assert _lease(store) == []
    with store() as uow:
        assert uow.outbox.count() == {"pending": 1}


def test_a_lease_ends_and_the_next_worker_has_a_higher_fence(store: Database) -> None:
    _put(store, _message())
    [first] = _lease(store, now=0)
    assert _lease(store, now=LEASE - 1) == []
    [second] = _lease(store, now=LEASE)
    assert (first.fence, second.fence) == (1, 2)


def test_who_has_lost_the_lease_changes_nothing(store: Database) -> None:
    _put(store, _message())
    [slow] = _lease(store, now=0)
    _lease(store, now=LEASE)
    _save(store, slow, state=DeliveryState.REFUSED)
    _done(store, slow)
    assert _states(store) == {"leased": 1}


def test_who_has_lost_the_lease_does_not_begin(store: Database) -> None:
    _put(store, _message(), _message("E2", "r2"))
    slow = _lease(store, now=0)
    with store() as uow:
        uow.outbox.claim("shop", 1, LEASE, LEASE, 2)
        uow.commit()
    with store() as uow:
        mine = uow.outbox.begin(slow, 3 * LEASE)
        uow.commit()
    assert mine == {slow[1].id}
    assert _states(store) == {"leased": 1, "sent": 1}
    assert [m.id for m in _lease(store, now=2 * LEASE)] == [slow[0].id], "the lease was renewed"


def test_what_was_sent_stays_in_doubt_whoever_claims_it(store: Database) -> None:
    _put(store, _message(rec_id=None))
    [message] = _lease(store)
    with store() as uow:
        uow.outbox.begin([replace(message, sent={"name": "Ada"})], LEASE)
        uow.commit()
    [again] = _lease(store, now=LEASE)
    assert (again.state, again.sent) == (DeliveryState.SENT, {"name": "Ada"})
    assert _states(store) == {"sent": 1}
    with store() as uow:
        assert [m.id for m in uow.outbox.creating("customer")] == [message.id]
    _save(store, again, state=DeliveryState.UNKNOWN, not_before=LEASE + 5)
    assert _lease(store, now=LEASE + 4) == []
    [looked] = _lease(store, now=LEASE + 5)
    assert looked.state is DeliveryState.UNKNOWN
    assert _lease(store, now=LEASE + 6) == [], "one worker looks at a time"


def test_a_delivery_that_must_wait_is_claimed_when_it_is_due(store: Database) -> None:
    _put(store, _message())
    [message] = _lease(store)
    _save(store, message, state=DeliveryState.PENDING, not_before=50, reason="slow down")
    assert _lease(store, now=49) == []
    [again] = _lease(store, now=50)
    assert (again.attempts, again.reason) == (2, "slow down")


def test_a_delivery_that_is_queued_again_only_moves_to_the_newer_version(store: Database) -> None:
    _put(store, _message(version=1))
    _put(store, _message(version=2))
    [message] = _lease(store)
    assert message.version == 2
    _put(store, _message(version=3))
    assert _lease(store) == [], "it is still leased"


def test_done_removes_a_delivery(store: Database) -> None:
    _put(store, _message())
    [message] = _lease(store)
    _done(store, message)
    assert _states(store) == {}


def test_done_with_a_newer_version_waiting_is_due_again(store: Database) -> None:
    _put(store, _message(version=1))
    [message] = _lease(store)
    _save(store, message, state=DeliveryState.SENT, sent={"name": "x"})
    _put(store, _message(version=2))
    _done(store, message)
    [again] = _lease(store)
    assert (again.version, again.attempts, again.sent) == (2, 1, {})


def test_done_with_a_newer_version_than_was_queued_leaves_nothing(store: Database) -> None:
    """Rendered was the golden record as it is now; that nobody queued that version does not matter."""
    _put(store, _message(version=1))
    [message] = _lease(store)
    _done(store, replace(message, version=5))
    assert _states(store) == {}


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (DeliveryState.PENDING, False),
        (DeliveryState.REFUSED, False),
        (DeliveryState.OVERTAKEN, False),
        (DeliveryState.SENT, True),
        (DeliveryState.UNKNOWN, True),
        (DeliveryState.HELD, True),
        (DeliveryState.LEASED, True),
    ],
)
def test_only_what_was_not_begun_is_taken_back(
    store: Database, state: DeliveryState, kept: bool
) -> None:
    _put(store, _message())
    [message] = _lease(store)
    _save(store, message, state=state)
    with store() as uow:
        uow.outbox.cancel([message.id])
        uow.commit()
    assert bool(_states(store)) is kept


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.OVERTAKEN])
def test_what_waits_for_a_change_is_due_after_one(store: Database, state: DeliveryState) -> None:
    _put(store, _message())
    [message] = _lease(store)
    _save(store, message, state=state, not_before=1_000)
    assert _lease(store, now=500) == []
    _put(store, _message(version=2))
    assert [again.version for again in _lease(store, now=500)] == [2]


def test_an_overtaken_delivery_is_resumed_by_its_record(store: Database) -> None:
    for entity, rec_id, state in (("E1", "r1", "overtaken"), ("E2", "r2", "refused")):
        _put(store, _message(entity, rec_id))
        [message] = _lease(store)
        _save(store, message, state=DeliveryState(state), not_before=1_000)
    with store() as uow:
        uow.outbox.resume(["r1", "r2"])
        uow.commit()
    assert [message.rec_id for message in _lease(store)] == ["r1"]


def test_what_is_held_is_retried_or_dropped(store: Database) -> None:
    for entity in ("E1", "E2"):
        _put(store, _message(entity, None))
        [message] = _lease(store)
        _save(store, message, state=DeliveryState.HELD, sent={"name": "x"})
    with store() as uow:
        uow.outbox.retry(["E1:shop/people"])
        uow.outbox.drop(["E2:shop/people"])
        uow.commit()
    [again] = _lease(store)
    assert (again.entity_id, again.state, again.sent) == (
        "E1",
        DeliveryState.PENDING,
        {"name": "x"},
    )
    assert _states(store) == {"leased": 1}


def test_open_creates_and_deliveries_of_records_are_found(store: Database) -> None:
    _put(store, _message("E1", None), _message("E2", "r2"))
    for message in _lease(store):
        _save(store, message, state=DeliveryState.HELD)
    with store() as uow:
        assert [message.entity_id for message in uow.outbox.creating("customer")] == ["E1"]
        assert uow.outbox.creating("order") == []
        assert list(uow.outbox.for_records(["r2", "r9"])) == ["r2"]
        assert uow.outbox.count_creates("shop") == {"held": 1}


# tasks


def test_a_question_is_open_once(store: Database) -> None:
    for payload in ({"n": 1}, {"n": 2}):
        with store() as uow:
            task = Task(TaskKind.CLEAR, "erp/people/1:phone", payload)
            uow.tasks.open([task, task], 5)
            uow.commit()
    with store() as uow:
        [found] = uow.tasks.list()
        assert (found.payload, found.opened, found.open) == ({"n": 2}, 5, True)
        assert uow.tasks.standing([(TaskKind.CLEAR, found.subject), (TaskKind.MATCH, "x")]) == {
            (TaskKind.CLEAR, found.subject): found.id
        }
        assert uow.tasks.count() == {"clear": 1}


def test_a_closed_question_can_be_asked_again(store: Database) -> None:
    key = (TaskKind.MATCH, "erp/people/1")
    with store() as uow:
        uow.tasks.open([Task(*key, {})], 1)
        uow.tasks.close([key, (TaskKind.CLEAR, "erp/people/1")], 2)
        uow.tasks.close([key], 3)
        uow.tasks.open([Task(*key, {})], 4)
        uow.commit()
    with store() as uow:
        assert [(t.open, t.closed) for t in uow.tasks.list(only_open=False)] == [
            (False, 2),
            (True, 0),
        ]
        assert len(uow.tasks.list([TaskKind.MATCH])) == 1
        assert uow.tasks.list([TaskKind.CLEAR]) == []


def test_a_decision_closes_its_task(store: Database) -> None:
    with store() as uow:
        uow.tasks.open([Task(TaskKind.MATCH, "a", {}), Task(TaskKind.MATCH, "b", {})], 1)
        first = uow.tasks.list(limit=1)[0]
        uow.tasks.decide(first.id, {"answer": "new"}, 9)
        uow.commit()
    with store() as uow:
        found = uow.tasks.get(first.id)
        assert found is not None
        assert (found.open, found.closed, found.decision) == (False, 9, {"answer": "new"})
        assert uow.tasks.get(999) is None
        assert uow.tasks.count() == {"match": 1}


# the journal


def test_commits_are_numbered_in_order(store: Database) -> None:
    with store() as uow:
        first = uow.journal.commit("reconcile", 1, "run", {"config": "x"})
        second = uow.journal.commit("settle", 2, "run")
        uow.commit()
    with store() as uow:
        uow.journal.commit("intent", 3, "run")  # never committed
    assert first < second
    with store() as uow:
        found = list(uow.journal.commits())
    assert [(c.pos, c.kind, c.detail) for c in found] == [
        (first, "reconcile", {"config": "x"}),
        (second, "settle", {}),
    ]


def test_deliveries_stand_under_their_position(store: Database) -> None:
    entries = [
        DeliveryEntry(
            "r1",
            _ref("ö"),
            "E1",
            "erp",
            "people",
            3,
            "update",
            "written",
            9,
            {"name": None},
            {"a": 1},
            "x",
        ),
        DeliveryEntry(None, None, "E1", "erp", "people", 3, "create", "intent"),
    ]
    with store() as uow:
        uow.journal.add_deliveries(entries, 4)
        uow.journal.add_deliveries(entries[:1], 5)
        uow.commit()
    with store() as uow:
        assert uow.journal.deliveries(4) == entries
        assert uow.journal.deliveries(6) == []


def test_a_configuration_is_kept_once(store: Database) -> None:
    with store() as uow:
        assert uow.journal.save_config("h", '{"a": 1}', 1)
        assert not uow.journal.save_config("h", "other", 2)
        uow.commit()
    with store() as uow:
        assert uow.journal.config("h") == '{"a": 1}'
        assert uow.journal.config("unknown") is None


# states and runs


def test_a_stream_starts_at_nothing_and_is_kept(store: Database) -> None:
    state = StreamState("erp", "people", "cursor", 1, 2, 3, 4)
    with store() as uow:
        assert uow.states.stream("erp", "people") == StreamState("erp", "people")
        uow.states.save_stream(StreamState("erp", "people"))
        uow.states.save_stream(state)
        uow.commit()
    with store() as uow:
        assert uow.states.stream("erp", "people") == state


def test_systems_and_their_kill_switch(store: Database) -> None:
    with store() as uow:
        uow.states.save_system("erp", SystemState.JOINING, 1)
        uow.states.save_system("shop", SystemState.ACTIVE, 1)
        uow.states.stop("shop", True)
        uow.states.save_system("shop", SystemState.OBSERVE, 2)
        uow.commit()
    with store() as uow:
        assert uow.states.systems() == {"erp": SystemState.JOINING, "shop": SystemState.OBSERVE}
        assert uow.states.stopped() == {"shop"}, "a change of state does not release it"
        uow.states.stop("shop", False)
        assert uow.states.stopped() == frozenset()


def test_a_run_is_on_record_before_and_after(store: Database) -> None:
    entry = RunEntry("run-1", "ingest", "erp/people", 5)
    with store() as uow:
        uow.states.save_run(entry)
        uow.states.save_run(RunEntry("run-2", "reconcile", "customer", 6))
        uow.commit()
    done = replace(entry, finished=9, status="failed", counts={"read": 3}, error="Unreachable")
    with store() as uow:
        uow.states.save_run(done)
        uow.commit()
    with store() as uow:
        assert [run.id for run in uow.states.runs(9)] == ["run-2", "run-1"]
        assert uow.states.runs(9)[1] == done
        assert len(uow.states.runs(1)) == 1


# side by side


def test_who_waited_for_a_lock_sees_claims_and_shadow_of_the_same_moment(store: Database) -> None:
    """RULES 23: re-read after locking."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: there is nothing to wait for but the whole database")
    _saved(store, replace(FULL, shadow=Shadow(confirmed_at=1)))
    seen: list[SourceRecord] = []

    def wait_and_read() -> None:
        with store() as uow:
            seen.extend(uow.records.get([FULL.rec_id], lock=True).values())

    with store() as uow:
        [record] = uow.records.get([FULL.rec_id], lock=True).values()
        record.entity_id, record.shadow = "E2", Shadow(confirmed_at=2)
        uow.records.save([record])
        other = threading.Thread(target=wait_and_read)
        other.start()
        _until_somebody_waits(store)
        uow.commit()
    other.join()
    assert (seen[0].entity_id, seen[0].shadow.confirmed_at) == ("E2", 2)


def _until_somebody_waits(store: Database) -> None:
    query = sa.text("select count(*) from pg_locks where not granted")
    with store.engine.connect() as connection:
        while not connection.execute(query).scalar_one():
            connection.rollback()


def test_two_workers_lease_different_deliveries(store: Database) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    _put(store, _message("E1"), _message("E2"))
    with store() as one, store() as two:
        [first] = one.outbox.claim("shop", 1, 0, LEASE, 2)
        [second] = two.outbox.claim("shop", 2, 0, LEASE, 2)
        assert {first.entity_id, second.entity_id} == {"E1", "E2"}

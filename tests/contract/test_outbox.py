"""What the engine asks of the outbox, kept by every database alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crm_master.domain.lifecycle import DeliveryState
from crm_master.ports import OutboxMessage
from crm_master.store import Database
from tests.contract.rows import LEASE, message_for, put


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
    put(store, message_for("E2"), at=1)
    put(store, message_for("E1", None), at=2)
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
    put(store, replace(message_for(), system="erp"))
    assert _lease(store) == []
    with store() as uow:
        assert uow.outbox.count() == {"pending": 1}


def test_a_lease_ends_and_the_next_worker_has_a_higher_fence(store: Database) -> None:
    put(store, message_for())
    [first] = _lease(store, now=0)
    assert _lease(store, now=LEASE - 1) == []
    [second] = _lease(store, now=LEASE)
    assert (first.fence, second.fence) == (1, 2)


def test_who_has_lost_the_lease_changes_nothing(store: Database) -> None:
    put(store, message_for())
    [slow] = _lease(store, now=0)
    _lease(store, now=LEASE)
    _save(store, slow, state=DeliveryState.REFUSED)
    _done(store, slow)
    assert _states(store) == {"leased": 1}


def test_who_has_lost_the_lease_does_not_begin(store: Database) -> None:
    put(store, message_for(), message_for("E2", "r2"))
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
    put(store, message_for(rec_id=None))
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
    put(store, message_for())
    [message] = _lease(store)
    _save(store, message, state=DeliveryState.PENDING, not_before=50, reason="slow down")
    assert _lease(store, now=49) == []
    [again] = _lease(store, now=50)
    assert (again.attempts, again.reason) == (2, "slow down")


def test_a_delivery_that_is_queued_again_only_moves_to_the_newer_version(store: Database) -> None:
    put(store, message_for(version=1))
    put(store, message_for(version=2))
    [message] = _lease(store)
    assert message.version == 2
    put(store, message_for(version=3))
    assert _lease(store) == [], "it is still leased"


def test_done_removes_a_delivery(store: Database) -> None:
    put(store, message_for())
    [message] = _lease(store)
    _done(store, message)
    assert _states(store) == {}


def test_done_with_a_newer_version_waiting_is_due_again(store: Database) -> None:
    put(store, message_for(version=1))
    [message] = _lease(store)
    _save(store, message, state=DeliveryState.SENT, sent={"name": "x"})
    put(store, message_for(version=2))
    _done(store, message)
    [again] = _lease(store)
    assert (again.version, again.attempts, again.sent) == (2, 1, {})


def test_done_with_a_newer_version_than_was_queued_leaves_nothing(store: Database) -> None:
    """Rendered was the golden record as it is now; that nobody queued that version does not matter."""
    put(store, message_for(version=1))
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
    put(store, message_for())
    [message] = _lease(store)
    _save(store, message, state=state)
    with store() as uow:
        uow.outbox.cancel([message.id])
        uow.commit()
    assert bool(_states(store)) is kept


@pytest.mark.parametrize("state", [DeliveryState.REFUSED, DeliveryState.OVERTAKEN])
def test_what_waits_for_a_change_is_due_after_one(store: Database, state: DeliveryState) -> None:
    put(store, message_for())
    [message] = _lease(store)
    _save(store, message, state=state, not_before=1_000)
    assert _lease(store, now=500) == []
    put(store, message_for(version=2))
    assert [again.version for again in _lease(store, now=500)] == [2]


def test_an_overtaken_delivery_is_resumed_by_its_record(store: Database) -> None:
    for entity, rec_id, state in (("E1", "r1", "overtaken"), ("E2", "r2", "refused")):
        put(store, message_for(entity, rec_id))
        [message] = _lease(store)
        _save(store, message, state=DeliveryState(state), not_before=1_000)
    with store() as uow:
        uow.outbox.resume(["r1", "r2"])
        uow.commit()
    assert [message.rec_id for message in _lease(store)] == ["r1"]


def test_what_is_held_is_retried_or_dropped(store: Database) -> None:
    for entity in ("E1", "E2"):
        put(store, message_for(entity, None))
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
    put(store, message_for("E1", None), message_for("E2", "r2"))
    for message in _lease(store):
        _save(store, message, state=DeliveryState.HELD)
    with store() as uow:
        assert [message.entity_id for message in uow.outbox.creating("customer")] == ["E1"]
        assert uow.outbox.creating("order") == []
        assert list(uow.outbox.for_records(["r2", "r9"])) == ["r2"]
        assert uow.outbox.count_creates("shop") == {"held": 1}

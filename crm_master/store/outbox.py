"""Deliveries: one row for each customer and target, leased to one worker at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import DeliveryState, DeliveryVerb
from crm_master.ports import Level, OutboxMessage
from crm_master.store.locks import LockBook
from crm_master.store.schema import outbox
from crm_master.store.sql import Query, among, chunks, counted, counts, locking, unindexed, upsert

_OPEN = (DeliveryState.SENT.value, DeliveryState.UNKNOWN.value, DeliveryState.HELD.value)
_DUE = (
    DeliveryState.PENDING.value,
    DeliveryState.UNKNOWN.value,
    DeliveryState.WAITING.value,
)
_DOUBTFUL = (DeliveryState.SENT.value, DeliveryState.UNKNOWN.value)
_WAITING = (
    DeliveryState.REFUSED.value,
    DeliveryState.OVERTAKEN.value,
    DeliveryState.WAITING.value,
)
SET_ASIDE = (DeliveryState.HELD.value, DeliveryState.REFUSED.value)
_BUSY = (DeliveryState.LEASED.value, DeliveryState.SENT.value)

# asked before every delivery: made once
_of_system, _is_one = outbox.c.system == sa.bindparam("of"), among(outbox.c.id, "of")
_WAITS = Query(
    counts({verb.value: outbox.c.verb == verb.value for verb in DeliveryVerb}).where(
        _of_system, outbox.c.stream == sa.bindparam("in"), outbox.c.state.not_in(SET_ASIDE)
    )
)
_states = counts({state.value: outbox.c.state == state.value for state in DeliveryState})
_COUNT, _COUNT_OF = Query(_states), Query(_states.where(_of_system))
_COUNT_CREATES = Query(_states.where(_of_system, outbox.c.rec_id.is_(None)))
_due = sa.and_(outbox.c.state.in_(_DUE), outbox.c.not_before <= sa.bindparam("now"))
_expired = sa.and_(outbox.c.state.in_(_BUSY), outbox.c.lease_until <= sa.bindparam("now"))
_erase = outbox.c.verb == DeliveryVerb.ERASE.value
_FREE, _FREE_ERASURES = (
    Query(
        sa.select(outbox)
        .where(_of_system, verbs, sa.or_(_due, _expired))
        .order_by(outbox.c.queued_at, outbox.c.id)
        .limit(sa.bindparam("most")),
        lock=True,
        skip=True,
    )
    for verbs in (~_erase, _erase)
)
_LEASE = Query(
    sa.update(outbox)
    .where(_is_one)
    .values(
        # what may have been sent stays so, whoever dies over it: it is looked up first
        state=sa.case(
            (outbox.c.state.in_(_DOUBTFUL), DeliveryState.SENT.value),
            else_=DeliveryState.LEASED.value,
        ),
        fence=outbox.c.fence + 1,
        lease_until=sa.bindparam("until"),
        deaths=sa.case((outbox.c.state.in_(_BUSY), outbox.c.deaths + 1), else_=outbox.c.deaths),
        attempts=outbox.c.attempts + 1,
    )
)
_PROLONG = Query(sa.update(outbox).where(_is_one).values(lease_until=sa.bindparam("until")))
_FENCES = Query(
    sa.select(outbox.c.id, outbox.c.fence).where(_is_one).order_by(outbox.c.id), lock=True
)
_is_mine = sa.and_(outbox.c.id == sa.bindparam("of"), outbox.c.fence == sa.bindparam("under"))
_SAVE = Query(
    sa.update(outbox)
    .where(_is_mine)
    .values(
        state=sa.bindparam("new_state"),
        attempts=sa.bindparam("new_attempts"),
        deaths=sa.bindparam("new_deaths"),
        not_before=sa.bindparam("new_not_before"),
        reason=sa.bindparam("new_reason"),
        sent=sa.bindparam("new_sent", type_=outbox.c.sent.type),
    )
)
_PENDING_AGAIN = {"state": DeliveryState.PENDING.value, "attempts": 0, "not_before": 0}
_DELIVERED = Query(sa.delete(outbox).where(_is_mine, outbox.c.version <= sa.bindparam("rendered")))
_OUTDATED = Query(
    sa.update(outbox)
    .where(_is_mine, outbox.c.version > sa.bindparam("rendered"))
    .values(_PENDING_AGAIN | {"sent": {}})
)
_REFUSED_BEFORE = Query(
    sa.update(outbox).where(_is_one, outbox.c.state.in_(_WAITING)).values(_PENDING_AGAIN)
)
_of_record = among(outbox.c.rec_id, "of")
_RESUME = Query(
    sa.update(outbox)
    .where(_of_record, outbox.c.state == DeliveryState.OVERTAKEN.value)
    .values(_PENDING_AGAIN)
)
# what a person had sent again may have been made: whoever delivers it sees that nobody wants it, and frees what waits for it
_sent_again = sa.and_(
    outbox.c.state == DeliveryState.PENDING.value, outbox.c.rec_id.is_(None), outbox.c.sent != {}
)
_CANCEL = Query(
    sa.delete(outbox).where(
        _is_one,
        outbox.c.state.not_in((*_OPEN, DeliveryState.LEASED.value)),
        sa.not_(_sent_again),
    )
)
_FOR_RECORDS = Query(sa.select(outbox).where(_of_record))
_of_customers = sa.select(outbox).where(among(outbox.c.entity_id, "of")).order_by(outbox.c.id)
_OF_CUSTOMERS, _OF_CUSTOMERS_LOCKED = Query(_of_customers), Query(_of_customers, lock=True)


class OutboxRepository:
    """See ``crm_master.ports.Outbox``."""

    def __init__(self, connection: Connection, locks: LockBook) -> None:
        self._connection = connection
        self._locks = locks

    def put(self, messages: Sequence[OutboxMessage], at: Instant) -> None:
        self._locks.take(Level.CUSTOMER, {message.entity_id for message in messages})
        ordered = sorted(messages, key=lambda message: message.id)
        rows = [_row(message) | {"lease_until": 0, "queued_at": at} for message in ordered]
        upsert(self._connection, outbox, rows, ("version", "verb"))
        # a refusal held for the version it was given for
        for part in chunks({message.id for message in ordered}):
            _REFUSED_BEFORE(self._connection, {"of": part})

    def resume(self, ids: Collection[RecordId]) -> None:
        for part in chunks(set(ids)):
            _RESUME(self._connection, {"of": part})

    def look_again(self, entities: Collection[str], systems: Collection[str]) -> None:
        query = (
            sa.select(outbox.c.id)
            .where(
                outbox.c.entity.in_(sorted(entities)),
                outbox.c.state == DeliveryState.WAITING.value,
                unindexed(outbox.c.system).in_(sorted(systems)),
                outbox.c.not_before > 0,
            )
            .order_by(outbox.c.id)
        )
        # what another worker has in hand is looked at by it
        found = self._connection.execute(locking(self._connection, query, skip=True)).scalars()
        for part in chunks(set(found)):
            self._connection.execute(
                sa.update(outbox).where(outbox.c.id.in_(part)).values(attempts=0, not_before=0)
            )

    def cancel(self, ids: Collection[str]) -> None:
        for part in chunks(set(ids)):
            _CANCEL(self._connection, {"of": part})

    def claim(
        self,
        system: str,
        limit: int,
        now: Instant,
        lease: Instant,
        alone_from: int,
        *,
        erasing: bool = False,
    ) -> list[OutboxMessage]:
        free = _FREE_ERASURES if erasing else _FREE
        rows = free(self._connection, {"of": system, "now": now, "most": limit})
        # what takes its workers along again and again is tried when nothing else is left, and by itself
        suspects = [row for row in rows if row.state in _BUSY and row.deaths + 1 >= alone_from]
        if suspects:
            rows = [row for row in rows if row not in suspects] or suspects[:1]
        for part in chunks({row.id for row in rows}):
            _LEASE(self._connection, {"of": part, "until": now + lease})
        messages = [outbox_message(row) for row in rows]
        for message in messages:
            message.fence += 1
            message.attempts += 1
            message.deaths += message.state in _BUSY
        return messages

    def begin(self, messages: Sequence[OutboxMessage], until: Instant) -> frozenset[str]:
        mine = self.mine(messages)
        for part in chunks(mine):
            _PROLONG(self._connection, {"of": part, "until": until})
        ours = [message for message in messages if message.id in mine]
        for message in ours:
            message.state = DeliveryState.SENT
        self.save(ours)
        return mine

    def mine(self, messages: Sequence[OutboxMessage]) -> frozenset[str]:
        fences = {message.id: message.fence for message in messages}
        found: set[str] = set()
        for part in chunks(fences.keys()):
            rows = _FENCES(self._connection, {"of": part})
            found.update(id_ for id_, fence in rows if fence == fences[id_])
        return frozenset(found)

    def open(self, ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        for part in chunks(set(ids)):
            query = sa.select(outbox.c.id).where(outbox.c.id.in_(part), outbox.c.state.in_(_OPEN))
            query = locking(self._connection, query.order_by(outbox.c.id))
            found.update(self._connection.execute(query).scalars())
        return found

    def save(self, messages: Sequence[OutboxMessage]) -> None:
        if not messages:
            return
        self._locks.take(Level.CUSTOMER, {message.entity_id for message in messages})
        rows = [
            {
                "of": message.id,
                "under": message.fence,
                "new_state": message.state.value,
                "new_attempts": message.attempts,
                # who lives to say what became of it has survived it
                "new_deaths": message.deaths if message.state is DeliveryState.SENT else 0,
                "new_not_before": message.not_before,
                "new_reason": message.reason,
                "new_sent": message.sent,
            }
            for message in sorted(messages, key=lambda message: message.id)
        ]
        _SAVE.many(self._connection, rows)

    def done(self, messages: Sequence[OutboxMessage]) -> None:
        if not messages:
            return
        self._locks.take(Level.CUSTOMER, {message.entity_id for message in messages})
        rows = [
            {"of": message.id, "under": message.fence, "rendered": message.version}
            for message in sorted(messages, key=lambda message: message.id)
        ]
        _DELIVERED.many(self._connection, rows)
        _OUTDATED.many(self._connection, rows)

    def creating(self, entity: str) -> list[OutboxMessage]:
        query = sa.select(outbox).where(
            outbox.c.entity == entity, outbox.c.rec_id.is_(None), outbox.c.state.in_(_OPEN)
        )
        return [outbox_message(row) for row in self._connection.execute(query)]

    def retry(self, ids: Collection[str]) -> None:
        self._lock_customers(ids)
        for part in chunks(set(ids)):
            self._connection.execute(
                sa.update(outbox)
                .where(outbox.c.id.in_(part), outbox.c.state.in_(SET_ASIDE))
                .values(state=DeliveryState.PENDING.value, attempts=0, deaths=0, not_before=0)
            )

    def _lock_customers(self, ids: Collection[str]) -> None:
        found: set[EntityId] = set()
        for part in chunks(set(ids)):
            query = sa.select(outbox.c.entity_id).where(outbox.c.id.in_(part))
            found.update(self._connection.execute(query).scalars())
        self._locks.take(Level.CUSTOMER, found)

    def drop(self, ids: Collection[str]) -> None:
        self._lock_customers(ids)
        for part in chunks(set(ids)):
            self._connection.execute(sa.delete(outbox).where(outbox.c.id.in_(part)))

    def for_records(self, ids: Collection[RecordId]) -> dict[RecordId, OutboxMessage]:
        found: dict[RecordId, OutboxMessage] = {}
        for part in chunks(set(ids)):
            for row in _FOR_RECORDS(self._connection, {"of": part}):
                found[row.rec_id] = outbox_message(row)
        return found

    def of_customers(self, ids: Collection[EntityId], *, lock: bool = False) -> list[OutboxMessage]:
        if lock:
            self._locks.take(Level.CUSTOMER, ids)
        found: list[OutboxMessage] = []
        for part in chunks(set(ids)):
            rows = (_OF_CUSTOMERS_LOCKED if lock else _OF_CUSTOMERS)(self._connection, {"of": part})
            found += [outbox_message(row) for row in rows]
        return found

    def waiting(self, system: str, stream: str) -> dict[DeliveryVerb, int]:
        found = counted(self._connection, _WAITS, {"of": system, "in": stream})
        return {DeliveryVerb(verb): number for verb, number in found.items()}

    def count_creates(self, system: str) -> dict[str, int]:
        return counted(self._connection, _COUNT_CREATES, {"of": system})

    def count(self, system: str | None = None) -> dict[str, int]:
        query = _COUNT if system is None else _COUNT_OF
        return counted(self._connection, query, {"of": system})


def _row(message: OutboxMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "entity_id": message.entity_id,
        "entity": message.entity,
        "system": message.system,
        "stream": message.stream,
        "rec_id": message.rec_id,
        "verb": message.verb.value,
        "version": message.version,
        "state": message.state.value,
        "attempts": message.attempts,
        "deaths": message.deaths,
        "fence": message.fence,
        "not_before": message.not_before,
        "reason": message.reason,
        "sent": message.sent,
    }


def outbox_message(row: Any) -> OutboxMessage:
    return OutboxMessage(
        entity_id=row.entity_id,
        entity=row.entity,
        system=row.system,
        stream=row.stream,
        rec_id=row.rec_id,
        version=row.version,
        verb=DeliveryVerb(row.verb),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        deaths=row.deaths,
        fence=row.fence,
        not_before=row.not_before,
        reason=row.reason,
        sent=row.sent,
    )

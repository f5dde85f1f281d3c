"""Observations: raw rows on their way in, and kept as the journal's first part."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.ids import ExternalRef, RecordId, record_id
from crm_master.domain.lifecycle import InboxState
from crm_master.ports import InboxItem, Landing, Level, Read
from crm_master.store.locks import LockBook
from crm_master.store.records import last_hashes
from crm_master.store.schema import commit_log, observation, source_record
from crm_master.store.sql import Query, among, chunks, insert, locking, unindexed, upsert

_NEW_RECORD: dict[str, Any] = {
    "entity_id": None,
    "status": "live",
    "is_primary": True,
    "pinned": False,
    "since": 0,
    "origin": "source",
    "claims": {},
    "mapping_hash": "",
    "reread": False,
}

_state = unindexed(observation.c.state)
_is_pending = _state == InboxState.PENDING.value
_is_one, _of_one = among(observation.c.seq, "of"), among(observation.c.rec_id, "of")

# asked for every batch: made once
_PENDING_RECORDS = Query(
    sa.select(observation.c.rec_id, observation.c.seq).where(_of_one, _is_pending)
)
_WAITING = Query(sa.select(observation.c.seq).where(_is_one, _is_pending))
_count = sa.select(sa.func.count()).where(observation.c.state == InboxState.PENDING.value)
_PENDING = Query(_count)
_PENDING_OF = Query(_count.where(observation.c.entity == sa.bindparam("of")))
_older = observation.alias("older")
_waits = sa.exists().where(
    _older.c.rec_id == observation.c.rec_id,
    _older.c.seq < observation.c.seq,
    _older.c.state == InboxState.PENDING.value,
    sa.or_(_older.c.seq <= sa.bindparam("after"), _older.c.lease_until > sa.bindparam("now")),
)
_FREE = Query(
    sa.select(observation)
    .where(
        observation.c.state == InboxState.PENDING.value,
        observation.c.entity == sa.bindparam("of"),
        observation.c.seq > sa.bindparam("after"),
        observation.c.lease_until <= sa.bindparam("now"),
        ~_waits,
    )
    .order_by(observation.c.seq)
    .limit(sa.bindparam("most")),
    lock=True,
    skip=True,
)
_LEASE = Query(
    sa.update(observation)
    .where(_is_one)
    .values(attempts=observation.c.attempts + 1, lease_until=sa.bindparam("until"))
)
_FINISH = Query(
    sa.update(observation).where(_is_one).values(state=sa.bindparam("as"), pos=sa.bindparam("at"))
)
_APPLIED = Query(
    sa.select(observation)
    .where(observation.c.pos == sa.bindparam("of"))
    .order_by(observation.c.seq)
)
_BY_SEQ = Query(sa.select(observation).where(_is_one))
_done = (_of_one, _state == InboxState.DONE.value, ~observation.c.deleted)
_newest, _newest_before = (
    sa.select(sa.func.max(observation.c.seq)).where(*of).group_by(observation.c.rec_id)
    for of in (_done, (*_done, observation.c.pos < sa.bindparam("before")))
)
_LANDED, _LANDED_BEFORE = (
    Query(sa.select(observation).where(observation.c.seq.in_(of)))
    for of in (_newest, _newest_before)
)
_KNOWN_DEAD = Query(sa.select(observation.c.rec_id).where(_of_one))
_UNREAD = Query(sa.select(observation.c.rec_id).where(_of_one, _is_pending))
_ANY_UNREAD = Query(
    sa.select(
        sa.exists().where(
            observation.c.state == InboxState.PENDING.value,
            observation.c.system == sa.bindparam("of"),
            observation.c.stream == sa.bindparam("in"),
        )
    )
)


class InboxRepository:
    """See ``crm_master.ports.Inbox``."""

    def __init__(self, connection: Connection, locks: LockBook) -> None:
        self._connection = connection
        self._locks = locks

    def land(
        self, rows: Sequence[Landing], run_id: str, last: Mapping[RecordId, bytes] | None = None
    ) -> tuple[int, int]:
        ids = [row.raw_hash.hex() if row.dead else record_id(row.ref) for row in rows]
        if last is None:
            alive = [rec_id for rec_id, row in zip(ids, rows, strict=True) if not row.dead]
            last = last_hashes(self._connection, alive)
        newest = dict(last)
        known = self._known_dead(
            [rec_id for rec_id, row in zip(ids, rows, strict=True) if row.dead]
        )
        landed: list[dict[str, Any]] = []
        records: dict[RecordId, dict[str, Any]] = {}
        for rec_id, row in zip(ids, rows, strict=True):
            if newest.get(rec_id) == row.raw_hash or rec_id in known:
                continue
            if row.dead is None:
                newest[rec_id] = row.raw_hash
                records[rec_id] = _NEW_RECORD | {
                    "rec_id": rec_id,
                    "system": row.ref.system,
                    "stream": row.ref.stream,
                    "key": row.ref.key,
                    "entity": row.entity,
                    "raw_hash": row.raw_hash,
                }
            landed.append(_observation(rec_id, row, run_id))
        # records first: whoever waits for another's observation of one gets a later place in the sequence
        ordered = [records[rec_id] for rec_id in sorted(records)]
        self._locks.expect(Level.RECORD, records)
        upsert(self._connection, source_record, ordered, ("raw_hash", "reread"))
        insert(self._connection, observation, landed)
        return len(landed), len(rows) - len(landed)

    def _known_dead(self, ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        for part in chunks(set(ids)):
            found.update(_KNOWN_DEAD.column(self._connection, {"of": part}))
        return found

    def claim(
        self,
        entity: str,
        limit: int,
        now: Instant,
        lease: Instant,
        alone_from: int,
        after: int = 0,
    ) -> list[InboxItem]:
        which = {"of": entity, "after": after, "now": now, "most": limit}
        items = self._in_sequence([_item(row) for row in _FREE(self._connection, which)])
        for place, item in enumerate(items):
            if item.attempts >= alone_from:
                items = items[:place] or items[:1]
                break
        for part in chunks({item.seq for item in items}):
            _LEASE(self._connection, {"of": part, "until": now + lease})
        return items

    def _in_sequence(self, items: Sequence[InboxItem]) -> list[InboxItem]:
        """Leave out what has an older observation of its record before it that somebody else holds."""
        mine = {item.seq for item in items}
        before: dict[RecordId, int] = {}
        for part in chunks({item.rec_id for item in items}):
            for rec_id, seq in _PENDING_RECORDS(self._connection, {"of": part}):
                if seq not in mine:
                    before[rec_id] = min(seq, before.get(rec_id, seq))
        return [item for item in items if item.seq < before.get(item.rec_id, item.seq + 1)]

    def forgive(self, seqs: Collection[int]) -> None:
        for part in chunks(set(seqs)):
            self._connection.execute(
                sa.update(observation)
                .where(observation.c.seq.in_(part), observation.c.attempts > 0)
                .values(attempts=observation.c.attempts - 1, lease_until=0)
            )

    def release(self, seqs: Collection[int]) -> None:
        for part in chunks(set(seqs)):
            self._connection.execute(
                sa.update(observation).where(observation.c.seq.in_(part)).values(lease_until=0)
            )

    def waiting(self, seqs: Collection[int]) -> set[int]:
        found: set[int] = set()
        for part in chunks(set(seqs)):
            found.update(_WAITING.column(self._connection, {"of": part}))
        return found

    def finish(self, items: Sequence[InboxItem], pos: int) -> None:
        by_state: dict[InboxState, set[int]] = {}
        for item in items:
            by_state.setdefault(item.state, set()).add(item.seq)
        for state, seqs in by_state.items():
            for part in chunks(seqs):
                _FINISH(self._connection, {"of": part, "as": state.value, "at": pos})

    def unpark(self, system: str, stream: str) -> None:
        parked = (
            sa.select(observation.c.seq)
            .where(
                observation.c.state == InboxState.PARKED.value,
                observation.c.system == system,
                observation.c.stream == stream,
            )
            .order_by(observation.c.seq)
        )
        self._connection.execute(
            sa.update(observation)
            .where(observation.c.seq.in_(locking(self._connection, parked)))
            .values(state=InboxState.PENDING.value, attempts=0, lease_until=0)
        )

    def reopen(self, rec_id: RecordId, since: Instant) -> None:
        self._connection.execute(
            sa.update(observation)
            .where(
                observation.c.rec_id == rec_id,
                _state == InboxState.DONE.value,
                observation.c.started >= since,
                ~observation.c.deleted,
            )
            .values(state=InboxState.PENDING.value, attempts=0, lease_until=0)
        )

    def requeue(self, seqs: Sequence[int]) -> int:
        again: list[dict[str, Any]] = []
        for part in chunks(set(seqs)):
            newest = (
                sa.select(sa.func.max(observation.c.seq))
                .where(
                    observation.c.rec_id.in_(
                        sa.select(observation.c.rec_id).where(observation.c.seq.in_(part))
                    )
                )
                .group_by(observation.c.rec_id)
            )
            query = sa.select(observation).where(
                observation.c.seq.in_(part),
                observation.c.seq.in_(newest),
                observation.c.attempts > 0,
                observation.c.state != InboxState.PENDING.value,
            )
            fresh = {
                "attempts": 0,
                "state": InboxState.PENDING.value,
                "lease_until": 0,
                "pos": 0,
            }
            for row in self._connection.execute(query.order_by(observation.c.seq)).mappings():
                copied = {name: value for name, value in row.items() if name != "seq"}
                again.append(copied | fresh)
        insert(self._connection, observation, again)
        return len(again)

    def applied(self, pos: int) -> list[InboxItem]:
        return [_item(row) for row in _APPLIED(self._connection, {"of": pos})]

    def get(self, seq: int) -> InboxItem | None:
        row = self._connection.execute(
            sa.select(observation).where(observation.c.seq == seq)
        ).one_or_none()
        return None if row is None else _item(row)

    def landed(
        self, ids: Collection[RecordId], before: int | None = None
    ) -> dict[RecordId, InboxItem]:
        found: dict[RecordId, InboxItem] = {}
        for part in chunks(set(ids)):
            landed = _LANDED if before is None else _LANDED_BEFORE
            rows = landed(self._connection, {"of": part, "before": before})
            found.update((row.rec_id, _item(row)) for row in rows)
        return found

    def by_seq(self, seqs: Collection[int]) -> dict[int, InboxItem]:
        found: dict[int, InboxItem] = {}
        for part in chunks(set(seqs)):
            rows = _BY_SEQ(self._connection, {"of": part})
            found.update((row.seq, _item(row)) for row in rows)
        return found

    def runs_of(self, seqs: Collection[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        for part in chunks(set(seqs)):
            query = sa.select(observation.c.seq, observation.c.run_id).where(
                observation.c.seq.in_(part)
            )
            found.update((seq, run_id) for seq, run_id in self._connection.execute(query))
        return found

    def reads_of(self, seqs: Collection[int]) -> dict[int, Read]:
        found: dict[int, Read] = {}
        for part in chunks(set(seqs)):
            columns = (observation.c.run_id, observation.c.started, observation.c.ended)
            query = (
                sa.select(observation.c.seq, *columns, commit_log.c.run_id.label("applied"))
                .outerjoin(commit_log, commit_log.c.pos == observation.c.pos)
                .where(observation.c.seq.in_(part))
            )
            for seq, run_id, started, ended, applied in self._connection.execute(query):
                found[seq] = Read(run_id, started, ended, applied or "")
        return found

    def read_in(self, run_id: str, after: int, limit: int) -> list[InboxItem]:
        query = (
            sa.select(observation)
            .where(observation.c.run_id == run_id, observation.c.seq > after)
            .order_by(observation.c.seq)
            .limit(limit)
        )
        return [_item(row) for row in self._connection.execute(query)]

    def unread(self, ids: Collection[RecordId]) -> set[RecordId]:
        found: set[RecordId] = set()
        for part in chunks(set(ids)):
            found.update(_UNREAD.column(self._connection, {"of": part}))
        return found

    def any_unread(self, system: str, stream: str) -> bool:
        return bool(_ANY_UNREAD.one(self._connection, {"of": system, "in": stream}))

    def dead(self, system: str, stream: str, key: str) -> bytes | None:
        query = (
            sa.select(observation.c.raw)
            .where(
                observation.c.state == InboxState.DEAD.value,
                observation.c.system == system,
                observation.c.stream == stream,
                observation.c.key == key,
            )
            .order_by(observation.c.seq.desc())
            .limit(1)
        )
        raw = self._connection.execute(query).scalar_one_or_none()
        return None if raw is None else bytes(raw)

    def pending(self, entity: str | None = None) -> int:
        query, of = (_PENDING, {}) if entity is None else (_PENDING_OF, {"of": entity})
        return int(query.one(self._connection, of))


def _observation(rec_id: RecordId, row: Landing, run_id: str) -> dict[str, Any]:
    state = InboxState.PENDING if row.dead is None else InboxState.DEAD
    return {
        "rec_id": rec_id,
        "system": row.ref.system,
        "stream": row.ref.stream,
        "key": row.ref.key,
        "entity": row.entity,
        "raw": row.raw,
        "stamp": row.stamp,
        "started": row.started,
        "ended": row.ended,
        "watermark": row.watermark,
        "deleted": row.deleted,
        "merged_into": row.merged_into,
        "attempts": 0,
        "state": state.value,
        "lease_until": 0,
        "pos": 0,
        "run_id": run_id,
    }


def _item(row: Any) -> InboxItem:
    return InboxItem(
        seq=row.seq,
        rec_id=row.rec_id,
        ref=ExternalRef(row.system, row.stream, row.key),
        entity=row.entity,
        raw=bytes(row.raw),
        stamp=row.stamp,
        started=row.started,
        ended=row.ended,
        watermark=row.watermark,
        deleted=row.deleted,
        attempts=row.attempts,
        state=InboxState(row.state),
        merged_into=row.merged_into,
    )

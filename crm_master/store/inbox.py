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
from crm_master.store.sql import among, chunks, insert, locking, unindexed, upsert

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
_PENDING_RECORDS = sa.select(observation.c.rec_id, observation.c.seq).where(
    among(observation.c.rec_id, "of"), _is_pending
)
_WAITING = sa.select(observation.c.seq).where(among(observation.c.seq, "of"), _is_pending)
_PENDING = sa.select(sa.func.count()).where(observation.c.state == InboxState.PENDING.value)
_PENDING_OF = _PENDING.where(observation.c.entity == sa.bindparam("of"))


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
            query = sa.select(observation.c.rec_id).where(observation.c.rec_id.in_(part))
            found.update(self._connection.execute(query).scalars())
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
        older = observation.alias("older")
        waits = sa.exists().where(
            older.c.rec_id == observation.c.rec_id,
            older.c.seq < observation.c.seq,
            older.c.state == InboxState.PENDING.value,
            sa.or_(older.c.seq <= after, older.c.lease_until > now),
        )
        pending = (
            sa.select(observation)
            .where(
                observation.c.state == InboxState.PENDING.value,
                observation.c.entity == entity,
                observation.c.seq > after,
                observation.c.lease_until <= now,
                ~waits,
            )
            .order_by(observation.c.seq)
        )
        query = locking(self._connection, pending.limit(limit), skip=True)
        items = self._in_sequence([_item(row) for row in self._connection.execute(query)])
        for place, item in enumerate(items):
            if item.attempts >= alone_from:
                items = items[:place] or items[:1]
                break
        for part in chunks({item.seq for item in items}):
            self._connection.execute(
                sa.update(observation)
                .where(observation.c.seq.in_(part))
                .values(attempts=observation.c.attempts + 1, lease_until=now + lease)
            )
        return items

    def _in_sequence(self, items: Sequence[InboxItem]) -> list[InboxItem]:
        """Leave out what has an older observation of its record before it that somebody else holds."""
        mine = {item.seq for item in items}
        before: dict[RecordId, int] = {}
        for part in chunks({item.rec_id for item in items}):
            for rec_id, seq in self._connection.execute(_PENDING_RECORDS, {"of": part}).all():
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
            found.update(self._connection.execute(_WAITING, {"of": part}).scalars())
        return found

    def finish(self, items: Sequence[InboxItem], pos: int) -> None:
        by_state: dict[InboxState, set[int]] = {}
        for item in items:
            by_state.setdefault(item.state, set()).add(item.seq)
        for state, seqs in by_state.items():
            for part in chunks(seqs):
                self._connection.execute(
                    sa.update(observation)
                    .where(observation.c.seq.in_(part))
                    .values(state=state.value, pos=pos)
                )

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
        query = sa.select(observation).where(observation.c.pos == pos).order_by(observation.c.seq)
        return [_item(row) for row in self._connection.execute(query)]

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
            of_part = sa.and_(
                observation.c.rec_id.in_(part),
                _state == InboxState.DONE.value,
                ~observation.c.deleted,
            )
            if before is not None:
                of_part = sa.and_(of_part, observation.c.pos < before)
            newest = sa.select(sa.func.max(observation.c.seq)).where(of_part)
            query = sa.select(observation).where(
                observation.c.seq.in_(newest.group_by(observation.c.rec_id))
            )
            found.update((row.rec_id, _item(row)) for row in self._connection.execute(query))
        return found

    def by_seq(self, seqs: Collection[int]) -> dict[int, InboxItem]:
        found: dict[int, InboxItem] = {}
        for part in chunks(set(seqs)):
            query = sa.select(observation).where(observation.c.seq.in_(part))
            found.update((row.seq, _item(row)) for row in self._connection.execute(query))
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
            query = sa.select(observation.c.rec_id).where(
                observation.c.rec_id.in_(part), _state == InboxState.PENDING.value
            )
            found.update(self._connection.execute(query).scalars())
        return found

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
        return int(self._connection.execute(query, of).scalar_one())


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

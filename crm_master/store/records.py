"""Source records, shadows and block keys."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Interval
from crm_master.domain.ids import EntityId, ExternalRef, RecordId
from crm_master.domain.lifecycle import Origin, RecordStatus
from crm_master.ports import Level, SourceRecord
from crm_master.store.documents import dump_claims, dump_shadow, load_claims, load_shadow
from crm_master.store.locks import LockBook
from crm_master.store.schema import block_key, source_record
from crm_master.store.sql import Query, among, chunks, counted, counts, upsert

SELECT = sa.select(source_record)


# asked for every batch: made once
def _by(column: sa.Column[Any]) -> Query:
    return Query(SELECT.where(among(column, "of")).order_by(source_record.c.rec_id))


_BY_ID, _BY_CUSTOMER = _by(source_record.c.rec_id), _by(source_record.c.entity_id)
_is_one = among(source_record.c.rec_id, "of")
_LAST_HASHES = Query(
    sa.select(source_record.c.rec_id, source_record.c.raw_hash, source_record.c.reread).where(
        _is_one
    )
)
_MEMBERS = Query(sa.select(source_record.c.rec_id).where(among(source_record.c.entity_id, "of")))
_OWNERS = Query(sa.select(source_record.c.entity_id, source_record.c.placed).where(_is_one))
_LINKED = Query(
    sa.select(source_record.c.rec_id).where(_is_one, source_record.c.entity_id.is_not(None))
)
_is_live = source_record.c.status == RecordStatus.LIVE.value
_COUNT = Query(
    counts(
        {status.value: source_record.c.status == status.value for status in RecordStatus}
        | {
            "linked": _is_live & source_record.c.entity_id.is_not(None),
            "unlinked": _is_live & source_record.c.entity_id.is_(None),
        }
    ).where(
        source_record.c.system == sa.bindparam("of"), source_record.c.stream == sa.bindparam("in")
    )
)
_UNBLOCK = Query(sa.delete(block_key).where(among(block_key.c.rec_id, "of")))
_ranked = (
    sa.select(
        block_key.c.hash,
        block_key.c.rec_id,
        sa.func.row_number()
        .over(partition_by=block_key.c.hash, order_by=block_key.c.rec_id)
        .label("place"),
    )
    .where(among(block_key.c.hash, "of"))
    .subquery()
)
_BY_BLOCKS = Query(
    sa.select(_ranked.c.hash, _ranked.c.rec_id).where(_ranked.c.place <= sa.bindparam("most"))
)
_TO_REREAD = Query(
    SELECT.where(
        source_record.c.system == sa.bindparam("of"),
        source_record.c.stream == sa.bindparam("in"),
        source_record.c.reread,
    )
    .order_by(source_record.c.key)
    .limit(sa.bindparam("most"))
)
_RECORD_COLUMNS = (
    "entity",
    "entity_id",
    "status",
    "gone_lo",
    "gone_hi",
    "alias_of",
    "is_primary",
    "pinned",
    "since",
    "placed",
    "origin",
    "claims",
    "raw_hash",
    "mapping_hash",
    "reread",
    "shadow",
    "confirmed_at",
)


class RecordRepository:
    """See ``crm_master.ports.Records``."""

    def __init__(self, connection: Connection, locks: LockBook) -> None:
        self._connection = connection
        self._locks = locks

    def get(self, ids: Collection[RecordId], *, lock: bool = False) -> dict[RecordId, SourceRecord]:
        if lock:
            # a statement of its own: whoever waited for a lock must read the shadow as it is by then
            self._locks.take(Level.RECORD, ids)
        found: dict[RecordId, SourceRecord] = {}
        for part in chunks(set(ids)):
            for record in self._load(_BY_ID, part):
                found[record.rec_id] = record
        return found

    def of_entities(self, ids: Collection[EntityId], *, lock: bool = False) -> list[SourceRecord]:
        if lock:
            self._locks.take(Level.RECORD, self.members(ids))
        return [record for part in chunks(set(ids)) for record in self._load(_BY_CUSTOMER, part)]

    def members(self, ids: Collection[EntityId]) -> set[RecordId]:
        found: set[RecordId] = set()
        for part in chunks(set(ids)):
            found.update(_MEMBERS.column(self._connection, {"of": part}))
        return found

    def owners(self, ids: Collection[RecordId]) -> set[EntityId]:
        found: set[EntityId] = set()
        for part in chunks(set(ids)):
            for row in _OWNERS(self._connection, {"of": part}):
                found.update(owner for owner in row if owner is not None)
        return found

    def reserve(self, records: Sequence[SourceRecord]) -> None:
        ordered = sorted(records, key=lambda record: record.rec_id)
        self._locks.expect(Level.RECORD, [record.rec_id for record in ordered])
        upsert(self._connection, source_record, [_row(item) for item in ordered], ("rec_id",))

    def _load(self, by: Query, ids: Sequence[str]) -> list[SourceRecord]:
        return [record_of(row) for row in by(self._connection, {"of": ids})]

    def by_blocks(self, hashes: Collection[str], cap: int) -> dict[str, list[RecordId]]:
        found: dict[str, list[RecordId]] = {}
        for part in chunks(set(hashes)):
            for hash_, rec_id in _BY_BLOCKS(self._connection, {"of": part, "most": cap}):
                found.setdefault(hash_, []).append(rec_id)
        return found

    def save(self, records: Sequence[SourceRecord]) -> None:
        ordered = sorted(records, key=lambda record: record.rec_id)
        self._locks.take(Level.RECORD, [record.rec_id for record in ordered])
        upsert(self._connection, source_record, [_row(item) for item in ordered], _RECORD_COLUMNS)

    def save_blocks(self, records: Sequence[SourceRecord]) -> None:
        for part in chunks({record.rec_id for record in records}):
            _UNBLOCK(self._connection, {"of": part})
        rows = [
            {"hash": hash_, "rec_id": record.rec_id}
            for record in records
            for hash_ in sorted(record.blocks)
        ]
        upsert(self._connection, block_key, rows, ())

    def hashes(self, ids: Collection[RecordId]) -> dict[RecordId, bytes]:
        return last_hashes(self._connection, ids)

    def merged_into(self, ids: Collection[RecordId]) -> set[RecordId]:
        found, newest = set[RecordId](), set(ids)
        while newest:
            into = newest - found
            found, newest = found | newest, set()
            for part in chunks(into):
                query = sa.select(source_record.c.rec_id).where(source_record.c.alias_of.in_(part))
                newest.update(self._connection.execute(query).scalars())
            newest -= found
        return found - set(ids)

    def linked(self, ids: Collection[RecordId]) -> set[RecordId]:
        found: set[RecordId] = set()
        for part in chunks(set(ids)):
            found.update(_LINKED.column(self._connection, {"of": part}))
        return found

    def to_reread(self, system: str, stream: str, limit: int) -> list[SourceRecord]:
        place = {"of": system, "in": stream, "most": limit}
        return [record_of(row) for row in _TO_REREAD(self._connection, place)]

    def scan(self, system: str, stream: str, after: str, limit: int) -> list[SourceRecord]:
        query = SELECT.where(_behind(system, stream, after)).order_by(source_record.c.key)
        query = query.limit(limit)
        return [record_of(row) for row in self._connection.execute(query)]

    def outdated(
        self, system: str, stream: str, mapping_hash: str, after: str, limit: int
    ) -> dict[str, RecordId]:
        query = (
            sa.select(source_record.c.key, source_record.c.rec_id)
            .where(
                _behind(system, stream, after),
                source_record.c.mapping_hash.not_in(("", mapping_hash)),
            )
            .order_by(source_record.c.key)
            .limit(limit)
        )
        return {row.key: row.rec_id for row in self._connection.execute(query)}

    def count(self, system: str, stream: str) -> dict[str, int]:
        found = counted(self._connection, _COUNT, {"of": system, "in": stream})
        return dict.fromkeys(("live", "deleted", "linked", "unlinked"), 0) | found


def _behind(system: str, stream: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        source_record.c.system == system,
        source_record.c.stream == stream,
        source_record.c.key > key,
    )


def last_hashes(connection: Connection, ids: Collection[RecordId]) -> dict[RecordId, bytes]:
    """What each record was last landed as. Nothing equals that of a record which is to be read again."""
    found: dict[RecordId, bytes] = {}
    for part in chunks(set(ids)):
        for rec_id, hash_, reread in _LAST_HASHES(connection, {"of": part}):
            found[rec_id] = b"" if reread else bytes(hash_)
    return found


def record_of(row: Sequence[Any]) -> SourceRecord:
    """A record from the columns of ``SELECT``, by their places."""
    (
        rec_id,
        system,
        stream,
        key,
        entity,
        entity_id,
        status,
        gone_lo,
        gone_hi,
        alias_of,
        primary,
        pinned,
        since,
        placed,
        origin,
        claims,
        raw_hash,
        mapping_hash,
        reread,
        shadow_document,
        confirmed_at,
    ) = row
    return SourceRecord(
        rec_id=rec_id,
        ref=ExternalRef(system, stream, key),
        entity=entity,
        entity_id=entity_id,
        status=RecordStatus(status),
        gone=None if gone_hi is None else Interval(gone_lo, gone_hi),
        alias_of=alias_of,
        primary=primary,
        pinned=pinned,
        since=since,
        placed=placed,
        origin=Origin(origin),
        claims=load_claims(claims),
        shadow=load_shadow(shadow_document, confirmed_at),
        raw_hash=bytes(raw_hash),
        mapping_hash=mapping_hash,
        reread=reread,
    )


def _row(record: SourceRecord) -> dict[str, Any]:
    return {
        "rec_id": record.rec_id,
        "system": record.ref.system,
        "stream": record.ref.stream,
        "key": record.ref.key,
        "entity": record.entity,
        "entity_id": record.entity_id,
        "status": record.status.value,
        "gone_lo": None if record.gone is None else record.gone.lo,
        "gone_hi": None if record.gone is None else record.gone.hi,
        "alias_of": record.alias_of,
        "is_primary": record.primary,
        "pinned": record.pinned,
        "since": record.since,
        "placed": record.placed,
        "origin": record.origin.value,
        "claims": dump_claims(record.claims),
        "raw_hash": record.raw_hash,
        "mapping_hash": record.mapping_hash,
        "reread": record.reread,
        "shadow": dump_shadow(record.shadow),
        "confirmed_at": record.shadow.confirmed_at,
    }

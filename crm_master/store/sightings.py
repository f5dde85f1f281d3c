"""What a full scan has shown, kept beside the records so that a row that nobody changed is not written."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.ids import RecordId
from crm_master.domain.lifecycle import RecordStatus
from crm_master.ports import SourceRecord
from crm_master.store.records import SELECT, record_of
from crm_master.store.schema import sighting, source_record
from crm_master.store.sql import upsert


class SightingRepository:
    """See ``crm_master.ports.Sightings``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def see(
        self, system: str, stream: str, ids: Collection[RecordId], gone_at: Instant = 0
    ) -> None:
        rows = [
            {"rec_id": rec_id, "system": system, "stream": stream, "gone_at": gone_at}
            for rec_id in sorted(set(ids))
        ]
        upsert(self._connection, sighting, rows, ("gone_at",) if gone_at else ())

    def unseen(self, system: str, stream: str, after: RecordId, limit: int) -> list[SourceRecord]:
        query = SELECT.where(_unseen(system, stream), source_record.c.rec_id > after)
        query = query.order_by(source_record.c.rec_id).limit(limit)
        return [record_of(row) for row in self._connection.execute(query)]

    def count_unseen(self, system: str, stream: str) -> int:
        query = sa.select(sa.func.count()).select_from(source_record)
        return int(self._connection.execute(query.where(_unseen(system, stream))).scalar_one())

    def gone(
        self, system: str, stream: str, after: RecordId, limit: int
    ) -> list[tuple[SourceRecord, Instant]]:
        query = (
            SELECT.add_columns(sighting.c.gone_at)
            .join(sighting, sighting.c.rec_id == source_record.c.rec_id)
            .where(_gone(system, stream), sighting.c.rec_id > after)
            .order_by(sighting.c.rec_id)
            .limit(limit)
        )
        return [(record_of(row), row.gone_at) for row in self._connection.execute(query)]

    def count_gone(self, system: str, stream: str) -> int:
        query = sa.select(sa.func.count()).select_from(sighting).where(_gone(system, stream))
        return int(self._connection.execute(query).scalar_one())

    def forget(self, system: str, stream: str, *, only_gone: bool = False) -> None:
        of_stream = sa.and_(sighting.c.system == system, sighting.c.stream == stream)
        where = _gone(system, stream) if only_gone else of_stream
        self._connection.execute(sa.delete(sighting).where(where))


def _unseen(system: str, stream: str) -> sa.ColumnElement[bool]:
    noted = sa.exists().where(sighting.c.rec_id == source_record.c.rec_id)
    return sa.and_(
        source_record.c.system == system,
        source_record.c.stream == stream,
        source_record.c.status == RecordStatus.LIVE.value,
        ~noted,
    )


def _gone(system: str, stream: str) -> sa.ColumnElement[bool]:
    return sa.and_(sighting.c.system == system, sighting.c.stream == stream, sighting.c.gone_at > 0)

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
from crm_master.store.sql import Query, upsert

# asked in every full scan: made once
_OF_STREAM = sa.and_(
    sighting.c.system == sa.bindparam("of"), sighting.c.stream == sa.bindparam("in")
)
_IS_GONE = sa.and_(_OF_STREAM, sighting.c.gone_at > 0)
_IS_UNSEEN = sa.and_(
    source_record.c.system == sa.bindparam("of"),
    source_record.c.stream == sa.bindparam("in"),
    source_record.c.status == RecordStatus.LIVE.value,
    ~sa.exists().where(sighting.c.rec_id == source_record.c.rec_id),
)
_UNSEEN = Query(
    SELECT.where(_IS_UNSEEN, source_record.c.key > sa.bindparam("after"))
    .order_by(source_record.c.key)
    .limit(sa.bindparam("most"))
)
_GONE = Query(
    SELECT.add_columns(sighting.c.gone_at)
    .join(sighting, sighting.c.rec_id == source_record.c.rec_id)
    .where(_IS_GONE, sighting.c.rec_id > sa.bindparam("after"))
    .order_by(sighting.c.rec_id)
    .limit(sa.bindparam("most"))
)
_COUNT_UNSEEN = Query(sa.select(sa.func.count()).select_from(source_record).where(_IS_UNSEEN))
_COUNT_GONE = Query(sa.select(sa.func.count()).select_from(sighting).where(_IS_GONE))
_FORGET = Query(sa.delete(sighting).where(_OF_STREAM))
_FORGET_GONE = Query(sa.delete(sighting).where(_IS_GONE))


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

    def unseen(self, system: str, stream: str, after: str, limit: int) -> list[SourceRecord]:
        place = {"of": system, "in": stream, "after": after, "most": limit}
        return [record_of(row) for row in _UNSEEN(self._connection, place)]

    def count_unseen(self, system: str, stream: str) -> int:
        place = {"of": system, "in": stream}
        return int(_COUNT_UNSEEN.one(self._connection, place))

    def gone(
        self, system: str, stream: str, after: RecordId, limit: int
    ) -> list[tuple[SourceRecord, Instant]]:
        place = {"of": system, "in": stream, "after": after, "most": limit}
        return [(record_of(row[:-1]), row[-1]) for row in _GONE(self._connection, place)]

    def count_gone(self, system: str, stream: str) -> int:
        place = {"of": system, "in": stream}
        return int(_COUNT_GONE.one(self._connection, place))

    def forget(self, system: str, stream: str, *, only_gone: bool = False) -> None:
        statement = _FORGET_GONE if only_gone else _FORGET
        statement(self._connection, {"of": system, "in": stream})

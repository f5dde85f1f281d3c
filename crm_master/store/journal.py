"""The journal's spine, and the deliveries on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.ids import ExternalRef
from crm_master.ports import Applied, Commit, DeliveryEntry
from crm_master.store.locks import LockBook
from crm_master.store.schema import commit_log, config_version, delivery_log
from crm_master.store.sql import Query, insert, upsert

_PAGE = 1_000

# asked in every transaction: made once
_CONFIG = Query(
    sa.select(config_version.c.content).where(config_version.c.hash == sa.bindparam("of"))
)
_APPLIED = Query(
    sa.select(config_version.c.hash, config_version.c.applied, config_version.c.swept)
    .where(config_version.c.applied > 0)
    .order_by(config_version.c.applied.desc(), config_version.c.hash)
    .limit(1)
)
_COMMIT = Query(
    sa.insert(commit_log).returning(commit_log.c.pos), ("kind", "at", "run_id", "detail")
)
_DELIVERIES = Query(
    sa.select(delivery_log)
    .where(delivery_log.c.pos == sa.bindparam("of"))
    .order_by(delivery_log.c.seq)
)


class JournalRepository:
    """See ``crm_master.ports.Journal``."""

    def __init__(self, connection: Connection, locks: LockBook) -> None:
        self._connection = connection
        self._locks = locks

    def commit(
        self, kind: str, at: Instant, run_id: str, detail: Mapping[str, Any] | None = None
    ) -> int:
        self._locks.close()
        row = {"kind": kind, "at": at, "run_id": run_id, "detail": dict(detail or {})}
        return int(_COMMIT.one(self._connection, row))

    def commits(self) -> Iterator[Commit]:
        after = 0
        while True:
            query = sa.select(commit_log).where(commit_log.c.pos > after)
            rows = self._connection.execute(query.order_by(commit_log.c.pos).limit(_PAGE)).all()
            for row in rows:
                yield Commit(row.pos, row.at, row.kind, row.detail)
            if len(rows) < _PAGE:
                return
            after = rows[-1].pos

    def deliveries(self, pos: int) -> list[DeliveryEntry]:
        return [delivery_entry(row) for row in _DELIVERIES(self._connection, {"of": pos})]

    def add_deliveries(self, entries: Sequence[DeliveryEntry], pos: int) -> None:
        rows = [
            {
                "pos": pos,
                "at": entry.at,
                "rec_id": entry.rec_id,
                "key": None if entry.ref is None else entry.ref.key,
                "entity_id": entry.entity_id,
                "system": entry.system,
                "stream": entry.stream,
                "version": entry.version,
                "operation": entry.operation,
                "outcome": entry.outcome,
                "sent": dict(entry.sent),
                "held": dict(entry.held),
                "sources": {name: dict(of) for name, of in entry.sources.items()},
                "reason": entry.reason,
                "children": {name: dict(of) for name, of in entry.children.items()},
            }
            for entry in entries
        ]
        insert(self._connection, delivery_log, rows)

    def save_config(self, hash_: str, content: str, at: Instant) -> bool:
        if self.config(hash_) is not None:
            return False
        row = {"hash": hash_, "content": content, "at": at, "applied": 0, "swept": {}}
        upsert(self._connection, config_version, [row], ())
        return True

    def config(self, hash_: str) -> str | None:
        content: str | None = _CONFIG.one(self._connection, {"of": hash_})
        return content

    def applied(self) -> Applied | None:
        rows = _APPLIED(self._connection)
        return Applied(*rows[0]) if rows else None

    def apply(self, hash_: str, at: Instant, swept: Mapping[str, Mapping[str, str]]) -> None:
        self._connection.execute(
            sa.update(config_version)
            .where(config_version.c.hash == hash_)
            .values(applied=at, swept=dict(swept))
        )

    def configs(self) -> list[str]:
        query = sa.select(config_version.c.hash)
        query = query.order_by(config_version.c.applied.desc(), config_version.c.at.desc())
        return list(self._connection.execute(query).scalars())


def delivery_entry(row: Any) -> DeliveryEntry:
    ref = None if row.key is None else ExternalRef(row.system, row.stream, row.key)
    return DeliveryEntry(
        rec_id=row.rec_id,
        ref=ref,
        entity_id=row.entity_id,
        system=row.system,
        stream=row.stream,
        version=row.version,
        operation=row.operation,
        outcome=row.outcome,
        at=row.at,
        sent=row.sent,
        held=row.held,
        reason=row.reason,
        sources=row.sources,
        children=row.children,
    )

"""Master entities, their history and their links."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.ids import EntityId, RecordId
from crm_master.ports import Customer, HistoryEntry, Level, LinkEntry
from crm_master.store.documents import dump_winners, load_winners
from crm_master.store.locks import LockBook
from crm_master.store.schema import (
    apart,
    entity,
    entity_history,
    link_log,
    reference,
    source_record,
)
from crm_master.store.sql import CHUNK, Query, among, chunks, insert, locking, upsert

# asked for every batch: made once
_is_one, _of_type = among(entity.c.id, "of"), entity.c.type == sa.bindparam("of")
_BY_ID = Query(sa.select(entity).where(_is_one).order_by(entity.c.id))
_MARK = Query(sa.update(entity).where(_is_one).values(dirty=sa.bindparam("dirty")))
_DIRTY = Query(
    sa.select(entity.c.id)
    .where(_of_type, entity.c.dirty)
    .order_by(entity.c.id)
    .limit(sa.bindparam("most")),
    lock=True,
    skip=True,
)
_COUNT_DIRTY = Query(sa.select(sa.func.count()).where(_of_type, entity.c.dirty))
_COUNT = Query(sa.select(sa.func.count()).where(_of_type, entity.c.redirect_to.is_(None)))
_parent, _fact = source_record.alias("parent"), source_record.alias("fact")
_FACTS = Query(
    sa.select(_fact.c.entity_id)
    .select_from(_parent)
    .join(reference, reference.c.target == _parent.c.rec_id)
    .join(_fact, _fact.c.rec_id == reference.c.rec_id)
    .where(among(_parent.c.entity_id, "of"))
)
_links = sa.select(link_log).order_by(link_log.c.seq)
_of_customer, _in_commit = (
    link_log.c.entity_id == sa.bindparam("of"),
    link_log.c.pos == sa.bindparam("at"),
)
_LINKS = {
    (of, at): Query(_links.where(*[_of_customer] * of, *[_in_commit] * at))
    for of in (False, True)
    for at in (False, True)
}
_APART = Query(sa.select(apart.c.rec_id, apart.c.other).where(among(apart.c.rec_id, "of")))


class CustomerRepository:
    """See ``crm_master.ports.Customers``."""

    def __init__(self, connection: Connection, locks: LockBook) -> None:
        self._connection = connection
        self._locks = locks

    def get(self, ids: Collection[EntityId], *, lock: bool = False) -> dict[EntityId, Customer]:
        if lock:
            self._locks.take(Level.CUSTOMER, ids)
        found: dict[EntityId, Customer] = {}
        for part in chunks(set(ids)):
            for row in _BY_ID(self._connection, {"of": part}):
                found[row.id] = _customer(row)
        return found

    def aliases(self, id_: EntityId) -> list[EntityId]:
        found, newest = {id_}, {id_}
        while newest:
            query = sa.select(entity.c.id).where(entity.c.redirect_to.in_(sorted(newest)))
            newest = set(self._connection.execute(query).scalars()) - found
            found |= newest
        return sorted(found)

    def save(self, customers: Sequence[Customer], at: Instant) -> None:
        rows = [
            {
                "id": customer.id,
                "type": customer.entity,
                "version": customer.version,
                "golden": customer.golden,
                "winners": dump_winners(customer.winners),
                "withheld": sorted(customer.withheld),
                "config_hash": customer.config_hash,
                "redirect_to": customer.redirect_to,
                "dirty": False,
                "archived": customer.archived,
                "created": at,
                "changed": at,
            }
            for customer in sorted(customers, key=lambda customer: customer.id)
        ]
        changed = (
            "version",
            "golden",
            "winners",
            "withheld",
            "config_hash",
            "redirect_to",
            "archived",
            "changed",
        )
        upsert(self._connection, entity, rows, changed)
        # they were read under their locks, or nobody else knows them yet
        self._locks.hold(Level.CUSTOMER, [customer.id for customer in customers])

    def add_history(self, entries: Sequence[HistoryEntry]) -> None:
        rows = [
            {
                "id": entry.entity_id,
                "version": entry.version,
                "at": entry.at,
                "superseded": dict(entry.superseded),
                "causes": list(entry.causes),
                "run_id": entry.run_id,
            }
            for entry in entries
        ]
        insert(self._connection, entity_history, rows)

    def history(self, entity_id: EntityId) -> list[HistoryEntry]:
        return self.histories([entity_id]).get(entity_id, [])

    def histories(self, ids: Collection[EntityId]) -> dict[EntityId, list[HistoryEntry]]:
        found: dict[EntityId, list[HistoryEntry]] = {}
        for part in chunks(set(ids)):
            query = sa.select(entity_history).where(entity_history.c.id.in_(part))
            for row in self._connection.execute(query.order_by(entity_history.c.version)):
                found.setdefault(row.id, []).append(history_entry(row))
        return found

    def add_links(self, entries: Sequence[LinkEntry], at: Instant, pos: int) -> None:
        rows = [
            {
                "pos": pos,
                "at": at,
                "verb": entry.verb,
                "rec_id": entry.rec_id,
                "entity_id": entry.entity_id,
                "author": entry.author,
                "evidence": dict(entry.evidence),
            }
            for entry in entries
        ]
        if rows:
            insert(self._connection, link_log, rows)
            self._unsettle_facts({entry.entity_id for entry in entries})

    def _unsettle_facts(self, parents: Collection[EntityId]) -> None:
        facts: set[EntityId | None] = set()
        for part in chunks(parents):
            facts.update(_FACTS.column(self._connection, {"of": part}))
        self.mark_dirty({fact for fact in facts if fact is not None})

    def links(
        self, *, entity_id: EntityId | None = None, pos: int | None = None
    ) -> list[LinkEntry]:
        query = _LINKS[entity_id is not None, pos is not None]
        return [link_entry(row) for row in query(self._connection, {"of": entity_id, "at": pos})]

    def link_history(self, entity_id: EntityId) -> list[LinkEntry]:
        ever = sa.select(link_log.c.rec_id).where(link_log.c.entity_id == entity_id)
        query = sa.select(link_log).where(link_log.c.rec_id.in_(ever)).order_by(link_log.c.seq)
        return [link_entry(row) for row in self._connection.execute(query)]

    def apart(self, ids: Collection[RecordId]) -> dict[RecordId, set[RecordId]]:
        found: dict[RecordId, set[RecordId]] = {}
        for part in chunks(set(ids)):
            for rec_id, other in _APART(self._connection, {"of": part}):
                found.setdefault(rec_id, set()).add(other)
        return found

    def set_apart(self, ids: Collection[RecordId], others: Collection[RecordId]) -> None:
        pairs = {pair for one in ids for two in others for pair in ((one, two), (two, one))}
        rows = [{"rec_id": one, "other": two} for one, two in sorted(pairs)]
        upsert(self._connection, apart, rows, ())

    def set_together(self, ids: Collection[RecordId], others: Collection[RecordId]) -> None:
        for these, those in ((ids, others), (others, ids)):
            for one in chunks(set(these)):
                for two in chunks(set(those)):
                    self._connection.execute(
                        sa.delete(apart).where(apart.c.rec_id.in_(one), apart.c.other.in_(two))
                    )

    def mark_dirty(self, ids: Collection[EntityId]) -> None:
        self._locks.take(Level.CUSTOMER, ids)
        for part in chunks(set(ids)):
            _MARK(self._connection, {"of": part, "dirty": True})

    def mark_all_dirty(self, systems: Collection[str], entities: Collection[str]) -> int:
        self._locks.take_every(Level.CUSTOMER)
        of_these = source_record.c.system.in_(systems)
        there = sa.exists().where(source_record.c.entity_id == entity.c.id, of_these)
        touched = sa.or_(entity.c.type.in_(entities), there)
        marked, after = 0, ""
        # page by page: one statement for a million holds all their ids in memory
        while True:
            page = sa.select(entity.c.id).where(touched, entity.c.id > after).order_by(entity.c.id)
            query = locking(self._connection, page.limit(CHUNK))
            ids = list(self._connection.execute(query).scalars())
            if not ids:
                return marked
            _MARK(self._connection, {"of": ids, "dirty": True})
            marked, after = marked + len(ids), ids[-1]

    def take_dirty(self, entity_type: str, limit: int) -> list[EntityId]:
        ids = _DIRTY.column(self._connection, {"of": entity_type, "most": limit})
        self._locks.hold(Level.CUSTOMER, ids)
        for part in chunks(ids):
            _MARK(self._connection, {"of": part, "dirty": False})
        return ids

    def outdated(
        self, entity_type: str, config_hash: str, after: EntityId, limit: int
    ) -> list[EntityId]:
        query = (
            sa.select(entity.c.id)
            .where(
                entity.c.type == entity_type,
                entity.c.id > after,
                entity.c.config_hash != config_hash,
                entity.c.redirect_to.is_(None),
            )
            .order_by(entity.c.id)
            .limit(limit)
        )
        return list(self._connection.execute(query).scalars())

    def dirty(self, entity_type: str) -> int:
        return int(_COUNT_DIRTY.one(self._connection, {"of": entity_type}))

    def scan(self, entity_type: str, after: EntityId, limit: int) -> list[Customer]:
        query = (
            sa.select(entity)
            .where(
                entity.c.type == entity_type, entity.c.id > after, entity.c.redirect_to.is_(None)
            )
            .order_by(entity.c.id)
            .limit(limit)
        )
        return [_customer(row) for row in self._connection.execute(query)]

    def count(self, entity_type: str) -> int:
        return int(_COUNT.one(self._connection, {"of": entity_type}))


def history_entry(row: Any) -> HistoryEntry:
    causes = tuple(row.causes)
    return HistoryEntry(row.id, row.version, row.at, row.superseded, causes, row.run_id)


def link_entry(row: Any) -> LinkEntry:
    return LinkEntry(row.rec_id, row.entity_id, row.verb, row.author, row.evidence, row.at, row.seq)


def _customer(row: Any) -> Customer:
    return Customer(
        id=row.id,
        entity=row.type,
        version=row.version,
        golden=row.golden,
        winners=load_winners(row.winners),
        withheld=frozenset(row.withheld),
        config_hash=row.config_hash,
        redirect_to=row.redirect_to,
        archived=row.archived,
    )

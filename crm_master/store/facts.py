"""Which records the records of facts refer to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.fields import Canonical
from crm_master.domain.ids import EntityId, RecordId
from crm_master.store.schema import entity, reference, source_record
from crm_master.store.sql import chunks, upsert


class FactRepository:
    """See ``crm_master.ports.Facts``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def refer(self, targets: Mapping[RecordId, Mapping[str, RecordId]]) -> None:
        for part in chunks(targets.keys()):
            self._connection.execute(sa.delete(reference).where(reference.c.rec_id.in_(part)))
        rows = [
            {"rec_id": rec_id, "field": field, "target": target}
            for rec_id in sorted(targets)
            for field, target in sorted(targets[rec_id].items())
        ]
        upsert(self._connection, reference, rows, ())

    def waiting(self) -> dict[str, int]:
        parent, fact = source_record.alias(), source_record.alias()
        query = (
            sa.select(fact.c.entity, sa.func.count(sa.distinct(fact.c.entity_id)))
            .select_from(reference)
            .join(fact, fact.c.rec_id == reference.c.rec_id)
            .outerjoin(parent, parent.c.rec_id == reference.c.target)
            .where(parent.c.entity_id.is_(None), fact.c.entity_id.is_not(None))
            .group_by(fact.c.entity)
        )
        rows = self._connection.execute(query)
        return {row.entity: row[1] for row in rows}

    def on(self, ids: Collection[EntityId]) -> set[EntityId]:
        parent, fact = source_record.alias(), source_record.alias()
        found, newest = set[EntityId](), set(ids)
        while newest:
            on: set[EntityId] = set()
            for part in chunks(newest):
                query = (
                    sa.select(fact.c.entity_id)
                    .select_from(parent)
                    .join(reference, reference.c.target == parent.c.rec_id)
                    .join(fact, fact.c.rec_id == reference.c.rec_id)
                    .where(parent.c.entity_id.in_(part), fact.c.entity_id.is_not(None))
                )
                on.update(self._connection.execute(query).scalars())
            newest = on - found - set(ids)
            found |= newest
        return found

    def about(
        self, ids: Collection[EntityId], entity_type: str
    ) -> list[tuple[EntityId, Mapping[str, Canonical]]]:
        parent, fact = source_record.alias(), source_record.alias()
        found = []
        for part in chunks(set(ids)):
            pairs = (
                sa.select(parent.c.entity_id.label("parent"), fact.c.entity_id.label("fact"))
                .distinct()
                .select_from(parent)
                .join(reference, reference.c.target == parent.c.rec_id)
                .join(fact, fact.c.rec_id == reference.c.rec_id)
                .where(parent.c.entity_id.in_(part), fact.c.entity == entity_type)
                .subquery()
            )
            query = sa.select(pairs.c.parent, entity.c.golden).join(
                entity, entity.c.id == pairs.c.fact
            )
            found += [(row.parent, row.golden) for row in self._connection.execute(query)]
        return found

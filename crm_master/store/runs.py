"""What runs did: the ledger, and what the journal has of each."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.ids import EntityId, ExternalRef
from crm_master.ports import DeliveryEntry, HistoryEntry, LinkEntry, OutboxMessage, RunEntry
from crm_master.store.customers import history_entry, link_entry
from crm_master.store.journal import delivery_entry
from crm_master.store.outbox import SET_ASIDE, outbox_message
from crm_master.store.schema import (
    commit_log,
    delivery_log,
    entity_history,
    link_log,
    observation,
    outbox,
    run,
    task,
)
from crm_master.store.sql import chunks


class RunRepository:
    """See ``crm_master.ports.Runs``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, run_id: str) -> RunEntry | None:
        row = self._connection.execute(sa.select(run).where(run.c.id == run_id)).mappings().first()
        return None if row is None else RunEntry(**row)

    def find(
        self, limit: int, *, system: str = "", verb: str = "", status: str = ""
    ) -> list[RunEntry]:
        query = sa.select(run).order_by(run.c.started.desc(), run.c.id.desc()).limit(limit)
        if system:
            stream = run.c.target.startswith(f"{system}/", autoescape=True)
            query = query.where(sa.or_(run.c.target == system, stream))
        if verb:
            query = query.where(run.c.verb == verb)
        if status:
            query = query.where(run.c.status == status)
        return [RunEntry(**row) for row in self._connection.execute(query).mappings()]

    def positions(self, run_id: str, kind: str) -> list[int]:
        query = sa.select(commit_log.c.pos).where(
            commit_log.c.run_id == run_id, commit_log.c.kind == kind
        )
        return list(self._connection.execute(query.order_by(commit_log.c.pos)).scalars())

    def observations(self, run_id: str) -> dict[str, int]:
        read = sa.select(observation.c.seq, observation.c.state).where(
            observation.c.run_id == run_id
        )
        applied = sa.select(observation.c.seq, observation.c.state).where(
            observation.c.pos.in_(self._commits(run_id))
        )
        both = sa.union(read, applied).subquery()
        query = sa.select(both.c.state, sa.func.count()).group_by(both.c.state)
        return {row.state: row[1] for row in self._connection.execute(query)}

    def reconciled_in(self, run_id: str) -> list[str]:
        query = (
            sa.select(commit_log.c.run_id)
            .join(observation, observation.c.pos == commit_log.c.pos)
            .where(observation.c.run_id == run_id)
            .distinct()
        )
        return sorted(self._connection.execute(query).scalars())

    def gone(self, run_id: str, limit: int) -> list[ExternalRef]:
        query = (
            sa.select(observation.c.system, observation.c.stream, observation.c.key)
            .where(observation.c.pos.in_(self._commits(run_id)), observation.c.deleted)
            .order_by(observation.c.seq)
            .limit(limit)
        )
        return [ExternalRef(*row) for row in self._connection.execute(query)]

    def changed(self, run_id: str) -> int:
        number = sa.func.count(entity_history.c.id.distinct())
        query = sa.select(number).where(entity_history.c.run_id == run_id)
        return int(self._connection.execute(query).scalar_one())

    def changes(self, run_id: str, after: EntityId, limit: int) -> list[HistoryEntry]:
        mine = sa.and_(entity_history.c.run_id == run_id, entity_history.c.id > after)
        last = (
            sa.select(entity_history.c.id)
            .where(mine)
            .distinct()
            .order_by(entity_history.c.id)
            .limit(limit)
            .subquery()
        )
        query = (
            sa.select(entity_history)
            .where(mine, entity_history.c.id <= sa.select(sa.func.max(last.c.id)).scalar_subquery())
            .order_by(entity_history.c.id, entity_history.c.version)
        )
        return [history_entry(row) for row in self._connection.execute(query)]

    def made(self, run_id: str, ids: Collection[EntityId]) -> set[EntityId]:
        found: set[EntityId] = set()
        for part in chunks(set(ids)):
            query = (
                sa.select(link_log.c.entity_id)
                .join(commit_log, commit_log.c.pos == link_log.c.pos)
                .where(
                    link_log.c.entity_id.in_(part),
                    link_log.c.verb == "new",
                    commit_log.c.run_id == run_id,
                )
            )
            found.update(self._connection.execute(query).scalars())
        return found

    def link_counts(self, run_id: str) -> dict[str, int]:
        query = (
            sa.select(link_log.c.verb, sa.func.count())
            .where(link_log.c.pos.in_(self._commits(run_id)))
            .group_by(link_log.c.verb)
        )
        return {row.verb: row[1] for row in self._connection.execute(query)}

    def links(self, run_id: str, limit: int) -> list[LinkEntry]:
        query = (
            sa.select(link_log)
            .where(link_log.c.pos.in_(self._commits(run_id)))
            .order_by(link_log.c.seq)
            .limit(limit)
        )
        return [link_entry(row) for row in self._connection.execute(query)]

    def bound_since(self, run_id: str, ids: Collection[EntityId]) -> list[LinkEntry]:
        first = sa.select(sa.func.min(commit_log.c.pos)).where(commit_log.c.run_id == run_id)
        found: list[LinkEntry] = []
        for part in chunks(set(ids)):
            query = sa.select(link_log).where(
                link_log.c.entity_id.in_(part),
                link_log.c.verb == "bind",
                link_log.c.pos > first.scalar_subquery(),
            )
            rows = self._connection.execute(query.order_by(link_log.c.seq))
            found.extend(link_entry(row) for row in rows)
        return found

    def outcomes(self, run_id: str) -> dict[tuple[str, str], int]:
        query = (
            sa.select(delivery_log.c.system, delivery_log.c.outcome, sa.func.count())
            .where(delivery_log.c.pos.in_(self._commits(run_id)), _SETTLED)
            .group_by(delivery_log.c.system, delivery_log.c.outcome)
        )
        return {(row.system, row.outcome): row[2] for row in self._connection.execute(query)}

    def deliveries(self, run_id: str, limit: int) -> list[DeliveryEntry]:
        query = (
            sa.select(delivery_log)
            .where(delivery_log.c.pos.in_(self._commits(run_id)), _SETTLED)
            .order_by(delivery_log.c.seq)
            .limit(limit)
        )
        return [delivery_entry(row) for row in self._connection.execute(query)]

    def undelivered(self, run_id: str) -> dict[tuple[str, str], int]:
        customers = sa.select(entity_history.c.id).where(entity_history.c.run_id == run_id)
        query = (
            sa.select(outbox.c.system, outbox.c.state, sa.func.count())
            .where(outbox.c.entity_id.in_(customers))
            .group_by(outbox.c.system, outbox.c.state)
        )
        return {(row.system, row.state): row[2] for row in self._connection.execute(query)}

    def set_aside(self, run_id: str, after: str, limit: int) -> list[OutboxMessage]:
        asked = sa.select(task.c.subject).where(task.c.run_id == run_id)
        stream = delivery_log.c.system + "/" + delivery_log.c.stream
        target = sa.case(
            (delivery_log.c.operation == "create", stream), else_=delivery_log.c.rec_id
        )
        tried = sa.select(delivery_log.c.entity_id + ":" + target).where(
            delivery_log.c.pos.in_(self._commits(run_id))
        )
        changed = sa.select(entity_history.c.id).where(entity_history.c.run_id == run_id)
        query = (
            sa.select(outbox)
            .where(
                outbox.c.id > after,
                outbox.c.state.in_(SET_ASIDE),
                sa.or_(
                    outbox.c.id.in_(asked),
                    outbox.c.id.in_(tried),
                    outbox.c.entity_id.in_(changed),
                ),
            )
            .order_by(outbox.c.id)
            .limit(limit)
        )
        return [outbox_message(row) for row in self._connection.execute(query)]

    def _commits(self, run_id: str) -> sa.Select[tuple[int]]:
        return sa.select(commit_log.c.pos).where(commit_log.c.run_id == run_id)


_SETTLED = delivery_log.c.outcome != "intent"

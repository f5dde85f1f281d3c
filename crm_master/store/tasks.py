"""Questions to people and dead letters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import TaskKind
from crm_master.ports import Task
from crm_master.store.schema import task
from crm_master.store.sql import Query, among, chunks, insert

_STANDING = Query(
    sa.select(task.c.id, task.c.subject).where(
        task.c.kind == sa.bindparam("of"), among(task.c.subject, "about"), task.c.open
    )
)


class TaskRepository:
    """See ``crm_master.ports.Tasks``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, tasks: Sequence[Task], at: Instant, run_id: str = "") -> None:
        newest = {(item.kind, item.subject): item for item in tasks}
        standing = self.standing(newest)
        fresh, renewed = [], []
        for key, item in sorted(newest.items()):
            if key in standing:
                renewed.append({"of": standing[key], "new_payload": item.payload})
            else:
                fresh.append(
                    {
                        "kind": item.kind.value,
                        "subject": item.subject,
                        "open": True,
                        "payload": item.payload,
                        "decision": None,
                        "opened": at,
                        "closed": 0,
                        "run_id": run_id,
                    }
                )
        insert(self._connection, task, fresh)
        if renewed:
            statement = (
                sa.update(task)
                .where(task.c.id == sa.bindparam("of"))
                .values(payload=sa.bindparam("new_payload", type_=task.c.payload.type))
            )
            self._connection.execute(statement, renewed)

    def standing(self, keys: Iterable[tuple[TaskKind, str]]) -> dict[tuple[TaskKind, str], int]:
        by_kind: dict[TaskKind, set[str]] = {}
        for kind, subject in keys:
            by_kind.setdefault(kind, set()).add(subject)
        found: dict[tuple[TaskKind, str], int] = {}
        for kind, subjects in by_kind.items():
            for part in chunks(subjects):
                which = {"of": kind.value, "about": part}
                for id_, subject in _STANDING(self._connection, which):
                    found[kind, subject] = id_
        return found

    def close(self, subjects: Iterable[tuple[TaskKind, str]], at: Instant) -> None:
        ids = self.standing(subjects).values()
        for part in chunks(list(ids)):
            self._connection.execute(
                sa.update(task).where(task.c.id.in_(part)).values(open=False, closed=at)
            )

    def list(
        self, kinds: Collection[TaskKind] = (), *, only_open: bool = True, limit: int = 1000
    ) -> list[Task]:
        query = sa.select(task).order_by(task.c.id).limit(limit)
        if kinds:
            query = query.where(task.c.kind.in_(sorted(kind.value for kind in kinds)))
        if only_open:
            query = query.where(task.c.open)
        return [_task(row) for row in self._connection.execute(query)]

    def get(self, task_id: int) -> Task | None:
        row = self._connection.execute(sa.select(task).where(task.c.id == task_id)).one_or_none()
        return None if row is None else _task(row)

    def decide(self, task_id: int, decision: Mapping[str, Any], at: Instant) -> None:
        self._connection.execute(
            sa.update(task)
            .where(task.c.id == task_id)
            .values(open=False, closed=at, decision=dict(decision))
        )

    def of_run(self, run_id: str, after: int, limit: int) -> Sequence[Task]:
        mine = sa.and_(task.c.run_id == run_id, task.c.id > after)
        query = sa.select(task).where(mine).order_by(task.c.id).limit(limit)
        return [_task(row) for row in self._connection.execute(query)]

    def count(self) -> dict[str, int]:
        query = sa.select(task.c.kind, sa.func.count()).where(task.c.open).group_by(task.c.kind)
        return {row.kind: row[1] for row in self._connection.execute(query)}


def _task(row: Any) -> Task:
    return Task(
        kind=TaskKind(row.kind),
        subject=row.subject,
        payload=row.payload,
        id=row.id,
        open=row.open,
        opened=row.opened,
        closed=row.closed,
        decision=row.decision,
    )

"""What operators need to know: tallies of runs, ages of what waits, the alerts that were raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import DeliveryState, InboxState, TaskKind
from crm_master.ports import RaisedAlert, RunEntry, Tally
from crm_master.store.outbox import SET_ASIDE
from crm_master.store.schema import alert, commit_log, observation, outbox, run, tally, task
from crm_master.store.sql import Query, locking, upsert

_NOT_OURS_TO_SEND = (*SET_ASIDE, DeliveryState.WAITING.value)

# asked at the end of every run: made once
_TALLY = Query(
    sa.select(tally).where(
        tally.c.verb == sa.bindparam("of"), tally.c.target == sa.bindparam("at")
    ),
    lock=True,
)


class OperationsRepository:
    """See ``crm_master.ports.Operations``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tally(self, run: RunEntry, target: str) -> None:
        # there before it is locked: two first runs of a place may end at once
        upsert(self._connection, tally, [_tally_row(Tally(run.verb, target))], ())
        found = _tally(_TALLY(self._connection, {"of": run.verb, "at": target})[0])
        found.add(run)
        upsert(self._connection, tally, [_tally_row(found)], ("sums",))

    def tallies(self) -> list[Tally]:
        query = sa.select(tally).order_by(tally.c.verb, tally.c.target)
        return [_tally(row) for row in self._connection.execute(query)]

    def unfinished(self, since: Instant) -> list[RunEntry]:
        query = (
            sa.select(run)
            .where(run.c.started > since, run.c.status == "running")
            .order_by(run.c.started)
        )
        return [RunEntry(**row) for row in self._connection.execute(query).mappings()]

    def first_run(self, verb: str, target: str) -> Instant | None:
        query = (
            sa.select(run.c.started)
            .where(run.c.verb == verb, run.c.target == target)
            .order_by(run.c.started)
            .limit(1)
        )
        return self._connection.execute(query).scalar_one_or_none()

    def heard_of(self, run_id: str) -> Instant:
        mine = sa.select(observation.c.ended).where(observation.c.run_id == run_id)
        landed = mine.order_by(observation.c.seq.desc()).limit(1)
        mine = sa.select(commit_log.c.at).where(commit_log.c.run_id == run_id)
        committed = mine.order_by(commit_log.c.pos.desc()).limit(1)
        found = (self._connection.execute(query).scalar() for query in (landed, committed))
        return max(at or 0 for at in found)

    def oldest_observation(self, entity: str) -> Instant | None:
        query = (
            sa.select(observation.c.started)
            .where(observation.c.state == InboxState.PENDING.value, observation.c.entity == entity)
            .order_by(observation.c.seq)
            .limit(1)
        )
        return self._connection.execute(query).scalar_one_or_none()

    def oldest_delivery(self, system: str) -> Instant | None:
        query = (
            sa.select(outbox.c.queued_at)
            .where(outbox.c.system == system, outbox.c.state.not_in(_NOT_OURS_TO_SEND))
            .order_by(outbox.c.queued_at)
            .limit(1)
        )
        return self._connection.execute(query).scalar_one_or_none()

    def oldest_tasks(self) -> dict[str, Instant]:
        query = (
            sa.select(task.c.kind, sa.func.min(task.c.opened))
            .where(task.c.open)
            .group_by(task.c.kind)
        )
        return {row.kind: row[1] for row in self._connection.execute(query)}

    def new_letters(self, since: Instant) -> int:
        query = sa.select(sa.func.count()).where(
            task.c.kind == TaskKind.DEAD_LETTER.value, task.c.open, task.c.opened > since
        )
        return int(self._connection.execute(query).scalar_one())

    def alerts(self, *, lock: bool = False) -> list[RaisedAlert]:
        query = sa.select(alert).order_by(alert.c.name, alert.c.place)
        if lock:
            query = locking(self._connection, query)
        return [RaisedAlert(**row) for row in self._connection.execute(query).mappings()]

    def save_alerts(self, alerts: Sequence[RaisedAlert]) -> None:
        columns = ("since", "text", "told", "ended")
        upsert(self._connection, alert, [asdict(item) for item in alerts], columns)

    def drop_alerts(self, alerts: Sequence[RaisedAlert]) -> None:
        for item in alerts:
            self._connection.execute(
                sa.delete(alert).where(alert.c.name == item.name, alert.c.place == item.place)
            )


def _tally_row(item: Tally) -> dict[str, Any]:
    sums = asdict(item)
    return {"verb": sums.pop("verb"), "target": sums.pop("target"), "sums": sums}


def _tally(row: Any) -> Tally:
    sums = dict(row.sums)
    last = sums.pop("last")
    return Tally(row.verb, row.target, **sums, last=RunEntry(**last) if last else None)

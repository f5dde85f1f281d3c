"""Where streams, systems and runs stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import SystemState
from crm_master.ports import Level, RunEntry, StreamState
from crm_master.store.locks import LockBook
from crm_master.store.schema import allowance, budget, run, stream_state, system_state
from crm_master.store.sql import Query, upsert

_STREAM_COLUMNS = (
    "cursor",
    "watermark",
    "scan_started",
    "complete_at",
    "fulls",
    "scan_errors",
    "full",
    "absences",
)

# asked in every transaction: made once
_STREAM = Query(
    sa.select(stream_state).where(
        stream_state.c.system == sa.bindparam("of"), stream_state.c.stream == sa.bindparam("in")
    )
)
_SYSTEMS = Query(sa.select(system_state.c.system, system_state.c.state))
_STOPPED = Query(sa.select(system_state.c.system).where(system_state.c.stopped))
_is_subject = allowance.c.subject == sa.bindparam("of")
_ALLOWANCE = Query(sa.select(allowance.c.number).where(_is_subject))
_NO_ALLOWANCE = Query(sa.delete(allowance).where(_is_subject))
_BUDGET = Query(
    sa.select(budget.c.standing).where(budget.c.credential == sa.bindparam("of")), lock=True
)


class StateRepository:
    """See ``crm_master.ports.States``."""

    def __init__(self, connection: Connection, locks: LockBook) -> None:
        self._connection = connection
        self._locks = locks

    def stream(self, system: str, stream: str, *, lock: bool = False) -> StreamState:
        if lock:
            self._locks.take(Level.STREAM, [f"{system}/{stream}"])
        place = {"of": system, "in": stream}
        rows = _STREAM(self._connection, place)
        return StreamState(**rows[0]._asdict()) if rows else StreamState(system, stream)

    def save_stream(self, state: StreamState) -> None:
        self._locks.take(Level.STREAM, [f"{state.system}/{state.stream}"])
        upsert(self._connection, stream_state, [asdict(state)], _STREAM_COLUMNS)

    def systems(self) -> dict[str, SystemState]:
        return {name: SystemState(state) for name, state in _SYSTEMS(self._connection)}

    def save_system(self, system: str, state: SystemState, at: Instant) -> None:
        row = {"system": system, "state": state.value, "stopped": False, "at": at}
        upsert(self._connection, system_state, [row], ("state", "at"))

    def stopped(self) -> frozenset[str]:
        return frozenset(_STOPPED.column(self._connection))

    def stop(self, system: str, on: bool) -> None:
        self._connection.execute(
            sa.update(system_state).where(system_state.c.system == system).values(stopped=on)
        )

    def allowance(self, subject: str) -> int:
        return int(_ALLOWANCE.one(self._connection, {"of": subject}) or 0)

    def allow(self, subject: str, number: int) -> None:
        if number > 0:
            upsert(
                self._connection, allowance, [{"subject": subject, "number": number}], ("number",)
            )
        else:
            _NO_ALLOWANCE(self._connection, {"of": subject})

    def budget(self, credential: str) -> dict[str, Any]:
        # there before it is locked: two may be the first to ask
        upsert(self._connection, budget, [{"credential": credential, "standing": {}}], ())
        return dict(_BUDGET.one(self._connection, {"of": credential}))

    def save_budget(self, credential: str, standing: Mapping[str, Any]) -> None:
        row = {"credential": credential, "standing": dict(standing)}
        upsert(self._connection, budget, [row], ("standing",))

    def save_run(self, entry: RunEntry) -> None:
        columns = ("finished", "status", "counts", "error")
        upsert(self._connection, run, [asdict(entry)], columns)

    def runs(self, limit: int) -> list[RunEntry]:
        query = sa.select(run).order_by(run.c.started.desc(), run.c.id.desc()).limit(limit)
        return [RunEntry(**row) for row in self._connection.execute(query).mappings()]

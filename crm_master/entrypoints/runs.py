"""Runs: what each did, doing again what did not work, and taking back what it did."""

from __future__ import annotations

from typing import Any

from crm_master.bootstrap import App, new_id
from crm_master.engine import runs, undo
from crm_master.engine.ledger import Progress, silent
from crm_master.entrypoints.recording import recorded


def run_list(
    app: App, *, system: str = "", verb: str = "", status: str = "", limit: int = 20
) -> list[dict[str, Any]]:
    """The newest runs first: of one system or its streams, of one verb, of one status (running, done, failed)."""
    with app.store() as uow:
        found = uow.runs.find(limit, system=system, verb=verb, status=status)
    return [runs.ledger(entry) for entry in found]


def run_show(app: App, run_id: str, *, limit: int = runs.LISTED) -> dict[str, Any]:
    """What a run did; of each kind of thing the first ``limit``. Holds personal data. Raises ``NotFound``."""
    return runs.explain_run(run_id, app.store, limit)


def replay_preview(app: App, run_id: str) -> dict[str, Any]:
    """What ``replay_run`` would do now. Raises ``NotFound``."""
    return runs.replay(run_id, app.store, _can_find(app), really=False).as_dict()


def replay_run(app: App, run_id: str, *, progress: Progress = silent) -> dict[str, Any]:
    """Put a run's observations and its failed deliveries back into the queues. Raises ``NotFound``."""
    with recorded(app, "replay", run_id, progress) as run:
        return runs.replay(run_id, app.store, _can_find(app), tell=run.add).as_dict()


def undo_preview(app: App, run_id: str) -> dict[str, Any]:
    """What ``undo_run`` would do now, and what it would not, and why. Raises ``NotFound``."""
    return undo.plan(app.hub, run_id, app.store, app.clock()).as_dict()


def undo_run(app: App, run_id: str, author: str, *, progress: Progress = silent) -> dict[str, Any]:
    """Take back what a run did to golden records. Its own run, in the result, can be undone too. Raises ``NotFound``."""
    with recorded(app, "undo", run_id, progress) as run:
        done = undo.undo(app.hub, run_id, author, app.store, app.clock, new_id, run)
    return done.as_dict() | {"undone_in": run.id}


def _can_find(app: App) -> Any:
    return lambda system, stream: (
        system in app.hub.systems and app.connect(system).capabilities(stream).find
    )

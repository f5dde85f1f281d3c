"""What a change of files would do, and putting it in force."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from crm_master.bootstrap import App
from crm_master.engine import fuses
from crm_master.engine.applying import put_in_force
from crm_master.engine.explain import NotFound
from crm_master.engine.foresight import EXAMPLES, Foresight, foresee
from crm_master.engine.ledger import Progress, silent
from crm_master.engine.sweep import Sweeper
from crm_master.entrypoints.recording import recorded


def changed(app: App) -> bool:
    """Whether the files say something that is not in force."""
    return app.proposed is not None


def plan(app: App, *, examples: int = EXAMPLES, each: bool = False) -> Foresight:
    """What ``apply`` would do now. Changes nothing. Its examples hold personal data."""
    return foresee(as_proposed(app).hub, app.store, app.clock(), examples, each=each)


def apply(app: App, *, progress: Progress = silent) -> tuple[App, dict[str, Any]]:
    """Put the files in force, and sweep. Gives the app as it is from now on, and the run's counts.

    Raises ``FuseBlown`` before anything has changed. After a crash, the next reconcile or ``apply`` goes on.
    """
    after = as_proposed(app)
    with recorded(after, "apply", after.hub.hash[:12], progress) as run:
        if app.proposed is not None:
            foreseen = foresee(after.hub, app.store, app.clock(), 0)
            put_in_force(after.hub, foreseen, app.store, app.clock, run.id)
        app.store.make_views([plan.spec for plan in after.hub.entities.values()])
        for entity in after.hub.entities:
            Sweeper(after.hub, entity, app.store, app.clock, app.new_id, run)()
        counts = dict(run.counts)
    return after, {"run": run.id, "configuration": after.hub.hash, "counts": counts}


def applied_by_policy(app: App, progress: Progress = silent) -> App:
    """The app after a change that policy puts in force by itself (``apply: automatic``). Raises ``FuseBlown``."""
    if app.proposed is None or app.proposed.settings.apply != "automatic":
        return app
    return apply(app, progress=progress)[0]


def is_run(name: str) -> bool:
    """Whether a name is a run's: 26 capitals and digits, which no system's name is."""
    return re.fullmatch(r"[0-9A-Z]{26}", name) is not None


def approve_run(app: App, run_id: str, author: str) -> dict[str, Any]:
    """Let pass once what a run was stopped from doing. Raises ``NotFound`` if no fuse waits for that run."""
    with app.store() as uow:
        allowed = fuses.approve(run_id, uow, app.clock(), author)
        uow.commit()
    if not allowed:
        raise NotFound(f"no fuse waits for run {run_id!r}; `concord conflicts` lists those that do")
    return {"run": run_id, "allowed": allowed}


def as_proposed(app: App) -> App:
    """The app as the files have it, in force or not: for whoever tries them out."""
    return app if app.proposed is None else replace(app, deployment=app.proposed, proposed=None)

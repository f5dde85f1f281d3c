"""Letting systems in, by a person or by policy; and having all of them join anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_master.bootstrap import App
from crm_master.engine import joining
from crm_master.entrypoints.recording import recorded


def waiting_to_join(app: App) -> list[str]:
    """The systems that an operator has not let in yet."""
    with app.store() as uow:
        return joining.joining(app.hub, uow)


def let_in(app: App) -> list[str]:
    """Approve the joining systems whose policy is ``join: auto`` and that are ready. Gives their names."""
    with app.store() as uow:
        ready = [
            name
            for name in joining.joining(app.hub, uow)
            if app.hub.systems[name].join == "auto"
            and joining.not_ready(app.hub, app.hub.systems[name], uow) is None
        ]
    if ready:
        approve(app, ready)
    return ready


def preview(
    app: App, systems: Sequence[str] = (), *, examples: int = joining.EXAMPLES
) -> dict[str, Any]:
    """What would be written if the named systems (all that wait, if none is named) joined now.

    Its ``examples`` of each field hold personal data: ask for none where it is logged.
    """
    names = _joining(app, systems)
    return joining.preview(app.hub, names, app.store, app.clock(), examples).as_dict()


def approve(app: App, systems: Sequence[str] = ()) -> dict[str, Any]:
    """Let systems in. The next reconcile carries it out. Raises ``joining.NotReady``."""
    names = _joining(app, systems)
    with recorded(app, "approve", ",".join(names)) as run:
        marked = joining.approve(app.hub, names, app.store, app.clock, run.id)
        run.add({"customers": marked})
    return {"approved": list(names), "customers": marked}


def rejoin(app: App) -> dict[str, Any]:
    """After a restore from a backup: every system joins anew, and nothing is written until it is approved."""
    with recorded(app, "rejoin") as run:
        return {"rejoining": joining.rejoin(app.hub, app.store, app.clock, run.id)}


def _joining(app: App, systems: Sequence[str]) -> tuple[str, ...]:
    names = tuple(app.hub.system(name).name for name in systems)
    with app.store() as uow:
        waiting = joining.joining(app.hub, uow)
    return names or tuple(waiting)

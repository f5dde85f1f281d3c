"""``ingest``, ``reconcile``, ``deliver``, and all of them as ``sync``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from crm_master import entrypoints
from crm_master.cli.printing import counted, out, printed
from crm_master.cli.session import Json, opened, progress

Full = Annotated[bool, typer.Option("--full", help="Read everything, not only changes.")]


def ingest(system: str, stream: str, full: Full = False, as_json: Json = False) -> None:
    """Land what one stream shows."""
    with opened() as app, progress(as_json) as told:
        ran = entrypoints.ingest(app, system, stream, full=full, progress=told)
    _ran([ran], as_json)


def reconcile(entity: str = "customer", as_json: Json = False) -> None:
    """Map, match and reconcile what was landed, and queue deliveries."""
    with opened() as app, progress(as_json) as told:
        ran = entrypoints.reconcile(app, entity, progress=told)
    _ran([ran], as_json)


def deliver(system: str, as_json: Json = False) -> None:
    """Write what waits for one system."""
    with opened() as app, progress(as_json) as told:
        ran = entrypoints.deliver(app, system, progress=told)
    _ran([ran], as_json)


def sync(
    systems: Annotated[list[str] | None, typer.Argument(help="All, if none is named.")] = None,
    full: Full = False,
    as_json: Json = False,
) -> None:
    """One round: ingest, reconcile, deliver."""
    with opened() as app, progress(as_json) as told:
        ran: list[entrypoints.Ran] = []
        try:
            entrypoints.sync(app, systems or (), full=full, progress=told, report=ran.append)
        finally:
            _ran(ran, as_json)
        waiting = entrypoints.waiting_to_join(app)
    if waiting and not as_json:
        out.print(
            f"Waiting to join: {', '.join(waiting)}. See `concord approve --preview`, then `concord approve`."
        )


def _ran(ran: Sequence[entrypoints.Ran], as_json: bool) -> None:
    if printed([run.as_dict() for run in ran], as_json):
        return
    for run in ran:
        said = [counted(run.counts)] if run.counts or not run.note else []
        said += [run.note] if run.note else []
        out.print(f"{run.verb} {run.target}: {'. '.join(said)}")

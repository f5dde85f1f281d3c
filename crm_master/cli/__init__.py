"""The command line: every verb of ``entrypoints``, for people and (``--json``) for scripts.

``setting_up``, ``running``, ``joining``, ``applying``, ``looking``, ``runs``, ``mapping``, ``linking``, ``repairing``,
``erasing`` and ``exporting`` hold the commands, as ``entrypoints`` holds the verbs; ``session`` opens the deployment for
them, and ``printing`` is how they talk.
"""

from __future__ import annotations

import typer

from crm_master.cli import (
    applying,
    erasing,
    exporting,
    joining,
    linking,
    looking,
    mapping,
    repairing,
    running,
    runs,
    session,
    setting_up,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    callback=session.options,
)
for command in (
    *(setting_up.init, setting_up.check, setting_up.schemas),
    *(running.ingest, running.reconcile, running.deliver, running.sync),
    *(joining.approve, joining.rejoin),
    *(applying.plan, applying.apply),
    *(looking.verify, looking.status, looking.show, looking.rebuild),
    exporting.metrics,
    *(repairing.stop, repairing.start),
    erasing.erase,
):
    app.command()(command)

_map = typer.Typer(no_args_is_help=True, help="See what a record becomes.")
_map.command("preview")(mapping.preview)
app.add_typer(_map, name="map")

_runs = typer.Typer(no_args_is_help=True, help="What each run did; doing it again; taking it back.")
_runs.command("list")(runs.runs)
_runs.command("show")(runs.show)
_runs.command("replay")(runs.replay)
_runs.command("undo")(runs.undo)
app.add_typer(_runs, name="runs")

_link = typer.Typer(no_args_is_help=True, help="Which records are one customer.")
_link.command("merge")(linking.merge)
_link.command("split")(linking.split)
_link.command("move")(linking.move)
_link.command("pin")(linking.pin)
_link.command("log")(linking.log)
app.add_typer(_link, name="link")

_dlq = typer.Typer(no_args_is_help=True, help="Rows and fields that could not be read.")
_dlq.command("list")(repairing.letters)
_dlq.command("show")(repairing.letter)
_dlq.command("replay")(repairing.replay)
app.add_typer(_dlq, name="dlq")

_conflicts = typer.Typer(
    help="Questions that only a person can answer.",
    invoke_without_command=True,
    callback=repairing.conflicts,
)
_conflicts.command("decide")(repairing.decide)
app.add_typer(_conflicts, name="conflicts")

__all__ = ["app"]

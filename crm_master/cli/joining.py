"""``approve`` and ``rejoin``: which systems take part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import brief, out, printed
from crm_master.cli.session import Json, Yes, author, opened


def approve(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Systems, to let them join (all that wait, if none is named); "
            "or a run that a fuse has stopped, to let it pass once."
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only show what would happen.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let systems join, after a preview of everything that would be written; or let pass a run that a fuse stopped."""
    with opened() as app:
        runs = [name for name in what or () if entrypoints.is_run(name)]
        systems = [name for name in what or () if not entrypoints.is_run(name)]
        if runs:
            allowed = [entrypoints.approve_run(app, run, author()) for run in runs]
            if not printed(allowed, as_json):
                for each in allowed:
                    out.print(f"Run {each['run']} may go on: {', '.join(each['allowed'])}.")
                out.print("`concord sync` or `concord apply` carries it out.")
            return
        shown = entrypoints.preview(app, systems or ())
        if not shown["systems"]:
            if not printed(shown, as_json):
                out.print("No system waits to join.")
            return
        if preview:
            if not printed(shown, as_json):
                _preview(shown)
            return
        if not as_json:
            _preview(shown)
        if not yes and not typer.confirm("Let them join?", err=True):
            raise typer.Exit(1)
        result = entrypoints.approve(app, shown["systems"])
    if not printed(result, as_json):
        out.print(f"{', '.join(result['approved'])} joined. `concord sync` carries it out.")


def _preview(shown: Mapping[str, Any]) -> None:
    out.print(f"If {', '.join(shown['systems'])} joined now:")
    for name, reason in shown["not_ready"].items():
        out.print(f"  {name} cannot join yet: {reason}")
    for stream, number in shown["records"].items():
        out.print(f"  {stream}: {number} records")
    for entity, number in shown["customers"].items():
        shared = shown["in_several_systems"].get(entity, 0)
        out.print(f"  {entity}: {number}, {shared} of them in several systems")
    for name in sorted(shown["creates"].keys() | shown["updates"].keys()):
        created, updated = shown["creates"].get(name, 0), shown["updates"].get(name, 0)
        out.print(f"  {name}: {created} records would be created, {updated} changed")
    for name, number in shown["fields"].items():
        out.print(f"    {name}: {number}")
        for example in shown["examples"].get(name, ()):
            held, new = brief(example["held"]), brief(example["new"])
            out.print(f"      {example['record']}: {held} → {new}")


def rejoin(yes: Yes = False, as_json: Json = False) -> None:
    """After a restore from a backup: every system joins anew, and nothing is written until approved."""
    with opened() as app:
        if not yes and not typer.confirm(
            "Stop all writes until every system was read and approved again?", err=True
        ):
            raise typer.Exit(1)
        result = entrypoints.rejoin(app)
    if not printed(result, as_json):
        out.print(
            f"{', '.join(result['rejoining'])} join anew. Run `concord sync --full`, then `concord approve`."
        )

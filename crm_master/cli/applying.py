"""``plan`` and ``apply``: what a change of files would do, and having it done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import brief, counted, out, printed
from crm_master.cli.session import Json, Yes, opened, progress

Examples = Annotated[int, typer.Option(min=0, help="Examples to show of each field.")]


def plan(examples: Examples = 3, as_json: Json = False) -> None:
    """What the changed files would do: records read again, golden records, writes, fuses. Changes nothing."""
    with opened() as app:
        foreseen = entrypoints.plan(app, examples=examples)
        shown = {"changed": entrypoints.changed(app), **foreseen.as_dict()}
    if not printed(shown, as_json):
        _print(shown)


def apply(yes: Yes = False, examples: Examples = 3, as_json: Json = False) -> None:
    """Put the changed files in force, after the plan; stops at a fuse before anything has changed."""
    with opened() as app, progress(as_json) as told:
        if entrypoints.changed(app) and not yes:
            foreseen = entrypoints.plan(app, examples=examples)
            if not as_json:
                _print({"changed": True, **foreseen.as_dict()})
            if not typer.confirm("Put it in force?", err=True):
                raise typer.Exit(1)
        _, result = entrypoints.apply(app, progress=told)
    if not printed(result, as_json):
        out.print(f"In force. {counted(result['counts'])}. `concord sync` delivers.")


def _print(shown: Mapping[str, Any]) -> None:
    if not shown["changed"]:
        out.print("The files are in force.")
    if not any(
        shown[part] for part in ("remapped", "golden_changed", "creates", "updates", "deletes")
    ):
        out.print("No record is read otherwise, no golden record changes, nothing is written.")
    for stream, number in shown["remapped"].items():
        out.print(f"  {stream}: {number} records are read again, from the rows that were landed")
    for stream, fields in shown["read_whole"].items():
        out.print(f"  {stream}: to be read whole, for {', '.join(fields)}: no row shows that yet")
    for name, number in shown["golden_changed"].items():
        out.print(f"  golden {name}: {number} of {shown['customers']} customers")
        for example in shown["examples"].get(f"golden {name}", ()):
            before, after = brief(example["before"]), brief(example["after"])
            out.print(f"      {example['customer']}: {before} → {after}")
    for name in sorted(shown["creates"].keys() | shown["updates"].keys()):
        created, updated = shown["creates"].get(name, 0), shown["updates"].get(name, 0)
        out.print(f"  {name}: {created} records would be created, {updated} changed")
    for name, number in shown["fields"].items():
        out.print(f"    {name}: {number}")
        for example in shown["examples"].get(name, ()):
            held, new = brief(example["held"]), brief(example["new"])
            out.print(f"      {example['record']}: {held} → {new}")
    for name, number in shown["deletes"].items():
        out.print(f"  {name}: {number} records would be deleted")
    for fuse in shown["fuses"]:
        out.print(
            f"  FUSE: {fuse['found']} {fuse['fuse']} of {fuse['of']} in {fuse['place']}; "
            f"allowed: {fuse['allowed']}. `concord apply` would stop and ask."
        )

"""``init``, ``check``, ``schemas``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from crm_master import entrypoints
from crm_master.cli.printing import out, printed
from crm_master.cli.session import Json, Session, opened


def init(
    example: Annotated[
        bool, typer.Option(help="Write an example hub.yaml if there is none.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Make or migrate the master database, and register the systems of hub.yaml."""
    written = entrypoints.write_example(Session.home) if example else False
    if written:
        result = {"written": str(Session.home / "hub.yaml")}
        if not printed(result, as_json):
            out.print(
                f"Wrote {result['written']}: describe your systems in it, then run `concord init` again."
            )
        return
    with opened(fresh=True) as app:
        entrypoints.init(app)
        result = {"systems": ", ".join(app.hub.systems)}
    if not printed(result, as_json):
        out.print(f"The master database is ready. Systems: {result['systems']}.")


def check(
    offline: Annotated[
        bool, typer.Option("--offline", help="Configuration only, no connections.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the configuration, then that every system answers. Reports all mistakes at once."""
    with opened(fresh=True) as app:
        systems = [] if offline else entrypoints.check_systems(app)
        note = "" if offline else entrypoints.unapplied(app)
    if not printed({"configuration": "ok", "note": note, "systems": systems}, as_json):
        out.print("The configuration is right.")
        if note:
            out.print(f"! {note}")
        for line in systems:
            out.print(
                f"{'ok  ' if line['ok'] else 'FAIL'} {line['stream']}: {line['detail']}",
            )
    if not all(line["ok"] for line in systems):
        raise typer.Exit(1)


def schemas(
    folder: Annotated[Path, typer.Argument(help="Where to write them; made if there is none.")],
    as_json: Json = False,
) -> None:
    """Write the JSON Schema of every kind of file, for completion and checks in an editor."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in entrypoints.schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
        written.append(str(folder / name))
    if not printed({"written": written}, as_json):
        out.print("\n".join(written), soft_wrap=True)

"""``map preview``: what a record becomes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from crm_master import entrypoints
from crm_master.cli.printing import err, literal, out, printed
from crm_master.cli.session import Json, opened


def preview(
    system: str,
    stream: str,
    file: Annotated[
        Path | None, typer.Option(help="A record of the system as JSON; - for standard input.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Read this record from the system.")] = None,
    customer: Annotated[
        str | None, typer.Option(help="Show what the system would be sent of this customer.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What a record becomes, field by field, and what would be written back of it."""
    if sum(option is not None for option in (file, key, customer)) != 1:
        err.print("error: give one of --file, --key and --customer", style="red")
        raise typer.Exit(2)
    with opened(fresh=file is not None) as found:
        app = entrypoints.as_proposed(found)
        if customer is not None:
            shown = entrypoints.map_customer(app, system, stream, customer)
        elif key is not None:
            shown = entrypoints.map_record(app, system, stream, key)
        else:
            shown = entrypoints.map_preview(app, system, stream, _document(file or Path("-")))
    if printed(shown, as_json):
        return
    if "fields" not in shown:
        out.print_json(json.dumps(shown, ensure_ascii=False))
        return
    out.print(_fields(f"{system}/{stream} as {shown['entity']}", shown))
    for problem in [*shown["not_canonical"], *shown["broken_laws"]]:
        out.print(f"! {problem}")


def _fields(title: str, shown: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("field", "", "in the system", "canonical", "written back"):
        table.add_column(column, overflow="fold")
    for name, facts in shown["fields"].items():
        back = literal(facts["written_back"]) if "written_back" in facts else ""
        value = facts.get("reason") or literal(facts["value"])
        table.add_row(name, facts["presence"], literal(facts["native"]), value, back)
    return table


def _document(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        err.print(f"error: {path} cannot be read: {why}", style="red")
        raise typer.Exit(2) from error
    except json.JSONDecodeError as error:
        err.print(f"error: {path} is not JSON: {error.msg} at line {error.lineno}", style="red")
        raise typer.Exit(2) from error
    if not isinstance(found, dict):
        err.print(f"error: {path} holds no JSON object", style="red")
        raise typer.Exit(2)
    return found

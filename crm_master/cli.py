"""The command line: every verb of ``entrypoints``, for people and (``--json``) for scripts."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from connectors.yamlfile import ConfigurationMistakes
from crm_master import entrypoints

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
map_app = typer.Typer(no_args_is_help=True, help="See what a record becomes.")
dlq_app = typer.Typer(no_args_is_help=True, help="Rows and fields that could not be read.")
conflicts_app = typer.Typer(
    help="Questions that only a person can answer.", invoke_without_command=True
)
app.add_typer(map_app, name="map")
app.add_typer(dlq_app, name="dlq")
app.add_typer(conflicts_app, name="conflicts")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

# what is piped on is not wrapped
_out = Console(soft_wrap=not sys.stdout.isatty())
_err = Console(stderr=True)


class Session:
    """What the options before the verb say."""

    home: Path = Path()


@app.callback()
def options(
    home: Annotated[
        Path,
        typer.Option(
            envvar=entrypoints.HOME_VARIABLE, help="The deployment's folder, with hub.yaml."
        ),
    ] = Path(),
) -> None:
    """Concord keeps one consistent customer record across a company's systems."""
    Session.home = home


@contextmanager
def _opened(*, fresh: bool = False) -> Iterator[entrypoints.App]:
    """The deployment, with errors that a person can act on instead of traces."""
    try:
        found = entrypoints.open_app(Session.home)
        if not fresh:
            found.store.check()
        yield found
    except entrypoints.EXPECTED as error:
        text = error.args[0] if isinstance(error, KeyError) else str(error)
        _err.print(f"error: {text}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ConfigurationMistakes) else 1) from error


def _print(result: Any, as_json: bool) -> bool:
    """Print JSON if asked to. Gives whether it did."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False, default=str) + "\n")
    return as_json


def _counts(counts: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        or "nothing to do"
    )


@contextmanager
def _progress(as_json: bool) -> Iterator[Any]:
    """A live line on a terminal; a line every few thousand records elsewhere; nothing with ``--json``."""
    if as_json:
        yield lambda what, counts: None
    elif _err.is_terminal:
        with _err.status("…") as live:
            yield lambda what, counts: live.update(f"{what}: {_counts(counts)}")
    else:
        told: dict[str, int] = {}

        def tell(what: str, counts: Mapping[str, int]) -> None:
            step = sum(counts.values()) // 5_000
            if step > told.get(what, 0):
                told[what] = step
                _err.print(f"{what}: {_counts(counts)}", markup=False)

        yield tell


@app.command()
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
        if not _print(result, as_json):
            _out.print(
                f"Wrote {result['written']}: describe your systems in it, then run `concord init` again."
            )
        return
    with _opened(fresh=True) as found:
        entrypoints.init(found)
        result = {"systems": ", ".join(found.hub.systems)}
    if not _print(result, as_json):
        _out.print(f"The master database is ready. Systems: {result['systems']}.")


@app.command()
def check(
    offline: Annotated[
        bool, typer.Option("--offline", help="Configuration only, no connections.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the configuration, then that every system answers. Reports all mistakes at once."""
    with _opened(fresh=True) as found:
        systems = [] if offline else entrypoints.check_systems(found)
    if not _print({"configuration": "ok", "systems": systems}, as_json):
        _out.print("The configuration is right.")
        for line in systems:
            _out.print(
                f"{'ok  ' if line['ok'] else 'FAIL'} {line['stream']}: {line['detail']}",
                markup=False,
            )
    if not all(line["ok"] for line in systems):
        raise typer.Exit(1)


@app.command()
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
    if not _print({"written": written}, as_json):
        _out.print("\n".join(written), markup=False, soft_wrap=True)


@app.command()
def ingest(
    system: str,
    stream: str,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, not only changes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Land what one stream shows."""
    with _opened() as found, _progress(as_json) as progress:
        ran = entrypoints.ingest(found, system, stream, full=full, progress=progress)
    _ran([ran], as_json)


@app.command()
def reconcile(entity: str = "customer", as_json: Json = False) -> None:
    """Map, match and reconcile what was landed, and queue deliveries."""
    with _opened() as found, _progress(as_json) as progress:
        ran = entrypoints.reconcile(found, entity, progress=progress)
    _ran([ran], as_json)


@app.command()
def deliver(system: str, as_json: Json = False) -> None:
    """Write what waits for one system."""
    with _opened() as found, _progress(as_json) as progress:
        ran = entrypoints.deliver(found, system, progress=progress)
    _ran([ran], as_json)


@app.command()
def sync(
    systems: Annotated[list[str] | None, typer.Argument(help="All, if none is named.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, not only changes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One round: ingest, reconcile, deliver."""
    with _opened() as found, _progress(as_json) as progress:
        ran: list[entrypoints.Ran] = []
        try:
            entrypoints.sync(found, systems or (), full=full, progress=progress, report=ran.append)
        finally:
            _ran(ran, as_json)
        waiting = entrypoints.waiting_to_join(found)
    if waiting and not as_json:
        _out.print(
            f"Waiting to join: {', '.join(waiting)}. See `concord approve --preview`, then `concord approve`."
        )


def _ran(ran: list[entrypoints.Ran], as_json: bool) -> None:
    if _print([run.as_dict() for run in ran], as_json):
        return
    for run in ran:
        _out.print(f"{run.verb} {run.target}: {_counts(run.counts)}", markup=False)


@app.command()
def approve(
    systems: Annotated[
        list[str] | None, typer.Argument(help="All that wait, if none is named.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only show what would happen.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let systems join, after a preview of everything that would be written."""
    with _opened() as found:
        shown = entrypoints.preview(found, systems or ())
        if not shown["systems"]:
            if not _print(shown, as_json):
                _out.print("No system waits to join.")
            return
        if preview:
            if not _print(shown, as_json):
                _preview(shown)
            return
        if not as_json:
            _preview(shown)
        if not yes and not typer.confirm("Let them join?", err=True):
            raise typer.Exit(1)
        result = entrypoints.approve(found, shown["systems"])
    if not _print(result, as_json):
        _out.print(f"{', '.join(result['approved'])} joined. `concord sync` carries it out.")


@app.command()
def rejoin(yes: Yes = False, as_json: Json = False) -> None:
    """After a restore from a backup: every system joins anew, and nothing is written until approved."""
    with _opened() as found:
        if not yes and not typer.confirm(
            "Stop all writes until every system was read and approved again?", err=True
        ):
            raise typer.Exit(1)
        result = entrypoints.rejoin(found)
    if not _print(result, as_json):
        _out.print(
            f"{', '.join(result['rejoining'])} join anew. Run `concord sync --full`, then `concord approve`."
        )


def _preview(shown: Mapping[str, Any]) -> None:
    _out.print(f"If {', '.join(shown['systems'])} joined now:")
    for name, reason in shown["not_ready"].items():
        _out.print(f"  {name} cannot join yet: {reason}", markup=False)
    for stream, number in shown["records"].items():
        _out.print(f"  {stream}: {number} records")
    _out.print(
        f"  {shown['customers']} customers, {shown['in_several_systems']} of them in several systems"
    )
    for name in sorted(shown["creates"].keys() | shown["updates"].keys()):
        created, updated = shown["creates"].get(name, 0), shown["updates"].get(name, 0)
        _out.print(f"  {name}: {created} records would be created, {updated} changed")
    for name, number in shown["fields"].items():
        _out.print(f"    {name}: {number}")


@app.command()
def verify(as_json: Json = False) -> None:
    """Read every system live and compare it with the master. Exit status 1 when not converged."""
    with _opened() as found, _progress(as_json) as progress:
        verdict = entrypoints.verify(found, progress=progress)
    if not _print(verdict.as_dict(), as_json):
        for stream, number in verdict.checked.items():
            _out.print(
                f"{stream}: {number} records read, {verdict.matching[stream]} as they should be"
            )
        for difference in verdict.differences:
            where = difference.record + (f" {difference.field}" if difference.field else "")
            mark = "(a person must decide) " if difference.excepted else ""
            _out.print(f"  {where}: {mark}{difference.why}", markup=False)
        for title, found_reasons in (
            ("Differs", verdict.reasons),
            ("Waits for a person", verdict.excepted),
        ):
            for why, number in found_reasons.items():
                _out.print(f"{title}: {number} × {why}", markup=False)
        _out.print("Converged." if verdict.converged else "Not converged.")
    if not verdict.converged:
        raise typer.Exit(1)


@app.command()
def status(as_json: Json = False) -> None:
    """Where everything stands."""
    with _opened() as found:
        shown = entrypoints.status(found)
    if _print(shown, as_json):
        return
    table = Table(title=f"Hub {shown['hub']}", title_justify="left")
    for column in ("stream", "state", "records", "linked", "read", "waiting deliveries"):
        table.add_column(column)
    for name, system in shown["systems"].items():
        queued = (
            ", ".join(f"{number} {state}" for state, number in system["outbox"].items()) or "none"
        )
        state = system["state"] + (", writes stopped" if system["writes_stopped"] else "")
        for stream, facts in system["streams"].items():
            lag = facts["lag_seconds"]
            read = "never" if lag is None else f"{lag:.0f} s ago"
            records = facts["records"]
            table.add_row(
                f"{name}/{stream}",
                state,
                str(records["live"]),
                str(records["linked"]),
                read,
                queued,
            )
    _out.print(table)
    customers = ", ".join(f"{number} {entity}" for entity, number in shown["customers"].items())
    _out.print(f"Golden records: {customers}. Inbox: {shown['inbox']} waiting.")
    if shown["tasks"]:
        _out.print(
            "For a person: " + ", ".join(f"{n} {kind}" for kind, n in shown["tasks"].items())
        )
    for run in shown["runs"]:
        line = f"  {run['status']:8} {run['verb']} {run['target']}: {run['error'] or _counts(run['counts'])}"
        _out.print(line, markup=False, soft_wrap=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A customer's id, or system/stream/key.")],
    as_json: Json = False,
) -> None:
    """One customer: every field with who said it, when, and under which rule."""
    with _opened() as found:
        shown = entrypoints.show(found, name)
    if _print(shown, as_json):
        return
    _out.print(f"{shown['entity']} {shown['customer']}, version {shown['version']}")
    for field, facts in shown["fields"].items():
        held = " (withheld: waits for a decision)" if facts["withheld"] else ""
        _out.print(f"{field} = {_value(facts['value'])}  [{facts['rule']}]{held}", markup=False)
        for claim in facts["claims"]:
            mark = "*" if claim["wins"] else " "
            since, until = claim["between"]
            when = (
                f"{since or '…'} to {until or '…'}" if since != until else since or "time unknown"
            )
            element = f" {claim['element']}:" if claim["element"] else ""
            said = f"{mark} {claim['record']}:{element} {_value(claim['value'])}"
            _out.print(
                f"   {said} ({when}, run {claim['run']})",
                markup=False,
            )
    for record in shown["records"]:
        linked = f", linked by {record['by']} ({record['linked']})" if record["linked"] else ""
        _out.print(f"- {record['record']} {record['status']}{linked}", markup=False)
    for entry in shown["history"]:
        _out.print(
            f"version {entry['version']} at {entry['at']} superseded {_value(entry['superseded'])}",
            markup=False,
        )


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@app.command()
def rebuild(as_json: Json = False) -> None:
    """Make the golden records again from the journal and compare. Exit status 1 if one differs."""
    with _opened() as found, _progress(as_json) as progress:
        rebuilt = entrypoints.rebuild(found, progress=progress)
    result = {
        "commits": rebuilt.commits,
        "compared": rebuilt.compared,
        "different": rebuilt.different,
    }
    if not _print(result, as_json):
        _out.print(
            f"{rebuilt.commits} commits replayed, {rebuilt.compared} golden records compared, "
            f"{len(rebuilt.different)} different."
        )
        for customer in rebuilt.different[:50]:
            _out.print(f"  {customer}")
    if not rebuilt.equal:
        raise typer.Exit(1)


@app.command()
def stop(system: str, as_json: Json = False) -> None:
    """The kill switch: no more writes to a system until `concord start`."""
    _switch(system, True, as_json)


@app.command()
def start(system: str, as_json: Json = False) -> None:
    """Allow writes to a system again."""
    _switch(system, False, as_json)


def _switch(system: str, on: bool, as_json: bool) -> None:
    with _opened() as found:
        entrypoints.stop(found, system, on=on)
    if not _print({"system": system, "writes_stopped": on}, as_json):
        _out.print(f"Writes to {system} are {'stopped' if on else 'allowed'}.")


@map_app.command("preview")
def map_preview(
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
        _err.print("error: give one of --file, --key and --customer", style="red")
        raise typer.Exit(2)
    with _opened(fresh=file is not None) as found:
        if customer is not None:
            shown = entrypoints.map_customer(found, system, stream, customer)
        elif key is not None:
            shown = entrypoints.map_record(found, system, stream, key)
        else:
            shown = entrypoints.map_preview(found, system, stream, _document(file or Path("-")))
    if _print(shown, as_json):
        return
    if "fields" not in shown:
        _out.print_json(json.dumps(shown, ensure_ascii=False))
        return
    table = Table(title=f"{system}/{stream} as {shown['entity']}", title_justify="left")
    for column in ("field", "", "in the system", "canonical", "written back"):
        table.add_column(column, overflow="fold")
    for name, facts in shown["fields"].items():
        back = _value(facts["written_back"]) if "written_back" in facts else ""
        value = facts.get("reason") or _value(facts["value"])
        table.add_row(name, facts["presence"], _value(facts["native"]), value, back)
    _out.print(table)
    for problem in [*shown["not_canonical"], *shown["broken_laws"]]:
        _out.print(f"! {problem}", markup=False)


def _document(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        _err.print(f"error: {path} cannot be read: {why}", style="red", markup=False)
        raise typer.Exit(2) from error
    except json.JSONDecodeError as error:
        _err.print(f"error: {path} is not JSON: {error.msg} at line {error.lineno}", style="red")
        raise typer.Exit(2) from error
    if not isinstance(found, dict):
        _err.print(f"error: {path} holds no JSON object", style="red")
        raise typer.Exit(2)
    return found


@conflicts_app.callback()
def conflicts(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: Json = False,
) -> None:
    """Questions that only a person can answer. Without a verb: list them."""
    if context.invoked_subcommand is None:
        with _opened() as found:
            _tasks(entrypoints.tasks(found, every=every), as_json)


@conflicts_app.command("decide")
def decide(task: int, answer: str, as_json: Json = False) -> None:
    """Answer one. A wrong answer is refused with the list of those that it takes."""
    with _opened() as found:
        result = entrypoints.decide(
            found, task, answer, os.environ.get("CONCORD_USER") or getpass.getuser()
        )
    if not _print(result, as_json):
        _out.print(
            f"Decided {result['kind']} {result['subject']}: {answer}. `concord sync` carries it out.",
            markup=False,
        )


@dlq_app.command("list")
def dlq_list(
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: Json = False,
) -> None:
    """The dead letters: where, and why."""
    with _opened() as found:
        _tasks(entrypoints.tasks(found, dead=True, every=every), as_json)


@dlq_app.command("show")
def dlq_show(letter: int) -> None:
    """The bytes behind a dead letter, as they were read, on standard output."""
    with _opened() as found:
        content = entrypoints.raw(found, letter)
        if content is None:
            raise LookupError(f"no dead letter {letter}; `concord dlq list` names them")
    sys.stdout.buffer.write(content)


@dlq_app.command("replay")
def dlq_replay(
    letters: Annotated[list[int] | None, typer.Argument(help="All, if none is named.")] = None,
    as_json: Json = False,
) -> None:
    """Put dead letters back into the inbox, after a mapping or the record was mended."""
    with _opened() as found:
        result = entrypoints.replay(found, letters or ())
    if not _print(result, as_json):
        _out.print(
            f"{result['requeued']} rows are back in the inbox; `concord reconcile` tries them again."
        )


def _tasks(found: list[dict[str, Any]], as_json: bool) -> None:
    if _print(found, as_json):
        return
    for task in found:
        about = {
            name: value
            for name, value in task.items()
            if name not in ("id", "kind", "subject", "open")
        }
        state = "" if task["open"] else " (closed)"
        _out.print(
            f"{task['id']:>6} {task['kind']}{state} {task['subject']} {_value(about)}",
            markup=False,
            soft_wrap=True,
        )
    if not found:
        _out.print("None.")


if __name__ == "__main__":
    app()

"""``status``, ``show``, ``verify``, ``rebuild``: what is there, and whether it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from crm_master import entrypoints
from crm_master.cli.linking import told
from crm_master.cli.printing import ago, counted, literal, out, printed
from crm_master.cli.session import Json, opened, progress


def status(as_json: Json = False) -> None:
    """What needs attention, and where everything stands. Exit status 1 while an alert stands."""
    with opened() as app:
        shown = entrypoints.status(app)
    if not printed(shown, as_json):
        _attention(shown)
        out.print(_systems(shown))
        _queues(shown)
        for run in shown["last_runs"]:
            out.print(_last_run(run), soft_wrap=True)
    if shown["attention"]:
        raise typer.Exit(1)


def _attention(shown: Mapping[str, Any]) -> None:
    for alert in shown["attention"]:
        mark = "!!" if alert["severity"] == "critical" else "!"
        out.print(f"{mark} {alert['text']} See {alert['see']}.")
    for note in shown["notes"]:
        out.print(f"! {note}")
    if not shown["attention"] and not shown["notes"]:
        out.print("Nothing needs attention.")


def _queues(shown: Mapping[str, Any]) -> None:
    customers = ", ".join(f"{number} {entity}" for entity, number in shown["customers"].items())
    since = shown["inbox_oldest_seconds"]
    oldest = "" if since is None else f", the oldest for {ago(since)}"
    out.print(f"Golden records: {customers}. Inbox: {shown['inbox']} waiting{oldest}.")
    if shown["tasks"]:
        out.print("For a person: " + ", ".join(f"{n} {kind}" for kind, n in shown["tasks"].items()))


def _last_run(run: Mapping[str, Any]) -> str:
    again = run["failures_in_a_row"]
    error = run["error"] + (f", {again} times in a row" if again > 1 else "")
    told = f"{error}; `concord runs show {run['run']}`" if run["error"] else counted(run["counts"])
    when = f"{ago(run['ago_seconds'])} ago"
    return f"  {run['status']:8} {run['verb']} {run['target']}, {when}: {told}".replace(" ,", ",")


def _systems(shown: Mapping[str, Any]) -> Table:
    table = Table(title=f"Hub {shown['hub']}", title_justify="left")
    for column in ("stream", "state", "records", "linked", "read", "waiting deliveries"):
        table.add_column(column)
    for name, system in shown["systems"].items():
        queued = (
            ", ".join(f"{number} {state}" for state, number in system["outbox"].items()) or "none"
        )
        since = system["outbox_oldest_seconds"]
        queued += "" if since is None else f", oldest {ago(since)}"
        state = system["state"] + (", writes stopped" if system["writes_stopped"] else "")
        for stream, facts in system["streams"].items():
            records = facts["records"]
            table.add_row(
                f"{name}/{stream}",
                state,
                str(records["live"]),
                str(records["linked"]),
                _read(facts),
                queued,
            )
    return table


def _read(facts: Mapping[str, Any]) -> str:
    lag = facts["lag_seconds"]
    if lag is None:
        return "no"
    return f"{ago(lag)} ago" if facts["read_completely"] else f"never completely, for {ago(lag)}"


def show(
    name: Annotated[str, typer.Argument(help="A customer's id, or system/stream/key.")],
    as_of: Annotated[
        str, typer.Option(help="As it was then: an ISO time, or a version's number.")
    ] = "",
    as_json: Json = False,
) -> None:
    """One customer: every field with who said it, when, and under which rule; now, or as it was."""
    with opened() as app:
        shown = entrypoints.show(app, name, as_of)
    if printed(shown, as_json):
        return
    if as_of:
        _past(shown)
        return
    out.print(f"{shown['entity']} {shown['customer']}, version {shown['version']}")
    for field, facts in shown["fields"].items():
        held = " (withheld: waits for a decision)" if facts["withheld"] else ""
        out.print(
            f"{field} = {literal(facts['value'])}  [{facts['rule'] or 'no field any more'}]{held}"
        )
        for claim in facts["claims"]:
            out.print(f"   {_claim(claim)}")
    for record in shown["records"]:
        linked = f", linked by {record['by']} ({record['linked']})" if record["linked"] else ""
        written = "" if record["primary"] else ", secondary: not written"
        out.print(f"- {record['record']} {record['status']}{written}{linked}")
    for link in shown["links_by_hand"]:
        out.print(told(link))
    for entry in shown["history"]:
        out.print(
            f"version {entry['version']} at {entry['at']} superseded {literal(entry['superseded'])}",
        )


def _past(shown: Mapping[str, Any]) -> None:
    since, until = shown["from"] or "the beginning", shown["until"] or "now"
    out.print(
        f"{shown['entity']} {shown['customer']} as it was in version {shown['version']}, from {since} to {until}"
    )
    if shown["merged_into"]:
        out.print(f"Merged into {shown['merged_into']} since.")
    for field, facts in shown["fields"].items():
        since = " (changed since)" if facts["changed_since"] else ""
        out.print(f"{field} = {literal(facts['value'])}{since}")
        for who in facts["said_by"]:
            read = f"read {who['read'][0]} to {who['read'][1]}" if who["read"] else "decided"
            element = f" {who['element']}:" if who["element"] else ""
            rule = f"[{who['rule']}]"
            line = f"     {who['record']}:{element} {rule} ({read}, run {who['run']})"
            out.print(line)
    for record in shown["records"]:
        line = f"- {record['record']}, linked by {record['by']} ({record['linked']}) {record['at']}"
        out.print(line)
    for what in shown["unknown"]:
        out.print(f"Not known: {what}.")


def _claim(claim: Mapping[str, Any]) -> str:
    mark = "*" if claim["wins"] else " "
    since, until = claim["between"]
    when = f"{since or '…'} to {until or '…'}" if since != until else since or "time unknown"
    element = f" {claim['element']}:" if claim["element"] else ""
    said = f"{mark} {claim['record']}:{element} {literal(claim['value'])}"
    where = f"by {claim['by']}" if claim["by"] else f"run {claim['run']}"
    retired = "" if claim["counts"] else "; does not count"
    return f"{said} ({when}, {where}{retired})"


def verify(as_json: Json = False) -> None:
    """Read every system live and compare it with the master. Exit status 1 when not converged."""
    with opened() as app, progress(as_json) as told:
        verdict = entrypoints.verify(app, progress=told)
    if not printed(verdict.as_dict(), as_json):
        for stream, number in verdict.checked.items():
            out.print(
                f"{stream}: {number} records read, {verdict.matching[stream]} as they should be"
            )
        for difference in verdict.differences:
            where = difference.record + (f" {difference.field}" if difference.field else "")
            mark = "(a person must decide) " if difference.excepted else ""
            because = f" ({difference.put_off})" if difference.put_off else ""
            out.print(f"  {where}: {mark}{difference.why}{because}")
        for title, found_reasons in (
            ("Differs", verdict.reasons),
            ("Waits for a person", verdict.excepted),
        ):
            for why, number in found_reasons.items():
                out.print(f"{title}: {number} × {why}")
        out.print("Converged." if verdict.converged else "Not converged.")
    if not verdict.converged:
        raise typer.Exit(1)


def rebuild(as_json: Json = False) -> None:
    """Make the golden records again from the journal and compare. Exit status 1 if one differs."""
    with opened() as app, progress(as_json) as told:
        rebuilt = entrypoints.rebuild(app, progress=told)
    result = {
        "commits": rebuilt.commits,
        "compared": rebuilt.compared,
        "different": rebuilt.different,
    }
    if not printed(result, as_json):
        out.print(
            f"{rebuilt.commits} commits replayed, {rebuilt.compared} golden records compared, "
            f"{len(rebuilt.different)} different."
        )
        for customer in rebuilt.different[:50]:
            out.print(f"  {customer}")
    if not rebuilt.equal:
        raise typer.Exit(1)

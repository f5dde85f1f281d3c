"""``runs``: what each run did, doing again what did not work, and taking back what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import brief, counted, out, printed
from crm_master.cli.session import Json, author, opened, progress

RunId = Annotated[str, typer.Argument(help="A run's id, as `concord runs list` has it.")]
Really = Annotated[
    bool, typer.Option("--yes", help="Do it; without this only say what would be done.")
]
Limit = Annotated[int, typer.Option(min=1, help="How many of each kind are shown.")]


def runs(
    system: Annotated[str, typer.Option(help="Of one system or its streams.")] = "",
    verb: Annotated[str, typer.Option(help="Of one verb, such as reconcile.")] = "",
    status: Annotated[str, typer.Option(help="running, done or failed.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """The newest runs first: what ran, how it ended, with which counts, how long it took."""
    with opened() as app:
        found = entrypoints.run_list(app, system=system, verb=verb, status=status, limit=limit)
    if printed(found, as_json):
        return
    for run in found:
        out.print(_line(run), soft_wrap=True)
    if not found:
        out.print("None.")


def show(run: RunId, limit: Limit = 100, as_json: Json = False) -> None:
    """What one run did: golden records field by field, links, deliveries, tasks, errors."""
    with opened() as app:
        shown = entrypoints.run_show(app, run, limit=limit)
    if printed(shown, as_json):
        return
    lines = [_line(shown)]
    if shown["observations"]:
        lines.append(f"Observations: {counted(shown['observations'])}")
    if shown["reconciled_in"]:
        lines.append(f"Reconciled in: {', '.join(shown['reconciled_in'])}")
    if shown["changed"]:
        lines.append(f"Golden records changed: {shown['changed']}")
    for customer in shown["customers"]:
        lines.append(f"  {customer['customer']}, version {customer['version']}, {customer['at']}")
        lines += [
            f"    {name}: {brief(values['before'])} → {brief(values['after'])}"
            for name, values in customer["fields"].items()
        ]
    if shown["links"]:
        lines.append(f"Links: {counted(shown['links'])}")
    for link in shown["linked"]:
        lines.append(f"  {link['verb']} {link['record']} {link['customer']}, by {link['by']}")
    for title, part in (("Deliveries", "deliveries"), ("Waiting deliveries", "undelivered")):
        for name, counts in shown[part].items():
            lines.append(f"{title}, {name}: {counted(counts)}")
    for delivery in shown["delivered"]:
        reason = f": {delivery['reason']}" if delivery["reason"] else ""
        fields = f" ({', '.join(delivery['sent'])})" if delivery["sent"] else ""
        did = f"{delivery['operation']} {delivery['target']}{fields}"
        lines.append(f"  {delivery['outcome']}: {did}{reason}")
    for task in shown["tasks"]:
        state = "" if task["open"] else " (closed)"
        lines.append(f"Task {task['id']}: {task['kind']}{state} {task['subject']}")
    for line in lines:
        out.print(line, soft_wrap=True)


def replay(
    run: RunId,
    yes: Really = False,
    as_json: Json = False,
) -> None:
    """Reconcile again what a run read or reconciled, and try again what could not be delivered."""
    with opened() as app, progress(as_json) as told:
        if yes:
            result = entrypoints.replay_run(app, run, progress=told)
        else:
            result = entrypoints.replay_preview(app, run)
    if printed(result | {"done": yes}, as_json):
        return
    will = "back in" if yes else "would go back into"
    lines = [f"Observations: {result['observations']} {will} the inbox."]
    if result["superseded"]:
        lines.append(f"  {result['superseded']} are not: a newer one of their record is there.")
    if result["need_a_new_read"]:
        lines.append(f"  {result['need_a_new_read']} were no records: they need a new read.")
    for target, number in result["deliveries"].items():
        lines.append(f"Deliveries to {target}: {number} {will} the outbox.")
    for left in result["left"]:
        lines.append(f"  {left['delivery']} is not: {left['why']}")
    lines.append("`concord sync` carries it out." if yes else "Nothing was done: add --yes.")
    for line in lines:
        out.print(line, soft_wrap=True)


def undo(run: RunId, yes: Really = False, as_json: Json = False) -> None:
    """Take golden records back to what they were before a run. What people changed since is left, and named."""
    with opened() as app, progress(as_json) as told:
        if yes:
            result = entrypoints.undo_run(app, run, author(), progress=told)
        else:
            result = entrypoints.undo_preview(app, run)
    if printed(result | {"done": yes}, as_json):
        return
    went = "went" if yes else "would go"
    lines = [f"{result['fields']} fields of {result['customers']} customers {went} back."]
    for item in result["restored"]:
        where = ", ".join(item["claimed_in"])
        then = f"{brief(item['now'])} → {brief(item['then'])}"
        lines.append(f"  {item['customer']} {item['field']}: {then}, as a claim in {where}")
        lines += [f"    and what {ref} said is withdrawn" for ref in item["withdrawn_from"]]
    lines += _more(result["fields"], result["restored"])
    if result["already"]:
        lines.append(f"{result['already']} fields are as they were before, already.")
    if result["not_undone"]:
        lines.append(f"Not undone: {result['not_undone']}")
    for item in result["kept"]:
        lines.append(
            f"  {' '.join(filter(None, (item['customer'], item['field'])))}: {item['why']}"
        )
    lines += _more(result["not_undone"], result["kept"])
    lines += [f"Note: {note}." for note in result["notes"]]
    if yes:
        lines.append(f"`concord sync` carries it out. Undo the undo: run {result['undone_in']}.")
    else:
        lines.append("Nothing was done: add --yes.")
    for line in lines:
        out.print(line, soft_wrap=True)


def _more(number: int, listed: Sequence[Any]) -> list[str]:
    return [f"  ... and {number - len(listed)} more"] if number > len(listed) else []


def _line(run: Mapping[str, Any]) -> str:
    took = "" if run["seconds"] is None else f" in {run['seconds']:.1f} s"
    told = run["error"] or counted(run["counts"])
    what = f"{run['verb']} {run['target']}".strip()
    return f"{run['run']} {run['started'][:19]}Z {run['status']}{took}  {what}: {told}"

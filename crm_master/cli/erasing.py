"""``erase``: a customer, out of the hub, with a receipt for what is left to do in the systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import err, out, printed
from crm_master.cli.session import Json, Yes, author, opened

_IN_WORDS = {
    "asked": "to be erased there by a person",
    "kept by policy": "kept there, by policy",
    "deleting": "to be deleted there by Concord, with the next `concord deliver`",
    "deleted": "deleted there by Concord",
    "let in again": "not deleted there: let in again",
    "gone already": "gone there already",
    "done": "erased there",
    "kept": "kept there, as a person decided",
}
"""What a system's state in a receipt says of its records."""


def erase(
    customer: Annotated[
        str | None, typer.Argument(help="A customer's id, or system/stream/key.")
    ] = None,
    reason: Annotated[
        str, typer.Option(help="For the receipt, such as a case number. No names, it is kept.")
    ] = "",
    lift: Annotated[
        str | None, typer.Option(metavar="RECEIPT", help="Let this person in again.")
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="With --lift: the old records too.")
    ] = False,
    receipts: Annotated[bool, typer.Option("--receipts", help="List all erasures.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Erase a customer from the hub for good, keep them out, and ask for the same in every system."""
    if sum((customer is not None, lift is not None, receipts)) != 1:
        raise typer.BadParameter("give one of CUSTOMER, --lift RECEIPT and --receipts")
    if receipts:
        _list(as_json)
    elif lift is not None:
        _lift(lift, records, yes, as_json)
    else:
        _erase(customer or "", reason, yes, as_json)


def _erase(customer: str, reason: str, yes: bool, as_json: bool) -> None:
    with opened() as app:
        if not yes:
            _confirm(entrypoints.erase_preview(app, customer))
        receipt = entrypoints.erase(app, customer, author(), reason)
    if not printed(receipt, as_json):
        _print(receipt)
    if receipt["state"] == "erased":
        message = "Rows are gone, their bytes are not: the database file is in use. Run this again."
        err.print(message, style="red")
        raise typer.Exit(1)


def _confirm(shown: Mapping[str, Any]) -> None:
    if shown["receipt"]:
        return  # it only remains to be finished
    err.print(f"Customer {shown['customer']}:")
    for system in shown["systems"]:
        err.print(f"  {_said(system)}")
    question = "Erase everything that the hub has of them? This cannot be undone"
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _lift(receipt: str, records: bool, yes: bool, as_json: bool) -> None:
    with opened() as app:
        if not yes and not typer.confirm("Let this person in again?", err=True):
            raise typer.Exit(1)
        result = entrypoints.lift(app, receipt, author(), records=records)
    if not printed(result, as_json):
        out.print(
            f"Receipt {receipt}: {result['lifted']} hashes are gone. `concord sync --full` reads what they kept out.",
        )


def _list(as_json: bool) -> None:
    with opened() as app:
        found = entrypoints.receipts(app)
    if printed(found, as_json):
        return
    for receipt in found:
        _print(receipt)
    if not found:
        out.print("None.")


def _print(receipt: Mapping[str, Any]) -> None:
    lifted = f", lifted {receipt['lifted_at']}" if receipt["lifted_at"] else ""
    reason = f" ({receipt['reason']})" if receipt["reason"] else ""
    out.print(
        f"Receipt {receipt['receipt']}: customer {', '.join(receipt['customers'])} erased {receipt['at']} "
        f"by {receipt['by']}{reason}{lifted}",
    )
    for system in receipt["systems"]:
        out.print(f"  {_said(system)}")
    for customer in receipt["shared"]:
        out.print(f"  {customer} was once one with them: see `concord show` for what is left there")


def _said(system: Mapping[str, Any]) -> str:
    found = [f"{system['records']} records"] if system["records"] else []
    found += [f"{system['in_doubt']} perhaps being created"] if system["in_doubt"] else []
    task = f" (`concord conflicts`, task {system['task']})" if "task" in system else ""
    return f"{system['system']}: {', '.join(found) or 'no records'}, {_IN_WORDS[system['state']]}{task}"

"""``link merge``, ``link split``, ``link move``, ``link pin``, ``link log``: whose the records are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from crm_master import entrypoints
from crm_master.cli.printing import brief, literal, out, printed
from crm_master.cli.session import Json, Yes, author, opened

Customer = Annotated[str, typer.Argument(help="A customer's id, or system/stream/key.")]
Record = Annotated[str, typer.Argument(help="A record: system/stream/key.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever asks later.")]


def merge(
    survivor: Customer,
    absorbed: Customer,
    reason: Reason = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make two customers one: all records of the second become the first's, whose id remains."""
    _change(entrypoints.merging(survivor, absorbed), reason, yes, as_json)


def split(
    customer: Customer,
    records: Annotated[list[str], typer.Argument(help="Records: system/stream/key.")],
    reason: Reason = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make some records of a customer a new one. Records that Concord made stay."""
    _change(entrypoints.splitting(customer, records), reason, yes, as_json)


def move(
    record: Record,
    customer: Annotated[str, typer.Argument(help="A customer's id or record, or: new.")],
    reason: Reason = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give one record to another customer, or make it a customer of its own."""
    _change(entrypoints.moving(record, customer), reason, yes, as_json)


def pin(record: Record, reason: Reason = "", yes: Yes = False, as_json: Json = False) -> None:
    """Of several records of a customer in one stream, have this one written to."""
    _change(entrypoints.pinning(record), reason, yes, as_json)


def log(customer: Customer, as_json: Json = False) -> None:
    """Every link of a customer: what, when, by whom, and why."""
    with opened() as app:
        found = entrypoints.link_log(app, customer)
    if printed(found, as_json):
        return
    also = f" (also {', '.join(found['absorbed'])})" if found["absorbed"] else ""
    out.print(f"{found['customer']}{also}")
    for link in found["links"]:
        out.print(told(link))


def told(link: Mapping[str, Any]) -> str:
    """A link in one line."""
    evidence = f" {literal(link['evidence'])}" if link["evidence"] else ""
    return (
        f"{link['at']} {link['verb']} {link['record']} {link['customer']} by {link['by']}{evidence}"
    )


def _change(propose: Any, reason: str, yes: bool, as_json: bool) -> None:
    with opened() as app:
        shown = entrypoints.link_preview(app, propose)
        if not as_json:
            _preview(shown)
        if not yes and not typer.confirm("Do it?", err=True):
            raise typer.Exit(1)
        done = entrypoints.link(app, propose, author(), reason)
    if not printed(done, as_json):
        out.print("Done. `concord sync` carries it out.")


def _preview(shown: Mapping[str, Any]) -> None:
    target = "a new customer" if shown["new"] else shown["to"]
    out.print(f"{shown['verb']}: {', '.join(shown['records'])} to {target}")
    if shown["absorbs"]:
        out.print(f"{shown['from']} stands for {shown['to']} from then on.")
    for id_, found in shown["customers"].items():
        out.print(f"{id_} would be:")
        for name, value in found["golden"].items():
            held = " (waits for a decision)" if name in found["waits_for_a_decision"] else ""
            out.print(f"  {name} = {brief(value)}{held}")
        for title, names in (
            ("secondary, not written", found["secondary"]),
            ("would be written", found["would_update"]),
            ("would be created in", found["would_create"]),
        ):
            if names:
                out.print(f"  {title}: {', '.join(names)}")

"""Which records are one customer, as a person decides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_master.bootstrap import App, new_id
from crm_master.engine import linking
from crm_master.engine.linking import Propose
from crm_master.entrypoints.recording import recorded


def merging(survivor: str, absorbed: str) -> Propose:
    """Everything of ``absorbed`` becomes the survivor's. Both by id, or by a record of theirs."""
    return linking.merge(survivor, absorbed)


def splitting(customer: str, records: Sequence[str]) -> Propose:
    """Some records become a new customer."""
    made = new_id()
    return linking.split(customer, records, lambda: made)


def moving(record: str, customer: str) -> Propose:
    """One record becomes another customer's, or (``new``) a customer of its own."""
    made = new_id()
    return linking.move(record, customer, lambda: made)


def pinning(record: str) -> Propose:
    """Of the customer's records in one stream, this one receives the writes."""
    return linking.pin(record)


def link_preview(app: App, propose: Propose) -> dict[str, Any]:
    """What would become of the customers, and what would be written. Raises ``linking.NotLinkable``, ``NotFound``."""
    return linking.preview(app.hub, propose, app.store, app.clock())


def link(app: App, propose: Propose, author: str, reason: str = "") -> dict[str, Any]:
    """Change links. The next reconcile carries it out. Raises ``linking.NotLinkable``, ``NotFound``."""
    with recorded(app, "link") as run:
        done = linking.carry_out(app.hub, propose, author, reason, app.store, app.clock, run.id)
        run.add({done["verb"]: len(done["records"])})
    return done


def link_log(app: App, name: str) -> dict[str, Any]:
    """Every link of a customer and of those who were merged into it. Raises ``NotFound``."""
    return linking.log(name, app.store)

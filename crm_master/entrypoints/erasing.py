"""Erasing a customer, and letting one in again (RULES 25)."""

from __future__ import annotations

from typing import Any

from crm_master.bootstrap import App, new_id
from crm_master.domain.claims import iso
from crm_master.engine import erasure
from crm_master.entrypoints.recording import recorded
from crm_master.ports import Receipt


def erase_preview(app: App, customer: str) -> dict[str, Any]:
    """What erasing a customer would do; ``receipt`` if it was done before. Raises ``NotFound`` and ``NotErasable``."""
    return erasure.preview(app.hub, customer, app.store)


def erase(app: App, customer: str, author: str, reason: str = "") -> dict[str, Any]:
    """Erase a customer, or finish an erasure that was interrupted. Gives the receipt.

    ``state`` is ``erased`` as long as the files of a SQLite master are in use elsewhere and cannot be cleaned: do it again
    then. Raises ``NotFound`` and ``NotErasable``.
    """
    with recorded(app, "erase") as run:
        receipt = erasure.erase(
            app.hub, customer, author, reason, app.store, app.clock, new_id, run.id
        )
        if receipt.state != "done" and app.store.purge():
            receipt = erasure.finish(receipt, app.store)
    return _receipt(receipt)


def lift(app: App, receipt: str, author: str, *, records: bool = False) -> dict[str, Any]:
    """Let an erased person in again: as a new record, with ``records`` also as the old ones. Raises ``NotFound``."""
    with recorded(app, "lift", receipt):
        lifted = erasure.lift(receipt, author, app.store, app.clock, records=records)
    return {"receipt": receipt, "lifted": lifted}


def receipts(app: App) -> list[dict[str, Any]]:
    """Every erasure: who asked, when, and how far each system is."""
    with app.store() as uow:
        return [_receipt(receipt) for receipt in uow.erasures.list()]


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "receipt": receipt.id,
        "entity": receipt.entity,
        "customers": receipt.customers,
        "at": iso(receipt.at),
        "by": receipt.author,
        "reason": receipt.reason,
        "state": receipt.state,
        "systems": receipt.systems,
        "shared": receipt.shared,
        "lifted_at": iso(receipt.lifted_at) if receipt.lifted_at else None,
        "lifted_by": receipt.lifted_by or None,
    }

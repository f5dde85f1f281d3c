"""What happened, counted: per system from the master and from the ledger of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crm_master import entrypoints
from crm_master.entrypoints import App

_PAGE = 500


@dataclass(slots=True)
class Figures:
    """The customers of one system after a round. ``linked``: its records whose customer another system knows too."""

    read: int = 0
    linked: int = 0
    created: int = 0
    updated: int = 0
    rejected: int = 0
    conflicts: int = 0
    review: int = 0


def figures(
    app: App, read: Mapping[str, int], written: Mapping[str, Counter[str]]
) -> dict[str, Figures]:
    """The figures of each system, given what was read and written in this round."""
    found = {
        name: Figures(
            read=read.get(name, 0),
            created=written.get(name, Counter())["created"],
            updated=written.get(name, Counter())["updated"],
        )
        for name in app.hub.systems
    }
    systems: dict[str, set[str]] = {}
    for record in _records(app):
        if record.entity_id is not None and record.origin == "source":
            systems.setdefault(record.entity_id, set()).add(record.ref.system)
    for record in _records(app):
        mine = found[record.ref.system]
        mine.linked += (
            len(systems.get(record.entity_id or "", ())) > 1 and record.origin == "source"
        )
    for record, golden in _with_golden(app):
        found[record.ref.system].conflicts += sum(
            key.element is None and golden.get(key.field) != claim.value
            for key, claim in record.claims.items()
        )
    for letter in entrypoints.tasks(app, dead=True):
        found[letter["subject"].partition("/")[0]].rejected += 1
    for task in entrypoints.tasks(app):
        if task["kind"] == "match":
            found[task["subject"].partition("/")[0]].review += 1
    return found


def _records(app: App) -> Iterator[Any]:
    for stream in app.hub.streams():
        if stream.entity != "customer":
            continue
        after = ""
        while True:
            with app.store() as uow:
                page = uow.records.scan(stream.system, stream.stream, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                break
            after = page[-1].rec_id


def _with_golden(app: App) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    records = [record for record in _records(app) if record.entity_id is not None]
    for start in range(0, len(records), _PAGE):
        page = records[start : start + _PAGE]
        with app.store() as uow:
            customers = uow.customers.get({record.entity_id for record in page})
        for record in page:
            yield record, customers[record.entity_id].golden

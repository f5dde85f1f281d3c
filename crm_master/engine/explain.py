"""Why a customer record is as it is: every field with who said it, when, under which rule, and what lost (promise 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_master.domain.claims import UNSET, ClaimKey, Instant, iso
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import SystemState
from crm_master.engine.golden import counts_for, taking_part
from crm_master.engine.plan import Hub
from crm_master.ports import Customer, SourceRecord, UnitOfWork, UnitOfWorkFactory

POLICY, HUB = "policy", "hub"
"""The authors of links that no person has made."""


class NotFound(Exception):
    """Nothing is known under this name; the text says which names there are."""


def find_customer(name: str, uow: UnitOfWork) -> EntityId:
    """A customer by its id, or by a record of its: ``system/stream/key``. Raises ``NotFound``."""
    seen = {name}
    if "/" in name:
        record = find_record(name, uow)
        if record.entity_id is None:
            raise NotFound(
                f"{name} belongs to no customer yet; `concord conflicts` may ask whose it is"
            )
        name = record.entity_id
    while (customer := uow.customers.get([name]).get(name)) is not None:
        if customer.redirect_to is None or customer.redirect_to in seen:
            return customer.id
        name = customer.redirect_to
        seen.add(name)
    if (receipt := uow.erasures.of_customer(name)) is not None:
        raise NotFound(
            f"customer {name} was erased: see receipt {receipt.id} (`concord erase --receipts`)"
        )
    raise NotFound(f"no customer {name!r}; give a customer's id, or a record as system/stream/key")


def find_record(name: str, uow: UnitOfWork) -> SourceRecord:
    """A record by its name, ``system/stream/key``. Raises ``NotFound``."""
    parts = name.split("/", 2)
    if len(parts) != 3:
        raise NotFound(f"{name!r} is no record; a record is named system/stream/key")
    rec_id = record_id(ExternalRef(*parts))
    record = uow.records.get([rec_id]).get(rec_id)
    if record is None:
        raise NotFound(f"{name} has not been read")
    return record


def links_of(ids: Sequence[EntityId], uow: UnitOfWork) -> list[dict[str, Any]]:
    """Every link of some customers as plain JSON, oldest first."""
    entries = [entry for id_ in ids for entry in uow.customers.links(entity_id=id_)]
    refs = {
        rec_id: str(record.ref)
        for rec_id, record in uow.records.get({entry.rec_id for entry in entries}).items()
    }
    return [
        {
            "at": iso(entry.at),
            "verb": entry.verb,
            "record": refs.get(entry.rec_id, entry.rec_id),
            "customer": entry.entity_id,
            "by": entry.author,
            "evidence": dict(entry.evidence),
        }
        for entry in sorted(entries, key=lambda entry: entry.seq)
    ]


def explain(hub: Hub, name: str, store: UnitOfWorkFactory) -> dict[str, Any]:
    """A customer with provenance, links, waiting deliveries and history, as plain JSON. Raises ``NotFound``."""
    with store() as uow:
        entity_id = find_customer(name, uow)
        customer = uow.customers.get([entity_id])[entity_id]
        records = uow.records.of_entities([entity_id])
        states = taking_part(hub, uow.states.systems())
        links = {entry.rec_id: entry for entry in uow.customers.links(entity_id=entity_id)}
        waiting = uow.outbox.for_records([record.rec_id for record in records])
        history = uow.customers.history(entity_id)
        absorbed = [id_ for id_ in uow.customers.aliases(entity_id) if id_ != entity_id]
        by_hand = [
            link
            for link in links_of([entity_id, *absorbed], uow)
            if link["by"] not in (POLICY, HUB)
        ]
        runs = uow.inbox.runs_of(
            {claim.seq for record in records for claim in record.claims.values()}
        )
    return {
        "customer": customer.id,
        "entity": customer.entity,
        "version": customer.version,
        "absorbed": absorbed,
        "fields": _fields(hub, customer, records, states, runs),
        "records": [
            {
                "record": str(record.ref),
                "status": record.status.value,
                "made_by": record.origin.value,
                "primary": record.primary,
                "linked": links[record.rec_id].verb if record.rec_id in links else None,
                "by": links[record.rec_id].author if record.rec_id in links else None,
                "because": dict(links[record.rec_id].evidence) if record.rec_id in links else {},
                "delivery": waiting[record.rec_id].state.value
                if record.rec_id in waiting
                else None,
                "lossy": sorted(
                    part
                    for part, now in record.shadow.fields.items()
                    if now.sent is not UNSET and now.sent != now.held
                ),
            }
            for record in records
        ],
        "links_by_hand": by_hand,
        "history": [
            {
                "version": entry.version,
                "at": iso(entry.at),
                "run": entry.run_id,
                "superseded": {
                    part: old[0] if old else None for part, old in entry.superseded.items()
                },
            }
            for entry in history
        ],
    }


def _fields(
    hub: Hub,
    customer: Customer,
    records: Sequence[SourceRecord],
    states: Mapping[str, SystemState],
    runs: Mapping[int, str],
) -> dict[str, Any]:
    """Every field with all that was ever claimed of it: what a record said before it was merged away is not nowhere."""
    policy = hub.entities[customer.entity].policy
    by_field: dict[str, list[tuple[ClaimKey, SourceRecord]]] = {}
    for record in records:
        for key in record.claims:
            by_field.setdefault(key.field, []).append((key, record))
    found: dict[str, Any] = {}
    for name in sorted(by_field.keys() | customer.golden.keys()):
        claims = []
        for key, record in sorted(
            by_field.get(name, []), key=lambda entry: (entry[0], entry[1].rec_id)
        ):
            claim = record.claims[key]
            won = customer.winners.get(key)
            claims.append(
                {
                    "record": str(record.ref),
                    "element": key.element,
                    "value": claim.value,
                    "between": [_when(claim.lo), _when(claim.hi)],
                    "run": runs.get(claim.seq),
                    "by": claim.author,
                    "wins": won is not None and won.record == record.rec_id,
                    "counts": counts_for(record, states),
                }
            )
        found[name] = {
            "value": customer.golden.get(name),
            # words that do not count may be of a field that there is no more
            "rule": policy.of(name).rule.value if name in policy.entity.fields else None,
            "withheld": name in customer.withheld,
            "claims": claims,
        }
    return found


def _when(instant: Instant) -> str | None:
    return iso(instant) if instant else None

"""Orders and interactions: facts about customers, made nowhere before those are known there (RULES 18).

A reference is kept as its source said it: the record of a system, as ``shop/customers/12``. Whose record that is, and which
record the same customer has in another system, is looked up when it is needed. So a fact follows its customer through
merges and splits, and nothing of it has to be written anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from crm_master.domain.claims import UNSET, Shadow
from crm_master.domain.entities import EntitySpec
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import EntityId, ExternalRef, RecordId, record_id
from crm_master.domain.lifecycle import RecordStatus
from crm_master.engine.plan import EntityPlan, StreamPlan
from crm_master.ports import Customer, KnownAs, SourceRecord, UnitOfWork


def ref_of(reference: str) -> ExternalRef:
    """The record that a reference names."""
    return ExternalRef(*reference.split("/", 2))


def named(reference: str) -> RecordId:
    """The id of the record that a reference names."""
    return record_id(ref_of(reference))


def references_of(
    record: SourceRecord, spec: EntitySpec, *, to: str | None = None
) -> dict[str, str]:
    """What a record's claims refer to, by field: all, or records of one entity."""
    names = {field.name for field in spec.references if to in (None, field.to)}
    return {
        key.field: claim.value
        for key, claim in record.claims.items()
        if key.field in names and claim.value is not None
    }


def note(records: Iterable[SourceRecord], spec: EntitySpec, uow: UnitOfWork) -> None:
    """Keep what the records of facts refer to."""
    if not spec.references:
        return
    uow.facts.refer(
        {
            record.rec_id: {
                name: named(value) for name, value in references_of(record, spec).items()
            }
            for record in records
        }
    )


def look_up(
    plan: EntityPlan,
    customers: Iterable[Customer],
    records: Iterable[SourceRecord],
    uow: UnitOfWork,
) -> None:
    """Tell facts under which records those whom they are about are known everywhere: a few statements for a batch."""
    if not plan.spec.references:
        return
    names = [field.name for field in plan.spec.references]
    customers = list(customers)
    wanted = {
        value
        for fact in customers
        for name in names
        if (value := fact.golden.get(name)) is not None
    }
    wanted |= {value for record in records for value in references_of(record, plan.spec).values()}
    targets = _live(uow, {named(value) for value in wanted})
    of: dict[EntityId, list[SourceRecord]] = {}
    parents = {record.entity_id for record in targets.values() if record.entity_id is not None}
    for record in uow.records.of_entities(parents):
        if record.status is RecordStatus.LIVE and record.entity_id is not None:
            of.setdefault(record.entity_id, []).append(record)
    known: KnownAs = {}
    for value in wanted:
        target = targets.get(named(value))
        if target is None or target.entity_id is None:
            continue
        places = known.setdefault(value, {})
        for record in sorted(of.get(target.entity_id, ()), key=lambda record: not record.primary):
            places.setdefault((record.ref.system, record.ref.stream), []).append(str(record.ref))
    for fact in customers:
        fact.known_as = known


def here(
    golden: Mapping[str, Canonical],
    known_as: KnownAs,
    stream: StreamPlan,
    shadow: Shadow | None = None,
) -> Mapping[str, Canonical]:
    """A golden record with its references as a stream's system knows them.

    What the system shows stays where it names the same customer by another record of theirs.
    """
    local: dict[str, Canonical] = {}
    for name, place in stream.mapping.references.items():
        known = known_as.get(golden.get(name) or "", {}).get(place, ())
        if known:
            shown = _shown(name, stream, shadow)
            local[name] = shown if shown in known else known[0]
    return {**golden, **local} if local else golden


def waits_for(fact: Customer, stream: StreamPlan, spec: EntitySpec) -> str:
    """What a fact refers to that its target does not know yet, by name: nothing is made there before (RULES 18)."""
    golden = here(fact.golden, fact.known_as, stream)
    return ", ".join(
        name
        for name, place in stream.mapping.references.items()
        if golden.get(name) is not None
        and not golden[name].startswith("/".join((*place, "")))
        and spec.fields[name].waits
    )


def _shown(name: str, stream: StreamPlan, shadow: Shadow | None) -> Canonical:
    now = shadow.fields.get(name) if shadow is not None else None
    if now is None or now.held is UNSET:
        return None
    try:
        return stream.mapping.decode(name, now.held)
    except ValueError:
        return None


def _live(uow: UnitOfWork, ids: Collection[RecordId]) -> dict[RecordId, SourceRecord]:
    """Records by id; in the place of one that its system has merged into another stands that other."""
    found = uow.records.get(ids)
    while moved := {
        rec_id: record.alias_of
        for rec_id, record in found.items()
        if record.status is RecordStatus.ALIAS and record.alias_of
    }:
        survivors = uow.records.get(set(moved.values()))
        for rec_id, into in moved.items():
            if into in survivors and survivors[into].rec_id != rec_id:
                found[rec_id] = survivors[into]
            else:
                del found[rec_id]
    return found

"""What a successful write has made of its record: a shadow, a new record, or a link to one that was there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connectors.contract import RawRecord, Written
from crm_master.domain.claims import UNSET, Instant, Shadow
from crm_master.domain.echoes import reduced
from crm_master.domain.fields import Mapped, Native
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryState, Origin, TaskKind
from crm_master.domain.settling import Settled, intend, settle, withhold
from crm_master.engine.delivery import (
    Confirmed,
    Delivery,
    children_of,
    legible,
    natives_of,
    unshown,
)
from crm_master.engine.ingest import canonical, fingerprint, land, spot_page
from crm_master.engine.moving import book_move
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import Customer, DeliveryEntry, LinkEntry, SourceRecord, Task, UnitOfWork


def written(
    hub: Hub,
    plan: StreamPlan,
    item: Confirmed,
    present: Customer | None,
    pos: int,
    run_id: str,
    uow: UnitOfWork,
) -> DeliveryEntry:
    """Settle what was delivered. ``present`` is the customer as of now, who may be another than was delivered."""
    delivery, outcome = item.delivery, item.outcome
    assert isinstance(outcome, Written)
    mapped = _read(plan, item.shown)
    shown = held = _held(plan, mapped, delivery.record)
    known = uow.states.stream(plan.system, plan.stream).watermark
    ref = ExternalRef(plan.system, plan.stream, outcome.key)
    record = delivery.record
    if record is None:
        there = uow.records.get([record_id(ref)], lock=True).get(record_id(ref))
        if there is not None and there.entity_id not in (None, delivery.customer.id):
            return bind(plan, item, pos, run_id, uow)
        record = SourceRecord(
            rec_id=record_id(ref),
            ref=ref,
            entity=delivery.customer.entity,
            entity_id=delivery.customer.id,
            since=item.at,
            origin=Origin.HUB,
            shadow=intend(Shadow(), delivery.natives, delivery.sources),
        )
    else:
        held = _ours(delivery, record, held)
        if ref != record.ref:
            record = book_move(hub, delivery.message, record, ref, item.at, pos, uow)
    # where something cannot be read, or could not before, a dead letter is opened or closed once it is read again
    plain = mapped is not None and legible(mapped)
    plain = plain and not any(was.unreadable for was in record.shadow.fields.values())
    complete = plain and len(held) == len(shown)
    if complete and item.shown is not None:
        record.raw_hash = fingerprint(canonical(item.shown.document))
    record.reread = not complete
    before = record.shadow
    version = delivery.message.version
    children = _children(plan, item, held)
    settled = settle(before, delivery.natives.keys(), held, version, item.at, known, children)
    take(record, settled, uow)
    hidden = unshown(hub, plan, present or delivery.customer, record)
    record.shadow = withhold(record.shadow, hidden, max(version - 1, 0))
    if not record.mapping_hash:
        record.mapping_hash = plan.mapping.hash
    uow.records.save([record])
    if delivery.record is None:
        # once it is there: a fact may have named it before anybody knew whose it is (RULES 18)
        link = LinkEntry(record.rec_id, delivery.customer.id, "bind", "hub", {})
        uow.customers.add_links([link], item.at, pos)
    uow.outbox.done([delivery.message])
    _ineffective(record, before, delivery, held, item.at, run_id, uow)
    solved = [(TaskKind.REFUSED, delivery.message.id), (TaskKind.UNKNOWN, delivery.message.id)]
    solved.append((TaskKind.MATCH, str(ref)))
    uow.tasks.close(solved, item.at)
    return delivery.entry(
        "written", item.at, sent=delivery.natives, held=held, children=children, ref=ref
    )


def bind(
    plan: StreamPlan, item: Confirmed, pos: int, run_id: str, uow: UnitOfWork
) -> DeliveryEntry:
    """A record that is there already becomes the customer's, and is read.

    One that a create met is somebody's: it is read as at first sight. One that was found after a create whose answer was
    lost is ours: in the fields that were sent, what it shows is measured by what was sent.
    """
    delivery, outcome = item.delivery, item.outcome
    assert isinstance(outcome, Written)
    ref = ExternalRef(plan.system, plan.stream, outcome.key)
    known = uow.records.get([record_id(ref)], lock=True).get(record_id(ref))
    if known is not None and known.entity_id not in (None, delivery.customer.id):
        reason = "the system says that this customer is there, as a record of another customer"
        payload = {
            "entity": delivery.customer.id,
            "entities": [known.entity_id],
            "record": str(ref),
            "reason": reason,
        }
        delivery.message.state = DeliveryState.HELD
        delivery.message.reason = reason
        uow.outbox.save([delivery.message])
        task = Task(TaskKind.UNKNOWN, delivery.message.id, payload)
        uow.tasks.open([task], item.at, run_id)
        return delivery.entry("refused", item.at, reason=reason, ref=ref)
    record = known or SourceRecord(
        rec_id=record_id(ref), ref=ref, entity=delivery.customer.entity, since=item.at
    )
    ours = delivery.found and record.entity_id is None
    if ours:
        record.origin = Origin.HUB
        record.shadow = intend(Shadow(), delivery.natives, delivery.sources)
        record.mapping_hash = plan.mapping.hash
    record.entity_id = delivery.customer.id
    record.reread = True
    uow.records.save([record])
    how = {"found" if delivery.found else "existed": True}
    link = LinkEntry(record.rec_id, delivery.customer.id, "bind", "hub", how)
    uow.customers.add_links([link], item.at, pos)
    if item.shown is not None:
        watermark = uow.states.stream(plan.system, plan.stream).watermark
        page = spot_page([item.shown], item.started, item.at)
        land(plan, [item.shown], page, watermark, uow, run_id)
    uow.customers.mark_dirty(ids=[delivery.customer.id])
    uow.outbox.done([delivery.message])
    solved = [(TaskKind.REFUSED, delivery.message.id), (TaskKind.UNKNOWN, delivery.message.id)]
    uow.tasks.close([(TaskKind.MATCH, str(ref)), *solved], item.at)
    if ours:
        return delivery.entry("found", item.at, sent=delivery.natives, ref=ref)
    return delivery.entry("existed", item.at, ref=ref)


def _read(plan: StreamPlan, shown: RawRecord | None) -> Mapped | None:
    """A record as the hub understands it; ``None`` if nothing was shown, or nothing that could be understood."""
    if shown is None:
        return None
    mapped = plan.mapping.apply(shown.document, full_payload=plan.full_payload)
    return mapped if isinstance(mapped, Mapped) else None


def _held(
    plan: StreamPlan, mapped: Mapped | None, record: SourceRecord | None
) -> dict[str, Native]:
    """What a record shows; of a group, members that a partial payload lacks are still as they were (RULES 9)."""
    natives = {} if mapped is None else natives_of(mapped)
    before = record.shadow.fields if record is not None else {}
    return natives | {
        name: plan.mapping.complete(name, natives[name], before[name].held)
        for name in natives.keys() & before.keys()
    }


def _children(
    plan: StreamPlan, item: Confirmed, held: Mapping[str, Native]
) -> dict[str, Mapping[str, str]]:
    """Under which keys the elements of lists stand now: as is shown, else as was sent, without those that were made."""
    found: dict[str, Mapping[str, str]] = {}
    if not plan.mapping.keyed:
        return found
    sent = RawRecord("", item.delivery.command.after)
    for shown, names in ((sent, item.delivery.natives), (item.shown, held)):
        if (mapped := _read(plan, shown)) is not None:
            found |= {name: of for name, of in children_of(mapped).items() if name in names}
    return found


def _ours(delivery: Delivery, record: SourceRecord, held: dict[str, Native]) -> dict[str, Native]:
    """What may be taken as held: fields that were sent, and others only where they are as before.

    A field that nobody sent and that differs now was changed by a person in the meantime; it is read again as an edit.
    """
    fields = record.shadow.fields
    return {
        name: native
        for name, native in held.items()
        if name in delivery.natives or (name in fields and fields[name].held == native)
    }


def _ineffective(
    record: SourceRecord,
    before: Shadow,
    delivery: Delivery,
    held: Mapping[str, Native],
    at: Instant,
    run_id: str,
    uow: UnitOfWork,
) -> None:
    """Report fields that the system was sent, and that hold what they held before (RULES 7)."""
    tasks, solved = [], []
    for name in delivery.natives.keys() & held.keys():
        now, was = record.shadow.fields[name], before.fields[name]
        subject = f"{record.ref}:{name}"
        cut = was.doubt is not None and reduced(now.held, replace(now, pending=now.sent))
        unmoved = was.held is not UNSET and now.held == was.held
        if unmoved and now.held != now.sent and not cut:
            payload = {"entity": delivery.customer.id, "field": name}
            tasks.append(Task(TaskKind.INEFFECTIVE, subject, payload))
        else:
            solved.append((TaskKind.INEFFECTIVE, subject))
    uow.tasks.open(tasks, at, run_id)
    uow.tasks.close(solved, at)


def take(record: SourceRecord, settled: Settled, uow: UnitOfWork) -> None:
    """Give a record its shadow, and the claims of people whose edits were in doubt."""
    record.shadow = settled.shadow
    if settled.edits:
        record.claims = {**record.claims, **settled.edits}
        uow.customers.mark_dirty(ids=[record.entity_id or ""])

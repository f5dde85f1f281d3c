"""Where a field is the key: a write may move a record to another key, and it stays the same record (RULES 2, 24)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connectors.contract import RawRecord, Sink, WriteCommand
from crm_master.domain.claims import Instant, Interval, Shadow
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import RecordStatus, TaskKind
from crm_master.domain.settling import on_its_way
from crm_master.engine.delivery import correlation, still_mapped
from crm_master.engine.matching import BatchMatcher
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import (
    DeliveryEntry,
    Level,
    LinkEntry,
    OutboxMessage,
    SourceRecord,
    UnitOfWork,
    UnitOfWorkFactory,
)


def move(record: SourceRecord, ref: ExternalRef, at: Instant) -> SourceRecord:
    """A record under another key, with all that it says and shows; under the old key an empty alias is left.

    The alias keeps the time of the move: what was read of it before says nothing any more.
    """
    moved = replace(record, rec_id=record_id(ref), ref=ref)
    record.status, record.claims, record.raw_hash = RecordStatus.ALIAS, {}, b""
    record.alias_of, record.placed, record.pinned = moved.rec_id, None, False
    record.shadow, record.reread = Shadow(confirmed_at=at), False
    return moved


def bury(record: SourceRecord, at: Instant) -> None:
    """The record is gone. Whatever its key shows next is news, although it be what was read last (RULES 12)."""
    record.status, record.raw_hash = RecordStatus.DELETED, b""
    record.gone = Interval(record.shadow.confirmed_at, at)


def book_move(
    hub: Hub,
    message: OutboxMessage,
    record: SourceRecord,
    ref: ExternalRef,
    at: Instant,
    pos: int,
    uow: UnitOfWork,
) -> SourceRecord:
    """Put a move on record, in the journal too. Gives the record under its new key, which is the caller's to save."""
    entry = update_entry(message, record, "moved", at, ref.key)
    uow.journal.add_deliveries([entry], pos)
    moved = move(record, ref, at)
    displaced = uow.records.get([moved.rec_id]).values()
    BatchMatcher(hub.entities[record.entity], uow, [moved], {})  # gives it its block keys
    uow.records.save([record])
    uow.records.save_blocks([record, moved])
    link = LinkEntry(moved.rec_id, message.entity_id, "bind", "hub", {"moved": record.rec_id})
    uow.customers.add_links([link], at, pos)
    # what waits for it waits under its new name from now on; whose key it was, if anybody's, has left for good
    former = [of.entity_id for of in displaced if of.entity_id is not None]
    uow.customers.mark_dirty(ids=[message.entity_id, *former])
    uow.tasks.close([(TaskKind.MATCH, str(ref))], at)
    return moved


def look(record: SourceRecord, entity_id: EntityId) -> OutboxMessage:
    """The delivery that finds out whether a record that seems gone has got another key by what is on its way to it."""
    system, stream = record.ref.system, record.ref.stream
    return OutboxMessage(entity_id, record.entity, system, stream, record.rec_id, 0)


def moved_unheard(
    plan: StreamPlan,
    sink: Sink,
    messages: Sequence[OutboxMessage],
    missing: Sequence[SourceRecord],
    store: UnitOfWorkFactory,
) -> Iterator[tuple[OutboxMessage, str]]:
    """Which records that are gone after a write whose answer was lost have got another key by it, and which.

    They are looked for by what was sent. Raises ``ConnectorError``.
    """
    waiting = {message.rec_id: message for message in messages}
    for record in missing:
        sent = still_mapped(plan, on_its_way(record.shadow))
        if not sent:
            continue
        message = waiting[record.rec_id]
        after, key = plan.mapping.put({}, sent), correlation(message.entity_id)
        command = WriteCommand(message.id, plan.stream, None, {}, after, key)
        shown = sink.find(plan.stream, command)
        # where a value that was sent is the key, who has it is this record, even if a person has known it under it already
        keys = {str(value).casefold() for value in sent.values()}
        named = [found for found in shown if found.key.casefold() in keys]
        found = unclaimed(plan, shown, store) or unclaimed(plan, named, store, message.entity_id)
        if len(found) == 1:
            yield message, found[0].key


def unclaimed(
    plan: StreamPlan,
    found: Sequence[RawRecord],
    store: UnitOfWorkFactory,
    but: EntityId | None = None,
) -> list[RawRecord]:
    """The records that belong to nobody, or to the customer ``but``: what a lost write may have made. Each once."""
    distinct = {shown.key: shown for shown in found}
    ids = {key: record_id(ExternalRef(plan.system, plan.stream, key)) for key in distinct}
    with store() as uow:
        known = uow.records.get(ids.values())
    return [
        shown
        for key, shown in distinct.items()
        if (record := known.get(ids[key])) is None or record.entity_id in (None, but)
    ]


def found_elsewhere(
    hub: Hub, message: OutboxMessage, key: str, at: Instant, run_id: str, uow: UnitOfWork
) -> None:
    """Book such a move. What else came of the write, the next delivery sees.

    What was read under the new key meanwhile was read of this record: an edit that it shows was made when that read says.
    """
    rec_id = message.rec_id or ""
    uow.lock(Level.CUSTOMER, uow.records.owners([rec_id]) | {message.entity_id})
    record = uow.records.get([rec_id])[rec_id]
    ref = replace(record.ref, key=key)
    uow.records.reserve([record, SourceRecord(record_id(ref), ref, record.entity, since=at)])
    found = uow.records.get([rec_id, record_id(ref)])
    record, there = found[rec_id], found[record_id(ref)]
    pos = uow.journal.commit("settle", at, run_id)
    moved = book_move(hub, message, record, ref, at, pos, uow)
    # what a person has decided about stays where the journal has it; an edit of it, the next delivery sees too
    if there.status is RecordStatus.LIVE and there.entity_id is None:
        moved.raw_hash = there.raw_hash
        uow.inbox.reopen(there.rec_id, max(there.since, there.shadow.confirmed_at))
    uow.records.save([moved])
    uow.outbox.done([message])


def update_entry(
    message: OutboxMessage, record: SourceRecord, outcome: str, at: Instant, key: str | None = None
) -> DeliveryEntry:
    """A step of the delivery to a record for which nothing was rendered; ``key`` is the one that it has got by it."""
    return DeliveryEntry(
        rec_id=record.rec_id,
        ref=record.ref,
        entity_id=message.entity_id,
        system=record.ref.system,
        stream=record.ref.stream,
        version=message.version,
        operation="update",
        outcome=outcome,
        at=at,
        sent={} if key is None else {"key": key},
    )

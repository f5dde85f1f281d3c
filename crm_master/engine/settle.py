"""What became of a write: outcomes turned into shadows, links, tasks and the journal (RULES 6, 7, 24)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import assert_never

from connectors.contract import (
    Gone,
    Outcome,
    Page,
    RawRecord,
    Refused,
    Retry,
    Sink,
    Stale,
    Unknown,
    Written,
)
from connectors.errors import ConnectorError
from crm_master.domain.claims import Instant
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryState, DeliveryVerb, RecordStatus, TaskKind
from crm_master.domain.settling import abandon, believe
from crm_master.engine.booking import bind, take, written
from crm_master.engine.delivery import Confirmed, Delivery
from crm_master.engine.facts import look_up
from crm_master.engine.ingest import land, spot_page
from crm_master.engine.moving import bury, update_entry
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.engine.receipts import not_erased
from crm_master.ports import (
    Clock,
    Customer,
    DeliveryEntry,
    Level,
    OutboxMessage,
    SourceRecord,
    Task,
    UnitOfWork,
)

FIRST_WAIT = 1_000_000  # microseconds
LONGEST_WAIT = 3_600_000_000
LONGEST_ASKED = 86_400_000_000  # a system that asks for more has a wrong clock
_STALE = "the record changed since it was read, or the system says so"


class Settler:
    """Settles the deliveries of one system."""

    def __init__(self, hub: Hub, sink: Sink, clock: Clock, run_id: str) -> None:
        self.hub = hub
        self.sink = sink
        self.clock = clock
        self.run_id = run_id

    def confirm(
        self, plan: StreamPlan, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]
    ) -> list[Confirmed]:
        """Ask what the system holds now wherever its answer did not say so."""
        keys = [
            outcome.key
            for outcome in outcomes
            if isinstance(outcome, Written) and outcome.record is None
        ]
        started = self.clock()
        try:
            shown = self.sink.fetch(plan.stream, keys) if keys else {}
        except ConnectorError:
            shown = {}
        at = self.clock()
        return [
            Confirmed(
                delivery,
                outcome,
                (outcome.record or shown.get(outcome.key))
                if isinstance(outcome, Written)
                else None,
                started,
                at,
            )
            for delivery, outcome in zip(deliveries, outcomes, strict=True)
        ]

    def lock(self, plan: StreamPlan, confirmed: Sequence[Confirmed], uow: UnitOfWork) -> None:
        """Lock the customers and records of a whole batch, in the one order; keys that are new there too (RULES 23)."""
        ids = {item.delivery.record.rec_id for item in confirmed if item.delivery.record}
        customers = {item.delivery.customer.id for item in confirmed}
        there = uow.customers.get(customers | uow.records.owners(ids), lock=True)
        new = [
            SourceRecord(record_id(ref), ref, item.delivery.customer.entity, since=item.at)
            for item in confirmed
            if isinstance(item.outcome, Written) and item.delivery.customer.id in there
            for ref in [ExternalRef(plan.system, plan.stream, item.outcome.key)]
            if item.delivery.record is None or item.delivery.record.ref != ref
        ]
        if new:
            uow.records.reserve([*uow.records.get(ids).values(), *new])
        uow.lock(Level.RECORD, ids)

    def settle(
        self, plan: StreamPlan, confirmed: Sequence[Confirmed], uow: UnitOfWork
    ) -> Counter[str]:
        """Book every outcome, in one transaction. Gives the counts for the ledger."""
        counts: Counter[str] = Counter()
        at = self.clock()
        ids = [item.delivery.record.rec_id for item in confirmed if item.delivery.record]
        records = uow.records.get(ids, lock=True)
        known = len(confirmed)
        confirmed = not_erased(self.hub, plan, confirmed, records, at, uow)
        if erased := known - len(confirmed):
            counts["erased"] = erased
        mine = uow.outbox.mine([item.delivery.message for item in confirmed])
        # whoever has taken over since looks for what became of it
        if late := sum(item.delivery.message.id not in mine for item in confirmed):
            counts["late"] = late
        confirmed = [item for item in confirmed if item.delivery.message.id in mine]
        if not confirmed:
            return counts
        pos = uow.journal.commit("settle", at, self.run_id)
        present = uow.customers.get({item.delivery.customer.id for item in confirmed})
        look_up(self.hub.entities[plan.entity], present.values(), (), uow)
        entries: list[DeliveryEntry] = []
        for item in confirmed:
            if item.delivery.record is not None:
                item.delivery.record = records[item.delivery.record.rec_id]
            entries.append(self._book(plan, item, present, counts, at, pos, uow))
        uow.journal.add_deliveries(entries, pos)
        if any(item.delivery.record is None for item in confirmed):
            uow.inbox.unpark(plan.system, plan.stream)
        uow.customers.mark_dirty(ids=self._changed_meanwhile(confirmed, present))
        return counts

    def _changed_meanwhile(
        self, confirmed: Sequence[Confirmed], present: Mapping[EntityId, Customer]
    ) -> set[EntityId]:
        """The customers who are not what was delivered any more, and whose record nobody has compared since.

        A record that was being made was not there to be compared; one that was moved was another's then.
        """
        found = set()
        for item in confirmed:
            delivery = item.delivery
            if delivery.record is None:
                found |= {
                    customer.id
                    for customer in (present.get(delivery.customer.id),)
                    if customer is not None and customer.version > delivery.message.version
                }
            elif delivery.record.entity_id not in (None, delivery.customer.id):
                found.add(delivery.record.entity_id)
        return found

    def _book(
        self,
        plan: StreamPlan,
        item: Confirmed,
        present: Mapping[EntityId, Customer],
        counts: Counter[str],
        at: Instant,
        pos: int,
        uow: UnitOfWork,
    ) -> DeliveryEntry:
        delivery, outcome = item.delivery, item.outcome
        match outcome:
            case Written() | Gone() if delivery.message.verb is DeliveryVerb.DELETE:
                counts["deleted"] += 1
                assert delivery.record is not None
                over = self._over(delivery.message, delivery.record, uow)
                return delivery.entry("deleted", over, held=delivery.held)
            case Written(existed=True):
                counts["existed"] += 1
                return bind(plan, item, pos, self.run_id, uow)
            case Written() if delivery.found:
                counts["created"] += 1
                return bind(plan, item, pos, self.run_id, uow)
            case Written():
                counts["created" if delivery.record is None else "updated"] += 1
                return written(
                    self.hub,
                    plan,
                    item,
                    present.get(delivery.customer.id),
                    pos,
                    self.run_id,
                    uow,
                )
            case Gone():
                counts["gone"] += 1
                if delivery.record is None:
                    return delivery.entry("gone", item.at)
                return self.gone(delivery.message, delivery.record, uow)
            case Stale():
                counts["overtaken"] += 1
                # the next attempt reads anew; a system that says so again and again is not pressed
                pause = 0 if delivery.message.attempts < 2 else wait(delivery.message, None)
                entry = self._later(delivery, "stale", _STALE, pause, uow)
                self._land(plan, delivery, uow)
                return entry
            case Retry(reason, after):
                counts["postponed"] += 1
                if outcome.limited:
                    counts["limited"] += 1
                pause = wait(delivery.message, after)
                return self._later(delivery, "retry", reason, pause, uow, partial=outcome.partial)
            case Unknown(reason):
                counts["unknown"] += 1
                return self._unknown(delivery, reason, uow)
            case Refused(missing=True) if self.hub.entities[
                delivery.customer.entity
            ].spec.references:
                counts["waiting"] += 1
                reason = f"waits until {outcome.path} is known there"
                return self._later(
                    delivery,
                    "waiting",
                    reason,
                    wait(delivery.message, None),
                    uow,
                    partial=outcome.partial,
                    state=DeliveryState.WAITING,
                )
            case Refused(reason, path):
                counts["refused"] += 1
                return self._refused(delivery, reason, path, at, uow, partial=outcome.partial)
            case other:
                assert_never(other)

    def gone(self, message: OutboxMessage, record: SourceRecord, uow: UnitOfWork) -> DeliveryEntry:
        """A target that was not there: its delivery is over, and a tombstone is landed, as by a poll (RULES 12).

        Where it was to be deleted, a worker that died over that has perhaps done it, and nobody misses the record.
        """
        if message.verb is DeliveryVerb.DELETE:
            return update_entry(message, record, "deleted", self._over(message, record, uow))
        at = self.clock()
        if record.status is RecordStatus.LIVE:
            record.raw_hash = b""  # one that came while a write was open did not count
            take(record, believe(abandon(record.shadow)), uow)
            uow.records.save([record])
            plan = self.hub.stream(record.ref.system, record.ref.stream)
            tombstone = RawRecord(record.ref.key, {}, deleted=True)
            self._land_page(plan, spot_page([tombstone], at, at), uow)
        uow.outbox.done([message])
        uow.tasks.close([(TaskKind.REFUSED, message.id)], at)
        return update_entry(message, record, "gone", at)

    def _over(self, message: OutboxMessage, record: SourceRecord, uow: UnitOfWork) -> Instant:
        """The record was deleted by the hub: a tombstone of which nobody has to be told. Gives when."""
        at = self.clock()
        if record.status is RecordStatus.LIVE:
            bury(record, at)
            record.shadow = abandon(record.shadow)
            uow.records.save([record])
        uow.outbox.done([message])
        uow.tasks.close([(TaskKind.REFUSED, message.id)], at)
        return at

    def _later(
        self,
        delivery: Delivery,
        outcome: str,
        reason: str,
        pause: int,
        uow: UnitOfWork,
        *,
        partial: bool = False,
        state: DeliveryState = DeliveryState.PENDING,
    ) -> DeliveryEntry:
        """Nothing was written, or only a part: back into the queue. What may be there is on its way still (RULES 6)."""
        message = delivery.message
        if delivery.record is not None and not partial:
            delivery.record.shadow = abandon(delivery.record.shadow)
            uow.records.save([delivery.record])
        message.state, message.reason, message.sent = state, reason, {}
        message.not_before = self.clock() + pause
        uow.outbox.save([message])
        outcome = "unknown" if partial else outcome
        return delivery.entry(outcome, self.clock(), reason=reason)

    def _land(self, plan: StreamPlan, delivery: Delivery, uow: UnitOfWork) -> None:
        """What the last look before the write showed comes in first, and only then the delivery is rendered again."""
        page, message = delivery.overtaken, delivery.message
        if page is None:
            return
        if self._land_page(plan, page, uow):
            message.state = DeliveryState.OVERTAKEN
            uow.outbox.save([message])

    def _land_page(self, plan: StreamPlan, page: Page, uow: UnitOfWork) -> int:
        """Land what a delivery has seen. Gives the number of observations."""
        watermark = uow.states.stream(plan.system, plan.stream).watermark
        return land(plan, page.records, page, watermark, uow, self.run_id)[0]

    def _unknown(self, delivery: Delivery, reason: str, uow: UnitOfWork) -> DeliveryEntry:
        """It may have happened. An update is read again before it is rendered again; a create is looked for."""
        message = delivery.message
        create = delivery.record is None
        message.state = DeliveryState.UNKNOWN if create else DeliveryState.PENDING
        message.reason = reason
        message.not_before = self.clock() + wait(message, None)
        uow.outbox.save([message])
        return delivery.entry("unknown", self.clock(), reason=reason)

    def _refused(
        self,
        delivery: Delivery,
        reason: str,
        path: str | None,
        at: Instant,
        uow: UnitOfWork,
        *,
        partial: bool = False,
    ) -> DeliveryEntry:
        message, record = delivery.message, delivery.record
        if record is not None:
            take(record, believe(record.shadow), uow)
            record.shadow = record.shadow if partial else abandon(record.shadow)
            uow.records.save([record])
        message.state, message.reason, message.sent = DeliveryState.REFUSED, reason, {}
        uow.outbox.save([message])
        payload = {
            "entity": delivery.customer.id,
            "target": delivery.plan.name,
            "reason": reason,
            "path": path,
        }
        uow.tasks.open([Task(TaskKind.REFUSED, message.id, payload)], at, self.run_id)
        return delivery.entry("refused in part" if partial else "refused", at, reason=reason)


def wait(message: OutboxMessage, after: timedelta | None) -> int:
    """Microseconds until the next attempt: doubling, with jitter, or what the system asked for if that is longer.

    A ``Retry-After`` of 0, or of a moment that is over on our clock, is no leave to ask without end.
    """
    longest = min(FIRST_WAIT << min(message.attempts, 12), LONGEST_WAIT)
    own = random.randint(longest // 2, longest)
    asked = timedelta(0) if after is None else after
    return max(own, min(int(asked.total_seconds() * 1_000_000), LONGEST_ASKED))

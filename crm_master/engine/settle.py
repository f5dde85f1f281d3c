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
    RawRecord,
    Refused,
    Retry,
    Sink,
    Stale,
    Unknown,
    Written,
)
from connectors.errors import ConnectorError
from crm_master.domain.changes import Settled, abandon, believe, intend, settle, withhold
from crm_master.domain.claims import UNSET, Instant, Interval, Shadow
from crm_master.domain.fields import Mapped, Native
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import (
    DeliveryState,
    DeliveryVerb,
    Origin,
    RecordStatus,
    TaskKind,
)
from crm_master.engine.delivery import Confirmed, Delivery, natives_of, unshown
from crm_master.engine.erasure import not_erased
from crm_master.engine.ingest import canonical, fingerprint, land, spot_page
from crm_master.engine.merging import vanished
from crm_master.engine.moving import book_move, update_entry
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import (
    Clock,
    DeliveryEntry,
    LinkEntry,
    OutboxMessage,
    SourceRecord,
    Task,
    UnitOfWork,
)

FIRST_WAIT = 1_000_000  # microseconds
LONGEST_WAIT = 3_600_000_000
LONGEST_ASKED = 86_400_000_000  # a system that asks for more has a wrong clock


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

    def settle(
        self, plan: StreamPlan, confirmed: Sequence[Confirmed], uow: UnitOfWork
    ) -> Counter[str]:
        """Book every outcome, in one transaction. Gives the counts for the ledger."""
        counts: Counter[str] = Counter()
        at = self.clock()
        ids = [item.delivery.record.rec_id for item in confirmed if item.delivery.record]
        records = uow.records.get(ids, lock=True)
        known = len(confirmed)
        confirmed = not_erased(plan, confirmed, records, at, uow)
        if erased := known - len(confirmed):
            counts["erased"] = erased
        pos = uow.journal.commit("settle", at, self.run_id)
        entries: list[DeliveryEntry] = []
        for item in confirmed:
            if item.delivery.record is not None:
                item.delivery.record = records[item.delivery.record.rec_id]
            entries.append(self._book(plan, item, counts, at, pos, uow))
        uow.journal.add_deliveries(entries, pos)
        if any(item.delivery.record is None for item in confirmed):
            uow.inbox.unpark(plan.system, plan.stream)
        uow.customers.mark_dirty(ids=self._changed_meanwhile(confirmed, uow))
        return counts

    def _changed_meanwhile(self, confirmed: Sequence[Confirmed], uow: UnitOfWork) -> set[EntityId]:
        """The customers who are not what was delivered any more, and whose record nobody has compared since.

        A record that was being made was not there to be compared; one that was moved was another's then.
        """
        made = {item.delivery.customer.id for item in confirmed if item.delivery.record is None}
        present = uow.customers.get(made) if made else {}
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
        counts: Counter[str],
        at: Instant,
        pos: int,
        uow: UnitOfWork,
    ) -> DeliveryEntry:
        delivery, outcome = item.delivery, item.outcome
        match outcome:
            case Written() | Gone() if delivery.message.verb is DeliveryVerb.DELETE:
                counts["deleted"] += 1
                return self._deleted(delivery, uow)
            case Written(existed=True):
                counts["existed"] += 1
                return self._bind(plan, item, pos, uow)
            case Written() if delivery.found:
                counts["created"] += 1
                return self._bind(plan, item, pos, uow)
            case Written():
                counts["created" if delivery.record is None else "updated"] += 1
                return self._written(plan, item, pos, uow)
            case Gone():
                counts["gone"] += 1
                if delivery.record is None:
                    return delivery.entry("gone", item.at)
                return self.gone(delivery.message, delivery.record, uow)
            case Stale():
                counts["overtaken"] += 1
                # the next attempt reads anew; a system that says so again and again is not pressed
                wait = 0 if delivery.message.attempts < 2 else self.wait(delivery.message, None)
                return self._later(delivery, "stale", "changed since it was read", wait, uow)
            case Retry(reason, after):
                counts["postponed"] += 1
                wait = self.wait(delivery.message, after)
                return self._later(delivery, "retry", reason, wait, uow, partial=outcome.partial)
            case Unknown(reason):
                counts["unknown"] += 1
                return self._unknown(delivery, reason, uow)
            case Refused(reason, path):
                counts["refused"] += 1
                return self._refused(delivery, reason, path, at, uow, partial=outcome.partial)
            case other:
                assert_never(other)

    def _written(
        self, plan: StreamPlan, item: Confirmed, pos: int, uow: UnitOfWork
    ) -> DeliveryEntry:
        delivery, outcome = item.delivery, item.outcome
        assert isinstance(outcome, Written)
        shown = held = self._held(plan, item.shown, delivery.record)
        known = uow.states.stream(plan.system, plan.stream).watermark
        ref = ExternalRef(plan.system, plan.stream, outcome.key)
        record = delivery.record
        if record is None:
            there = uow.records.get([record_id(ref)], lock=True).get(record_id(ref))
            if there is not None and there.entity_id not in (None, delivery.customer.id):
                return self._bind(plan, item, pos, uow)
            record = SourceRecord(
                rec_id=record_id(ref),
                ref=ref,
                entity=delivery.customer.entity,
                entity_id=delivery.customer.id,
                since=item.at,
                origin=Origin.HUB,
                shadow=intend(Shadow(), delivery.natives, delivery.sources),
            )
            link = LinkEntry(record.rec_id, delivery.customer.id, "bind", "hub", {})
            uow.customers.add_links([link], item.at, pos)
        else:
            held = self._ours(delivery, record, held)
            if ref != record.ref:
                record = book_move(self.hub, delivery.message, record, ref, item.at, pos, uow)
        complete = item.shown is not None and len(held) == len(shown)
        if complete and item.shown is not None:
            record.raw_hash = fingerprint(canonical(item.shown.document))
        record.reread = not complete
        before = record.shadow
        version = delivery.message.version
        settled = settle(before, delivery.natives.keys(), held, version, item.at, known)
        self._claim(record, settled, uow)
        hidden = unshown(self.hub, plan, delivery.customer, record)
        record.shadow = withhold(record.shadow, hidden, max(version - 1, 0))
        if not record.mapping_hash:
            record.mapping_hash = plan.mapping.hash
        uow.records.save([record])
        uow.outbox.done([delivery.message])
        self._ineffective(record, before, delivery, held, item.at, uow)
        solved = [(TaskKind.REFUSED, delivery.message.id), (TaskKind.UNKNOWN, delivery.message.id)]
        solved.append((TaskKind.MATCH, str(ref)))
        uow.tasks.close(solved, item.at)
        return delivery.entry("written", item.at, sent=delivery.natives, held=held, ref=ref)

    def _claim(self, record: SourceRecord, settled: Settled, uow: UnitOfWork) -> None:
        """Give a record its shadow, and the claims of people whose edits were in doubt."""
        record.shadow = settled.shadow
        if settled.edits:
            record.claims = {**record.claims, **settled.edits}
            uow.customers.mark_dirty(ids=[record.entity_id or ""])

    def _held(
        self, plan: StreamPlan, shown: RawRecord | None, record: SourceRecord | None
    ) -> dict[str, Native]:
        """What a record shows; of a group, members that a partial payload lacks are still as they were (RULES 9)."""
        if shown is None:
            return {}
        mapped = plan.mapping.apply(shown.document, full_payload=plan.full_payload)
        natives = natives_of(mapped) if isinstance(mapped, Mapped) else {}
        before = record.shadow.fields if record is not None else {}
        return natives | {
            name: plan.mapping.complete(name, natives[name], before[name].held)
            for name in natives.keys() & before.keys()
        }

    def _ours(
        self, delivery: Delivery, record: SourceRecord, held: dict[str, Native]
    ) -> dict[str, Native]:
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
        self,
        record: SourceRecord,
        before: Shadow,
        delivery: Delivery,
        held: Mapping[str, Native],
        at: Instant,
        uow: UnitOfWork,
    ) -> None:
        """Report fields that the system was sent, and that hold what they held before (RULES 7)."""
        tasks, solved = [], []
        for name in delivery.natives.keys() & held.keys():
            now, was = record.shadow.fields[name], before.fields[name]
            subject = f"{record.ref}:{name}"
            known = was.held is not UNSET and was.doubt is None
            if known and now.held == was.held and now.held != now.sent:
                payload = {"entity": delivery.customer.id, "field": name}
                tasks.append(Task(TaskKind.INEFFECTIVE, subject, payload))
            else:
                solved.append((TaskKind.INEFFECTIVE, subject))
        uow.tasks.open(tasks, at, self.run_id)
        uow.tasks.close(solved, at)

    def _bind(self, plan: StreamPlan, item: Confirmed, pos: int, uow: UnitOfWork) -> DeliveryEntry:
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
            uow.tasks.open([task], item.at, self.run_id)
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
            land(plan, [item.shown], page, watermark, uow, self.run_id)
        uow.customers.mark_dirty(ids=[delivery.customer.id])
        uow.outbox.done([delivery.message])
        unsolved = (TaskKind.UNKNOWN, delivery.message.id)
        uow.tasks.close([(TaskKind.MATCH, str(ref)), unsolved], item.at)
        if ours:
            return delivery.entry("found", item.at, sent=delivery.natives, ref=ref)
        return delivery.entry("existed", item.at, ref=ref)

    def gone(self, message: OutboxMessage, record: SourceRecord, uow: UnitOfWork) -> DeliveryEntry:
        """A target that vanished: its record is a tombstone, its delivery is over, a person is told."""
        at = self.clock()
        if record.status is RecordStatus.LIVE:
            record.status = RecordStatus.DELETED
            record.gone = Interval(record.shadow.confirmed_at, at)
            self._claim(record, believe(abandon(record.shadow)), uow)
            uow.records.save([record])
            plan = self.hub.entities[record.entity]
            uow.tasks.open(list(vanished(self.hub, plan, [record], uow)), at, self.run_id)
            uow.customers.mark_dirty(ids=[message.entity_id])
        uow.outbox.done([message])
        return update_entry(message, record, "gone", at)

    def _deleted(self, delivery: Delivery, uow: UnitOfWork) -> DeliveryEntry:
        """The record was deleted by the hub: a tombstone of which nobody has to be told."""
        record = delivery.record
        assert record is not None
        at = self.clock()
        record.status = RecordStatus.DELETED
        record.gone = Interval(record.shadow.confirmed_at, at)
        record.shadow = abandon(record.shadow)
        uow.records.save([record])
        uow.outbox.done([delivery.message])
        uow.tasks.close([(TaskKind.REFUSED, delivery.message.id)], at)
        return delivery.entry("deleted", at, held=delivery.held)

    def _later(
        self,
        delivery: Delivery,
        outcome: str,
        reason: str,
        wait: int,
        uow: UnitOfWork,
        *,
        partial: bool = False,
    ) -> DeliveryEntry:
        """Nothing was written, or only a part: back into the queue. What may be there is on its way still (RULES 6)."""
        message = delivery.message
        if delivery.record is not None and not partial:
            delivery.record.shadow = abandon(delivery.record.shadow)
            uow.records.save([delivery.record])
        message.state, message.reason, message.sent = DeliveryState.PENDING, reason, {}
        message.not_before = self.clock() + wait
        uow.outbox.save([message])
        outcome = "unknown" if partial else outcome
        return delivery.entry(outcome, self.clock(), reason=reason)

    def _unknown(self, delivery: Delivery, reason: str, uow: UnitOfWork) -> DeliveryEntry:
        """It may have happened. An update is read again before it is rendered again; a create is looked for."""
        message = delivery.message
        create = delivery.record is None
        message.state = DeliveryState.UNKNOWN if create else DeliveryState.PENDING
        message.reason = reason
        message.not_before = self.clock() + self.wait(message, None)
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
            self._claim(record, believe(record.shadow), uow)
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

    def wait(self, message: OutboxMessage, after: timedelta | None) -> int:
        """Microseconds until the next attempt: doubling, with jitter, or what the system asked for if that is longer.

        A ``Retry-After`` of 0, or of a moment that is over on our clock, is no leave to ask without end.
        """
        longest = min(FIRST_WAIT << min(message.attempts, 12), LONGEST_WAIT)
        own = random.randint(longest // 2, longest)
        asked = timedelta(0) if after is None else after
        return max(own, min(int(asked.total_seconds() * 1_000_000), LONGEST_ASKED))

"""Steps 9 and 10: bring each target to the golden record as it now is, once, and learn what became of it.

A delivery goes through intent (committed), write, settlement (committed). Whoever dies in between leaves a trace that tells
the next worker what to look at before it does anything (RULES 6, 24).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from connectors.contract import (
    Capabilities,
    Gone,
    Guard,
    Outcome,
    RawRecord,
    Retry,
    Sink,
    Stale,
    WriteCommand,
    Written,
)
from connectors.errors import BadAnswer, ConnectorError, RetryLater
from crm_master.domain.changes import intend, patch, projection
from crm_master.domain.claims import Instant, Observed, attribute
from crm_master.domain.fields import Rejected
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryState, RecordStatus, SystemState, TaskKind
from crm_master.domain.survivorship import Reconciled
from crm_master.engine.ingest import land, read_each, spot_page
from crm_master.engine.ledger import Run
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.engine.settle import Delivery, Settler
from crm_master.ports import (
    Clock,
    Customer,
    OutboxMessage,
    SourceRecord,
    Task,
    UnitOfWork,
    UnitOfWorkFactory,
)

BATCH = 20
LEASE = 600_000_000  # microseconds
MARGIN = 300_000_000  # what one write with its reads may take at worst: none begins later in the lease than that


@dataclass(slots=True)
class _Checked:
    """The present state of records that are about to be written, and when it was asked for."""

    found: Mapping[str, RawRecord | None]
    started: Instant
    ended: Instant


class Deliverer:
    """Delivers what waits for one system."""

    def __init__(
        self,
        hub: Hub,
        system: str,
        sink: Sink,
        store: UnitOfWorkFactory,
        clock: Clock,
        run: Run,
        batch: int = BATCH,
    ) -> None:
        self.hub = hub
        self.system = system
        self.sink = sink
        self.store = store
        self.clock = clock
        self.run = run
        self.batch = batch
        self.settler = Settler(hub, sink, clock, run.id)
        self._begin_by: Instant = 0

    def __call__(self) -> None:
        """Deliver until nothing that is due is left. What must wait keeps its place for a later run.

        Raises ``connectors.errors.ConnectorError`` when the system as a whole cannot be written to.
        """
        while messages := self._claim():
            self._deliver(messages)

    def _claim(self) -> list[OutboxMessage]:
        with self.store() as uow:
            state = uow.states.systems().get(self.system)
            if state is not SystemState.ACTIVE or self.system in uow.states.stopped():
                return []
            self._begin_by = self.clock() + LEASE - MARGIN
            messages = uow.outbox.claim(self.system, self.batch, self.clock(), LEASE)
            uow.commit()
        return messages

    def _deliver(self, messages: Sequence[OutboxMessage]) -> None:
        by_stream: dict[str, list[OutboxMessage]] = {}
        for message in messages:
            by_stream.setdefault(message.stream, []).append(message)
        for stream, waiting in by_stream.items():
            plan = self.hub.stream(self.system, stream)
            can = self.sink.capabilities(stream)
            updates = [message for message in waiting if message.rec_id is not None]
            creates = [message for message in waiting if message.rec_id is None]
            try:
                if updates:
                    self._update(plan, updates)
                # where a create cannot be looked up, only one may be in doubt at a time
                for part in [creates] if can.find else [[message] for message in creates]:
                    if part:
                        self._create(plan, part, can)
            except RetryLater as error:
                self._postpone(waiting, error)
            except BaseException:
                self._release(messages)
                raise

    def _update(self, plan: StreamPlan, messages: Sequence[OutboxMessage]) -> None:
        """Read again, compare, write what is missing."""
        with self.store() as uow:
            records = uow.records.get({message.rec_id or "" for message in messages})
        live = [
            record
            for record in records.values()
            if record.status is RecordStatus.LIVE and record.entity_id is not None
        ]
        started = self.clock()
        found, garbled = read_each(self.sink, plan.stream, [record.ref.key for record in live])
        now = _Checked(found, started, self.clock())
        deliveries: list[Delivery] = []
        with self.store() as uow:
            at = self.clock()
            records = uow.records.get(records.keys(), lock=True)
            customers = uow.customers.get({message.entity_id for message in messages})
            for message in messages:
                record = records.get(message.rec_id or "")
                customer = customers.get(message.entity_id)
                if record is None or customer is None or record.entity_id != customer.id:
                    uow.outbox.done([message])
                    continue
                if record.ref.key in garbled:
                    self._set_aside(message, message.state, garbled[record.ref.key], uow)
                    continue
                delivery = self._render(plan, message, record, customer, now, uow)
                if delivery is not None:
                    deliveries.append(delivery)
            deliveries = self._intend(deliveries, at, uow)
            uow.commit()
        self._write(plan, deliveries)
        if garbled and not found:
            raise next(iter(garbled.values()))  # not one record: the system as a whole

    def _render(
        self,
        plan: StreamPlan,
        message: OutboxMessage,
        record: SourceRecord,
        customer: Customer,
        now: _Checked,
        uow: UnitOfWork,
    ) -> Delivery | None:
        """What to send, seen from the golden record and the system as both are now; ``None`` if nothing."""
        message.version = customer.version
        shown = now.found.get(record.ref.key)
        if shown is None or record.status is not RecordStatus.LIVE:
            entry = self.settler.gone(message, record, uow)
            pos = uow.journal.commit("settle", self.clock(), self.run.id)
            uow.journal.add_deliveries([entry], pos)
            self.run.counts["gone"] += 1
            return None
        spec = self.hub.entities[customer.entity].spec
        watermark = uow.states.stream(plan.system, plan.stream).watermark
        mapped = plan.mapping.apply(shown.document, full_payload=plan.full_payload)
        if isinstance(mapped, Rejected):
            self._overtaken(plan, message, shown, now, watermark, uow)
            return None
        observed = Observed(0, watermark, now.started, now.ended, skew=plan.skew)
        seen = attribute(mapped, record.claims, record.shadow, plan.mapping, spec, observed)
        if seen.edits or seen.notices or seen.stale:
            self._overtaken(plan, message, shown, now, watermark, uow)
            return None
        record.shadow = seen.shadow
        reconciled = Reconciled(customer.golden, customer.winners, withheld=customer.withheld)
        needed = patch(reconciled, record.shadow, plan.mapping, spec)
        if not needed.writes:
            self.settler.nothing_to_do(message, record, customer, mapped, now.started, uow)
            self.run.counts["already"] += 1
            return None
        after = plan.mapping.put(shown.document, needed.writes)
        command = WriteCommand(
            id=message.id,
            stream=plan.stream,
            key=record.ref.key,
            before=shown.document,
            after=after,
            correlation=correlation(customer.id),
            etag=shown.etag,
        )
        return Delivery(message, customer, command, plan, record, dict(needed.intents))

    def _overtaken(
        self,
        plan: StreamPlan,
        message: OutboxMessage,
        shown: RawRecord,
        now: _Checked,
        watermark: Instant,
        uow: UnitOfWork,
    ) -> None:
        """Somebody was faster: their state comes in first, and only then is this rendered again."""
        page = spot_page([shown], now.started, now.ended)
        landed, _ = land(plan, [shown], page, watermark, uow, self.run.id)
        message.state = DeliveryState.OVERTAKEN if landed else DeliveryState.PENDING
        message.not_before = now.ended + self.settler.wait(message, None)
        message.reason = "the record was changed in the system; its new state is in the inbox"
        uow.outbox.save([message])
        self.run.counts["overtaken"] += 1

    def _create(
        self, plan: StreamPlan, messages: Sequence[OutboxMessage], can: Capabilities
    ) -> None:
        deliveries: list[Delivery] = []
        doubtful: list[Delivery] = []
        with self.store() as uow:
            at = self.clock()
            customers = uow.customers.get({message.entity_id for message in messages})
            members = uow.records.of_entities(customers.keys())
            there = {
                record.entity_id
                for record in members
                if (record.ref.system, record.ref.stream) == (plan.system, plan.stream)
            }
            for message in messages:
                customer = customers.get(message.entity_id)
                if customer is None or customer.id in there:
                    uow.outbox.done([message])
                    uow.inbox.unpark(plan.system, plan.stream)
                    continue
                in_doubt = message.state in (DeliveryState.SENT, DeliveryState.UNKNOWN)
                # a person had it sent again: with their leave, and after a look where that is possible
                in_doubt = in_doubt or (bool(message.sent) and can.find)
                delivery = self._draft(plan, message, customer)
                (doubtful if in_doubt else deliveries).append(delivery)
            deliveries = self._intend(deliveries, at, uow)
            uow.commit()
        self._look(plan, doubtful, can)
        self._write(plan, deliveries)

    def _draft(self, plan: StreamPlan, message: OutboxMessage, customer: Customer) -> Delivery:
        message.version = customer.version
        natives = projection(customer.golden, plan.mapping)
        withheld = customer.withheld
        natives = {name: native for name, native in natives.items() if name not in withheld}
        command = WriteCommand(
            id=message.id,
            stream=plan.stream,
            key=None,
            before={},
            after=plan.mapping.put({}, natives),
            correlation=correlation(customer.id),
        )
        return Delivery(message, customer, command, plan, None, natives)

    def _look(self, plan: StreamPlan, doubtful: Sequence[Delivery], can: Capabilities) -> None:
        """Creates whose answer was lost: look, then bind or create; what cannot be looked up goes to a person."""
        again: list[Delivery] = []
        for delivery in doubtful:
            if not can.find:
                self._ask(
                    delivery,
                    "the answer to a create was lost, and the system cannot be searched for it",
                )
                continue
            # what was sent is looked for, not what would be sent now
            sent = dict(delivery.message.sent) or delivery.natives
            command = replace(delivery.command, after=plan.mapping.put({}, sent))
            try:
                found = self.sink.find(plan.stream, command)
            except BadAnswer as error:
                with self.store() as uow:
                    self._set_aside(delivery.message, DeliveryState.UNKNOWN, error, uow)
                    uow.commit()
                continue
            free = self._free(plan, found)
            if len(found) > 1 and len(free) != 1:
                self._ask(
                    delivery, f"{len(found)} records there fit a create whose answer was lost"
                )
            elif free:
                # what is bound was made by the earlier attempt: its content is ours, not a person's claim
                delivery.natives, delivery.found = sent, True
                self._settle(plan, [delivery], [Written(free[0].key, free[0])])
            elif found:
                self._ask(
                    delivery, "a record that fits a create whose answer was lost is another's"
                )
            else:
                again.append(delivery)
        if again:
            with self.store() as uow:
                again = self._intend(again, self.clock(), uow)
                uow.commit()
            self._write(plan, again)

    def _free(self, plan: StreamPlan, found: Sequence[RawRecord]) -> list[RawRecord]:
        """The records that belong to no customer: only such a one can be what a create has made."""
        ids = {
            shown.key: record_id(ExternalRef(plan.system, plan.stream, shown.key))
            for shown in found
        }
        with self.store() as uow:
            known = uow.records.get(ids.values())
        return [
            shown
            for shown in found
            if (record := known.get(ids[shown.key])) is None or record.entity_id is None
        ]

    def _ask(self, delivery: Delivery, reason: str) -> None:
        message = delivery.message
        message.state, message.reason = DeliveryState.HELD, reason
        payload = {
            "entity": delivery.customer.id,
            "target": delivery.plan.name,
            "reason": reason,
            "outbox": message.id,
        }
        with self.store() as uow:
            uow.outbox.save([message])
            uow.tasks.open([Task(TaskKind.UNKNOWN, message.id, payload)], self.clock())
            uow.commit()
        self.run.add({"held": 1})

    def _intend(
        self, deliveries: Sequence[Delivery], at: Instant, uow: UnitOfWork
    ) -> list[Delivery]:
        """Commit what is about to be done, before it is done. Gives what is still ours to do.

        A worker that was slow may find that its lease has run out, and that another has taken over.
        """
        for delivery in deliveries:
            if delivery.record is None:
                delivery.message.sent = delivery.natives
        messages = [delivery.message for delivery in deliveries]
        mine = uow.outbox.begin(messages, self.clock() + LEASE) if messages else frozenset()
        deliveries = [delivery for delivery in deliveries if delivery.message.id in mine]
        if not deliveries:
            return []
        pos = uow.journal.commit("intent", at, self.run.id)
        records = []
        for delivery in deliveries:
            if delivery.record is not None:
                delivery.record.shadow = intend(delivery.record.shadow, delivery.natives)
                records.append(delivery.record)
        uow.records.save(records)
        entries = [delivery.entry("intent", at, sent=delivery.natives) for delivery in deliveries]
        uow.journal.add_deliveries(entries, pos)
        return deliveries

    def _write(self, plan: StreamPlan, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        guard = self.sink.capabilities(plan.stream).guard
        outcomes = [self._write_one(delivery, guard) for delivery in deliveries]
        self._settle(plan, deliveries, outcomes)

    def _write_one(self, delivery: Delivery, guard: Guard) -> Outcome:
        """One write, guarded as the stream's manifest says (RULES 6)."""
        if self.clock() >= self._begin_by:
            return Retry("not begun: the lease was nearly over", timedelta(0))
        command = delivery.command
        if guard is Guard.REREAD and command.key is not None:
            # the batch was read some writes ago: only what is still so may be overwritten
            try:
                shown = self.sink.fetch(command.stream, [command.key])[command.key]
            except ConnectorError as error:
                return Retry(str(error))
            if shown is None:
                return Gone()
            if shown.document != command.before:
                return Stale()
        return self.sink.write([command])[0]

    def _settle(
        self, plan: StreamPlan, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]
    ) -> None:
        settled = self.settler.confirm(plan, deliveries, outcomes)
        with self.store() as uow:
            counts = self.settler.settle(plan, settled, uow)
            uow.commit()
        self.run.add(counts)

    def _set_aside(
        self, message: OutboxMessage, state: DeliveryState, error: BadAnswer, uow: UnitOfWork
    ) -> None:
        """What stands there cannot be read: this delivery waits, and holds up no other (promise 8)."""
        doubtful = state in (DeliveryState.SENT, DeliveryState.UNKNOWN)
        message.state = DeliveryState.UNKNOWN if doubtful else DeliveryState.PENDING
        message.not_before = self.clock() + self.settler.wait(message, None)
        message.reason = str(error)
        uow.outbox.save([message])
        self.run.counts["failed"] += 1

    def _postpone(self, messages: Sequence[OutboxMessage], error: RetryLater) -> None:
        """The system cannot be asked now: nothing was sent, everything keeps its place."""
        now = self.clock()
        for message in messages:
            if message.state is DeliveryState.LEASED:
                message.state = DeliveryState.PENDING
            message.not_before = now + self.settler.wait(message, error.retry_after)
            message.reason = str(error)
        with self.store() as uow:
            uow.outbox.save(messages)
            uow.commit()
        self.run.add({"postponed": len(messages)})

    def _release(self, messages: Iterable[OutboxMessage]) -> None:
        """Give back what was leased and not begun, after a fault of the whole system."""
        waiting = [message for message in messages if message.state is DeliveryState.PENDING]
        with self.store() as uow:
            uow.outbox.save(waiting)
            uow.commit()


def correlation(entity_id: str) -> str:
    """The key under which a create can be found again: the same for every attempt, and no personal data."""
    return f"CRM-{entity_id}"

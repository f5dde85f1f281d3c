"""Steps 9 and 10 for what one worker has claimed: read again, intend, write, settle.

A delivery goes through intent (committed), write, settlement (committed). Whoever dies in between leaves a trace that tells
the next worker what to look at before it does anything (RULES 6, 24).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeAlias, TypeVar

from connectors.contract import (
    LONGEST_REQUEST,
    Capabilities,
    Gone,
    Guard,
    Outcome,
    Retry,
    Sink,
    Stale,
    Unknown,
    Written,
)
from connectors.errors import BadAnswer, ConnectorError
from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import DeliveryState, RecordStatus, TaskKind
from crm_master.domain.settling import intend
from crm_master.engine.batches import DEAD_FROM, bisected
from crm_master.engine.delivery import Confirmed, Delivery, draft, still_mapped
from crm_master.engine.facts import look_up, waits_for
from crm_master.engine.golden import wanted
from crm_master.engine.ingest import read_each, spot_page, unread
from crm_master.engine.ledger import Run
from crm_master.engine.matching import index_sent
from crm_master.engine.moving import found_elsewhere, moved_unheard, unclaimed
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.engine.remap import outdated
from crm_master.engine.render import Checked, Renderer
from crm_master.engine.settle import Settler, wait
from crm_master.engine.transactions import transact
from crm_master.ports import (
    Clock,
    Customer,
    Level,
    OutboxMessage,
    Task,
    UnitOfWork,
    UnitOfWorkFactory,
)

LEASE = 600_000_000  # microseconds
MARGIN = LONGEST_REQUEST * 1_000_000  # no write begins when less is left of its lease
LONG = 3_600_000_000  # after which a fact looks by itself whether its customer is known by now

T = TypeVar("T")
Render: TypeAlias = Callable[[Sequence[OutboxMessage], UnitOfWork], Iterable[Delivery]]


class Attempt:
    """Delivers claimed messages of one system. No write begins after ``begin_by``: their lease is nearly over then."""

    def __init__(
        self,
        hub: Hub,
        sink: Sink,
        store: UnitOfWorkFactory,
        clock: Clock,
        run: Run,
        begin_by: Instant,
    ) -> None:
        self.hub = hub
        self.sink = sink
        self.store = store
        self.clock = clock
        self.run = run
        self.begin_by = begin_by
        self.settler = Settler(hub, sink, clock, run.id)
        self.render = Renderer(hub, self.settler, clock, run.id)
        self._counts: Counter[str] = Counter()  # of the transaction under way

    def __call__(self, plan: StreamPlan, messages: Sequence[OutboxMessage]) -> None:
        """Deliver to one stream. Raises ``ConnectorError`` when the system cannot be asked or written to now."""
        can = self.sink.capabilities(plan.stream)
        updates = [message for message in messages if message.rec_id is not None]
        creates = [message for message in messages if message.rec_id is None]
        if updates:
            self._update(plan, updates)
        # where a create cannot be looked up, only one may be in doubt at a time
        for part in [creates] if can.find else [[message] for message in creates]:
            if part:
                self._create(plan, part, can)

    def give_up(self, message: OutboxMessage, reason: str) -> None:
        """Leave a message to a person."""
        self._transact([message], lambda uow: self._to_a_person(message, reason, uow))

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
        now = Checked(found, started, self.clock())
        if self.sink.capabilities(plan.stream).find:
            missing = [record for record in live if found.get(record.ref.key, record) is None]
            for message, key in moved_unheard(plan, self.sink, messages, missing, self.store):
                at = self.clock()
                book = partial(found_elsewhere, self.hub, message, key, at, self.run.id)
                self._transact([message], book)
                messages = [other for other in messages if other is not message]

        def rendered(some: Sequence[OutboxMessage], uow: UnitOfWork) -> Iterator[Delivery]:
            customers = uow.customers.get({message.entity_id for message in some})
            self._look_up(plan, customers.values(), uow)
            records = uow.records.get({message.rec_id or "" for message in some})
            for message in some:
                record = records.get(message.rec_id or "")
                customer = customers.get(message.entity_id)
                if record is None or customer is None or record.entity_id != customer.id:
                    uow.outbox.done([message])
                elif record.status is RecordStatus.ALIAS:
                    uow.outbox.done([message])  # it waits for the record under its new key, too
                elif outdated(self.hub, record):
                    self._set_aside(message, "a change of configuration is being applied", uow)
                elif record.ref.key in garbled:
                    self._set_aside(message, str(garbled[record.ref.key]), uow)
                else:
                    made = self.render(plan, message, record, customer, now, uow)
                    if isinstance(made, Delivery):
                        yield made
                    else:
                        self._counts[made] += 1

        self._write(plan, self._prepared(messages, rendered))
        if garbled and not found:
            raise next(iter(garbled.values()))  # not one record: the system as a whole

    def _prepared(self, messages: Sequence[OutboxMessage], rendered: Render) -> list[Delivery]:
        """Render messages and commit the intents, in one transaction. One that cannot be rendered stops no other."""
        ids = {message.rec_id for message in messages if message.rec_id is not None}

        def once(uow: UnitOfWork) -> list[Delivery]:
            ready: list[Delivery] = []

            def attempt(some: Sequence[OutboxMessage]) -> None:
                ready.extend(self._intend(list(rendered(some, uow)), at, uow))

            def give_up(message: OutboxMessage, error: Exception) -> None:
                self._defective(message, f"{type(error).__name__} while it was rendered", uow)

            of = {message.entity_id for message in messages}
            uow.lock(Level.CUSTOMER, of | uow.records.owners(ids))
            uow.lock(Level.RECORD, ids)
            at = self.clock()
            bisected(messages, uow, self._counts, attempt, give_up)
            return ready

        return self._transact(messages, once)

    def _transact(self, messages: Sequence[OutboxMessage], work: Callable[[UnitOfWork], T]) -> T:
        """A transaction that counts when it is committed, and changes messages then only."""
        before = [replace(message) for message in messages]

        def once(uow: UnitOfWork) -> T:
            self._counts.clear()
            restore()
            return work(uow)

        def restore() -> None:
            for message, was in zip(messages, before, strict=True):
                message.become(was)

        try:
            done = transact(self.store, once)
        except BaseException:
            restore()
            raise
        self.run.add(self._counts)
        return done

    def _create(
        self, plan: StreamPlan, messages: Sequence[OutboxMessage], can: Capabilities
    ) -> None:
        doubtful: dict[str, Delivery] = {}

        def rendered(some: Sequence[OutboxMessage], uow: UnitOfWork) -> Iterator[Delivery]:
            customers = uow.customers.get({message.entity_id for message in some})
            self._look_up(plan, customers.values(), uow)
            members = uow.records.of_entities(customers.keys())
            where = (plan.system, plan.stream)
            there = {r.entity_id for r in members if (r.ref.system, r.ref.stream) == where}
            spec = self.hub.entities[plan.entity].spec
            unheard = unread(plan, uow)
            for message in some:
                customer = customers.get(message.entity_id)
                # what a person had sent again is sent with their leave, and after a look where that is possible
                looked_for = message.in_doubt or bool(message.sent and can.find)
                needed = customer is not None and (looked_for or wanted(plan, customer))
                if customer is None or customer.id in there or not needed:
                    self._needless(message, uow)
                    continue
                if unheard:
                    # others may be reading there whom we are about to create
                    self._set_aside(message, "who is there is being read", uow, "waiting")
                    continue
                names = "" if message.in_doubt else waits_for(customer, plan, spec)
                if names:
                    message.state = DeliveryState.WAITING
                    message.not_before = self.clock() + LONG
                    message.reason = f"waits until {names} is known there"
                    uow.outbox.save([message])
                    self._counts["waiting"] += 1
                    continue
                delivery = draft(plan, message, customer)
                if looked_for:
                    doubtful[message.id] = delivery
                else:
                    yield delivery

        self._write(plan, self._prepared(messages, rendered))
        again = [made for made in doubtful.values() if self._is_missing(plan, made, can)]
        if again:
            doubted = [made.message for made in again]
            intend_all = partial(self._intend, again, self.clock())
            self._write(plan, self._transact(doubted, intend_all))

    def _look_up(self, plan: StreamPlan, customers: Iterable[Customer], uow: UnitOfWork) -> None:
        look_up(self.hub.entities[plan.entity], customers, (), uow)

    def _is_missing(self, plan: StreamPlan, delivery: Delivery, can: Capabilities) -> bool:
        """Look for what a create may have made whose answer was lost, and bind it; what cannot be told goes to a person.

        True if there is no such record: then it is to be made.
        """
        if not can.find:
            reason = "the answer to a create was lost, and the system cannot be searched for it"
            self.give_up(delivery.message, reason)
            return False
        # what was sent is looked for, not what would be sent now
        sent = still_mapped(plan, delivery.message.sent) or delivery.natives
        try:
            command = replace(delivery.command, after=plan.mapping.put({}, sent))
            found = self.sink.find(plan.stream, command)
        except BadAnswer as error:
            message, reason = delivery.message, str(error)
            self._transact([message], lambda uow: self._set_aside(message, reason, uow))
            return False
        except ConnectorError:
            raise
        except Exception as error:  # of the mapping or of the connector
            message, reason = delivery.message, f"{type(error).__name__} while it was looked for"
            self._transact([message], lambda uow: self._defective(message, reason, uow))
            return False
        free = unclaimed(plan, found, self.store)
        if len(found) > 1 and len(free) != 1:
            self.give_up(
                delivery.message, f"{len(found)} records there fit a create whose answer was lost"
            )
        elif free:
            delivery.natives, delivery.found = sent, True
            self._settle(plan, [delivery], [Written(free[0].key, free[0])])
        elif found:
            reason = "a record that fits a create whose answer was lost is another's"
            self.give_up(delivery.message, reason)
        elif not wanted(plan, delivery.customer):
            message = delivery.message
            self._transact([message], lambda uow: self._needless(message, uow))
            return False
        return not found

    def _needless(self, message: OutboxMessage, uow: UnitOfWork) -> None:
        """Nothing is to be made there; what was read of it as perhaps ours is anybody's."""
        uow.outbox.done([message])
        uow.inbox.unpark(message.system, message.stream)

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
        records, renamed = [], []
        for one in deliveries:
            record, match = one.record, self.hub.entities[one.customer.entity].match
            if record is not None:
                version = one.message.version if record.primary else 0
                record.shadow = intend(record.shadow, one.natives, one.sources, version, at)
                records.append(record)
                if not match.fields.isdisjoint(one.natives):
                    index_sent(record, one.plan.mapping, record.entity, match)
                    renamed.append(record)
        uow.records.save(records)
        uow.records.save_blocks(renamed)
        entries = [
            delivery.entry("intent", at, sent=delivery.natives, held=delivery.held)
            for delivery in deliveries
        ]
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
        command = delivery.command
        if guard is Guard.REREAD and command.key is not None:
            # the batch was read some writes ago: only what is still so may be overwritten
            started = self.clock()
            try:
                shown = self.sink.fetch(command.stream, [command.key])[command.key]
            except ConnectorError as error:
                return Retry(str(error))
            if shown is None:
                return Gone()
            if shown.document != command.before:
                delivery.overtaken = spot_page([shown], started, self.clock())
                return Stale()
        if self.clock() >= self.begin_by:
            return Retry("not begun: the lease was nearly over", timedelta(0))
        try:
            return self.sink.write([command])[0]
        except Exception as error:
            # a defect of the connector: whether anything was sent cannot be known
            return Unknown(f"{type(error).__name__} in the connector")

    def _settle(
        self, plan: StreamPlan, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]
    ) -> None:
        settled = self.settler.confirm(plan, deliveries, outcomes)

        def once(uow: UnitOfWork) -> None:
            def attempt(some: Sequence[Confirmed]) -> None:
                self._counts.update(self.settler.settle(plan, some, uow))

            def give_up(item: Confirmed, error: Exception) -> None:
                message = item.delivery.message
                # whatever the answer was, it is not on record: as if it had been lost
                message.state = DeliveryState.SENT
                self._defective(message, f"{type(error).__name__} while it was settled", uow)

            self.settler.lock(plan, settled, uow)
            bisected(settled, uow, self._counts, attempt, give_up)

        self._transact([delivery.message for delivery in deliveries], once)

    def _set_aside(
        self, message: OutboxMessage, reason: str, uow: UnitOfWork, counted: str = "failed"
    ) -> None:
        """This delivery waits, and holds up no other (promise 8)."""
        message.state = DeliveryState.UNKNOWN if message.in_doubt else DeliveryState.PENDING
        message.not_before = self.clock() + wait(message, None)
        message.reason = reason
        uow.outbox.save([message])
        self._counts[counted] += 1

    def _defective(self, message: OutboxMessage, reason: str, uow: UnitOfWork) -> None:
        """A record that the code cannot cope with: tried again, then given to a person (RULES 22)."""
        if message.attempts < DEAD_FROM:
            self._set_aside(message, reason, uow)
        else:
            self._to_a_person(message, reason, uow)

    def _to_a_person(self, message: OutboxMessage, reason: str, uow: UnitOfWork) -> None:
        """Held until somebody decides: whether it was made, where that is the question, else when to try again."""
        kind = TaskKind.UNKNOWN if message.in_doubt else TaskKind.REFUSED
        message.state = DeliveryState.HELD if message.in_doubt else DeliveryState.REFUSED
        message.reason = reason
        payload = {
            "entity": message.entity_id,
            "target": f"{message.system}/{message.stream}",
            "reason": reason,
            "outbox": message.id,
        }
        uow.outbox.save([message])
        uow.tasks.open([Task(kind, message.id, payload)], self.clock(), self.run.id)
        self._counts["held" if kind is TaskKind.UNKNOWN else "refused"] += 1

"""Which deliveries of a system are done by this worker, and when: claims, leases, fuses. How: ``engine.attempt``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from connectors.contract import Sink
from connectors.errors import RateLimited, RetryLater
from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import DeliveryState, DeliveryVerb, SystemState
from crm_master.engine import fuses
from crm_master.engine.attempt import LEASE, MARGIN, Attempt
from crm_master.engine.batches import ALONE_FROM, DEAD_FROM
from crm_master.engine.fuses import Fuse, FuseBlown
from crm_master.engine.ledger import Run
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.engine.remap import overruled
from crm_master.engine.settle import wait
from crm_master.engine.transactions import transact
from crm_master.ports import Clock, OutboxMessage, UnitOfWork, UnitOfWorkFactory

BATCH = 50
"""No request is on its way while a batch is claimed, prepared and settled: what its system allows meanwhile is caught up,
as far as one second goes (``connectors.runtime.budget``), so these pauses are few."""

FUSES = {DeliveryVerb.WRITE: Fuse.WRITES, DeliveryVerb.DELETE: Fuse.DELETES}


def delivery_fuses(
    hub: Hub, system: str, uow: UnitOfWork
) -> Iterator[tuple[fuses.Reading, StreamPlan]]:
    """How the fuses of a system's streams stand for what waits there."""
    for plan in hub.system(system).streams.values():
        waiting = uow.outbox.waiting(system, plan.stream)
        allowed = hub.entities[plan.entity].fuses
        for verb, fuse in FUSES.items():
            found = waiting.get(verb, 0)
            # counting customers takes as long as there are many: only where it matters
            never = found <= allowed.floor if verb is DeliveryVerb.WRITE else not found
            of = 0 if never else uow.customers.count(plan.entity)
            yield fuses.read(fuse, plan.name, found, of, allowed, uow), plan


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
        self._begin_by: Instant = 0

    def __call__(self) -> None:
        """Deliver until nothing that is due is left. What must wait keeps its place for a later run.

        Raises ``connectors.errors.ConnectorError`` when the system as a whole cannot be written to.
        """
        if not self._let_pass():
            return
        delivered = False
        while messages := self._claim():
            self._deliver(messages)
            delivered = True
        if delivered:
            self._spend()

    def _may_write(self, uow: UnitOfWork) -> bool:
        state = uow.states.systems().get(self.system)
        stopped = state is not SystemState.ACTIVE or self.system in uow.states.stopped()
        return not stopped and not overruled(self.hub, uow)

    def _let_pass(self) -> bool:
        """Whether no fuse stops this system's deliveries. One that blows now is a question, and raised."""
        with self.store() as uow:
            if not self._may_write(uow):
                return False
            asked = False
            for reading, plan in delivery_fuses(self.hub, self.system, uow):
                if not reading.blown:
                    fuses.withdraw(reading.fuse, plan.name, uow, self.clock())
                elif fuses.standing(reading.fuse, plan.name, uow):
                    asked = True
                else:
                    blown = FuseBlown(reading, self.run.id)
                    fuses.ask(blown, reading.found, uow, self.clock())
                    uow.commit()
                    raise blown
            uow.commit()
        return not asked

    def _spend(self) -> None:
        """An approval ends when all that it was for is delivered."""
        with self.store() as uow:
            for plan in self.hub.system(self.system).streams.values():
                waiting = uow.outbox.waiting(self.system, plan.stream)
                idle = not uow.customers.dirty(plan.entity) and not uow.inbox.pending(plan.entity)
                for verb, fuse in FUSES.items():
                    if idle and not waiting.get(verb):
                        fuses.spent(fuse, plan.name, uow, self.clock())
            uow.commit()

    def _claim(self) -> list[OutboxMessage]:
        with self.store() as uow:
            if not self._may_write(uow):
                return []
            now = self.clock()
            self._begin_by = now + LEASE - MARGIN
            messages = uow.outbox.claim(self.system, self.batch, now, LEASE, ALONE_FROM)
            uow.commit()
        return messages

    def _deliver(self, messages: Sequence[OutboxMessage]) -> None:
        attempt = Attempt(self.hub, self.sink, self.store, self.clock, self.run, self._begin_by)
        by_stream: dict[str, list[OutboxMessage]] = {}
        for message in messages:
            if message.deaths >= DEAD_FROM:
                attempt.give_up(message, "nobody who tried to deliver it lived to tell")
            else:
                by_stream.setdefault(message.stream, []).append(message)
        for stream, waiting in by_stream.items():
            try:
                attempt(self.hub.stream(self.system, stream), waiting)
            except RetryLater as error:
                self._postpone(waiting, error)
            except (Exception, KeyboardInterrupt, SystemExit):
                self._release(messages)
                raise

    def _postpone(self, messages: Sequence[OutboxMessage], error: RetryLater) -> None:
        """The system cannot be asked now: nothing was sent, everything keeps its place."""
        now = self.clock()
        for message in messages:
            if message.state is DeliveryState.LEASED:
                message.state = DeliveryState.PENDING
            message.not_before = now + wait(message, error.retry_after)
            message.reason = str(error)
        transact(self.store, lambda uow: uow.outbox.save(messages))
        limited = isinstance(error, RateLimited)
        self.run.add({"postponed": len(messages)} | ({"limited": len(messages)} if limited else {}))

    def _release(self, messages: Iterable[OutboxMessage]) -> None:
        """Give back what was leased and not begun, after a fault of the whole system."""
        waiting = [message for message in messages if message.state is DeliveryState.PENDING]
        transact(self.store, lambda uow: uow.outbox.save(waiting))

"""Deleting in a system what was an erased customer's, where ``hub.yaml`` says ``erase: delete`` (RULES 25).

The queue is the outbox. Each record is looked at, deleted as its system guards writes, and settled on the receipt. Whoever
dies in between leaves a lease that runs out: the next worker looks first, and finds the record there or gone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from connectors.contract import Gone, Refused, Retry, Sink, Stale, Unknown, WriteCommand, Written
from connectors.errors import BadAnswer, ConnectorError, RetryLater
from crm_master.domain.claims import Instant
from crm_master.domain.ids import ExternalRef
from crm_master.domain.lifecycle import DeliveryState, SystemState
from crm_master.engine.attempt import LEASE
from crm_master.engine.batches import ALONE_FROM, DEAD_FROM
from crm_master.engine.ledger import Run
from crm_master.engine.plan import Hub
from crm_master.engine.receipts import deletable, deleted, handed_over
from crm_master.engine.settle import wait
from crm_master.engine.transactions import transact
from crm_master.ports import Clock, OutboxMessage, Receipt, UnitOfWork, UnitOfWorkFactory

Settle = Callable[[Receipt, UnitOfWork, Instant], None]


class Eraser:
    """Deletes what waits to be erased in one system. No fuse is read: each was asked for by a person."""

    def __init__(
        self, hub: Hub, system: str, sink: Sink, store: UnitOfWorkFactory, clock: Clock, run: Run
    ) -> None:
        self.hub = hub
        self.system = system
        self.sink = sink
        self.store = store
        self.clock = clock
        self.run = run

    def __call__(self) -> list[Receipt]:
        """Delete until nothing that is due is left. Gives the receipts for which only files are left to be cleaned.

        Whoever died before that has left theirs among them. Raises ``connectors.errors.ConnectorError`` when the system as a
        whole cannot be asked.
        """
        while (message := self._claim()) is not None:
            if message.deaths >= DEAD_FROM:
                self._ask(message, "nobody who tried to delete it lived to tell")
            elif not self._erase(message):
                break
        with self.store() as uow:
            return uow.erasures.list("erased")

    def _claim(self) -> OutboxMessage | None:
        with self.store() as uow:
            state = uow.states.systems().get(self.system)
            if state is not SystemState.ACTIVE or self.system in uow.states.stopped():
                return None
            found = uow.outbox.claim(self.system, 1, self.clock(), LEASE, ALONE_FROM, erasing=True)
            uow.commit()
        return found[0] if found else None

    def _erase(self, message: OutboxMessage) -> bool:
        """Look, delete, settle. False if the system wants to be left alone for now."""
        ref = ExternalRef(message.system, message.stream, str(message.sent["key"]))
        with self.store() as uow:
            plan = deletable(self.hub, ref, uow)
        if plan is None:
            self._ask(message, "hub.yaml says no more that Concord deletes it")
            return True
        try:
            shown = self.sink.fetch(ref.stream, [ref.key])[ref.key]
        except RetryLater as error:
            self._later(message, str(error), error.retry_after)
            return False
        except BadAnswer as error:
            self._defective(message, str(error))
            return True
        except ConnectorError as error:
            self._later(message, str(error))
            raise
        if shown is not None and shown.merged_into is not None:
            self._ask(message, "the system has merged it into another record")
            return True
        if shown is None or shown.deleted:
            self._deleted(message)
            return True
        if not self._begin(message):
            return True
        command = WriteCommand(
            message.id, ref.stream, ref.key, shown.document, {}, correlation="", etag=shown.etag
        )
        try:
            outcome = self.sink.write([command])[0]
        except Exception as error:  # a defect of the connector: the next look tells
            outcome = Unknown(f"{type(error).__name__} in the connector")
        match outcome:
            case Written() | Gone():
                self._deleted(message)
            case Refused(reason):
                self._ask(message, reason)
            case Stale():
                self._later(message, "the record was changed in the system meanwhile")
            case Retry(reason, after):
                self._later(message, reason, after)
            case Unknown(reason):
                self._defective(message, reason)
        return True

    def _begin(self, message: OutboxMessage) -> bool:
        with self.store() as uow:
            mine = bool(uow.outbox.begin([message], self.clock() + LEASE))
            uow.commit()
        return mine

    def _defective(self, message: OutboxMessage, reason: str) -> None:
        if message.attempts < DEAD_FROM:
            self._later(message, reason)
        else:
            self._ask(message, reason)

    def _later(self, message: OutboxMessage, reason: str, after: timedelta | None = None) -> None:
        message.state, message.reason = DeliveryState.PENDING, reason
        message.not_before = self.clock() + wait(message, after)
        with self.store() as uow:
            uow.outbox.save([message])
            uow.commit()
        self.run.add({"postponed": 1})

    def _ask(self, message: OutboxMessage, reason: str) -> None:
        def hand_over(receipt: Receipt, uow: UnitOfWork, at: Instant) -> None:
            handed_over(receipt, message, reason, uow, at)

        self._settle(message, hand_over, "refused")

    def _deleted(self, message: OutboxMessage) -> None:
        self._settle(
            message, lambda receipt, uow, at: deleted(receipt, message, uow, at), "deleted"
        )

    def _settle(self, message: OutboxMessage, how: Settle, count: str) -> None:
        def once(uow: UnitOfWork) -> Receipt | None:
            receipt = uow.erasures.get(message.entity_id, lock=True)
            mine = uow.outbox.begin([message], self.clock() + LEASE)
            if receipt is None or not mine:
                return None  # another worker has taken over, or the person was let in again
            how(receipt, uow, self.clock())
            uow.erasures.save(receipt)
            return receipt

        receipt = transact(self.store, once)
        if receipt is None:
            return
        self.run.add({count: 1})

"""The master of a hub, as tests look into it."""

from __future__ import annotations

from typing import Any

from crm_master.domain.claims import ClaimKey, Shadow
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import InboxState, TaskKind
from crm_master.engine.explain import find_customer
from crm_master.ports import Customer, OutboxMessage, SourceRecord, Task
from crm_master.store import Database
from tests.rules.fakes import STREAM


class Master:
    """What the master holds of customers whose records are in streams of the name ``STREAM``."""

    store: Database

    def customers(self) -> list[Customer]:
        with self.store() as uow:
            return uow.customers.scan("customer", "", 1000)

    def owner(self, record: str) -> Customer:
        """The customer to whom a record belongs."""
        with self.store() as uow:
            id_ = find_customer(named(record), uow)
            return uow.customers.get([id_])[id_]

    def customer(self) -> Customer:
        found = self.customers()
        assert len(found) == 1, f"{len(found)} customers"
        return found[0]

    @property
    def golden(self) -> dict[str, Any]:
        return self.customer().golden

    def record(self, name: str, key: str) -> SourceRecord:
        rec_id = record_id(ExternalRef(name, STREAM, key))
        with self.store() as uow:
            return uow.records.get([rec_id])[rec_id]

    def claims(self, name: str, key: str) -> dict[ClaimKey, Any]:
        return {of: claim.value for of, claim in self.record(name, key).claims.items()}

    def shadow(self, name: str, key: str) -> Shadow:
        return self.record(name, key).shadow

    def tasks(self, *kinds: TaskKind, every: bool = False) -> list[Task]:
        with self.store() as uow:
            return uow.tasks.list(kinds, only_open=not every)

    def task(self, kind: TaskKind) -> Task:
        found = self.tasks(kind)
        assert len(found) == 1, f"{len(found)} open tasks of kind {kind}"
        return found[0]

    def outbox(self) -> list[OutboxMessage]:
        ids = [customer.id for customer in self.customers()]
        with self.store() as uow:
            creates = uow.outbox.creating("customer")
            members = uow.records.of_entities(ids)
            updates = uow.outbox.for_records([member.rec_id for member in members])
        return [*creates, *updates.values()]

    def queued(self) -> dict[str, int]:
        with self.store() as uow:
            return uow.outbox.count()

    def inbox(self, state: InboxState = InboxState.PENDING) -> int:
        from crm_master.store.schema import observation

        with self.store.engine.connect() as connection:
            rows = connection.execute(
                observation.select().where(observation.c.state == state.value)
            )
            return len(rows.all())


def named(name: str) -> str:
    """A record's whole name, where it is given as ``erp/e1``; anything else is a customer's id."""
    return name if name.count("/") != 1 else name.replace("/", f"/{STREAM}/")

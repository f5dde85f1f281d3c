"""The sweep after a change of configuration: what was read before it is read again, what was decided is decided again.

It goes through records and customers by id, a batch for each transaction. What is done carries the new hash, so whoever
takes over after a crash finds what is left, and does nothing twice (RULES 21).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from crm_master.domain.ids import EntityId, RecordId
from crm_master.engine.ledger import Run
from crm_master.engine.plan import EntityPlan, Hub
from crm_master.engine.reconcile import BATCH
from crm_master.engine.remap import overruled
from crm_master.engine.transactions import transact
from crm_master.engine.work import Work
from crm_master.ports import Applied, Clock, UnitOfWork, UnitOfWorkFactory


def is_due(hub: Hub, entity: str, applied: Applied | None) -> bool:
    """Whether records or customers of an entity may be of another configuration than the one in force.

    So it is after ``concord apply``, and after a release in which a codec reads otherwise.
    """
    if applied is None or applied.hash != hub.hash:
        return False
    swept = applied.swept.get(entity)
    if swept is None:
        return True
    return any(swept.get(name, now) != now for name, now in hub.mapping_hashes(entity).items())


class Sweeper:
    """Sweeps one entity, if its configuration has changed."""

    def __init__(
        self,
        hub: Hub,
        entity: str,
        store: UnitOfWorkFactory,
        clock: Clock,
        new_entity_id: Callable[[], EntityId],
        run: Run,
        batch: int = BATCH,
    ) -> None:
        self.hub = hub
        self.plan: EntityPlan = hub.entities[entity]
        self.store = store
        self.clock = clock
        self.new_entity_id = new_entity_id
        self.run = run
        self.batch = batch

    def __call__(self) -> None:
        """Sweep to the end, or until another configuration comes into force."""
        entity = self.plan.spec.name
        with self.store() as uow:
            if not is_due(self.hub, entity, uow.journal.applied()):
                return
        streams = list(self.hub.streams(entity))
        if not all(self._records(stream.system, stream.stream) for stream in streams):
            return
        if not self._customers():
            return
        with self.store() as uow:
            applied = uow.journal.applied()
            if applied is not None and applied.hash == self.hub.hash:
                swept = {**applied.swept, entity: self.hub.mapping_hashes(entity)}
                uow.journal.apply(applied.hash, applied.at, swept)
                uow.commit()

    def _records(self, system: str, stream: str) -> bool:
        after = ""
        hash_ = self.hub.stream(system, stream).mapping.hash
        while True:
            with self.store() as uow:
                found = uow.records.outdated(system, stream, hash_, after, self.batch)
                if overruled(self.hub, uow) or not found:
                    return not found
            self.run.add(transact(self.store, partial(self._remap, [*found.values()])).counts)
            *_, after = found

    def _remap(self, ids: Sequence[RecordId], uow: UnitOfWork) -> Work:
        work = self._work(uow)
        work.remap(ids)
        return work

    def _customers(self) -> bool:
        after = ""
        while True:
            with self.store() as uow:
                ids = self._outdated(uow, after)
                if overruled(self.hub, uow) or not ids:
                    return not ids
            self.run.add(transact(self.store, partial(self._recompute, ids)).counts)
            after = ids[-1]

    def _recompute(self, ids: Sequence[EntityId], uow: UnitOfWork) -> Work:
        work = self._work(uow)
        found = uow.customers.get(ids, lock=True)
        # another worker may have been faster
        work.sweep([of for of in ids if found[of].config_hash != self.hub.hash], reindex=True)
        return work

    def _outdated(self, uow: UnitOfWork, after: EntityId) -> Sequence[EntityId]:
        return uow.customers.outdated(self.plan.spec.name, self.hub.hash, after, self.batch)

    def _work(self, uow: UnitOfWork) -> Work:
        return Work(self.hub, self.plan, uow, self.clock(), self.new_entity_id, self.run.id)

"""Steps 3 to 8: from landed rows to golden records, history and deliveries, one transaction for each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from crm_master.domain.ids import EntityId
from crm_master.engine import fuses
from crm_master.engine.batches import ALONE_FROM, DEAD_FROM, bisected, is_passing
from crm_master.engine.fuses import Fuse, FuseBlown
from crm_master.engine.ledger import Run
from crm_master.engine.plan import EntityPlan, Hub
from crm_master.engine.remap import overruled
from crm_master.engine.work import Work
from crm_master.ports import Clock, InboxItem, UnitOfWork, UnitOfWorkFactory

BATCH = 500


class Reconciler:
    """Reconciles one entity's inbox and whatever else has made its customers worth a second look."""

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
        self.links = 0
        self.known = 0

    def __call__(self) -> None:
        """Empty the inbox, then sweep the customers that are marked dirty."""
        after = 0
        while items := self._claim(after):
            after = items[-1].seq  # what fails is left behind: no list of it is kept
            try:
                self._process(items)
            except Exception as error:
                if is_passing(error) or isinstance(error, FuseBlown):
                    self._forgive(items)
                if isinstance(error, FuseBlown):
                    self._ask(error)
                raise
        while self._sweep():
            pass
        with self.store() as uow:
            if not uow.inbox.pending(self.plan.spec.name):
                fuses.spent(Fuse.LINKS, self.plan.spec.name, uow, self.clock())
                uow.commit()

    def _check_links(self, work: Work, uow: UnitOfWork) -> None:
        """Whether this run links more records to customers than policy allows. Raises ``FuseBlown`` before it is done."""
        self.links += work.links
        if work.links:
            name = self.plan.spec.name
            reading = fuses.read(Fuse.LINKS, name, self.links, self.known, self.plan.fuses, uow)
            if reading.blown:
                # counting customers takes as long as there are many: only where it matters
                self.known = uow.customers.count(name)
                reading = fuses.read(Fuse.LINKS, name, self.links, self.known, self.plan.fuses, uow)
            if reading.blown:
                raise FuseBlown(reading, self.run.id)

    def _ask(self, error: FuseBlown) -> None:
        with self.store() as uow:
            most = self.links + uow.inbox.pending(self.plan.spec.name)
            fuses.ask(error, most, uow, self.clock())
            uow.commit()

    def _claim(self, after: int) -> list[InboxItem]:
        """Take the next items. Attempts are counted in a commit of their own, so that even a killed one is seen."""
        with self.store() as uow:
            if overruled(self.hub, uow) or fuses.standing(Fuse.LINKS, self.plan.spec.name, uow):
                return []
            items = uow.inbox.claim(self.plan.spec.name, self.batch, ALONE_FROM, after)
            uow.commit()
        return items

    def _forgive(self, items: Sequence[InboxItem]) -> None:
        """An outage of the database counts against no record, as far as the database can be told."""
        with suppress(Exception), self.store() as uow:
            uow.inbox.forgive([item.seq for item in items])
            uow.commit()

    def _process(self, items: Sequence[InboxItem]) -> None:
        """One transaction for a batch. Where it fails it is halved, until the items that cannot be done stand alone."""
        with self.store() as uow:
            at = self.clock()
            work = Work(self.hub, self.plan, uow, at, self.new_entity_id, self.run.id)
            if len(items) == 1 and items[0].attempts >= DEAD_FROM:
                # whoever tried this was not there any more to say what became of it
                work.set_aside(items[0], "nobody who tried to reconcile it lived to tell")
            else:
                bisected(items, uow, work.counts, work.reconcile, work.give_up)
            self._check_links(work, uow)
            uow.commit()
        self.run.add(work.counts)

    def _sweep(self) -> bool:
        with self.store() as uow:
            ids = uow.customers.take_dirty(self.plan.spec.name, self.batch)
            if not ids or overruled(self.hub, uow):
                return False
            work = Work(self.hub, self.plan, uow, self.clock(), self.new_entity_id, self.run.id)
            work.sweep(ids)
            uow.commit()
        self.run.add(work.counts)
        return True

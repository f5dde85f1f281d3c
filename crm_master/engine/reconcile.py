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
from crm_master.engine.transactions import transact
from crm_master.engine.work import Work
from crm_master.ports import Clock, InboxItem, Level, UnitOfWork, UnitOfWorkFactory

BATCH = 500
LEASE = 60_000_000  # microseconds; a worker who needs longer shares its observations, and none is applied twice


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
        shares: int = 1,
    ) -> None:
        self.hub = hub
        self.plan: EntityPlan = hub.entities[entity]
        self.store = store
        self.clock = clock
        self.new_entity_id = new_entity_id
        self.run = run
        self.batch = batch
        self.shares = shares
        self.links = 0
        self.known = 0

    def __call__(self) -> None:
        """Empty the inbox, then sweep the customers that are marked dirty."""
        after = 0
        while items := self._claim(after):
            after = items[-1].seq  # what fails is left behind: no list of it is kept
            try:
                self._process(items)
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                self._give_back(items, error)
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
        if work.links:
            name, shares = self.plan.spec.name, self.shares
            links = self.links + work.links
            reading = fuses.read(Fuse.LINKS, name, links, self.known, self.plan.fuses, uow, shares)
            if reading.blown:
                # counting customers takes as long as there are many: only where it matters
                known = self.known = uow.customers.count(name)
                reading = fuses.read(Fuse.LINKS, name, links, known, self.plan.fuses, uow, shares)
            if reading.blown:
                raise FuseBlown(reading, self.run.id)

    def _ask(self, error: FuseBlown) -> None:
        with self.store() as uow:
            most = error.reading.found + uow.inbox.pending(self.plan.spec.name)
            fuses.ask(error, most, uow, self.clock())
            uow.commit()

    def _claim(self, after: int) -> list[InboxItem]:
        """Take the next items. Attempts are counted in a commit of their own, so that even a killed one is seen."""
        with self.store() as uow:
            if overruled(self.hub, uow) or fuses.standing(Fuse.LINKS, self.plan.spec.name, uow):
                return []
            items = uow.inbox.claim(
                self.plan.spec.name, self.batch, self.clock(), LEASE, ALONE_FROM, after
            )
            uow.commit()
        return items

    def _give_back(self, items: Sequence[InboxItem], error: BaseException) -> None:
        """What was not done is anybody's. An outage counts against no record, as far as the database can be told."""
        ours = isinstance(error, Exception) and not is_passing(error)
        seqs = [item.seq for item in items]
        with suppress(Exception), self.store() as uow:
            if ours and not isinstance(error, FuseBlown):
                uow.inbox.release(seqs)
            else:
                uow.inbox.forgive(seqs)
            uow.commit()

    def _process(self, items: Sequence[InboxItem]) -> None:
        """One transaction for a batch. Where it fails it is halved, until the items that cannot be done stand alone."""

        def once(uow: UnitOfWork) -> Work:
            work = self._work(uow)
            if len(items) == 1 and items[0].attempts >= DEAD_FROM:
                # whoever tried this was not there any more to say what became of it
                uow.lock(Level.RECORD, [items[0].rec_id])
                work.set_aside(items[0], "nobody who tried to reconcile it lived to tell")
            else:
                work.lock(items)
                bisected(items, uow, work.counts, work.reconcile, work.give_up)
            uow.inbox.release(work.left(items))
            self._check_links(work, uow)
            return work

        work = transact(self.store, once)
        self.links += work.links
        self.run.add(work.counts)

    def _sweep(self) -> bool:
        def once(uow: UnitOfWork) -> Work | None:
            if overruled(self.hub, uow):
                return None
            ids = uow.customers.take_dirty(self.plan.spec.name, self.batch)
            if not ids:
                return None
            work = self._work(uow)
            work.sweep(ids)
            return work

        work = transact(self.store, once)
        if work is None:
            return False
        self.run.add(work.counts)
        return True

    def _work(self, uow: UnitOfWork) -> Work:
        return Work(self.hub, self.plan, uow, self.clock(), self.new_entity_id, self.run.id)

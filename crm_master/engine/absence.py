"""Which records a full scan did not show, and which of them are gone (RULES 12).

Absence speaks only after a full scan that came to its end without an error. A listing by page number can miss a row while
others come and go, so each absence is confirmed by asking for that record alone. All are asked for before the first becomes
a tombstone: the fuse is read on what is really gone.
"""

from __future__ import annotations

from connectors.contract import RawRecord, Source
from crm_master.domain.ids import RecordId
from crm_master.engine import fuses
from crm_master.engine.fuses import Fuse, FuseBlown
from crm_master.engine.ingest import land, read_each, spot_page
from crm_master.engine.ledger import Run
from crm_master.engine.plan import Fuses, StreamPlan
from crm_master.engine.transactions import transact
from crm_master.ports import Clock, UnitOfWork, UnitOfWorkFactory

BATCH = 100


def confirm_absences(
    plan: StreamPlan,
    allowed: Fuses,
    source: Source,
    store: UnitOfWorkFactory,
    clock: Clock,
    run: Run,
) -> None:
    """Land a tombstone for each record that the last full scan did not show and that is not there when asked for.

    Whoever is stopped leaves the scan's findings for the next call. Raises ``FuseBlown``, ``connectors.errors``.
    """
    if not source.capabilities(plan.stream).absence:
        return
    with store() as uow:
        due = uow.states.stream(plan.system, plan.stream).absences
        if not due or fuses.standing(Fuse.ABSENCES, plan.name, uow):
            return
        # what was asked for in an earlier run may be there again
        uow.sightings.forget(plan.system, plan.stream, only_gone=True)
        uow.commit()
    _Search(plan, allowed, source, store, clock, run)()


class _Search:
    def __init__(
        self,
        plan: StreamPlan,
        allowed: Fuses,
        source: Source,
        store: UnitOfWorkFactory,
        clock: Clock,
        run: Run,
    ) -> None:
        self.plan, self.allowed, self.source = plan, allowed, source
        self.store, self.clock, self.run = store, clock, run
        self.stream = (plan.system, plan.stream)
        self.live = 0

    def __call__(self) -> None:
        with self.store() as uow:
            self.live = uow.records.count(*self.stream)["live"]
        after: str | None = ""
        while after is not None:
            after = self._ask(after)
        after = ""
        while after is not None:
            after = self._bury(after)
        transact(self.store, self._close)

    def _close(self, uow: UnitOfWork) -> None:
        state = uow.states.stream(*self.stream, lock=True)
        state.absences = 0
        uow.states.save_stream(state)
        uow.sightings.forget(*self.stream)
        fuses.spent(Fuse.ABSENCES, self.plan.name, uow, self.clock())

    def _ask(self, after: str) -> str | None:
        """Ask for the next unseen records. What is there is landed; what is not is noted. Gives the key to go on behind."""
        with self.store() as uow:
            unseen = uow.sightings.unseen(*self.stream, after, BATCH)
        if not unseen:
            return None
        keys = {record.ref.key: record.rec_id for record in unseen}
        started = self.clock()
        found, _garbled = read_each(self.source, self.plan.stream, list(keys))
        # one that was merged into another is no deletion, and no fuse waits for it
        there = [
            shown
            for shown in found.values()
            if shown is not None and (not shown.deleted or shown.merged_into is not None)
        ]
        present = {shown.key for shown in there}
        gone = [keys[key] for key in found if key not in present]

        def once(uow: UnitOfWork) -> tuple[int, int, FuseBlown | None]:
            watermark = uow.states.stream(*self.stream, lock=True).watermark
            page = spot_page(there, started, self.clock())
            landed, unchanged = land(self.plan, there, page, watermark, uow, self.run.id)
            uow.sightings.see(*self.stream, [keys[shown.key] for shown in there])
            uow.sightings.see(*self.stream, gone, started)
            return landed, unchanged, self._blown(uow)

        landed, unchanged, blown = transact(self.store, once)
        self.run.add({"unlisted": len(there), "landed": landed, "unchanged": unchanged})
        if blown is not None:
            raise blown
        return unseen[-1].ref.key

    def _blown(self, uow: UnitOfWork) -> FuseBlown | None:
        gone = uow.sightings.count_gone(*self.stream)
        reading = fuses.read(Fuse.ABSENCES, self.plan.name, gone, self.live, self.allowed, uow)
        if not reading.blown:
            return None
        most = gone + uow.sightings.count_unseen(*self.stream)
        blown = FuseBlown(reading, self.run.id)
        fuses.ask(blown, most, uow, self.clock())
        return blown

    def _bury(self, after: RecordId) -> RecordId | None:
        """Land the next tombstones. Gives where to go on."""

        def once(uow: UnitOfWork) -> tuple[RecordId | None, int]:
            watermark = uow.states.stream(*self.stream, lock=True).watermark
            gone = uow.sightings.gone(*self.stream, after, BATCH)
            absent = 0
            for asked in sorted({at for _, at in gone}):
                records = [
                    RawRecord(record.ref.key, {}, deleted=True)
                    for record, at in gone
                    if at == asked
                ]
                page = spot_page(records, asked, asked)
                absent += land(self.plan, records, page, watermark, uow, self.run.id)[0]
            return (gone[-1][0].rec_id if gone else None), absent

        further, absent = transact(self.store, once)
        if absent:
            self.run.add({"absent": absent})
        return further

"""Steps 3 to 8 for one batch in one transaction: what is observed, who is whose, what is made anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from crm_master.domain.claims import FieldShadow, Instant
from crm_master.domain.fields import Canonical, Mapped, Presence, Rejected
from crm_master.domain.identity import profile
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import RecordStatus, TaskKind
from crm_master.engine.batches import DEAD_FROM, is_passing
from crm_master.engine.findings import Findings, Scope
from crm_master.engine.golden import taking_part
from crm_master.engine.linker import Linker
from crm_master.engine.matching import BLOCK_CAP, block_hashes, index, values_of
from crm_master.engine.observe import Observer, translate
from crm_master.engine.plan import EntityPlan, Hub
from crm_master.engine.remake import Remaker
from crm_master.engine.remap import Remapped, Remapper, outdated
from crm_master.ports import InboxItem, Level, LinkEntry, SourceRecord, UnitOfWork


class Work:
    """One transaction's work on an entity; ``counts`` and ``links`` are for its run.

    With ``recorded`` links, identity is taken from them and not decided: so the journal is replayed.
    """

    def __init__(
        self,
        hub: Hub,
        plan: EntityPlan,
        uow: UnitOfWork,
        at: Instant,
        new_entity_id: Callable[[], EntityId],
        run_id: str,
        recorded: Mapping[RecordId, LinkEntry] | None = None,
    ) -> None:
        streams = [(stream.system, stream.stream) for stream in hub.streams(plan.spec.name)]
        states = taking_part(hub, uow.states.systems())
        watermarks = {name: uow.states.stream(*name).watermark for name in streams}
        self.scope = Scope(hub, plan, uow, at, run_id, new_entity_id, states, watermarks, recorded)
        self.hub = hub
        self.plan = plan
        self.uow = uow
        self.counts: Counter[str] = Counter()
        self.links = 0
        self._failed: dict[RecordId, int] = {}  # since which observation
        self._translated: dict[int, Mapped | Rejected] = {}

    def lock(self, items: Sequence[InboxItem]) -> None:
        """Lock what these observations may be about, in the one order: block keys, customers, records (RULES 23).

        What turns out to be needed beyond that raises ``NotLocked`` later.
        """
        uow, ids = self.uow, {item.rec_id for item in items}
        hashes = self._expected_blocks(items, uow.records.get(ids))
        uow.lock(Level.BLOCK, hashes)
        alike = uow.records.by_blocks(hashes, BLOCK_CAP).values()
        self._lock_owners(ids.union(*alike), ids)

    def _lock_owners(self, of: Collection[RecordId], ids: Collection[RecordId]) -> None:
        """Lock the customers of some records with all that is theirs, and records that may be nobody's."""
        customers = self.uow.records.owners(of)
        self.uow.lock(Level.CUSTOMER, customers)
        self.uow.lock(Level.RECORD, self.uow.records.members(customers).union(ids))

    def _expected_blocks(
        self, items: Sequence[InboxItem], records: Mapping[RecordId, SourceRecord]
    ) -> set[str]:
        """The keys under which records that nobody is linked to will most likely be found."""
        found: set[str] = set()
        known: dict[RecordId, dict[str, Canonical]] = {}
        for item in items:
            record = records.get(item.rec_id)
            if record is None or item.deleted or _is_linked(record):
                continue
            values = known.setdefault(record.rec_id, values_of(record))
            with suppress(Exception):  # what cannot be read shows when it is its turn
                mapped = self._translated[item.seq] = translate(self.hub, item)
                if isinstance(mapped, Mapped):
                    values |= {
                        name: reading.value
                        for name, reading in mapped.readings.items()
                        if reading.presence is Presence.VALUE
                    }
                    keys = profile(values, self.plan.match)
                    found |= block_hashes(self.plan.spec.name, keys, self.plan.match)
        return found

    def reconcile(self, items: Sequence[InboxItem]) -> None:
        """Steps 3 to 8 for some observations. Raises whatever a record makes the code raise."""
        found = Findings(self.counts)
        link = Linker(self.scope, found)
        records = self.uow.records.get({item.rec_id for item in items}, lock=True)
        if self.scope.recorded is None:
            # another worker may have been faster: what it applied is not applied again, least of all out of order
            waiting = self.uow.inbox.waiting([item.seq for item in items])
            items = [item for item in items if item.seq in waiting]
            items = self._translate(link.keep_out(items, records))
            records = {item.rec_id: records[item.rec_id] for item in items}
        if not items:
            return
        if due := [record.rec_id for record in records.values() if outdated(self.hub, record)]:
            self.remap(due)
            records = self.uow.records.get(records.keys())
        observe = Observer(self.scope, found, self._translated)
        for item in items:
            observe(item, records[item.rec_id])
        links = link(records, items)
        facts = [name for name, plan in self.hub.entities.items() if plan.spec.references]
        if links and facts:
            # what facts wait for may be among them (RULES 20)
            news = {records[of.rec_id].ref.system for of in links if of.rec_id in records}
            self.uow.outbox.look_again(facts, news)
        remake = Remaker(self.scope, found)
        remake(records)
        pos = self._commit("reconcile", {"config": self.hub.hash})
        self.uow.inbox.finish(items, pos)
        remake.save(records, links, pos)
        self.links += found.links

    def _translate(self, items: Sequence[InboxItem]) -> list[InboxItem]:
        """Step 3, which stores nothing: what it raises is the fault of one item, and spoils no batch. Gives the others.

        Later observations of a record wait behind the one that failed.
        """
        done = []
        for item in items:
            if item.seq > self._failed.get(item.rec_id, item.seq):
                continue
            try:
                if not item.deleted and item.seq not in self._translated:
                    self._translated[item.seq] = translate(self.hub, item)
                done.append(item)
            except Exception as error:
                if is_passing(error):
                    raise
                self.give_up(item, error)
        return done

    def remap(
        self,
        ids: Sequence[RecordId],
        journal: UnitOfWork | None = None,
        at: int = 0,
        since: Instant = 0,
    ) -> None:
        """Read records again from their landed rows, and recompute their customers (RULES 21).

        From a ``journal`` of its own, and as it was ``at`` a position of it, when that is replayed; ``since`` is when the
        mapping came into force. Streams of which landed rows do not speak of all that is mapped now are to be read whole.
        """
        found = Findings(self.counts)
        self._lock_owners(ids, ids)
        records = self.uow.records.get(ids, lock=True)
        # a customer is not recomputed from records of which one half is read anew
        members = {record.entity_id for record in records.values() if record.entity_id}
        self.uow.lock(Level.CUSTOMER, members)
        all_of_them = [*records.values(), *self.uow.records.of_entities(members, lock=True)]
        records = {record.rec_id: record for record in all_of_them if outdated(self.hub, record)}
        if not records:
            return
        since = since or self._in_force()
        detail: dict[str, Any] = {"ids": list(records), "config": self.hub.hash, "since": since}
        lacking: set[tuple[str, str]] = set()
        remapper = Remapper(self.hub, journal or self.uow, since, at or None)
        for done in remapper(list(records.values())):
            self._reread(done, found)
            if done.lacking:
                lacking.add((done.record.ref.system, done.record.ref.stream))
        remake = Remaker(self.scope, found)
        remake(records)
        remake.save(records, [], at or self._commit("remap", detail))
        self.counts["remapped"] += len(detail["ids"])
        if not at:
            self._read_whole(lacking)

    def _in_force(self) -> Instant:
        applied = self.uow.journal.applied()
        if applied is None or applied.hash != self.hub.hash:
            return self.scope.at
        return applied.at

    def _read_whole(self, streams: Iterable[tuple[str, str]]) -> None:
        """Have streams read whole, of which records lack what is mapped now."""
        for system, stream in sorted(streams):
            state = self.uow.states.stream(system, stream)
            if state.cursor is not None or state.scan_started:
                state.cursor, state.scan_started = None, 0
                self.uow.states.save_stream(state)
                self.counts["to_read_whole"] += 1

    def _reread(self, done: Remapped, found: Findings) -> None:
        record = done.record
        if record.entity_id is not None:
            found.touched.add(record.entity_id)
        self._reindex(record, found)
        for name, was in done.before.items():
            now = record.shadow.fields.get(name, FieldShadow())
            if was.review and not now.review:
                found.settled.add((TaskKind.CLEAR, f"{record.ref}:{name}"))
            if was.quarantined and not now.quarantined:
                found.settled.add((TaskKind.QUARANTINE, f"{record.ref}:{name}"))
        if done.row is not None and done.found is not None:
            found.notice(done.row, done.found.notices)

    def _reindex(self, record: SourceRecord, found: Findings) -> None:
        index(record, self.plan.spec.name, self.plan.match)
        found.reindexed.add(record.rec_id)

    def sweep(self, ids: Sequence[EntityId], *, reindex: bool = False) -> None:
        """Recompute customers although none of their records was read anew; ``reindex`` if other keys identify them."""
        found = Findings(self.counts, touched=set(ids))
        remake = Remaker(self.scope, found)
        records: dict[RecordId, SourceRecord] = {}
        remake(records)
        for record in records.values() if reindex else ():
            self._reindex(record, found)
        pos = self._commit("sweep", {"ids": list(ids), "config": self.hub.hash})
        remake.save(records, [], pos)
        self.counts["swept"] += len(ids)

    def give_up(self, item: InboxItem, error: Exception) -> None:
        """An item that cannot be done now: left for a last try alone, or to a person as bytes."""
        self._failed[item.rec_id] = item.seq
        if item.attempts < DEAD_FROM - 1:
            self.counts["failed"] += 1
            return
        self.set_aside(item, f"{type(error).__name__} while it was reconciled")

    def left(self, items: Sequence[InboxItem]) -> list[int]:
        """Those that were not done: what failed, and what waits behind it."""
        return [
            item.seq for item in items if item.seq >= self._failed.get(item.rec_id, item.seq + 1)
        ]

    def set_aside(self, item: InboxItem, reason: str) -> None:
        """Give an item to a person, as bytes."""
        if not self.uow.inbox.waiting([item.seq]):
            return
        found = Findings(self.counts)
        found.dead(item, reason)
        self.uow.inbox.finish([item], 0)
        self.uow.tasks.open(found.tasks, self.scope.at, self.scope.run_id)

    def _commit(self, kind: str, detail: Mapping[str, object]) -> int:
        return self.uow.journal.commit(kind, self.scope.at, self.scope.run_id, detail)


def _is_linked(record: SourceRecord) -> bool:
    return record.entity_id is not None and record.status is RecordStatus.LIVE

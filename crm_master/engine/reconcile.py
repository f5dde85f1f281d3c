"""Steps 3 to 8: from landed rows to golden records, history and deliveries, one transaction for each batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import assert_never

import orjson

from crm_master.domain.claims import (
    UNSET,
    ClaimKey,
    Instant,
    Notice,
    Observed,
    Shadow,
    Why,
    attribute,
    interval,
)
from crm_master.domain.fields import Canonical, Rejected
from crm_master.domain.identity import Decision, Linked, NeedsReview, New
from crm_master.domain.ids import EntityId, ExternalRef, RecordId, record_id
from crm_master.domain.lifecycle import InboxState, RecordStatus, SystemState, TaskKind
from crm_master.engine import fuses
from crm_master.engine.batches import ALONE_FROM, DEAD_FROM, bisected, is_passing
from crm_master.engine.deletion import leave, obey, returns
from crm_master.engine.fuses import Fuse, FuseBlown
from crm_master.engine.golden import (
    Recomputed,
    counts_for,
    fan_out,
    recompute,
    superseded,
    taking_part,
)
from crm_master.engine.ledger import Run
from crm_master.engine.matching import BatchMatcher, index, same, values_of
from crm_master.engine.merging import alias_of, inherited, survivors, taken_over, told, vanished
from crm_master.engine.plan import EntityPlan, Hub, StreamPlan
from crm_master.engine.remap import Remapped, Remapper, outdated, overruled
from crm_master.engine.suppression import Suppression
from crm_master.ports import (
    Clock,
    Customer,
    HistoryEntry,
    InboxItem,
    LinkEntry,
    OutboxMessage,
    SourceRecord,
    Task,
    UnitOfWork,
    UnitOfWorkFactory,
)

BATCH = 500
_NOTICE_TASKS = {
    Why.UNREADABLE: TaskKind.DEAD_LETTER,
    Why.QUARANTINED: TaskKind.QUARANTINE,
    Why.CLEAR_REVIEW: TaskKind.CLEAR,
}


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

    def __call__(self) -> None:
        """Empty the inbox, then sweep the customers that are marked dirty."""
        failed: set[RecordId] = set()
        while items := self._claim(failed):
            try:
                failed |= self._process(items)
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
            of = uow.customers.count(name)
            reading = fuses.read(Fuse.LINKS, name, self.links, of, self.plan.fuses, uow)
            if reading.blown:
                raise FuseBlown(reading, self.run.id)

    def _ask(self, error: FuseBlown) -> None:
        with self.store() as uow:
            most = self.links + uow.inbox.pending(self.plan.spec.name)
            fuses.ask(error, most, uow, self.clock())
            uow.commit()

    def _claim(self, skip: set[RecordId]) -> list[InboxItem]:
        """Take the next items. Attempts are counted in a commit of their own, so that even a killed one is seen."""
        with self.store() as uow:
            if overruled(self.hub, uow) or fuses.standing(Fuse.LINKS, self.plan.spec.name, uow):
                return []
            items = uow.inbox.claim(self.plan.spec.name, self.batch, ALONE_FROM, skip)
            uow.commit()
        return items

    def _forgive(self, items: Sequence[InboxItem]) -> None:
        """An outage of the database counts against no record, as far as the database can be told."""
        with suppress(Exception), self.store() as uow:
            uow.inbox.forgive([item.seq for item in items])
            uow.commit()

    def _process(self, items: Sequence[InboxItem]) -> set[RecordId]:
        """One transaction for a batch. Where it fails it is halved, until the items that cannot be done stand alone."""
        failed: set[RecordId] = set()
        with self.store() as uow:
            at = self.clock()
            work = Work(self.hub, self.plan, uow, at, self.new_entity_id, self.run.id)

            def attempt(some: Sequence[InboxItem]) -> None:
                # later observations of a record wait behind the one that failed
                work.reconcile([item for item in some if item.rec_id not in failed])

            def give_up(item: InboxItem, error: Exception) -> None:
                failed.add(item.rec_id)
                work.give_up(item, error)

            if len(items) == 1 and items[0].attempts >= DEAD_FROM:
                # whoever tried this was not there any more to say what became of it
                work.set_aside(items[0], "nobody who tried to reconcile it lived to tell")
                failed = {items[0].rec_id}
            else:
                bisected(items, uow, work.counts, attempt, give_up)
            self._check_links(work, uow)
            uow.commit()
        self.run.add(work.counts)
        return failed

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


class Work:
    """One batch in one transaction: what was loaded, what changed, what is to be said.

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
        self.hub = hub
        self.plan = plan
        self.uow = uow
        self.recorded = recorded
        self.at = at
        self.run_id = run_id
        self.new_entity_id = new_entity_id
        self.counts: Counter[str] = Counter()
        self.links = (
            0  # of records of systems that have joined: those of the others are approved with them
        )
        self.states = taking_part(hub, uow.states.systems())
        self.watermarks = {
            (stream.system, stream.stream): uow.states.stream(
                stream.system, stream.stream
            ).watermark
            for stream in hub.streams(plan.spec.name)
        }

    def reconcile(self, items: Sequence[InboxItem]) -> None:
        """Steps 3 to 8 for some observations. Raises whatever a record makes the code raise."""
        self._begin()
        records = self.uow.records.get({item.rec_id for item in items}, lock=True)
        if self.recorded is None:
            # another worker may have been faster: what it applied is not applied again, least of all out of order
            waiting = self.uow.inbox.waiting([item.seq for item in items])
            items = [item for item in items if item.seq in waiting]
            items = self._keep_out(items, records)
        if not items:
            return
        if due := [record.rec_id for record in records.values() if outdated(self.hub, record)]:
            self.remap(due)
            self._begin()
            records = self.uow.records.get(records.keys())
        pos = self.uow.journal.commit("reconcile", self.at, self.run_id, {"config": self.hub.hash})
        for item in items:
            self._observe(item, records[item.rec_id])
        links = self._merges(records)
        links += self._link(records, items)
        links += self._merged(records)
        self._remake(records)
        self.uow.inbox.finish(items, pos)
        self._save(records, links, pos)

    def remap(
        self, ids: Sequence[RecordId], journal: UnitOfWork | None = None, at: int = 0
    ) -> None:
        """Read records again from their landed rows, and recompute their customers (RULES 21).

        From a ``journal`` of its own, and as it was ``at`` a position of it, when that is replayed.
        """
        self._begin()
        records = self.uow.records.get(ids, lock=True)
        # a customer is not recomputed from records of which one half is read anew
        members = {record.entity_id for record in records.values() if record.entity_id}
        found = [*records.values(), *self.uow.records.of_entities(members, lock=True)]
        records = {record.rec_id: record for record in found if outdated(self.hub, record)}
        if not records:
            return
        detail = {"ids": list(records), "config": self.hub.hash}
        pos = at or self.uow.journal.commit("remap", self.at, self.run_id, detail)
        for done in Remapper(self.hub, journal or self.uow, pos)(list(records.values())):
            self._reread(done)
        self._remake(records)
        self._save(records, [], pos)
        self.counts["remapped"] += len(detail["ids"])

    def _reread(self, done: Remapped) -> None:
        record = done.record
        if record.entity_id is not None:
            self.touched.add(record.entity_id)
        index(record, self.plan.spec.name, self.plan.match)
        self.reindexed.add(record.rec_id)
        for name in done.lacking:
            self.lacking.add((record.ref.system, record.ref.stream, name))
        if done.row is not None and done.found is not None:
            self._notice(done.row, done.found.notices)

    def sweep(self, ids: Sequence[EntityId], *, reindex: bool = False) -> None:
        """Recompute customers although none of their records was read anew; ``reindex`` if other keys identify them."""
        detail = {"ids": list(ids), "config": self.hub.hash}
        pos = self.uow.journal.commit("sweep", self.at, self.run_id, detail)
        self._begin()
        self.touched.update(ids)
        records: dict[RecordId, SourceRecord] = {}
        self._remake(records)
        for record in records.values() if reindex else ():
            index(record, self.plan.spec.name, self.plan.match)
            self.reindexed.add(record.rec_id)
        self._save(records, [], pos)
        self.counts["swept"] += len(ids)

    def give_up(self, item: InboxItem, error: Exception) -> None:
        """An item that cannot be done now: left for a last try alone, or to a person as bytes."""
        self._begin()
        if item.attempts < DEAD_FROM - 1:
            self.counts["failed"] += 1
            return
        self.set_aside(item, f"{type(error).__name__} while it was reconciled")

    def set_aside(self, item: InboxItem, reason: str) -> None:
        """Give an item to a person, as bytes."""
        if not self.uow.inbox.waiting([item.seq]):
            return
        self._begin()
        self._dead(item, reason)
        self.uow.inbox.finish([item], 0)
        self.uow.tasks.open(self.tasks, self.at, self.run_id)

    def _begin(self) -> None:
        self.edited: set[RecordId] = set()
        self.touched: set[EntityId] = set()
        self.reindexed: set[RecordId] = set()
        self.tasks: list[Task] = []
        self.settled: set[tuple[TaskKind, str]] = set()
        self.renewed: list[tuple[TaskKind, str]] = []
        self.customers: dict[EntityId, Customer] = {}
        self.history: list[HistoryEntry] = []
        self.messages: list[OutboxMessage] = []
        self.unneeded: list[str] = []
        self.believed: set[EntityId] = set()
        self.vanished: list[SourceRecord] = []
        self.merged: list[SourceRecord] = []
        self.lacking: set[tuple[str, str, str]] = set()
        self.gone: set[RecordId] = set()
        self.returned: dict[RecordId, tuple[EntityId, Mapping[str, Canonical]]] = {}

    def _open(self, task: Task) -> None:
        """Ask a person. Of a question that is settled and asked anew in one batch the last word counts."""
        self.tasks.append(task)
        self.settled.discard((task.kind, task.subject))

    def _observe(self, item: InboxItem, record: SourceRecord) -> None:
        """Steps 3 and 4 for one observation."""
        item.state = InboxState.DONE
        stream = self.hub.stream(item.ref.system, item.ref.stream)
        if item.deleted and item.started < record.shadow.confirmed_at:
            record.reread = True
            self.counts["stale"] += 1
            return
        observed = Observed(
            item.seq, item.watermark, item.started, item.ended, item.stamp, stream.skew
        )
        if item.deleted:
            self._tombstone(record, observed, item.merged_into)
            return
        try:
            document = orjson.loads(item.raw)
        except orjson.JSONDecodeError as error:
            self._dead(item, f"not JSON at position {error.pos}")
            return
        mapped = stream.mapping.apply(document, full_payload=stream.full_payload)
        if isinstance(mapped, Rejected):
            self._dead(item, f"{mapped.path}: {mapped.reason}")
            return
        if record.status is RecordStatus.DELETED and item.started >= record.shadow.confirmed_at:
            self._reappear(record)
        before = record.shadow.fields
        found = attribute(
            mapped, record.claims, record.shadow, stream.mapping, self.plan.spec, observed
        )
        record.reread = found.stale
        if found.stale:
            self.counts["stale"] += 1
            return
        record.claims, record.shadow = dict(found.claims), found.shadow
        if record.status is RecordStatus.ALIAS:
            # this key is another record's now, or the system took a merge back
            record.status, record.entity_id, record.alias_of = RecordStatus.LIVE, None, None
            record.gone = None
        record.since = record.since or item.started
        record.mapping_hash = stream.mapping.hash
        self.settled.add((TaskKind.DEAD_LETTER, str(item.ref)))
        for name, was in before.items():
            now = record.shadow.fields[name]
            if was.unreadable and not now.unreadable:
                self.settled.add((TaskKind.DEAD_LETTER, f"{item.ref}:{name}"))
            if was.review and not now.review:
                self.settled.add((TaskKind.CLEAR, f"{item.ref}:{name}"))
        self._notice(item, found.notices)
        if found.edits:
            self.counts["edited"] += 1
            self.edited.add(record.rec_id)
            if record.entity_id is not None:
                self.touched.add(record.entity_id)
        else:
            self.counts["echoes"] += 1
        quarantined = any(notice.why is Why.QUARANTINED for notice in found.notices)
        if (found.due or quarantined) and record.entity_id is not None:
            self.touched.add(record.entity_id)

    def _tombstone(self, record: SourceRecord, observed: Observed, into: str | None) -> None:
        """The record is gone. Its claims remain as last words, unless it is a part of another one now (RULES 11, 13).

        Nothing is made anew in its place, and nothing else is deleted.
        """
        record.reread = False
        status = RecordStatus.DELETED if into is None else RecordStatus.ALIAS
        if record.status in (status, RecordStatus.ALIAS):
            return
        record.status, record.gone = status, interval(observed, record.shadow)
        if into is None:
            self.counts["gone"] += 1
            self.vanished.append(record)
            self.gone.add(record.rec_id)
        else:
            self.counts["merged"] += 1
            record.alias_of = alias_of(record.ref, into)
            self.merged.append(record)
            self.settled |= {(kind, str(record.ref)) for kind in (TaskKind.GONE, TaskKind.MATCH)}
        if record.entity_id is not None:
            self.touched.add(record.entity_id)

    def _merges(self, records: dict[RecordId, SourceRecord]) -> list[LinkEntry]:
        """Before matching: what systems say of their own records (RULES 13)."""
        if not self.merged:
            return []
        self.survivors = survivors(self.merged, records, self.uow)
        found = [inherited(records[of], last) for of, last in self.survivors.items()]
        links = [link for link in found if link is not None]
        self.touched |= {link.entity_id for link in links}
        for of, last in self.survivors.items():
            if records[of].entity_id is not None and records[of].entity_id == last.entity_id:
                mapping = self.hub.stream(last.ref.system, last.ref.stream).mapping
                last.claims = {**last.claims, **taken_over(records[of], last, mapping)}
        return links

    def _merged(self, records: Mapping[RecordId, SourceRecord]) -> list[LinkEntry]:
        """After matching: the questions about who was merged, or may have been."""
        told_later = {str(of.ref): of for of in self.vanished if counts_for(of, self.states)}
        for task in vanished(self.hub, self.plan, self.vanished, self.uow):
            if task.kind is TaskKind.MERGE:
                # while it may have been merged, it speaks for nobody's deletion
                self.gone.discard(record_id(ExternalRef(*task.subject.split("/", 2))))
            if task.kind is TaskKind.MERGE or task.subject not in told_later:
                self._open(task)
        links = []
        for loser in self.merged:
            survivor = self.survivors.get(loser.rec_id)
            entry = None if survivor is None else told(loser, survivor)
            if isinstance(entry, LinkEntry):
                links.append(entry)
                self.settled.add((TaskKind.MERGE, str(loser.ref)))
            elif entry is not None:
                self._open(entry)
        return links

    def _reappear(self, record: SourceRecord) -> None:
        """Its key is in use again, perhaps for somebody else: it is matched anew (RULES 12)."""
        if record.entity_id is not None:
            self.touched.add(record.entity_id)
            self.returned[record.rec_id] = (record.entity_id, values_of(record))
        record.status, record.entity_id, record.claims = RecordStatus.LIVE, None, {}
        record.gone, record.since, record.pinned = None, 0, False
        record.shadow = Shadow(confirmed_at=record.shadow.confirmed_at)
        self.settled.add((TaskKind.GONE, str(record.ref)))

    def _back(self, record: SourceRecord, decision: Decision) -> Decision:
        """The decision about a record that reappeared: who agrees with nobody else may be who it was."""
        if not isinstance(decision, New) or record.rec_id not in self.returned:
            return decision
        former, values = self.returned[record.rec_id]
        because = same(values, values_of(record), self.plan.match)
        return Linked(former, because, record.rec_id) if because else decision

    def _dead(self, item: InboxItem, reason: str) -> None:
        item.state = InboxState.DEAD
        self.counts["rejected"] += 1
        payload = {"reason": reason, "seq": item.seq}
        self._open(Task(TaskKind.DEAD_LETTER, str(item.ref), payload))

    def _notice(self, item: InboxItem, notices: Iterable[Notice]) -> None:
        for notice in notices:
            self.counts[notice.why.value] += 1
            payload = {"field": notice.field, "reason": notice.detail, "seq": item.seq}
            if notice.elements:
                payload["elements"] = list(notice.elements)
            subject = f"{item.ref}:{notice.field}"
            self._open(Task(_NOTICE_TASKS[notice.why], subject, payload))

    def _link(
        self, records: dict[RecordId, SourceRecord], items: Sequence[InboxItem]
    ) -> list[LinkEntry]:
        """Step 5: find the customer of every record that has none, in the order in which they were seen."""
        open_records = [
            records[rec_id]
            for rec_id in dict.fromkeys(item.rec_id for item in items)
            if self._is_open(records[rec_id])
        ]
        self.reindexed |= {rec_id for rec_id in self.edited if records[rec_id].entity_id}
        if self.recorded is not None:
            return self._replay(open_records, self.recorded)
        if not open_records and not self.reindexed:
            return []
        again = [records[rec_id] for rec_id in sorted(self.reindexed)]
        matcher = BatchMatcher(self.plan, self.uow, [*open_records, *again], records)
        creating = self.uow.outbox.creating(self.plan.spec.name) if open_records else []
        erased = self._erased(open_records, matcher)
        links: list[LinkEntry] = []
        for record in open_records:
            decision = self._back(record, matcher(record))
            if record.rec_id in erased and isinstance(decision, New):
                self._forget([record], records)
                continue
            self.reindexed.add(record.rec_id)
            if self._awaited(record, decision, creating):
                self._park(record, items)
                continue
            entry = self._decided(record, decision)
            if entry is not None:
                links.append(entry)
                matcher.linked(record)
        return links

    def _keep_out(
        self, items: Sequence[InboxItem], records: dict[RecordId, SourceRecord]
    ) -> Sequence[InboxItem]:
        """Drop what was landed while its customer was being erased, or waited for a person meanwhile (RULES 25)."""
        suppression = Suppression(self.plan.spec.name, self.uow)
        if not suppression:
            return items
        unlinked = [record for record in records.values() if record.entity_id is None]
        out = suppression.records(record.ref for record in unlinked)
        self._forget([record for record in unlinked if record.ref in out], records)
        return [item for item in items if item.ref not in out]

    def _erased(self, records: Sequence[SourceRecord], matcher: BatchMatcher) -> set[RecordId]:
        """Those of the records that identity values show to be of a customer who was erased."""
        suppression = Suppression(self.plan.spec.name, self.uow)
        if not suppression:
            return set()
        profiles = {record.rec_id: matcher.profile(record) for record in records}
        return suppression.people(profiles, self.plan.match)

    def _forget(self, out: Sequence[SourceRecord], records: dict[RecordId, SourceRecord]) -> None:
        """Keep nothing of these records."""
        ids = {record.rec_id for record in out}
        self.uow.erasures.forget((), ids)
        names = tuple(f"{record.ref}:" for record in out)
        self.tasks = [task for task in self.tasks if not f"{task.subject}:".startswith(names)]
        for rec_id in ids:
            del records[rec_id]
        self.edited -= ids
        self.counts["suppressed"] += len(ids)

    def _replay(
        self, open_records: Sequence[SourceRecord], recorded: Mapping[RecordId, LinkEntry]
    ) -> list[LinkEntry]:
        """The links that the journal has for these records, instead of deciding again."""
        links = [recorded[record.rec_id] for record in open_records if record.rec_id in recorded]
        for record in open_records:
            entry = recorded.get(record.rec_id)
            if entry is None:
                continue
            record.entity_id = entry.entity_id
            self.touched.add(entry.entity_id)
            if entry.verb == "new":
                self.customers[entry.entity_id] = Customer(entry.entity_id, self.plan.spec.name)
        return links

    def _is_open(self, record: SourceRecord) -> bool:
        if record.entity_id is not None or record.status is not RecordStatus.LIVE:
            return False
        return bool(record.shadow.fields) and not record.reread

    def _awaited(
        self, record: SourceRecord, decision: Decision, creating: Sequence[OutboxMessage]
    ) -> bool:
        """Whether this may be the record that a create with an open answer has made (RULES 24)."""
        for message in creating:
            if (message.system, message.stream) != (record.ref.system, record.ref.stream):
                continue
            if isinstance(decision, Linked) and decision.entity == message.entity_id:
                return True
            if _equals(record, message, self.hub.stream(message.system, message.stream)):
                return True
        return False

    def _park(self, record: SourceRecord, items: Sequence[InboxItem]) -> None:
        """Forget what was read of a record until the open create is settled; its observation stays."""
        record.claims, record.shadow = {}, type(record.shadow)()
        self.edited.discard(record.rec_id)
        self.counts["parked"] += 1
        for item in items:
            if item.rec_id == record.rec_id:
                item.state = InboxState.PARKED

    def _decided(self, record: SourceRecord, decision: Decision) -> LinkEntry | None:
        match decision:
            case Linked(entity, because, with_record):
                self.counts["linked"] += 1
                self.links += self.states.get(record.ref.system) is not SystemState.JOINING
                evidence = {"because": list(because), "with": with_record}
                return self._join(record, entity, "link", evidence)
            case New(apart):
                self.counts["new"] += 1
                entity = self.new_entity_id()
                self.customers[entity] = Customer(entity, self.plan.spec.name)
                return self._join(record, entity, "new", {"apart": list(apart)} if apart else {})
            case NeedsReview(entities, reason, because):
                self.counts["review"] += 1
                payload = {
                    "record": str(record.ref),
                    "entities": list(entities),
                    "reason": reason,
                    "because": list(because),
                }
                self._open(Task(TaskKind.MATCH, str(record.ref), payload))
                return None
            case other:
                assert_never(other)

    def _join(
        self, record: SourceRecord, entity: EntityId, verb: str, evidence: Mapping[str, object]
    ) -> LinkEntry:
        record.entity_id = entity
        self.touched.add(entity)
        self.settled.add((TaskKind.MATCH, str(record.ref)))
        return LinkEntry(record.rec_id, entity, verb, "policy", evidence)

    def _remake(self, records: dict[RecordId, SourceRecord]) -> None:
        """Steps 6 and 7: recompute every customer that was touched, and see who has to be told."""
        self.customers |= self.uow.customers.get(self.touched - self.customers.keys(), lock=True)
        self._redirect(records)
        members: dict[EntityId, dict[RecordId, SourceRecord]] = {}
        for stored in self.uow.records.of_entities(self.touched, lock=True):
            member = records.setdefault(stored.rec_id, stored)
            if member.entity_id is not None:
                members.setdefault(member.entity_id, {})[member.rec_id] = member
        for record in records.values():
            if record.entity_id in self.touched:
                members.setdefault(record.entity_id, {})[record.rec_id] = record
        for entity_id in sorted(self.touched):
            of = [record for _, record in sorted(members.get(entity_id, {}).items())]
            self._remake_one(self.customers[entity_id], of)

    def _redirect(self, records: dict[RecordId, SourceRecord]) -> None:
        """What was linked to a customer while a person merged that one belongs to whom it was merged into."""
        while absorbed := {
            id_: self.customers[id_].redirect_to
            for id_ in self.touched
            if self.customers[id_].redirect_to is not None
        }:
            for stored in self.uow.records.of_entities(absorbed, lock=True):
                records.setdefault(stored.rec_id, stored)
            for record in records.values():
                if record.entity_id in absorbed:
                    record.entity_id = absorbed[record.entity_id]
            self.touched = self.touched - absorbed.keys() | {
                id_ for id_ in absorbed.values() if id_
            }
            missing = self.touched - self.customers.keys()
            self.customers |= self.uow.customers.get(missing, lock=True)

    def _remake_one(self, customer: Customer, records: Sequence[SourceRecord]) -> None:
        if not any(counts_for(record, self.states) for record in records):
            return
        withheld_before = customer.withheld
        gone = {record.rec_id for record in records if counts_for(record, self.states)} & self.gone
        said = obey(self.plan.deletes, customer, records, gone)
        made = recompute(self.plan, customer, records, self.states)
        if leave(self.hub, customer, records):
            made = recompute(self.plan, customer, records, self.states)
        if returns(customer, [record for record, _ in made.born]):
            customer.archived = False
        customer.config_hash = self.hub.hash
        if made.changes:
            self.counts["golden" if made.first else "changed"] += 1
        if made.changes and not made.first:
            self.history.append(self._history(customer, made))
        self.counts["conflicts"] += len(made.reconciled.conflicts)
        refs = {record.rec_id: str(record.ref) for record in records}
        for conflict in made.reconciled.conflicts:
            if conflict.contested:
                contenders = [
                    {"record": refs[held.record], "value": held.claim.value}
                    for held in conflict.contenders
                ]
                payload = {"entity": customer.id, "field": conflict.field, "contenders": contenders}
                subject = f"{customer.id}:{conflict.field}"
                self._open(Task(TaskKind.CONFLICT, subject, payload))
        for name in withheld_before - customer.withheld:
            self.settled.add((TaskKind.CONFLICT, f"{customer.id}:{name}"))
        self._tell(customer, records, said)
        self._lost_edits(customer, made)
        out = fan_out(
            self.hub,
            self.plan,
            customer,
            made.reconciled,
            records,
            self.states,
            self.watermarks,
            self.at,
        )
        self.messages += out.messages
        self.unneeded += out.unneeded
        self.counts["queued"] += len(out.messages)
        if out.believed:
            self.believed.add(customer.id)

    def _tell(
        self, customer: Customer, records: Sequence[SourceRecord], said: Mapping[RecordId, str]
    ) -> None:
        """What became of a customer whose record is gone, in that record's task."""
        for record in records:
            if record.rec_id in said:
                payload = {
                    "entity": customer.id,
                    "record": str(record.ref),
                    "outcome": said[record.rec_id],
                }
                self._open(Task(TaskKind.GONE, str(record.ref), payload))

    def _lost_edits(self, customer: Customer, made: Recomputed) -> None:
        """Put every new edit that did not win on record, with the rule that rejected it (promise 3)."""
        for record, key in made.born:
            claim = record.claims[key]
            if claim.base is UNSET:
                continue
            subject = f"{record.ref}:{key.field}"
            # an edit that lost before stays on record beside the one that loses now
            self.renewed.append((TaskKind.REVERTED, subject))
            winner = customer.winners.get(key)
            ours = winner is not None and winner.record == record.rec_id
            if ours or key.field in customer.withheld or _won(customer.golden, key, claim.value):
                continue
            payload = {
                "entity": customer.id,
                "field": key.field,
                "rule": self.plan.policy.of(key.field).rule.value,
                "lost": claim.value,
                "seq": claim.seq,
                "winner": None if winner is None else winner.record,
            }
            self.counts["lost"] += 1
            self._open(Task(TaskKind.REVERTED, subject, payload))

    def _history(self, customer: Customer, made: Recomputed) -> HistoryEntry:
        causes = tuple(sorted({record.claims[key].seq for record, key in made.born}))
        return HistoryEntry(
            customer.id, customer.version, self.at, superseded(made), causes, self.run_id
        )

    def _save(
        self, records: dict[RecordId, SourceRecord], links: Sequence[LinkEntry], pos: int
    ) -> None:
        uow = self.uow
        uow.records.save(list(records.values()))
        uow.records.save_blocks([records[rec_id] for rec_id in sorted(self.reindexed)])
        uow.customers.save(list(self.customers.values()), self.at)
        uow.customers.add_history(self.history)
        uow.customers.add_links(links, self.at, pos)
        uow.outbox.put(self.messages, self.at)
        uow.outbox.resume(records.keys())
        uow.outbox.cancel(self.unneeded)
        uow.customers.mark_dirty(ids=self.believed)
        uow.tasks.close(self.renewed, self.at)
        uow.tasks.open(self.tasks, self.at, self.run_id)
        uow.tasks.close(self.settled, self.at)


def _won(golden: dict[str, Canonical], key: ClaimKey, value: Canonical) -> bool:
    if key.element is None:
        return bool(golden.get(key.field) == value)
    return (key.element in golden.get(key.field, {})) == (value is not None)


def _equals(record: SourceRecord, message: OutboxMessage, stream: StreamPlan) -> bool:
    """Whether a record holds everything that a create was sent with, formatting aside."""
    for name, sent in message.sent.items():
        now = record.shadow.fields.get(name)
        if now is None or now.held is UNSET:
            return False
        try:
            same = stream.mapping.decode(name, now.held) == stream.mapping.decode(name, sent)
        except ValueError:
            same = now.held == sent
        if not same:
            return False
    return bool(message.sent)

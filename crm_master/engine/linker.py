"""Step 5 for a batch: whose are the records that nobody is linked to yet, and what do systems say of their own?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import assert_never

from crm_master.domain.claims import UNSET
from crm_master.domain.identity import (
    Decision,
    Linked,
    NeedsReview,
    New,
    Profile,
    agreement,
    profile,
)
from crm_master.domain.ids import EntityId, ExternalRef, RecordId, record_id
from crm_master.domain.lifecycle import (
    DeliveryVerb,
    InboxState,
    RecordStatus,
    SystemState,
    TaskKind,
)
from crm_master.engine.facts import ref_of, references_of
from crm_master.engine.findings import Findings, Scope
from crm_master.engine.golden import counts_for
from crm_master.engine.matching import BatchMatcher, readable, same, sent_unheard, values_of
from crm_master.engine.merging import survivors, taken_over, told, vanished
from crm_master.engine.plan import StreamPlan
from crm_master.engine.suppression import Suppression
from crm_master.ports import (
    Customer,
    InboxItem,
    Level,
    LinkEntry,
    OutboxMessage,
    SourceRecord,
    Task,
)

_RENAMED = "a write whose answer is open may have made a record of the customer's into this one"


class Linker:
    """Finds the customers of records, by policy or from the journal. Links by hand: ``engine.linking``."""

    def __init__(self, scope: Scope, found: Findings) -> None:
        self.scope = scope
        self.hub = scope.hub
        self.plan = scope.plan
        self.uow = scope.uow
        self.found = found
        self.merges: list[tuple[SourceRecord, SourceRecord]] = []
        """Who was merged into whom, loser and survivor."""

    def __call__(
        self, records: dict[RecordId, SourceRecord], items: Sequence[InboxItem]
    ) -> list[LinkEntry]:
        """Link all records that can be, and ask about the others. May load more into ``records``, and forget some."""
        batch = dict.fromkeys(item.rec_id for item in items)
        open_records = [records[rec_id] for rec_id in batch if self._is_open(records[rec_id])]
        self._merges(records, open_records)
        waiting = {of.rec_id: of for _, of in self.merges if of.rec_id not in batch}
        open_records += [record for record in waiting.values() if self._is_open(record)]
        links = self._link(records, open_records, items)
        self._take_over()
        self._cut(records)
        return links + self._merged(records)

    def keep_out(
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

    def _merges(
        self, records: dict[RecordId, SourceRecord], open_records: Iterable[SourceRecord]
    ) -> None:
        """Before matching: what systems say of their own records (RULES 13).

        What was merged into a record that was nobody's counts when that one is decided about, or is merged in turn.
        """
        told_now = {of.rec_id for of in self.found.merged}
        orphans = [of.rec_id for of in open_records if of.rec_id not in self.found.reused]
        orphans += [of.rec_id for of in self.found.merged if of.entity_id is None]
        earlier = self.uow.records.merged_into(orphans) - told_now if orphans else set()
        known = {**self.uow.records.get(earlier), **records}
        losers = self.found.merged + [known[of] for of in sorted(earlier) if known[of].alias_of]
        into = survivors(losers, records, self.uow) if losers else {}
        self.merges = [(of, into[of.rec_id]) for of in losers if of.rec_id in into]
        self._take_over()

    def _cut(self, records: dict[RecordId, SourceRecord]) -> None:
        """What was merged into the record that had a key before was not merged into one that is somebody else's."""
        reused = self.found.reused & records.keys()
        former = self.uow.records.merged_into(reused) if reused else set()
        former -= {of.rec_id for of in self.found.merged}
        records.update(self.uow.records.get(former - records.keys(), lock=True))
        for alias in [records[of] for of in former if records[of].alias_of in reused]:
            if alias.alias_of and records[alias.alias_of].entity_id != alias.entity_id:
                alias.alias_of = None

    def _take_over(self) -> None:
        """What survivors show of what was said by those who are theirs is their own word from now on."""
        for loser, survivor in self.merges:
            if loser.entity_id is not None and loser.entity_id == survivor.entity_id:
                mapping = self.hub.stream(survivor.ref.system, survivor.ref.stream).mapping
                survivor.claims = {**survivor.claims, **taken_over(loser, survivor, mapping)}

    def _link(
        self,
        records: dict[RecordId, SourceRecord],
        open_records: Sequence[SourceRecord],
        items: Sequence[InboxItem],
    ) -> list[LinkEntry]:
        """Step 5: find the customer of every record that has none, in the order in which they were seen."""
        self.found.reindexed |= {
            rec_id for rec_id in self.found.edited if records[rec_id].entity_id
        }
        if self.scope.recorded is not None:
            return self._replay(open_records, self.scope.recorded)
        if not open_records and not self.found.reindexed:
            return []
        again = [records[rec_id] for rec_id in sorted(self.found.reindexed)]
        matcher = BatchMatcher(self.plan, self.uow, [*open_records, *again], records)
        # nobody else decides about a record with one of these keys, nor changes one of these customers, until this is done
        self.uow.lock(Level.BLOCK, {hash_ for of in open_records for hash_ in of.blocks})
        heirs = self._heirs()
        losers = {of.entity_id for known in heirs.values() for of in known if of.entity_id}
        self.uow.lock(Level.CUSTOMER, matcher.customers(open_records) | losers)
        creating = self._creating({(of.ref.system, of.ref.stream) for of in open_records})
        erased = self._erased(open_records, matcher)
        about_erased = self._about_erased(open_records)
        links: list[LinkEntry] = []
        # who is somebody's by a merge is known before others are compared with them
        for record in sorted(open_records, key=lambda record: record.rec_id not in heirs):
            decision = self._renamed(record, self._back(record, matcher(record)), matcher)
            kept_out = record.rec_id in erased and isinstance(decision, New)
            if kept_out or record.rec_id in about_erased:
                self._forget([record], records)
                continue
            decision = self._inherits(record, decision, heirs, matcher)
            self.found.reindexed.add(record.rec_id)
            place = (record.ref.system, record.ref.stream)
            awaited = self._awaited(record, decision, creating[place], matcher)
            if self.uow.outbox.open(awaited):
                self._park(record, items)
                continue
            entry = self._decided(record, decision)
            if entry is not None:
                links.append(entry)
                matcher.linked(record)
        return links

    def _merged(self, records: Mapping[RecordId, SourceRecord]) -> list[LinkEntry]:
        """After matching: the questions about who was merged, or may have been."""
        told_later = {
            str(of.ref): of for of in self.found.vanished if counts_for(of, self.scope.states)
        }
        waiting = self.uow.outbox.for_records([of.rec_id for of in self.found.vanished])
        self.found.deleted_by_us = {
            of for of, message in waiting.items() if message.verb is DeliveryVerb.DELETE
        }
        for task in vanished(self.hub, self.plan, self.found.vanished, self.uow):
            of = record_id(ExternalRef(*task.subject.split("/", 2)))
            if task.kind is TaskKind.MERGE:
                # while it may have been merged, it speaks for nobody's deletion
                self.found.gone.discard(of)
            if of in self.found.deleted_by_us:
                continue
            if task.kind is TaskKind.MERGE or task.subject not in told_later:
                self.found.ask(task)
        links = []
        for loser, survivor in self.merges:
            entry = told(loser, survivor)
            if isinstance(entry, LinkEntry):
                links.append(entry)
                self.found.settled.add((TaskKind.MERGE, str(loser.ref)))
            elif entry is not None:
                self.found.ask(entry)
        return links

    def _back(self, record: SourceRecord, decision: Decision) -> Decision:
        """The decision about a record that reappeared: who agrees with nobody else may be who it was."""
        if not isinstance(decision, New) or record.rec_id not in self.found.returned:
            return decision
        former, values = self.found.returned[record.rec_id]
        because = same(values, values_of(record), self.plan.match)
        return Linked(former, because, record.rec_id) if because else decision

    def _heirs(self) -> dict[RecordId, list[SourceRecord]]:
        """By record that is nobody's yet, those of somebody's that its system has merged into it."""
        heirs: dict[RecordId, list[SourceRecord]] = {}
        for loser, survivor in self.merges:
            if loser.entity_id is not None and survivor.entity_id is None:
                heirs.setdefault(survivor.rec_id, []).append(loser)
        return heirs

    def _inherits(
        self,
        record: SourceRecord,
        decision: Decision,
        heirs: Mapping[RecordId, Sequence[SourceRecord]],
        matcher: BatchMatcher,
    ) -> Decision:
        """The decision about a record into which its system has merged somebody's: it is his, or may be in case of doubt.

        Of one that is somebody else's by what it shows, a person is asked whether the two are one.
        """
        for loser in heirs.get(record.rec_id, ()):
            entity = loser.entity_id
            if entity is None or entity in matcher.apart(record):
                continue
            link = Linked(entity, (f"merged in {loser.ref.system}",), loser.rec_id)
            match decision:
                case New():
                    return link
                case NeedsReview(entities) if entity in entities:
                    return link
                case NeedsReview(entities, reason, because):
                    reason = f"{reason}; and {loser.ref} was merged into it"
                    decision = NeedsReview((*entities, entity), reason, because)
        return decision

    def _renamed(self, record: SourceRecord, decision: Decision, matcher: BatchMatcher) -> Decision:
        """The decision about a record that seems new: it may be one whose key a write without an answer has changed.

        Whoever delivers finds that out; a person is asked as long as nobody has (RULES 24).
        """
        if not isinstance(decision, New):
            return decision
        mapping = self.hub.stream(record.ref.system, record.ref.stream).mapping
        for other in matcher.neighbours(record):
            because = same(sent_unheard(other, mapping), values_of(record), self.plan.match)
            if because and other.entity_id and other.entity_id not in decision.apart:
                return NeedsReview((other.entity_id,), _RENAMED, because)
        return decision

    def _erased(self, records: Sequence[SourceRecord], matcher: BatchMatcher) -> set[RecordId]:
        """Those of the records that identity values show to be of a customer who was erased."""
        suppression = Suppression(self.plan.spec.name, self.uow)
        if not suppression:
            return set()
        profiles = {record.rec_id: matcher.profile(record) for record in records}
        return suppression.people(profiles, self.plan.match)

    def _about_erased(self, records: Sequence[SourceRecord]) -> set[RecordId]:
        """Facts about customers who were erased."""
        found: set[RecordId] = set()
        for parent in sorted(self.plan.spec.parents):
            suppression = Suppression(parent, self.uow)
            if suppression:
                named = {
                    record.rec_id: {ref_of(value) for value in of.values()}
                    for record in records
                    if (of := references_of(record, self.plan.spec, to=parent))
                }
                out = suppression.records({ref for refs in named.values() for ref in refs})
                found |= {rec_id for rec_id, refs in named.items() if refs & out}
        return found

    def _forget(self, out: Sequence[SourceRecord], records: dict[RecordId, SourceRecord]) -> None:
        """Keep nothing of these records."""
        ids = {record.rec_id for record in out}
        self.uow.erasures.forget((), ids)
        names = tuple(f"{record.ref}:" for record in out)
        self.found.tasks = [
            task for task in self.found.tasks if not f"{task.subject}:".startswith(names)
        ]
        for rec_id in ids:
            del records[rec_id]
        self.found.edited -= ids
        self.found.counts["suppressed"] += len(ids)

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
            self.found.touched.add(entry.entity_id)
            if entry.verb == "new":
                self.found.customers[entry.entity_id] = Customer(
                    entry.entity_id, self.plan.spec.name
                )
        return links

    def _is_open(self, record: SourceRecord) -> bool:
        if record.entity_id is not None or record.status is not RecordStatus.LIVE:
            return False
        return bool(record.shadow.fields) and not record.reread

    def _creating(
        self, places: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], list[tuple[OutboxMessage, Profile]]]:
        """The creates with an open answer in these streams, and who they are by what was sent."""
        found: dict[tuple[str, str], list[tuple[OutboxMessage, Profile]]] = {
            place: [] for place in places
        }
        for message in self.uow.outbox.creating(self.plan.spec.name) if places else ():
            place = (message.system, message.stream)
            if place in found:
                mapping = self.hub.stream(*place).mapping
                sent = profile(readable(message.sent, mapping), self.plan.match)
                found[place].append((message, sent))
        return found

    def _awaited(
        self,
        record: SourceRecord,
        decision: Decision,
        creating: Iterable[tuple[OutboxMessage, Profile]],
        matcher: BatchMatcher,
    ) -> list[str]:
        """The creates with an open answer that may have made this record (RULES 24)."""
        stream, who = self.hub.stream(record.ref.system, record.ref.stream), matcher.profile(record)
        return [
            message.id
            for message, sent in creating
            if (isinstance(decision, Linked) and decision.entity == message.entity_id)
            # of a customer who is gone meanwhile, and with something changed since
            or agreement(sent, who, self.plan.match)
            or _equals(record, message, stream)
        ]

    def _park(self, record: SourceRecord, items: Sequence[InboxItem]) -> None:
        """Forget what was read of a record until the open create is settled; its observation stays.

        One that is not in the batch waits for a person, and goes on waiting.
        """
        parked = [item for item in items if item.rec_id == record.rec_id]
        if not parked:
            return
        record.claims, record.shadow = {}, type(record.shadow)()
        self.found.edited.discard(record.rec_id)
        self.found.counts["parked"] += 1
        for item in parked:
            item.state = InboxState.PARKED

    def _decided(self, record: SourceRecord, decision: Decision) -> LinkEntry | None:
        match decision:
            case Linked(entity, because, with_record):
                self.found.counts["linked"] += 1
                self.found.links += (
                    self.scope.states.get(record.ref.system) is not SystemState.JOINING
                )
                evidence = {"because": list(because), "with": with_record}
                return self._join(record, entity, "link", evidence)
            case New(apart):
                self.found.counts["new"] += 1
                entity = self.scope.new_entity_id()
                self.found.customers[entity] = Customer(entity, self.plan.spec.name)
                return self._join(record, entity, "new", {"apart": list(apart)} if apart else {})
            case NeedsReview(entities, reason, because):
                self.found.counts["review"] += 1
                payload = {
                    "record": str(record.ref),
                    "entities": list(entities),
                    "reason": reason,
                    "because": list(because),
                }
                self.found.ask(Task(TaskKind.MATCH, str(record.ref), payload))
                return None
            case other:
                assert_never(other)

    def _join(
        self, record: SourceRecord, entity: EntityId, verb: str, evidence: Mapping[str, object]
    ) -> LinkEntry:
        record.entity_id = entity
        self.found.touched.add(entity)
        self.found.settled.add((TaskKind.MATCH, str(record.ref)))
        return LinkEntry(record.rec_id, entity, verb, "policy", evidence)


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

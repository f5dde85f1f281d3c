"""The golden records made again from the journal alone, and held against those that are there (promise 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from crm_master.domain.claims import UNSET, Instant, Shadow
from crm_master.domain.ids import EntityId, RecordId, record_id
from crm_master.domain.lifecycle import InboxState, Origin, RecordStatus, SystemState
from crm_master.domain.settling import (
    Settled,
    abandon,
    abandoned,
    arrived,
    believe,
    heard,
    intend,
    on_its_way,
    settle,
    withhold,
)
from crm_master.engine.delivery import unshown
from crm_master.engine.facts import look_up
from crm_master.engine.ledger import Run
from crm_master.engine.linking import relink
from crm_master.engine.moving import bury, move
from crm_master.engine.plan import Hub
from crm_master.engine.stewardship import carry_out
from crm_master.engine.transactions import transact
from crm_master.engine.undo import compensate
from crm_master.engine.work import Work
from crm_master.ports import (
    Commit,
    Customer,
    DeliveryEntry,
    Level,
    LinkEntry,
    SourceRecord,
    UnitOfWork,
    UnitOfWorkFactory,
)

PAGE = 500


class JournalIncomplete(Exception):
    """The journal lacks something that is needed to replay it; the text names it."""


@dataclass(slots=True)
class Rebuilt:
    """How the rebuilt golden records compare with the stored ones."""

    commits: int = 0
    compared: int = 0
    different: list[EntityId] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.different


class Rebuilder:
    """Replays the journal of ``store`` into ``scratch``, an empty store, under the recorded configurations."""

    def __init__(
        self,
        store: UnitOfWorkFactory,
        scratch: UnitOfWorkFactory,
        compile_hub: Callable[[str], Hub],
        run: Run,
    ) -> None:
        self.store = store
        self.scratch = scratch
        self.compile_hub = compile_hub
        self.run = run
        self._hubs: dict[str, Hub] = {}
        self._hub: Hub | None = None

    def __call__(self) -> Rebuilt:
        """Replay and compare. Memory is that of a batch. Raises ``JournalIncomplete``."""
        result = Rebuilt()
        with self.store() as journal:
            for commit in journal.journal.commits():
                transact(self.scratch, partial(self._replay, commit, journal))
                result.commits += 1
                self.run.add({"commits": 1})
        for customer_id, equal in self._compare():
            result.compared += 1
            if not equal:
                result.different.append(customer_id)
        return result

    def _replay(self, commit: Commit, journal: UnitOfWork, uow: UnitOfWork) -> None:
        match commit.kind:
            case "reconcile":
                self._reconcile(commit, journal, uow)
            case "remap":
                hub = self._configured(commit, journal)
                ids = list(commit.detail["ids"])
                for name in sorted({found.entity for found in uow.records.get(ids).values()}):
                    since = commit.detail.get("since", commit.at)
                    self._work(hub, name, uow, commit.at).remap(ids, journal, commit.pos, since)
            case "configure":
                self._configured(commit, journal)
            case "sweep":
                hub = self._configured(commit, journal)
                # whoever was erased since is not there
                found = uow.customers.get(commit.detail["ids"])
                ids = [id_ for id_ in commit.detail["ids"] if id_ in found]
                for name in sorted({customer.entity for customer in found.values()}):
                    of = [id_ for id_ in ids if found[id_].entity == name]
                    self._work(hub, name, uow, commit.at).sweep(of)
            case "intent" | "settle":
                entries = journal.journal.deliveries(commit.pos)
                uow.lock(Level.RECORD, {record_id(entry.ref) for entry in entries if entry.ref})
                for entry in entries:
                    if commit.kind == "intent":
                        self._intend(entry, uow)
                    else:
                        self._settle(entry, uow, commit.at)
            case "activate":
                for system, state in commit.detail.items():
                    uow.states.save_system(system, SystemState(state), commit.at)
            case "decide":
                carry_out(commit.detail, uow, commit.at, 0)
            case "erase":
                uow.erasures.restore(journal.erasures.baseline(commit.pos))
            case "erased":
                pass  # nothing of whom it was about is left to be replayed
            case "undo":
                compensate(commit.detail, uow, commit.at)
            case "link":
                relink(commit.detail, uow, commit.at, 0)
            case other:
                raise JournalIncomplete(f"commit {commit.pos} is of an unknown kind: {other}")

    def _configured(self, commit: Commit, journal: UnitOfWork) -> Hub:
        hash_ = commit.detail["config"]
        if hash_ not in self._hubs:
            content = journal.journal.config(hash_)
            if content is None:
                raise JournalIncomplete(
                    f"commit {commit.pos} ran under a configuration that was not recorded"
                )
            self._hubs[hash_] = self.compile_hub(content)
        self._hub = self._hubs[hash_]
        return self._hub

    def _work(
        self,
        hub: Hub,
        entity: str,
        uow: UnitOfWork,
        at: Instant,
        recorded: Mapping[RecordId, LinkEntry] = MappingProxyType({}),
    ) -> Work:
        return Work(hub, hub.entities[entity], uow, at, lambda: "", "rebuild", recorded)

    def _reconcile(self, commit: Commit, journal: UnitOfWork, uow: UnitOfWork) -> None:
        hub = self._configured(commit, journal)
        items = [
            item for item in journal.inbox.applied(commit.pos) if item.state is InboxState.DONE
        ]
        if not items:
            return
        known = uow.records.get({item.rec_id for item in items})
        blank = {
            item.rec_id: SourceRecord(item.rec_id, item.ref, item.entity)
            for item in items
            if item.rec_id not in known
        }
        uow.records.save(list(blank.values()))
        recorded = {
            entry.rec_id: entry
            for entry in journal.customers.links(pos=commit.pos)
            if entry.verb != "alias"
        }
        self._work(hub, items[0].entity, uow, commit.at, recorded).reconcile(items)

    def _intend(self, entry: DeliveryEntry, uow: UnitOfWork) -> None:
        if entry.rec_id is None:
            return
        record = uow.records.get([entry.rec_id])[entry.rec_id]
        version = entry.version if record.primary else 0
        record.shadow = intend(record.shadow, entry.sent, entry.sources, version, entry.at)
        uow.records.save([record])

    def _settle(self, entry: DeliveryEntry, uow: UnitOfWork, at: Instant) -> None:
        """What the settlement did to the record that it was about."""
        if entry.ref is None:
            return
        rec_id = record_id(entry.ref)
        record = uow.records.get([rec_id]).get(rec_id)
        if record is None:
            record = SourceRecord(rec_id, entry.ref, self._entity(entry), since=entry.at)
        customer = uow.customers.get([entry.entity_id])[entry.entity_id]
        assert self._hub is not None, "a delivery is never the first commit"
        look_up(self._hub.entities[customer.entity], [customer], (), uow)
        before = max(entry.version - 1, 0)
        match entry.outcome:
            case "written":
                if entry.operation == "create":
                    record.entity_id, record.origin = entry.entity_id, Origin.HUB
                    record.shadow = intend(Shadow(), entry.sent, entry.sources)
                    record.mapping_hash = self._mapping_hash(record)
                self._claim(
                    record,
                    settle(
                        record.shadow,
                        entry.sent.keys(),
                        entry.held,
                        entry.version,
                        entry.at,
                        0,
                        entry.children,
                    ),
                )
                record.shadow = withhold(record.shadow, self._unshown(customer, record), before)
            case "noop":
                record.shadow = _shows(record.shadow, entry, at)
                record.shadow = withhold(record.shadow, self._unshown(customer, record), before)
            case "moved":
                moved = move(record, replace(entry.ref, key=str(entry.sent["key"])), entry.at)
                uow.records.save([moved])
            case "existed":
                record.entity_id = entry.entity_id
            case "found":
                record.entity_id, record.origin = entry.entity_id, Origin.HUB
                record.shadow = intend(Shadow(), entry.sent, entry.sources)
                record.mapping_hash = self._mapping_hash(record)
            case "gone":
                self._claim(record, believe(abandon(record.shadow)))
            case "deleted":
                if record.status is RecordStatus.LIVE:
                    bury(record, entry.at)
                    record.shadow = abandon(record.shadow)
            case "refused":
                self._claim(record, believe(abandon(record.shadow)))
            case "refused in part":
                self._claim(record, believe(record.shadow))
            case "unknown":
                pass
            case _:
                record.shadow = abandon(record.shadow)
        uow.records.save([record])

    def _claim(self, record: SourceRecord, settled: Settled) -> None:
        record.shadow, record.claims = settled.shadow, {**record.claims, **settled.edits}

    def _mapping_hash(self, record: SourceRecord) -> str:
        assert self._hub is not None, "a delivery is never the first commit"
        return self._hub.stream(record.ref.system, record.ref.stream).mapping.hash

    def _unshown(self, customer: Customer, record: SourceRecord) -> frozenset[str]:
        assert self._hub is not None, "a delivery is never the first commit"
        plan = self._hub.stream(record.ref.system, record.ref.stream)
        return unshown(self._hub, plan, customer, record)

    def _entity(self, entry: DeliveryEntry) -> str:
        assert self._hub is not None, "a delivery is never the first commit"
        return self._hub.stream(entry.system, entry.stream).entity

    def _compare(self) -> Iterator[tuple[EntityId, bool]]:
        if self._hub is None:
            return
        for entity in self._hub.entities:
            after = ""
            while True:
                with self.store() as uow:
                    stored = uow.customers.scan(entity, after, PAGE)
                if not stored:
                    break
                after = stored[-1].id
                with self.scratch() as uow:
                    made = uow.customers.get({customer.id for customer in stored})
                for customer in stored:
                    again = made.get(customer.id)
                    yield customer.id, again is not None and again.golden == customer.golden


def _shows(shadow: Shadow, entry: DeliveryEntry, at: Instant) -> Shadow:
    """The shadow after the system was found, by a look that was over ``at``, to show the golden record already."""
    read = {}
    for name, now in shadow.fields.items():
        held = entry.held.get(name, now.held)
        ours = now.pending is not UNSET and held == now.pending
        sent = now.pending if ours else now.sent
        children = entry.children.get(name, now.children)
        unseen = now.unseen and name not in entry.held
        read[name] = replace(now, held=held, sent=sent, children=children, unseen=unseen)
    confirmed_at, read_at = shadow.confirmed_at, shadow.read_at
    if on_its_way(shadow):
        confirmed_at, read_at = max(confirmed_at, entry.at), at
    shadow = heard(shadow, read, entry.at, 0)
    fields = {
        name: arrived(now)
        if now.pending is not UNSET and now.held == now.pending
        else abandoned(now)
        for name, now in shadow.fields.items()
    }
    shadow = replace(shadow, fields=fields, confirmed_at=confirmed_at, read_at=read_at, deleting=0)
    return shadow.showing(entry.version, entry.at, 0)

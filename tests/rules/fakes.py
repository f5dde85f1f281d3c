"""A hub in a box for the tests of the rules: a clock that stands still, systems of documents, the real engine.

A ``FakeSystem`` implements ``connectors.contract.Sink`` honestly: what is written can be read, what is read was there, and
every fault that it plays is one that real systems have. Nothing is patched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from connectors.contract import (
    BadRow,
    Capabilities,
    Document,
    Gone,
    Guard,
    Health,
    Outcome,
    Page,
    RawRecord,
    Refused,
    Retry,
    Scan,
    Stale,
    Unknown,
    WriteCommand,
    Written,
)
from connectors.errors import BadAnswer, Unreachable
from crm_master.domain.claims import ClaimKey, Instant, Shadow
from crm_master.domain.identity import KeySpec, MatchRules
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeletePolicy, InboxState, Leaving, SystemState, TaskKind
from crm_master.domain.survivorship import FieldPolicy, Policy, Rule
from crm_master.engine import erasure, joining, linking, stewardship
from crm_master.engine.absence import confirm_absences
from crm_master.engine.applying import put_in_force, switch
from crm_master.engine.deliver import Deliverer
from crm_master.engine.erasing import Eraser
from crm_master.engine.explain import find_customer
from crm_master.engine.foresight import Foresight, foresee
from crm_master.engine.fuses import approve as approve_run
from crm_master.engine.ingest import ingest, moment
from crm_master.engine.ledger import Run, silent
from crm_master.engine.plan import EntityPlan, Fuses, Hub, StreamPlan, SystemPlan, Translator
from crm_master.engine.plan import Test as Condition
from crm_master.engine.rebuild import Rebuilder, Rebuilt
from crm_master.engine.reconcile import Reconciler
from crm_master.engine.runs import Replayed, replay
from crm_master.engine.sweep import Sweeper
from crm_master.engine.undo import Compensation, plan, undo
from crm_master.engine.verify import Verdict, Verifier
from crm_master.ports import Customer, OutboxMessage, Receipt, RunEntry, SourceRecord, Task
from crm_master.store import Database
from mappings import CompiledMapping, EntityFile, compile_file, entity_spec, load_entity

SECOND: Instant = 1_000_000
START: Instant = 1_700_000_000 * SECOND
STREAM = "people"

ENTITY = """
entity: customer
fields:
  name: {type: text, max: 250}
  email: {type: email}
  phone: {type: text}
  note: {type: text, max: 1000}
  tags: {type: text, many: true}
  places: {type: group, many: true, members: {street: text, city: text}}
  address: {type: group, members: {street: text, city: text, country: text}}
  consent:
    type: group
    members:
      status: {type: enum, values: [granted, denied]}
      at: {type: datetime, default: observed}
      basis: {type: text, own: true}
"""

FULL_MAPPING = """
  name: name
  email: {at: mail, as: email}
  phone: phone
  note: note
  tags: {at: tags, many: all}
  address.street: street
  address.city: city
  consent.status: {at: consent, as: {enum: {granted: "yes", denied: "no"}}}
"""

CONSENT = FieldPolicy(Rule.MOST_RESTRICTIVE, {}, ("denied", "granted"), "status")


@cache
def entity() -> EntityFile:
    return load_entity(ENTITY)


@cache
def mapping(lines: str = FULL_MAPPING, keyed: tuple[str, ...] = ()) -> CompiledMapping:
    """The compiled mapping of some field lines. The elements of the lists ``keyed`` have an ``id``."""
    text = f"entity: customer\nfields:\n{lines.strip(chr(10))}\n"
    return compile_file(text, entity(), children=dict.fromkeys(keyed, "id"))


class Clock:
    """The hub's clock. Asking it takes a microsecond; everything else waits for ``sleep``."""

    def __init__(self) -> None:
        self.now: Instant = START

    def __call__(self) -> Instant:
        self.now += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Killed(BaseException):
    """The process died here."""


@dataclass
class Kept:
    """A document in a fake system, with what the system knows about it."""

    document: Document
    version: int
    correlation: str | None = None
    changed: Instant = 0


class FakeSystem:
    """A system of documents in memory.

    ``makes`` is what the system makes of a document that it is sent (truncates, ignores, computes). ``losses`` names what
    becomes of the next writes: ``done`` (done, but the answer is lost), ``undone`` (lost on the way there), ``killed``
    (done, and the hub dies before it hears of it), ``defect`` (the connector fails), ``refused``, ``retry``, ``stale``,
    ``half refused``, ``half later`` and ``half lost`` (the first change is made, then the rest is refused or put off, or
    nobody knows). ``meanwhile`` is
    called between the hub's read and its write, as a person who is faster would be. A create is found again by its
    correlation key, by all that was sent (``find_by_content``), or by one field (``find_by``). ``keyed_by`` names the field
    that is the key, where a written value moves the record.
    """

    def __init__(self, name: str, clock: Clock, **can: Any) -> None:
        self.name = name
        self.clock = clock
        self.can = Capabilities(
            **({"delta": True, "create": True, "update": True, "find": True} | can)
        )
        self.kept: dict[str, Kept] = {}
        self.gone: dict[str, int] = {}
        self.merged: dict[str, str] = {}
        self.rejects: list[BadRow] = []
        self.makes: Callable[[Document], Document] = lambda document: document
        self.losses: list[str] = []
        self.meanwhile: Callable[[], None] | None = None
        self.answers_with_record = True
        self.stamps = False
        self.down = False
        self.unparseable = False
        self.garbled: set[str] = set()
        self.unlisted: set[str] = set()
        self.retry_after = timedelta(seconds=5)
        self.find_by_content = False
        self.find_by = ""
        self.merges_on = ""
        self.keyed_by = ""
        self.dies_after: int | None = None
        self.page_size = 100
        self.writes: list[WriteCommand] = []
        self.requests: list[str] = []
        self._versions = count(1)
        self._keys = count(1)

    # what people do there

    def add(self, key: str, **document: Any) -> str:
        self.kept[key] = Kept(document, next(self._versions), changed=self.clock())
        return key

    def edit(self, key: str, **changes: Any) -> None:
        kept = self.kept[key]
        kept.document = {**kept.document, **changes}
        kept.version, kept.changed = next(self._versions), self.clock()

    def remove(self, key: str) -> None:
        del self.kept[key]
        self.gone[key] = next(self._versions)

    def merge(self, loser: str, survivor: str, *, told: bool = True, **gained: Any) -> None:
        """A person makes two records one. Where the system does not tell, only a deletion is seen of it."""
        self.remove(loser)
        if told:
            self.merged[loser] = survivor
        self.edit(survivor, **gained)

    def vanish(self, key: str) -> None:
        """Gone without a trace: no tombstone is ever shown."""
        del self.kept[key]

    def __getitem__(self, key: str) -> Document:
        return self.kept[key].document

    def only(self) -> Document:
        assert len(self.kept) == 1, f"{len(self.kept)} records in {self.name}"
        return next(iter(self.kept.values())).document

    # the contract

    def capabilities(self, stream: str) -> Capabilities:
        return self.can

    def check(self, stream: str) -> Health:
        return Health(not self.down, "down" if self.down else "up")

    def read(self, stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        after = int(cursor or 0)
        whole = scan is Scan.FULL or cursor is None or not self.can.delta
        events = sorted(
            [(kept.version, key) for key, kept in self.kept.items()]
            + [(version, key) for key, version in self.gone.items()]
        )
        chosen = [event for event in events if event[0] > after and event[1] not in self.unlisted]
        rejects, self.rejects = tuple(self.rejects), []
        pages = [
            chosen[at : at + self.page_size] for at in range(0, len(chosen), self.page_size)
        ] or [[]]
        for place, events in enumerate(pages):
            self.requests.append("read")
            if self.dies_after == place:
                self.dies_after = None
                raise Killed
            self._answer()
            started = moment(self.clock())
            last = place == len(pages) - 1
            yield Page(
                records=tuple(self._shown(key) for _, key in events),
                cursor=str(events[-1][0] if events else after),
                complete=last,
                scan=Scan.FULL if whole else Scan.DELTA,
                started=started,
                ended=moment(self.clock()),
                rejects=rejects if place == 0 else (),
            )

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        if keys:
            self.requests.append("fetch")
        self._answer()
        if self.garbled & set(keys):
            raise BadAnswer(f"{self.name} gave a record that holds bytes that are not UTF-8")
        there = self.kept.keys() | self.merged.keys()
        found = {key: self._shown(key) if key in there else None for key in keys}
        if self.meanwhile is not None:
            someone, self.meanwhile = self.meanwhile, None
            someone()
        return found

    def find(self, stream: str, command: WriteCommand) -> Sequence[RawRecord]:
        self.requests.append("find")
        self._answer()
        return [self._shown(key) for key, kept in self.kept.items() if self._fits(kept, command)]

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        self.requests.append("write")
        return [self._write(command) for command in commands]

    def _answer(self) -> None:
        if self.down:
            raise Unreachable(f"{self.name} does not answer")
        if self.unparseable:
            raise BadAnswer(f"{self.name} answered with a page that is no JSON")

    def _shown(self, key: str) -> RawRecord:
        if key not in self.kept:
            return RawRecord(key, {}, deleted=True, merged_into=self.merged.get(key))
        kept = self.kept[key]
        stamp = moment(kept.changed) if self.stamps else None
        return RawRecord(key, dict(kept.document), stamp=stamp, etag=str(kept.version))

    def _fits(self, kept: Kept, command: WriteCommand) -> bool:
        if self.find_by:
            return self._same(kept.document, {self.find_by: command.after.get(self.find_by)})
        if not self.find_by_content:
            return kept.correlation == command.correlation
        return self._same(kept.document, command.after)

    def _same(self, document: Document, wanted: Document) -> bool:
        return all(document.get(name) == value for name, value in wanted.items())

    def _write(self, command: WriteCommand) -> Outcome:
        fate = self.losses.pop(0) if self.losses else ""
        if self.down or fate == "retry":
            return Retry("try again later", self.retry_after)
        if fate == "refused":
            return Refused("not allowed", "mail")
        if fate == "stale":
            return Stale()
        if fate == "defect":
            raise ZeroDivisionError
        if fate == "undone":
            return Unknown("the answer was lost")
        if command.key is None and self.merges_on:
            wanted = command.after.get(self.merges_on)
            for key, there in self.kept.items():
                if there.document.get(self.merges_on) == wanted:
                    return Written(key, self._shown(key))
        kept = self.kept.get(command.key or "")
        if command.key is not None:
            if kept is None:
                return Gone()
            if self.can.guard is Guard.ETAG and str(kept.version) != command.etag:
                return Stale()
        self.writes.append(command)
        if command.key is not None and not command.after:
            self.remove(command.key)
            if fate == "killed":
                raise Killed
            return Unknown("the answer was lost") if fate == "done" else Written(command.key)
        if command.key is None or kept is None:
            key = f"{self.name}-{next(self._keys)}"
            kept = self.kept[key] = Kept({}, 0, command.correlation)
        else:
            key = command.key
        changes = {
            name: value
            for name, value in command.after.items()
            if command.before.get(name) != value
        }
        changes |= dict.fromkeys(command.before.keys() - command.after.keys())
        if fate.startswith("half"):
            changes = dict(sorted(changes.items())[:1])
        kept.document = self.makes({**kept.document, **changes})
        kept.version, kept.changed = next(self._versions), self.clock()
        if self.keyed_by:
            del self.kept[key]
            key = kept.document[self.keyed_by]
            self.kept[key] = kept
        if fate in ("half refused", "half later"):
            how = Refused("not allowed") if fate == "half refused" else Retry("try again later")
            return replace(how, partial=True)
        if fate in ("done", "half lost"):
            return Unknown("the answer was lost")
        if fate == "killed":
            raise Killed
        return Written(key, self._shown(key) if self.answers_with_record else None)


@dataclass
class Setting:
    """How one system takes part in a ``World``."""

    lines: str = FULL_MAPPING
    keyed: tuple[str, ...] = ()
    creates: tuple[Condition, ...] | None = None
    leaving: Leaving = Leaving.KEEP
    reads: bool = True
    writes: bool = True
    observe: bool = False
    full_payload: bool = True
    skew: int = 0
    erase: str = "request"
    can: dict[str, Any] = field(default_factory=dict)


@cache
def _template() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        return path.read_bytes()


class World:
    """A whole hub: its systems, its store, and the verbs that an operator has."""

    def __init__(
        self,
        folder: Path,
        systems: Mapping[str, Setting],
        policies: Mapping[str, FieldPolicy] | None = None,
        *,
        within_system: str = "review",
        same: Sequence[tuple[str, ...]] = (("email",),),
        url: str = "",
    ) -> None:
        self._folder = folder
        path = folder / "hub.db"
        if not url:
            path.write_bytes(_template())
        self.store = Database(url or f"sqlite:///{path}", lambda make: b"a secret")
        self.clock = Clock()
        self._ids = count(1)
        self.ran: dict[str, str] = {}
        self.systems = {
            name: FakeSystem(name, self.clock, **setting.can) for name, setting in systems.items()
        }
        spec = entity_spec(entity())
        rank = {name: place for place, name in enumerate(systems)}
        match = MatchRules({"email": KeySpec(("email",))}, list(same), (), within_system)
        policy = Policy(spec, rank, {"consent": CONSENT} | dict(policies or {}))
        plans = {
            name: SystemPlan(
                name,
                {
                    STREAM: StreamPlan(
                        name,
                        STREAM,
                        "customer",
                        mapping(setting.lines, setting.keyed),
                        reads=setting.reads,
                        writes=setting.writes,
                        creates=setting.creates,
                        full_payload=setting.full_payload,
                        leaving=setting.leaving,
                        deletes=setting.can.get("delete", False),
                        skew=setting.skew,
                    )
                },
                observe=setting.observe,
                erase=setting.erase,
            )
            for name, setting in systems.items()
        }
        self.hubs: dict[str, Hub] = {}
        self.hub = Hub(
            plans,
            {"customer": EntityPlan(spec, policy, match)},
            hash="config-1",
            content="config-1",
            recompile=self.hubs.get,
        )
        self.hubs[self.hub.hash] = self.hub
        with self.store() as uow:
            for name in systems:
                uow.states.save_system(name, SystemState.JOINING, self.clock())
            switch(self.hub, uow, self.clock, "test", swept=True)
            uow.commit()

    def __getattr__(self, name: str) -> FakeSystem:
        try:
            return self.__dict__["systems"][name]
        except KeyError:
            raise AttributeError(name) from None

    def replace_mapping(self, name: str, mapping: Translator) -> None:
        """Give a system another mapping, as a new release does."""
        plan = replace(self.hub.stream(name, STREAM), mapping=mapping)
        system = replace(self.hub.systems[name], streams={STREAM: plan})
        self.hub = replace(self.hub, systems={**self.hub.systems, name: system})

    def proposed(
        self,
        policies: Mapping[str, FieldPolicy] | None = None,
        *,
        keyed: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        **lines: str,
    ) -> Hub:
        """The hub with other mapping lines for some systems, or other policies; not in force yet."""
        systems = dict(self.hub.systems)
        for name, fields in lines.items():
            plan = replace(
                self.hub.stream(name, STREAM), mapping=mapping(fields, keyed.get(name, ()))
            )
            systems[name] = replace(systems[name], streams={STREAM: plan})
        customer = self.hub.entities["customer"]
        if policies is not None:
            policy = replace(customer.policy, fields={"consent": CONSENT} | dict(policies))
            customer = replace(customer, policy=policy)
        name = f"config-{len(self.hubs) + 1}"
        hub = replace(
            self.hub, systems=systems, entities={"customer": customer}, hash=name, content=name
        )
        self.hubs[name] = hub
        return hub

    def foresee(self, hub: Hub) -> Foresight:
        return foresee(hub, self.store, self.clock(), each=True)

    def put_in_force(self, hub: Hub) -> None:
        """The first half of ``concord apply``: the next sweep carries it out."""
        put_in_force(hub, self.foresee(hub), self.store, self.clock, "apply")
        self.hub = hub

    def sweep(self, batch: int = 500) -> dict[str, int]:
        run = self.run()
        Sweeper(self.hub, "customer", self.store, self.clock, self.new_id, run, batch)()
        return dict(run.counts)

    def apply(self, hub: Hub) -> dict[str, int]:
        self.put_in_force(hub)
        return self.sweep()

    def set_deletes(self, policy: DeletePolicy) -> None:
        """Another policy of deletions than the one that ships."""
        plan = replace(self.hub.entities["customer"], deletes=policy)
        self.hub = replace(self.hub, entities={"customer": plan})

    def set_fuses(self, **shares: float) -> None:
        """Other fuses than the ones that ship."""
        fuses = Fuses(**({"floor": 0} | shares))  # type: ignore[arg-type]
        plan = replace(self.hub.entities["customer"], fuses=fuses)
        self.hub = replace(self.hub, entities={"customer": plan})

    def approve_run(self) -> list[str]:
        """Let pass what the fuses have stopped."""
        with self.store() as uow:
            runs = {task.payload["run"] for task in uow.tasks.list([TaskKind.FUSE])}
            allowed = [
                subject
                for run in sorted(runs)
                for subject in approve_run(run, uow, self.clock(), "ada")
            ]
            uow.commit()
        return allowed

    def close(self) -> None:
        self.store.close()

    # the verbs

    def run(self, verb: str = "test", target: str = "") -> Run:
        """A run on record. ``ran`` has the last one of each verb."""
        entry = RunEntry(f"run-{next(self._ids)}", verb, target, self.clock(), status="done")
        with self.store() as uow:
            uow.states.save_run(entry)
            uow.commit()
        self.ran[verb] = entry.id
        return Run(entry, silent)

    def new_id(self) -> str:
        return f"E{next(self._ids):04}"

    def ingest(self, name: str, *, full: bool = False) -> dict[str, int]:
        run = self.run("ingest", f"{name}/{STREAM}")
        scan = Scan.FULL if full else Scan.DELTA
        plan = self.hub.stream(name, STREAM)
        rules = self.hub.entities["customer"].match
        ingest(plan, self.systems[name], self.store, self.clock, run, scan, rules)
        allowed = self.hub.entities["customer"].fuses
        confirm_absences(plan, allowed, self.systems[name], self.store, self.clock, run)
        return dict(run.counts)

    def reconcile(self) -> dict[str, int]:
        run = self.run("reconcile", "customer")
        Reconciler(self.hub, "customer", self.store, self.clock, self.new_id, run)()
        return dict(run.counts)

    def deliver(self, name: str) -> dict[str, int]:
        run = self.run("deliver", name)
        for receipt in Eraser(self.hub, name, self.systems[name], self.store, self.clock, run)():
            self.finish(receipt)
        Deliverer(self.hub, name, self.systems[name], self.store, self.clock, run)()
        return dict(run.counts)

    def slow_deliverer(self, name: str) -> Deliverer:
        """A worker whose steps a test takes one by one."""
        return Deliverer(self.hub, name, self.systems[name], self.store, self.clock, self.run())

    def approve(self, *names: str) -> None:
        joining.approve(self.hub, names or tuple(self.systems), self.store, self.clock, "approve")

    def preview(self, *names: str) -> joining.Preview:
        return joining.preview(self.hub, names or tuple(self.systems), self.store, self.clock())

    def decide(self, task: Task, answer: str) -> None:
        stewardship.decide(task.id, answer, "ada", self.store, self.clock, self.new_id, "decide")

    def erase(self, name: str) -> Receipt:
        receipt = erasure.erase(
            self.hub, name, "ada", "case 7", self.store, self.clock, self.new_id, "erase"
        )
        return self.finish(receipt)

    def finish(self, receipt: Receipt) -> Receipt:
        return erasure.finish(receipt, self.store) if self.store.purge() else receipt

    def undo(self, run_id: str) -> Compensation:
        run = self.run("undo", run_id)
        return undo(self.hub, run_id, "ada", self.store, self.clock, self.new_id, run)

    def undo_plan(self, run_id: str) -> Compensation:
        return plan(self.hub, run_id, self.store, self.clock())

    def replay(self, run_id: str, *, really: bool = True) -> Replayed:
        def can_find(system: str, stream: str) -> bool:
            return self.systems[system].capabilities(stream).find

        return replay(run_id, self.store, can_find, really=really)

    def _change(self, propose: linking.Propose, reason: str) -> dict[str, Any]:
        return linking.carry_out(self.hub, propose, "ada", reason, self.store, self.clock, "link")

    def merge(self, survivor: str, absorbed: str, reason: str = "") -> dict[str, Any]:
        """Make two customers one. Customers are named by a record of theirs: ``erp/e1``."""
        return self._change(linking.merge(named(survivor), named(absorbed)), reason)

    def split(self, customer: str, *records: str, reason: str = "") -> dict[str, Any]:
        names = [named(record) for record in records]
        return self._change(linking.split(named(customer), names, self.new_id), reason)

    def move(self, record: str, customer: str, reason: str = "") -> dict[str, Any]:
        return self._change(linking.move(named(record), named(customer), self.new_id), reason)

    def pin(self, record: str) -> dict[str, Any]:
        return self._change(linking.pin(named(record)), "")

    def verify(self) -> Verdict:
        return Verifier(self.hub, self.store, self.run())(self.systems)

    def rebuilt(self) -> Rebuilt:
        """The golden records made again from the journal alone."""
        path = self._folder / f"scratch-{next(self._ids)}.db"
        path.write_bytes(_template())
        scratch = Database(f"sqlite:///{path}")
        try:
            hubs = self.hubs | {self.hub.content: self.hub}
            return Rebuilder(self.store, scratch, hubs.__getitem__, self.run())()
        finally:
            scratch.close()

    def round(self, *names: str) -> int:
        """Poll, reconcile and deliver until nothing is left to do at once. Gives the number of writes."""
        names = names or tuple(self.systems)
        before = self.written()
        self.clock.sleep(10)
        for name in names:
            if self.hub.stream(name, STREAM).reads:
                self.ingest(name)
        self.reconcile()
        for _ in range(3):
            for name in names:
                self.deliver(name)
            self.reconcile()
        return self.written() - before

    def settle(self) -> World:
        """Let everybody in, and poll until all is quiet: the state in which most stories begin."""
        for name in self.systems:
            self.ingest(name, full=True)
        self.reconcile()
        self.approve()
        self.round()
        self.round()
        return self

    # what can be seen

    def written(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

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


@contextmanager
def dying() -> Iterator[None]:
    """The hub's process dies somewhere in the block; the next verb is another process."""
    try:
        yield
    except Killed:
        return
    raise AssertionError("nobody was killed")

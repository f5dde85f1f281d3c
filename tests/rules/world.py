"""A hub with fake systems around it, in one process: the engine as it runs, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from connectors.contract import Outcome, Scan, WriteCommand
from crm_master.domain.identity import KeySpec, MatchRules
from crm_master.domain.lifecycle import DeletePolicy, Leaving, SystemState, TaskKind
from crm_master.domain.survivorship import FieldPolicy, Policy
from crm_master.engine import erasure, joining, linking, stewardship
from crm_master.engine.absence import confirm_absences
from crm_master.engine.applying import put_in_force, switch
from crm_master.engine.deliver import Deliverer
from crm_master.engine.erasing import Eraser
from crm_master.engine.foresight import Foresight, foresee
from crm_master.engine.fuses import approve as approve_run
from crm_master.engine.ingest import ingest
from crm_master.engine.ledger import Run, silent
from crm_master.engine.plan import EntityPlan, Fuses, Hub, StreamPlan, SystemPlan, Translator
from crm_master.engine.plan import Test as Condition
from crm_master.engine.rebuild import Rebuilder, Rebuilt
from crm_master.engine.reconcile import Reconciler
from crm_master.engine.runs import Replayed, replay
from crm_master.engine.sweep import Sweeper
from crm_master.engine.undo import Compensation, plan, undo
from crm_master.engine.verify import Verdict, Verifier
from crm_master.ports import Receipt, RunEntry, Task
from crm_master.store import Database
from mappings import entity_spec
from tests.clock import Clock
from tests.rules.fakes import CONSENT, FULL_MAPPING, STREAM, FakeSystem, Killed, entity, mapping
from tests.rules.master import Master, named


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


class World(Master):
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
        self.hubs[self.hub.hash] = self.hub

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

    def hear(self, name: str) -> None:
        """What is new in a system; nothing is delivered yet."""
        self.clock.sleep(10)
        self.ingest(name)
        self.reconcile()

    def deliver(self, name: str) -> dict[str, int]:
        run = self.run("deliver", name)
        for receipt in Eraser(self.hub, name, self.systems[name], self.store, self.clock, run)():
            self.finish(receipt)
        Deliverer(self.hub, name, self.systems[name], self.store, self.clock, run)()
        return dict(run.counts)

    def slow_deliverer(self, name: str) -> Deliverer:
        """A worker whose steps a test takes one by one."""
        return Deliverer(self.hub, name, self.systems[name], self.store, self.clock, self.run())

    def deliver_meanwhile(self, name: str, then: Callable[[], object]) -> None:
        """A worker has rendered one delivery; while it writes, ``then`` happens and is reconciled."""
        worker, system = self.slow_deliverer(name), self.systems[name]
        [message] = worker._claim()
        write = system.write

        def meanwhile(commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
            then()
            self.reconcile()
            return write(commands)

        system.write = meanwhile  # type: ignore[method-assign]
        worker._deliver([message])
        system.write = write  # type: ignore[method-assign]

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

    def written(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())


@contextmanager
def dying() -> Iterator[None]:
    """The hub's process dies somewhere in the block; the next verb is another process."""
    try:
        yield
    except Killed:
        return
    raise AssertionError("nobody was killed")


def lose(hub: World, fate: str) -> None:
    """Deliver to the shop, which does with the first write what its ``losses`` call this ``fate``."""
    hub.shop.losses = [fate]
    if fate == "killed":
        with dying():
            hub.deliver("shop")
    else:
        hub.deliver("shop")

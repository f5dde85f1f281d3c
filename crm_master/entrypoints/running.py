"""The rounds: read, reconcile, deliver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.contract import Scan
from connectors.errors import ConnectorError
from crm_master.bootstrap import App
from crm_master.domain.lifecycle import SystemState, TaskKind
from crm_master.domain.processes import OWN_SYSTEM
from crm_master.engine import erasure
from crm_master.engine.absence import confirm_absences
from crm_master.engine.deliver import Deliverer
from crm_master.engine.erasing import Eraser
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.ingest import ingest as land_stream
from crm_master.engine.ledger import Progress, Run, failures, silent
from crm_master.engine.reconcile import Reconciler
from crm_master.engine.sweep import Sweeper
from crm_master.entrypoints.applying import applied_by_policy
from crm_master.entrypoints.errors import RunFailed, SyncFailed, said
from crm_master.entrypoints.joining import let_in
from crm_master.entrypoints.looking import deliverable
from crm_master.entrypoints.recording import recorded
from crm_master.entrypoints.setting_up import register

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished run: its id, its counts, and in words what else a person should know of it."""

    run: str
    verb: str
    target: str
    counts: dict[str, int]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "verb": self.verb,
            "target": self.target,
            "counts": self.counts,
            "note": self.note,
        }


def ingest(
    app: App, system: str, stream: str, *, full: bool = False, progress: Progress = silent
) -> Ran:
    """Land what one stream shows. Raises ``ConnectorError`` if it cannot be read, ``RunFailed`` after bad rows."""
    plan = app.hub.stream(system, stream)
    register(app)
    with recorded(app, "ingest", plan.name, progress) as run:
        scan = Scan.FULL if full else Scan.DELTA
        rules = app.hub.entities[plan.entity].match
        source = app.connect(system)
        land_stream(plan, source, app.store, app.clock, run, scan, rules)
        allowed = app.hub.entities[plan.entity].fuses
        confirm_absences(plan, allowed, source, app.store, app.clock, run)
        return _done(app, run, "ingest", plan.name, plan.entity)


def reconcile(app: App, entity: str, *, shares: int = 1, progress: Progress = silent) -> Ran:
    """Map, match and reconcile what was landed, and queue deliveries. Raises ``RunFailed`` after bad records.

    ``shares``: how many do so together, and divide among them what fuses allow to one run.
    """
    app.hub.entity(entity)
    register(app)
    app = applied_by_policy(app, progress)
    with recorded(app, "reconcile", entity, progress) as run:
        Sweeper(app.hub, entity, app.store, app.clock, app.new_id, run)()
        Reconciler(app.hub, entity, app.store, app.clock, app.new_id, run, shares=shares)()
        return _done(app, run, "reconcile", entity, entity)


def deliver(app: App, system: str, *, progress: Progress = silent) -> Ran:
    """Write what waits for one system. Raises ``ConnectorError`` or, if writes were refused, ``RunFailed``.

    While nothing may be written there, this says so in the run's note, with how much waits.
    """
    plan = app.hub.system(system)
    with recorded(app, "deliver", system, progress) as run:
        sink = app.connect(system)
        finished = Eraser(app.hub, system, sink, app.store, app.clock, run)()
        if finished and app.store.purge():
            for receipt in finished:
                erasure.finish(receipt, app.store)
        Deliverer(app.hub, system, sink, app.store, app.clock, run)()
        entity = next(iter(plan.streams.values())).entity
        return _done(app, run, "deliver", system, entity, _held_back(app, system))


def _held_back(app: App, system: str) -> str:
    """Why nothing may be written to a system now, what to do, and how much waits; nothing if it may."""
    with app.store() as uow:
        state = uow.states.systems().get(system, SystemState.JOINING)
        why = []
        if system in uow.states.stopped():
            why.append(f"its writes are stopped (`concord start {system}` allows them again)")
        if state is SystemState.JOINING:
            why.append("it has not joined yet (see `concord approve --preview`)")
        if state is SystemState.OBSERVE:
            why.append("it is only observed (hub.yaml)")
        why += [
            f"a fuse stopped it (`concord approve {task.payload['run']}` lets it pass)"
            for task in uow.tasks.list([TaskKind.FUSE])
            if task.payload.get("place", "").partition("/")[0] == system
            and task.payload["fuse"] == "writes"
        ]
        waiting = deliverable(uow.outbox.count(system))
    return (
        f"Nothing is written to {system}: {', and '.join(why)}. Deliveries that wait: {waiting}."
        if why
        else ""
    )


def _done(app: App, run: Run, verb: str, target: str, entity: str, note: str = "") -> Ran:
    """The result of a run, or ``RunFailed`` where more failed than the entity's policy allows: never green over that."""
    counts = dict(run.counts)
    failed, tried = failures(counts)
    if failed and failed > app.hub.entities[entity].failures_allowed * tried:
        raise RunFailed(f"{verb} {target}", counts)
    return Ran(run.id, verb, target, counts, note)


def sync(
    app: App,
    systems: Sequence[str] = (),
    *,
    full: bool = False,
    progress: Progress = silent,
    report: Callable[[Ran], None] = lambda ran: None,
) -> list[Ran]:
    """One round: read every stream, reconcile, let in whoever policy lets in, deliver.

    A system that cannot be reached stops nothing but its own part: ``report`` is told of every run that ended well, and
    what went wrong is raised at the end, as ``SyncFailed`` if it is more than one thing.
    """
    app = applied_by_policy(app, progress)
    names = [app.hub.system(name).name for name in systems] or list(app.hub.systems)
    ran: list[Ran] = []
    errors: list[Exception] = []

    def attempt(verb: Any, *args: Any, **options: Any) -> None:
        try:
            ran.append(verb(app, *args, progress=progress, **options))
            report(ran[-1])
        except (ConnectorError, FuseBlown, RunFailed) as error:
            errors.append(error)

    # the hub's own processes look at what the others have brought
    for own in (False, True):
        for name in names:
            for stream in app.hub.systems[name].streams.values():
                if stream.reads and own is (name == OWN_SYSTEM):
                    attempt(ingest, name, stream.stream, full=full)
        if not own or OWN_SYSTEM in names:
            for entity in app.hub.entities:
                attempt(reconcile, entity)
    if let_in(app):
        for entity in app.hub.entities:
            attempt(reconcile, entity)
    for name in names:
        attempt(deliver, name)
    for _ in range(_ROUNDS):
        # records that somebody changed while we were about to write them, and facts whose customers have come to be there
        with app.store() as uow:
            dirty = any(uow.customers.dirty(entity) for entity in app.hub.entities)
            if not dirty and not uow.inbox.pending():
                break
        for entity in app.hub.entities:
            attempt(reconcile, entity)
        for name in names:
            attempt(deliver, name)
    if len(errors) > 1:
        raise SyncFailed("\n".join(dict.fromkeys(map(said, errors)))) from errors[0]
    if errors:
        raise errors[0]
    return ran

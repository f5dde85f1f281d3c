"""The verbs. Each is one use case over an ``App``, gives plain JSON-able results, and holds no rules."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from connectors.contract import Document, Scan
from connectors.errors import ConnectorError
from connectors.registry import KINDS, manifest_schema
from connectors.yamlfile import ConfigurationMistakes
from crm_master.bootstrap import (
    HOME_VARIABLE,
    App,
    Deployment,
    compile_deployment,
    home_files,
    new_id,
    now,
    open_app,
    recorded_files,
    write_example,
)
from crm_master.domain.changes import projection
from crm_master.domain.fields import Presence, Rejected
from crm_master.domain.lifecycle import DeliveryState, SystemState, TaskKind
from crm_master.engine import stewardship
from crm_master.engine.deliver import Deliverer
from crm_master.engine.explain import explain, find_customer
from crm_master.engine.ingest import ingest as land_stream
from crm_master.engine.ledger import Progress, Run, running, silent
from crm_master.engine.plan import Hub, SystemPlan
from crm_master.engine.rebuild import JournalIncomplete, Rebuilder, Rebuilt
from crm_master.engine.reconcile import Reconciler
from crm_master.engine.verify import Verdict, Verifier
from crm_master.settings import HubSettings, PolicySettings
from crm_master.store import Database
from crm_master.store.database import SchemaOutdated
from mappings.schemas import DIALECT, schema_of
from mappings.schemas import schemas as mapping_schemas
from mappings.values import record_schema

FAILED = ("rejected", "failed", "refused", "held")
_TRIED = ("edited", "echoes", "created", "updated", "existed", "already", *FAILED)
_ROUNDS = 5


class RunFailed(Exception):
    """More records failed than policy allows. What could be done was done, and is committed."""

    def __init__(self, what: str, counts: Mapping[str, int]) -> None:
        self.counts = dict(counts)
        failed = ", ".join(f"{counts[name]} {name}" for name in FAILED if counts.get(name))
        super().__init__(
            f"{what}: {failed}. The others are done. `concord dlq list` and `concord conflicts` say which and why."
        )


class SyncFailed(Exception):
    """More than one part of a round failed; the text names each. The other parts are done."""


EXPECTED = (
    ConfigurationMistakes,
    ConnectorError,
    JournalIncomplete,
    LookupError,
    RunFailed,
    SchemaOutdated,
    SyncFailed,
    stewardship.NotReady,
    stewardship.Undecidable,
)
"""What a verb raises for a person to act on; its text says what to do."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished run: its id, and its counts."""

    run: str
    verb: str
    target: str
    counts: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return {"run": self.run, "verb": self.verb, "target": self.target, "counts": self.counts}


def read_hub(home: Path) -> Deployment:
    """The deployment in ``home``, from its files alone. Raises ``ConfigurationMistakes`` with every mistake."""
    return compile_deployment(home_files(home))


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every kind of file that users write, by its file name: for editors and for checks outside."""
    found = {
        "hub": schema_of(HubSettings),
        "policy": schema_of(PolicySettings),
        **mapping_schemas(),
        **{f"manifest-{kind}": {"$schema": DIALECT, **manifest_schema(kind)} for kind in KINDS},
    }
    return {f"{name}.schema.json": schema for name, schema in sorted(found.items())}


def init(app: App) -> None:
    """Make or migrate the master database, and register the deployment's systems."""
    app.store.migrate()
    _register(app)


def _register(app: App) -> None:
    """Record the configuration, and any system that is new: it joins."""
    with app.store() as uow:
        at = now()
        uow.journal.save_config(app.hub.hash, app.hub.content, at)
        known = uow.states.systems()
        for name in app.hub.systems:
            if name not in known:
                uow.states.save_system(name, SystemState.JOINING, at)
        uow.commit()


def ingest(
    app: App, system: str, stream: str, *, full: bool = False, progress: Progress = silent
) -> Ran:
    """Land what one stream shows. Raises ``ConnectorError`` if it cannot be read, ``RunFailed`` after bad rows."""
    plan = app.hub.stream(system, stream)
    _register(app)
    with running("ingest", plan.name, app.store, now, new_id, progress) as run:
        scan = Scan.FULL if full else Scan.DELTA
        land_stream(plan, app.connect(system), app.store, now, run, scan)
        return _done(app, run, "ingest", plan.name, plan.entity)


def reconcile(app: App, entity: str, *, progress: Progress = silent) -> Ran:
    """Map, match and reconcile what was landed, and queue deliveries. Raises ``RunFailed`` after bad records."""
    if entity not in app.hub.entities:
        raise KeyError(f"no entity {entity!r} here; there are: {', '.join(app.hub.entities)}")
    _register(app)
    with running("reconcile", entity, app.store, now, new_id, progress) as run:
        Reconciler(app.hub, entity, app.store, now, new_id, run)()
        return _done(app, run, "reconcile", entity, entity)


def deliver(app: App, system: str, *, progress: Progress = silent) -> Ran:
    """Write what waits for one system. Raises ``ConnectorError`` or, if writes were refused, ``RunFailed``."""
    plan = _system(app, system)
    with running("deliver", system, app.store, now, new_id, progress) as run:
        Deliverer(app.hub, system, app.connect(system), app.store, now, run)()
        entity = next(iter(plan.streams.values())).entity
        return _done(app, run, "deliver", system, entity)


def _done(app: App, run: Run, verb: str, target: str, entity: str) -> Ran:
    """The result of a run, or ``RunFailed`` where more failed than the entity's policy allows: never green over that."""
    counts = dict(run.counts)
    failed = sum(counts.get(name, 0) for name in FAILED)
    # what was read holds what was rejected of it; the other counts exclude each other
    tried = counts.get("read") or sum(counts.get(name, 0) for name in _TRIED)
    if failed and failed > app.hub.entities[entity].failures_allowed * tried:
        raise RunFailed(f"{verb} {target}", counts)
    return Ran(run.id, verb, target, counts)


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
    names = [_system(app, name).name for name in systems] or list(app.hub.systems)
    ran: list[Ran] = []
    errors: list[Exception] = []
    told: list[object] = []

    def attempt(verb: Any, *args: Any, **options: Any) -> None:
        try:
            ran.append(verb(app, *args, progress=progress, **options))
            report(ran[-1])
        except (ConnectorError, RunFailed) as error:
            errors.append(error)
            told.append(
                error
                if isinstance(error, RunFailed)
                else f"{verb.__name__} {'/'.join(args)}: {error}"
            )

    for name in names:
        for stream in app.hub.systems[name].streams.values():
            if stream.reads:
                attempt(ingest, name, stream.stream, full=full)
    for entity in app.hub.entities:
        attempt(reconcile, entity)
    if let_in(app):
        for entity in app.hub.entities:
            attempt(reconcile, entity)
    for name in names:
        attempt(deliver, name)
    for _ in range(_ROUNDS):
        # records that somebody changed while we were about to write them
        with app.store() as uow:
            if not uow.inbox.pending():
                break
        for entity in app.hub.entities:
            attempt(reconcile, entity)
        for name in names:
            attempt(deliver, name)
    if len(errors) > 1:
        raise SyncFailed("\n".join(dict.fromkeys(map(str, told)))) from errors[0]
    if errors:
        raise errors[0]
    return ran


def waiting_to_join(app: App) -> list[str]:
    """The systems that an operator has not let in yet."""
    with app.store() as uow:
        return stewardship.joining(app.hub, uow)


def let_in(app: App) -> list[str]:
    """Approve the joining systems whose policy is ``join: auto`` and that are ready. Gives their names."""
    with app.store() as uow:
        ready = [
            name
            for name in stewardship.joining(app.hub, uow)
            if app.hub.systems[name].join == "auto"
            and stewardship.not_ready(app.hub, app.hub.systems[name], uow) is None
        ]
    if ready:
        approve(app, ready)
    return ready


def preview(app: App, systems: Sequence[str] = ()) -> dict[str, Any]:
    """What would be written if the named systems (all that wait, if none is named) joined now."""
    return stewardship.preview(app.hub, _joining(app, systems), app.store, now()).as_dict()


def approve(app: App, systems: Sequence[str] = ()) -> dict[str, Any]:
    """Let systems in. The next reconcile carries it out. Raises ``stewardship.NotReady``."""
    names = _joining(app, systems)
    with running("approve", ",".join(names), app.store, now, new_id) as run:
        marked = stewardship.approve(app.hub, names, app.store, now, run.id)
        run.add({"customers": marked})
    return {"approved": list(names), "customers": marked}


def rejoin(app: App) -> dict[str, Any]:
    """After a restore from a backup: every system joins anew, and nothing is written until it is approved."""
    with running("rejoin", "", app.store, now, new_id) as run:
        return {"rejoining": stewardship.rejoin(app.hub, app.store, now, run.id)}


def _joining(app: App, systems: Sequence[str]) -> tuple[str, ...]:
    names = tuple(_system(app, name).name for name in systems)
    with app.store() as uow:
        waiting = stewardship.joining(app.hub, uow)
    return names or tuple(waiting)


def _system(app: App, name: str) -> SystemPlan:
    """Raises ``KeyError`` naming the systems that there are."""
    if name not in app.hub.systems:
        raise KeyError(f"no system {name!r} in hub.yaml; there are: {', '.join(app.hub.systems)}")
    return app.hub.systems[name]


def verify(app: App, *, progress: Progress = silent) -> Verdict:
    """Read every system live and compare it with the projection of the golden records."""
    with running("verify", "", app.store, now, new_id, progress) as run:
        return Verifier(app.hub, app.store, run)(
            {name: app.connect(name) for name in app.hub.systems}
        )


def rebuild(app: App, *, progress: Progress = silent) -> Rebuilt:
    """Make the golden records again from the journal, in a scratch store, and compare."""
    with tempfile.TemporaryDirectory(prefix="concord-rebuild-") as folder:
        scratch = Database(f"sqlite:///{Path(folder) / 'scratch.db'}")
        scratch.migrate()
        try:
            with running("rebuild", "", app.store, now, new_id, progress) as run:
                return Rebuilder(app.store, scratch, _recorded_hub, run)()
        finally:
            scratch.close()


def _recorded_hub(content: str) -> Hub:
    return compile_deployment(recorded_files(content)).hub


def decide(app: App, task_id: int, answer: str, author: str) -> dict[str, Any]:
    """Carry out an answer to a task. Raises ``stewardship.Undecidable``."""
    with running("decide", str(task_id), app.store, now, new_id) as run:
        task = stewardship.decide(task_id, answer, author, app.store, now, new_id, run.id)
    return {"task": task.id, "kind": task.kind.value, "subject": task.subject, "answer": answer}


def tasks(app: App, *, dead: bool = False, every: bool = False) -> list[dict[str, Any]]:
    """The open questions to people, or (``dead``) the dead letters."""
    kinds = {TaskKind.DEAD_LETTER} if dead else set(TaskKind) - {TaskKind.DEAD_LETTER}
    with app.store() as uow:
        found = uow.tasks.list(kinds, only_open=not every)
    return [
        {"id": task.id, "kind": task.kind.value, "subject": task.subject, "open": task.open}
        | task.payload
        for task in found
    ]


def replay(app: App, task_ids: Sequence[int] = ()) -> dict[str, Any]:
    """Put dead letters (all, if none is named) back into the inbox. Those that were no records need a new read.

    Raises ``LookupError`` if one that is named is no open dead letter.
    """
    with app.store() as uow:
        letters = uow.tasks.list([TaskKind.DEAD_LETTER], limit=100_000)
        if unknown := sorted(set(task_ids) - {letter.id for letter in letters}):
            names = ", ".join(map(str, unknown))
            raise LookupError(f"no open dead letter {names}; `concord dlq list` names them")
        chosen = [letter for letter in letters if not task_ids or letter.id in task_ids]
        seqs = [letter.payload["seq"] for letter in chosen if "seq" in letter.payload]
        requeued = uow.inbox.requeue(seqs)
        uow.commit()
    return {
        "letters": len(chosen),
        "requeued": requeued,
        "need_a_new_read": len(chosen) - len(seqs),
    }


def raw(app: App, task_id: int) -> bytes | None:
    """The bytes behind a dead letter, as they were read."""
    with app.store() as uow:
        task = uow.tasks.get(task_id)
        if task is None or task.kind is not TaskKind.DEAD_LETTER:
            return None
        if "seq" in task.payload:
            item = uow.inbox.get(task.payload["seq"])
            return None if item is None else item.raw
        system, stream, key = task.subject.split("/", 2)
        return uow.inbox.dead(system, stream, key)


def show(app: App, name: str) -> dict[str, Any]:
    """One customer with provenance and links, by its id or one of its records. Raises ``explain.NotFound``."""
    return explain(app.hub, name, app.store)


def check_systems(app: App) -> list[dict[str, Any]]:
    """Ask every stream's system for one cheap answer. Never raises for a system."""
    found = []
    for stream in app.hub.streams():
        try:
            health = app.connect(stream.system).check(stream.stream)
            ok, detail = health.ok, health.detail
        except ConnectorError as error:
            ok, detail = False, str(error)
        found.append({"stream": stream.name, "ok": ok, "detail": detail})
    return found


def map_preview(app: App, system: str, stream: str, document: Document) -> dict[str, Any]:
    """What a document of a system becomes, and what would be written back of it."""
    plan = app.hub.stream(system, stream)
    mapped = plan.mapping.apply(document, full_payload=plan.full_payload)
    if isinstance(mapped, Rejected):
        return {"rejected": {"path": mapped.path, "reason": mapped.reason}}
    fields: dict[str, Any] = {}
    golden: dict[str, Any] = {}
    for name, reading in sorted(mapped.readings.items()):
        fields[name] = {
            "presence": reading.presence.value,
            "native": reading.native,
            "value": reading.value,
        }
        if reading.reason:
            fields[name]["reason"] = reading.reason
        if reading.presence is Presence.VALUE:
            golden[name] = reading.value
            if name in plan.mapping.writable:
                fields[name]["written_back"] = plan.mapping.encode(name, reading.value)
    schema = record_schema(app.deployment.entities[plan.entity])
    validator = jsonschema.Draft202012Validator(schema)
    wrong = [
        f"{'.'.join(map(str, error.path))}: {error.validator}"
        for error in validator.iter_errors(golden)
    ]
    laws = app.deployment.mappings[system, stream].broken_laws(document)
    return {
        "entity": plan.entity,
        "fields": fields,
        "canonical": golden,
        "written_back": plan.mapping.put({}, projection(golden, plan.mapping)),
        "not_canonical": wrong,
        "broken_laws": [f"{broken.field}: {broken.reason}" for broken in laws],
    }


def map_record(app: App, system: str, stream: str, key: str) -> dict[str, Any]:
    """``map_preview`` of a live record. Raises ``LookupError`` if the system has none of that key."""
    found = app.connect(system).fetch(stream, [key]).get(key)
    if found is None:
        raise LookupError(f"{system}/{stream} has no record {key!r}")
    return map_preview(app, system, stream, found.document)


def map_customer(app: App, system: str, stream: str, name: str) -> dict[str, Any]:
    """What one system would be sent of a customer, as its own document."""
    plan = app.hub.stream(system, stream)
    with app.store() as uow:
        entity_id = find_customer(name, uow)
        golden = uow.customers.get([entity_id])[entity_id].golden
    natives = projection(golden, plan.mapping)
    return {"customer": entity_id, "canonical": golden, "document": plan.mapping.put({}, natives)}


def status(app: App) -> dict[str, Any]:
    """Where everything stands: systems, streams, queues, open questions, the last runs."""
    with app.store() as uow:
        states, stopped = uow.states.systems(), uow.states.stopped()
        systems = {}
        for name, plan in app.hub.systems.items():
            streams = {}
            for stream in plan.streams.values():
                state = uow.states.stream(name, stream.stream)
                lag = (now() - state.watermark) / 1_000_000 if state.watermark else None
                streams[stream.stream] = {
                    "records": uow.records.count(name, stream.stream),
                    "lag_seconds": lag,
                    "full_scans": state.fulls,
                }
            systems[name] = {
                "state": states.get(name, SystemState.JOINING).value,
                "writes_stopped": name in stopped,
                "streams": streams,
                "outbox": uow.outbox.count(name),
            }
        return {
            "hub": app.deployment.settings.name,
            "customers": {entity: uow.customers.count(entity) for entity in app.hub.entities},
            "inbox": uow.inbox.pending(),
            "systems": systems,
            "tasks": uow.tasks.count(),
            "runs": [
                {
                    "run": entry.id,
                    "verb": entry.verb,
                    "target": entry.target,
                    "status": entry.status,
                    "seconds": (entry.finished - entry.started) / 1_000_000
                    if entry.finished
                    else None,
                    "counts": entry.counts,
                    "error": entry.error,
                }
                for entry in uow.states.runs(10)
            ],
        }


_NOT_WAITING = {DeliveryState.HELD.value, DeliveryState.REFUSED.value}


def waiting(app: App) -> dict[str, dict[str, int]]:
    """What time or another run will take care of: observations by entity, deliveries by system. Cheap."""
    with app.store() as uow:
        return {
            "inbox": {entity: uow.inbox.pending(entity) for entity in app.hub.entities},
            "outbox": {
                system: sum(
                    count
                    for state, count in uow.outbox.count(system).items()
                    if state not in _NOT_WAITING
                )
                for system in app.hub.systems
            },
        }


def watermark(app: App, system: str, stream: str) -> int:
    """Before which moment, in microseconds of the epoch, all of a stream is committed; 0 before the first read."""
    with app.store() as uow:
        return uow.states.stream(system, stream).watermark


def stop(app: App, system: str, *, on: bool) -> None:
    """The kill switch: stop (or allow again) all writes to a system. Raises ``KeyError`` for one that is none."""
    plan = _system(app, system)
    with app.store() as uow:
        uow.states.stop(plan.name, on)
        uow.commit()


__all__ = [
    "EXPECTED",
    "HOME_VARIABLE",
    "App",
    "ConfigurationMistakes",
    "Deployment",
    "Ran",
    "RunFailed",
    "SchemaOutdated",
    "SyncFailed",
    "approve",
    "check_systems",
    "decide",
    "deliver",
    "ingest",
    "init",
    "let_in",
    "map_customer",
    "map_preview",
    "map_record",
    "open_app",
    "preview",
    "raw",
    "read_hub",
    "rebuild",
    "reconcile",
    "rejoin",
    "replay",
    "schemas",
    "show",
    "status",
    "stop",
    "sync",
    "tasks",
    "verify",
    "waiting",
    "waiting_to_join",
    "watermark",
    "write_example",
]

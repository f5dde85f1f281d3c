"""What is there, and where everything stands. Nothing here changes anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from crm_master.bootstrap import App
from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import DeliveryState, SystemState, TaskKind
from crm_master.engine.explain import NotFound, explain
from crm_master.engine.operating import unseen_since
from crm_master.engine.past import explain_past
from crm_master.engine.sweep import is_due
from crm_master.entrypoints.watching import attention
from crm_master.ports import Task, UnitOfWork

_NOT_WAITING = {DeliveryState.HELD.value, DeliveryState.REFUSED.value}


def status(app: App) -> dict[str, Any]:
    """What needs attention, and where everything stands: systems, streams, queues, open questions, runs.

    ``last_runs`` has the last one of each verb at each place, ``runs`` the last ten of all.
    """
    with app.store() as uow:
        states, stopped = uow.states.systems(), uow.states.stopped()
        fuses = uow.tasks.list([TaskKind.FUSE])
        note = not_in_force(app, uow)
        oldest = map(uow.operations.oldest_observation, app.hub.entities)
        waiting_since = [since for since in oldest if since is not None]
        systems = {}
        for name, plan in app.hub.systems.items():
            streams = {}
            for stream in plan.streams.values():
                state = uow.states.stream(name, stream.stream)
                streams[stream.stream] = {
                    "records": uow.records.count(name, stream.stream),
                    "lag_seconds": _age(app, unseen_since(stream, uow)),
                    "read_completely": state.watermark > 0,
                    "full_scans": state.fulls,
                }
            systems[name] = {
                "state": states.get(name, SystemState.JOINING).value,
                "writes_stopped": name in stopped,
                "streams": streams,
                "outbox": uow.outbox.count(name),
                "outbox_oldest_seconds": _age(app, uow.operations.oldest_delivery(name)),
            }
        return {
            "hub": app.deployment.settings.name,
            "attention": attention(app, uow),
            "customers": {entity: uow.customers.count(entity) for entity in app.hub.entities},
            "inbox": uow.inbox.pending(),
            "inbox_oldest_seconds": _age(app, min(waiting_since, default=None)),
            "facts_waiting": uow.facts.waiting(),
            "systems": systems,
            "tasks": uow.tasks.count(),
            "notes": [*([note] if note else []), *map(_blown, fuses)],
            "last_runs": [
                {
                    "run": tally.last.id,
                    "verb": tally.verb,
                    "target": tally.target,
                    "status": tally.last.status,
                    "ago_seconds": (app.clock() - tally.last.finished) / 1_000_000,
                    "failures_in_a_row": tally.in_a_row,
                    "counts": tally.last.counts,
                    "error": tally.last.error,
                }
                for tally in uow.operations.tallies()
                if tally.last
            ],
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


def _age(app: App, since: Instant | None) -> float | None:
    return None if since is None else (app.clock() - since) / 1_000_000


def not_in_force(app: App, uow: UnitOfWork) -> str:
    """What there is to say of a configuration that is not, or not wholly, in force; nothing if it is."""
    if app.proposed is not None:
        return (
            "The files have changed and are not in force. `concord plan` shows what they would do, "
            "`concord apply` puts them in force."
        )
    applied = uow.journal.applied()
    due = [entity for entity in app.hub.entities if is_due(app.hub, entity, applied)]
    if due:
        return (
            f"A change is still to be swept: {', '.join(due)}. `concord reconcile` goes on with it."
        )
    return ""


def _blown(task: Task) -> str:
    return (
        f"A fuse has stopped run {task.payload['run']}: {task.subject}. "
        "`concord conflicts` says how much it is, `concord approve RUN` lets it pass once."
    ).replace("RUN", task.payload["run"])


def waiting(app: App) -> dict[str, dict[str, int]]:
    """What time or another run will take care of: observations by entity, deliveries by system. Cheap."""
    with app.store() as uow:
        return {
            "inbox": {entity: uow.inbox.pending(entity) for entity in app.hub.entities},
            "outbox": {system: deliverable(uow.outbox.count(system)) for system in app.hub.systems},
        }


def deliverable(counts: Mapping[str, int]) -> int:
    """How many of a system's deliveries wait for time or another run, and not for a person."""
    return sum(number for state, number in counts.items() if state not in _NOT_WAITING)


def watermark(app: App, system: str, stream: str) -> int:
    """Before which moment, in microseconds of the epoch, all of a stream is committed; 0 before the first read."""
    with app.store() as uow:
        return uow.states.stream(system, stream).watermark


def show(app: App, name: str, as_of: str = "") -> dict[str, Any]:
    """One customer with provenance and links, by its id or one of its records, now or as it was. Raises ``NotFound``.

    ``as_of``: an ISO time or the number of a version.
    """
    if as_of:
        return explain_past(app.hub, name, as_of, app.store)
    return explain(app.hub, name, app.store)


def tasks(app: App, *, dead: bool = False, every: bool = False) -> list[dict[str, Any]]:
    """The open questions to people, or (``dead``) the dead letters."""
    kinds = {TaskKind.DEAD_LETTER} if dead else set(TaskKind) - {TaskKind.DEAD_LETTER}
    with app.store() as uow:
        return [_task(found) for found in uow.tasks.list(kinds, only_open=not every)]


def _task(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": task.kind.value,
        "subject": task.subject,
        "open": task.open,
    } | task.payload


def raw(app: App, task_id: int) -> bytes:
    """The bytes behind a dead letter, as they were read. Raises ``NotFound``."""
    with app.store() as uow:
        return _bytes(_letter(task_id, uow), uow)


def letter(app: App, task_id: int) -> dict[str, Any]:
    """A dead letter with the bytes behind it: as text, or in base64 if they are no UTF-8. Raises ``NotFound``."""
    with app.store() as uow:
        task = _letter(task_id, uow)
        found = _bytes(task, uow)
    try:
        row, encoding = found.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        row, encoding = base64.b64encode(found).decode("ascii"), "base64"
    return _task(task) | {"row": row, "encoding": encoding}


def _letter(task_id: int, uow: UnitOfWork) -> Task:
    task = uow.tasks.get(task_id)
    if task is None or task.kind is not TaskKind.DEAD_LETTER:
        raise NotFound(f"no dead letter {task_id}; `concord dlq list` names them")
    return task


def _bytes(task: Task, uow: UnitOfWork) -> bytes:
    if "seq" in task.payload:
        item = uow.inbox.get(task.payload["seq"])
        found = None if item is None else item.raw
    else:
        found = uow.inbox.dead(*task.subject.split("/", 2))
    if found is None:
        raise NotFound(f"the row of dead letter {task.id} was not kept")
    return found

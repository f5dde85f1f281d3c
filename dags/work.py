"""What tasks do: one verb each, between opening the deployment and closing it. They return ids and counts only."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crm_master import entrypoints
from crm_master.entrypoints import HOME_VARIABLE, App, Channel, Ran, RunFailed, Watched
from dags.connections import connection
from dags.retrying import NotConverged

log = logging.getLogger(__name__)
Counts = dict[str, Any]
SHARES = {"reconcile": 500, "deliver": 50}
"""How much of what waits makes one more task worth its start."""


@contextmanager
def opened() -> Iterator[App]:
    """The deployment in ``CONCORD_HOME``. Raises what ``entrypoints.opened`` does."""
    with entrypoints.opened(Path(os.environ[HOME_VARIABLE]), connection) as app:
        yield app


def ingest(system: str, stream: str, full: bool) -> Counts:
    """Land a stream. Bad rows do not keep the good ones from going on: ``judge`` reports them."""
    with opened() as app:
        done = _ended(lambda: entrypoints.ingest(app, system, stream, full=full, progress=_say))
        return done | {"watermark": _moment(entrypoints.watermark(app, system, stream))}


def reconcile(entity: str, shares: int = 1) -> Counts:
    """Reconcile what was landed, approved or decided, as one of so many."""
    with opened() as app:
        return _ended(lambda: entrypoints.reconcile(app, entity, shares=shares, progress=_say))


def deliver(system: str) -> Counts:
    """Write what waits for a system."""
    with opened() as app:
        return _ended(lambda: entrypoints.deliver(app, system, progress=_say))


def let_in() -> Counts:
    """Let in the joining systems whose policy is ``join: auto``, and log beforehand what that will write."""
    with opened() as app:
        waiting = entrypoints.waiting_to_join(app)
        if waiting:
            log.info("Waiting to join: %s", entrypoints.preview(app, waiting, examples=0))
        joined = entrypoints.let_in(app)
        asked = [name for name in waiting if name not in joined]
        if asked:
            log.info(
                "Not let in by policy, or not read completely yet: %s. See `concord approve`.",
                ", ".join(asked),
            )
        return {"joined": joined}


def verify() -> Counts:
    """Compare every system, read live, with the master. Raises ``NotConverged``."""
    with opened() as app:
        verdict = entrypoints.verify(app, progress=_say)
    counts = {key: value for key, value in verdict.as_dict().items() if key != "examples"}
    if not verdict.converged:
        reasons = ", ".join(f"{count} × {why}" for why, count in verdict.reasons.items())
        raise NotConverged(f"{reasons}. `concord verify` names the records.")
    return counts


def watch(channels: Mapping[str, Channel]) -> Watched:
    """Tell the channels of alerts that came and went, and OpenTelemetry's collector of the figures, if there is one."""
    with opened() as app:
        if entrypoints.push_metrics(app) is False:
            log.warning("The collector that OTEL_EXPORTER_OTLP_ENDPOINT names takes no figures.")
        return entrypoints.watch(app, channels)


def shares(verb: str, waiting: int, least: int, most: int) -> int:
    """Over how many tasks so much work is spread."""
    return min(most, max(least, -(-waiting // SHARES[verb])))


def each(done: Counts | Sequence[Counts]) -> Iterator[Counts]:
    """The counts of each run, whether one task has done the work or several."""
    yield from [done] if isinstance(done, Mapping) else done


def judge(done: Counts | Sequence[Counts]) -> None:
    """Raise ``RunFailed`` over the runs of those counts if more failed in them than policy allows."""
    for counts in each(done):
        if counts.get("failed"):
            raise RunFailed(counts["failed"], counts["counts"])


def to_reconcile(*entities: str) -> int:
    """How many observations of these entities wait to be reconciled."""
    with opened() as app:
        inbox = entrypoints.waiting(app)["inbox"]
    return sum(inbox[entity] for entity in entities)


def to_deliver(*systems: str) -> int:
    """How many deliveries wait for these systems."""
    with opened() as app:
        outbox = entrypoints.waiting(app)["outbox"]
    return sum(outbox[system] for system in systems)


def _ended(run: Callable[[], Ran]) -> Counts:
    try:
        done = run().as_dict()
        if note := done.pop("note"):
            log.warning("%s", note)
        return done
    except RunFailed as failed:
        log.warning("%s", failed)
        return {"failed": str(failed).partition(":")[0], "counts": failed.counts}


def _moment(microseconds: int) -> str | None:
    if not microseconds:
        return None
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat()


def _say(what: str, counts: Mapping[str, int]) -> None:
    log.info("%s: %s", what, ", ".join(f"{count} {name}" for name, count in counts.items()))

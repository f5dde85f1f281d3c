"""What an operator looks at: the figures of the store, the alerts that they raise, and who was told of which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crm_master.domain.alerts import RULES, Alert, Limits, Severity, standing
from crm_master.domain.claims import Instant
from crm_master.domain.figures import Figure
from crm_master.domain.lifecycle import SystemState
from crm_master.engine.ingest import moment
from crm_master.engine.ledger import failures, labels, place_of, places
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import Clock, RaisedAlert, Tally, UnitOfWork, UnitOfWorkFactory

SECOND: Instant = 1_000_000
DAY = 86_400 * SECOND
LOOK_BACK = 30 * DAY
"""A run that began before that and never ended is history."""


def figures(hub: Hub, uow: UnitOfWork, now: Instant) -> list[Figure]:
    """All figures of a hub. Costs a few statements for each system, stream and entity, whatever they hold."""
    return [
        Figure("concord_figures_time_seconds", now / SECOND),
        *_flow(hub, uow, now),
        *_questions(uow, now),
        *_runs(hub, uow, now),
    ]


def _flow(hub: Hub, uow: UnitOfWork, now: Instant) -> Iterator[Figure]:
    """How far behind everything is: streams, inbox, outbox."""
    states, stopped = uow.states.systems(), uow.states.stopped()
    for entity in hub.entities:
        of = {"entity": entity}
        yield Figure("concord_inbox_waiting", uow.inbox.pending(entity), of)
        if oldest := uow.operations.oldest_observation(entity):
            yield Figure("concord_inbox_oldest_seconds", (now - oldest) / SECOND, of)
    for name, system in hub.systems.items():
        for stream in system.streams.values():
            since = unseen_since(stream, uow)
            if since is not None:
                place = {"system": name, "stream": stream.stream}
                yield Figure("concord_stream_lag_seconds", (now - since) / SECOND, place)
        yield Figure("concord_system_stopped", int(name in stopped), {"system": name})
        for status, number in sorted(uow.outbox.count(name).items()):
            yield Figure("concord_outbox_waiting", number, {"system": name, "status": status})
        if name not in stopped and states.get(name) is SystemState.ACTIVE:
            oldest = uow.operations.oldest_delivery(name)
            if oldest is not None:
                age = (now - oldest) / SECOND
                yield Figure("concord_outbox_oldest_seconds", age, {"system": name})


def unseen_since(stream: StreamPlan, uow: UnitOfWork) -> Instant | None:
    """Since when an edit in a stream may have gone unseen: since its last complete read began.

    If there was none, since the first that was tried; if none was, since the configuration in force was applied. ``None``
    for a stream that is not read.
    """
    if not stream.reads:
        return None
    if watermark := uow.states.stream(stream.system, stream.stream).watermark:
        return watermark
    applied = uow.journal.applied()
    return uow.operations.first_run("ingest", stream.name) or (applied.at if applied else None)


def _questions(uow: UnitOfWork, now: Instant) -> Iterator[Figure]:
    for kind, number in sorted(uow.tasks.count().items()):
        yield Figure("concord_tasks", number, {"kind": kind})
    for kind, opened in sorted(uow.operations.oldest_tasks().items()):
        yield Figure("concord_task_oldest_seconds", (now - opened) / SECOND, {"kind": kind})
    yield Figure("concord_dead_letters_new", uow.operations.new_letters(now - DAY))


def _runs(hub: Hub, uow: UnitOfWork, now: Instant) -> Iterator[Figure]:
    # elsewhere no next run ends what a failed one raises: a stream that is gone, a command that was refused
    there = {(verb, place) for verb, those in places(hub).items() for place in those}
    tallies = []
    for tally in uow.operations.tallies():
        yield from _sums(tally)
        if (tally.verb, tally.target) in there:
            tallies.append(tally)
            yield from _last(tally)
    limited: dict[str, tuple[Instant, bool]] = {}
    for tally in tallies:
        if tally.last and (system := labels(tally.verb, tally.target).get("system")):
            short = tally.last.error.startswith("RateLimited") or bool(
                tally.last.counts.get("limited")
            )
            limited[system] = max(limited.get(system, (0, False)), (tally.last.finished, short))
    for system, (_, short) in limited.items():
        yield Figure("concord_quota_exhausted", int(short), {"system": system})
    ended = {(tally.verb, tally.target): tally.last.started for tally in tallies if tally.last}
    newest = {
        (run.verb, place_of(run.verb, run.target)): run
        for run in uow.operations.unfinished(now - LOOK_BACK)
    }
    for (verb, target), run in newest.items():
        if (verb, target) in there and run.started > ended.get((verb, target), 0):
            age = (now - max(run.started, uow.operations.heard_of(run.id))) / SECOND
            yield Figure("concord_run_unfinished_seconds", age, labels(verb, target))


def _sums(tally: Tally) -> Iterator[Figure]:
    of = labels(tally.verb, tally.target)
    yield Figure("concord_runs_total", tally.done, {**of, "status": "done"})
    yield Figure("concord_runs_total", tally.failed, {**of, "status": "failed"})
    yield Figure("concord_run_seconds_total", tally.microseconds / SECOND, of)
    for count, number in sorted(tally.counts.items()):
        yield Figure("concord_run_counts_total", number, {**of, "count": count})


def _last(tally: Tally) -> Iterator[Figure]:
    of = labels(tally.verb, tally.target)
    yield Figure("concord_run_failures_in_a_row", tally.in_a_row, of)
    if tally.last:
        failed, tried = failures(tally.last.counts)
        yield Figure("concord_run_failed_share", failed / tried if tried else 0, of)


@dataclass(frozen=True, slots=True)
class Channel:
    """Tells somebody of alerts of at least a severity. ``tell`` takes a ``message`` and raises what it likes."""

    tell: Callable[[Mapping[str, str]], None]
    least: Severity = Severity.WARNING

    def wants(self, alert: RaisedAlert) -> bool:
        rule = RULES.get(alert.name)
        return self.least is Severity.WARNING or bool(rule and rule.severity is self.least)


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look gave: the alerts that stand, how many messages went out, and which channels failed, and how."""

    standing: list[Alert]
    sent: int
    failed: dict[str, Exception]


def watch(
    hub: Hub,
    limits: Limits,
    channels: Mapping[str, Channel],
    store: UnitOfWorkFactory,
    clock: Clock,
) -> Watched:
    """Tell every channel of each alert once when it comes, and once when it goes.

    Who was told is kept after each message: one that fails is tried again by the next look, and repeats no other. A crash
    right after a message repeats that one. A channel that fails stops no other.
    """
    now = clock()
    with store() as uow:
        found = standing(figures(hub, uow, now), limits)
        raised = _brought_up_to(found, uow.operations.alerts(lock=True), now)
        uow.operations.save_alerts(raised)
        uow.commit()
    sent, failed = 0, dict[str, Exception]()
    for alert in raised:
        for name, channel in channels.items():
            # who does not know that it stands is told so; who knows, that it has ended
            if name in failed or (name in alert.told) is not bool(alert.ended):
                continue
            if not channel.wants(alert):
                continue
            try:
                channel.tell(message(alert))
            except Exception as error:
                failed[name] = error
                continue
            sent += 1
            (alert.told.remove if alert.ended else alert.told.append)(name)
            with store() as uow:
                uow.operations.save_alerts([alert])
                uow.commit()
    with store() as uow:
        over = [item for item in raised if item.ended and not channels.keys() & item.told]
        uow.operations.drop_alerts(over)
        uow.commit()
    return Watched(found, sent, failed)


def _brought_up_to(
    found: Sequence[Alert], known: Sequence[RaisedAlert], now: Instant
) -> list[RaisedAlert]:
    """What was raised before, with what stands now: that which stands no more has ended."""
    raised = {(item.name, item.place): item for item in known}
    stands = {alert.key: alert for alert in found}
    for key, alert in stands.items():
        item = raised.setdefault(key, RaisedAlert(*key, since=now, text=""))
        item.text, item.ended = alert.text, 0
    for key, item in raised.items():
        if key not in stands:
            item.ended = item.ended or now
    return [raised[key] for key in (*stands, *sorted(raised.keys() - stands.keys()))]


def message(alert: RaisedAlert) -> dict[str, str]:
    """What a channel says of an alert. No record and no customer is in it."""
    rule = RULES.get(alert.name)
    return {
        "state": "ended" if alert.ended else "raised",
        "name": alert.name,
        "place": alert.place,
        "severity": (rule.severity if rule else Severity.WARNING).value,
        "text": alert.text,
        "means": rule.means if rule else "",
        "see": rule.see if rule else "",
        "since": moment(alert.since).isoformat(timespec="seconds"),
    }

"""The figures of a hub: what can be counted about it, each with its name, unit, meaning and labels.

One table for all who show or judge them: Prometheus, OpenTelemetry, alerts, and the operator's page. Labels are names out
of the configuration or the code, never a record's: there are as many as systems, streams and entities, whatever the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a figure moves."""

    GAUGE = "gauge"
    COUNTER = "counter"  # only ever grows


_STREAM = ("system", "stream")
_RUN = ("verb", "system", "stream", "entity")


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted. ``unit`` is a unit of UCUM, as OpenTelemetry has them; ``1`` for a share or a flag."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """The value of a metric at one place: at these labels."""

    metric: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The labels in one word, as an operator names them: ``erp/parties``, ``deliver erp``."""
        verb = self.labels.get("verb", "")
        where = "/".join(value for name, value in self.labels.items() if value and name != "verb")
        return f"{verb} {where}".strip()


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "concord_figures_time_seconds",
            Kind.GAUGE,
            "s",
            "When these figures were taken, in seconds since 1970.",
        ),
        Metric(
            "concord_stream_lag_seconds",
            Kind.GAUGE,
            "s",
            "How long ago the last complete read of a stream began; if there was none, the first that was tried.",
            _STREAM,
        ),
        Metric(
            "concord_inbox_waiting",
            Kind.GAUGE,
            "{observation}",
            "Observations that wait to be reconciled.",
            ("entity",),
        ),
        Metric(
            "concord_inbox_oldest_seconds",
            Kind.GAUGE,
            "s",
            "How long the oldest of them has waited.",
            ("entity",),
        ),
        Metric(
            "concord_outbox_waiting",
            Kind.GAUGE,
            "{delivery}",
            "Deliveries to a system, by what became of them so far.",
            ("system", "status"),
        ),
        Metric(
            "concord_outbox_oldest_seconds",
            Kind.GAUGE,
            "s",
            "How long the oldest delivery that may be sent has waited; none while writes are stopped.",
            ("system",),
        ),
        Metric(
            "concord_system_stopped",
            Kind.GAUGE,
            "1",
            "1 while writes to a system are stopped.",
            ("system",),
        ),
        Metric(
            "concord_tasks",
            Kind.GAUGE,
            "{task}",
            "Open questions to people and dead letters.",
            ("kind",),
        ),
        Metric(
            "concord_task_oldest_seconds",
            Kind.GAUGE,
            "s",
            "How long the oldest of them has been open.",
            ("kind",),
        ),
        Metric(
            "concord_dead_letters_new",
            Kind.GAUGE,
            "{letter}",
            "Open dead letters that came within the last day.",
        ),
        Metric(
            "concord_runs_total",
            Kind.COUNTER,
            "{run}",
            "Runs that ended, by how.",
            (*_RUN, "status"),
        ),
        Metric(
            "concord_run_seconds_total",
            Kind.COUNTER,
            "s",
            "How long runs took, together.",
            _RUN,
        ),
        Metric(
            "concord_run_counts_total",
            Kind.COUNTER,
            "{count}",
            "What runs did: the sums of their ledgers (read, landed, golden, created, refused, ...).",
            (*_RUN, "count"),
        ),
        Metric(
            "concord_run_failures_in_a_row",
            Kind.GAUGE,
            "{run}",
            "Runs that failed since the last one that did not.",
            _RUN,
        ),
        Metric(
            "concord_run_failed_share",
            Kind.GAUGE,
            "1",
            "Of the records of the last run, those that failed.",
            _RUN,
        ),
        Metric(
            "concord_run_unfinished_seconds",
            Kind.GAUGE,
            "s",
            "How long ago the newest run that has not ended was last heard of, if none has ended since.",
            _RUN,
        ),
        Metric(
            "concord_quota_exhausted",
            Kind.GAUGE,
            "1",
            "1 while the last run that asked a system for something was told to slow down, or ran out of its budget.",
            ("system",),
        ),
        Metric(
            "concord_alert",
            Kind.GAUGE,
            "1",
            "1 for each alert that stands.",
            ("alert", "severity", "place"),
        ),
    )
}


def by_metric(found: Iterable[Figure]) -> Iterator[tuple[Metric, list[Figure]]]:
    """The figures in the order of the table, those of one metric together."""
    at: dict[str, list[Figure]] = {name: [] for name in METRICS}
    for figure in found:
        at[figure.metric].append(figure)
    return ((METRICS[name], those) for name, those in at.items() if those)

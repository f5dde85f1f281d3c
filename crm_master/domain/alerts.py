"""What an operator is told: a table of alerts, each a figure above a limit. Pure: who is told, and how, is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from crm_master.domain.figures import METRICS, Figure
from crm_master.domain.lifecycle import TaskKind

Limits = Mapping[str, float | Mapping[str, float]]
"""By alert: another limit than the table's, or others for some places."""

HOUR, DAY = 3_600.0, 86_400.0
RUNBOOK = "docs/runbook.md"


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"  # data does not flow, or is held up: now
    WARNING = "warning"  # today


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert: it stands wherever the ``metric`` is above ``limit`` (in the metric's unit).

    ``only`` are the labels that count. ``text`` says it in one line: ``{place}``, ``{value}`` and ``{limit}`` are filled.
    """

    name: str
    severity: Severity
    metric: str
    limit: float
    text: str
    means: str
    only: Mapping[str, frozenset[str]] | None = None

    @property
    def see(self) -> str:
        """Where the runbook says what to do."""
        return f"{RUNBOOK}#{self.name.replace('_', '-')}"


_NOTICES = {TaskKind.GONE, TaskKind.REVERTED, TaskKind.INEFFECTIVE}
"""Tasks that hold nothing up: they can only be seen."""
_DECISIONS = frozenset(kind.value for kind in set(TaskKind) - _NOTICES - {TaskKind.FUSE})

RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "fuse_blown",
            Severity.CRITICAL,
            "concord_tasks",
            0,
            "Fuses stopped runs: {value} wait for an answer.",
            "A run was about to do much more than usual, and stopped. What it was about to do waits for a person.",
            {"kind": frozenset({TaskKind.FUSE.value})},
        ),
        Rule(
            "runs_fail",
            Severity.CRITICAL,
            "concord_run_failures_in_a_row",
            2,
            "{place} has failed {value} times in a row.",
            "The same part of a round fails again and again. Nothing is lost; what it would carry waits.",
        ),
        Rule(
            "inbox_stalls",
            Severity.CRITICAL,
            "concord_inbox_oldest_seconds",
            HOUR,
            "An observation of {place} has waited {value} to be reconciled.",
            "What was read does not become golden records: reconciling does not run, or does not get on.",
        ),
        Rule(
            "outbox_stalls",
            Severity.CRITICAL,
            "concord_outbox_oldest_seconds",
            HOUR,
            "A delivery to {place} has waited {value}.",
            "Changes do not reach a system: delivering does not run, or the system is away or too slow.",
        ),
        Rule(
            "stream_lags",
            Severity.WARNING,
            "concord_stream_lag_seconds",
            2 * HOUR,
            "{place} has not been read completely for {value}.",
            "Edits made there are seen late. The read does not run, does not end, or the system is away.",
        ),
        Rule(
            "run_hangs",
            Severity.WARNING,
            "concord_run_unfinished_seconds",
            6 * HOUR,
            "{place} has not ended, and was last heard of {value} ago.",
            "A run died without a word (killed, out of memory, machine gone), or hangs; none has ended there since.",
        ),
        Rule(
            "records_fail",
            Severity.WARNING,
            "concord_run_failed_share",
            0.05,
            "{value} of the records in the last {place} failed.",
            "More records than usual cannot be used: a system or a mapping has changed.",
        ),
        Rule(
            "dead_letters_grow",
            Severity.WARNING,
            "concord_dead_letters_new",
            20,
            "{value} dead letters came within a day, and are open.",
            "Rows or fields cannot be read. Each is kept as it came; the records behind them wait.",
        ),
        Rule(
            "quota_exhausted",
            Severity.WARNING,
            "concord_quota_exhausted",
            0,
            "{place} asks Concord to slow down, or its budget is used up.",
            "The system asked Concord to slow down, or its budget is used up. What is left waits for the next run.",
        ),
        Rule(
            "decision_waits",
            Severity.WARNING,
            "concord_task_oldest_seconds",
            DAY,
            "A task of the kind {place} has been open for {value}.",
            "Something waits that only a person can decide or repair.",
            {"kind": _DECISIONS},
        ),
        Rule(
            "system_stopped",
            Severity.WARNING,
            "concord_system_stopped",
            0,
            "Writes to {place} are stopped.",
            "Somebody has used the kill switch, and not taken it back. Deliveries wait.",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that stands at a place."""

    rule: Rule
    place: str
    value: float
    limit: float

    @property
    def key(self) -> tuple[str, str]:
        return self.rule.name, self.place

    @property
    def text(self) -> str:
        """What is the matter, in one line."""
        unit = METRICS[self.rule.metric].unit
        return self.rule.text.format(
            place=self.place, value=spoken(self.value, unit), limit=spoken(self.limit, unit)
        )


def standing(figures: Iterable[Figure], limits: Limits) -> list[Alert]:
    """The alerts that these figures raise, the most severe first, as the table has them."""
    by_metric: dict[str, list[Figure]] = {}
    for figure in figures:
        by_metric.setdefault(figure.metric, []).append(figure)
    return [
        alert
        for rule in RULES.values()
        for alert in _raised(rule, by_metric.get(rule.metric, []), limits.get(rule.name))
    ]


def _raised(
    rule: Rule, figures: Iterable[Figure], chosen: float | Mapping[str, float] | None
) -> Iterator[Alert]:
    for figure in figures:
        counts = all(figure.labels[name] in of for name, of in (rule.only or {}).items())
        if isinstance(chosen, Mapping):
            limit = chosen.get(figure.place, rule.limit)
        else:
            limit = rule.limit if chosen is None else chosen
        if counts and figure.value > limit:
            yield Alert(rule, figure.place, figure.value, limit)


def spoken(value: float, unit: str) -> str:
    """A value as one says it: ``3 h``, ``12 %``, ``7``."""
    if unit == "1":
        return f"{value:.0%}".replace("%", " %")
    if unit != "s":
        return f"{value:.0f}"
    for length, name in ((DAY, "days"), (HOUR, "h"), (60.0, "min")):
        if value >= 2 * length:
            return f"{value / length:.0f} {name}"
    return f"{value:.0f} s"

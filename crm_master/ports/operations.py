"""What operators need to know of a hub, and what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from crm_master.domain.claims import Instant
from crm_master.ports.rows import RunEntry


@dataclass(slots=True)
class Tally:
    """The sums of the ledgers of one verb's runs at one place (``erp/parties``, ``erp``, ``customer``), and the last run."""

    verb: str
    target: str
    done: int = 0
    failed: int = 0
    in_a_row: int = 0  # failed since the last one that was done
    microseconds: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    last: RunEntry | None = None  # that ended

    def add(self, entry: RunEntry) -> None:
        """Book a run that has ended."""
        good = entry.status == "done"
        self.done += good
        self.failed += not good
        self.in_a_row = 0 if good else self.in_a_row + 1
        self.microseconds += entry.finished - entry.started
        for name, number in entry.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number
        if self.last is None or entry.finished >= self.last.finished:
            kind = entry.error.partition(":")[0]  # the words may name a record
            self.last = replace(entry, target=self.target, error=kind)


@dataclass(slots=True)
class RaisedAlert:
    """An alert that somebody was, or is to be, told of. ``told``: the channels that know; ``ended`` 0 while it stands."""

    name: str
    place: str
    since: Instant
    text: str
    told: list[str] = field(default_factory=list)
    ended: Instant = 0


class Operations(Protocol):
    """Sums and ages, each by one statement whose cost does not grow with the number of customers."""

    def tally(self, run: RunEntry, target: str) -> None:
        """Book a run that has ended under its verb and ``target``."""

    def tallies(self) -> list[Tally]: ...

    def unfinished(self, since: Instant) -> list[RunEntry]:
        """The runs begun after ``since`` that have not ended, the oldest first."""

    def first_run(self, verb: str, target: str) -> Instant | None:
        """When the first run of a verb at a place began."""

    def heard_of(self, run_id: str) -> Instant:
        """When a run last landed something that had changed, or committed to the journal; 0 if it did neither."""

    def oldest_observation(self, entity: str) -> Instant | None:
        """When the oldest observation that waits to be reconciled was read."""

    def oldest_delivery(self, system: str) -> Instant | None:
        """When the oldest delivery was queued that waits neither for a person nor for another record."""

    def oldest_tasks(self) -> dict[str, Instant]:
        """By kind: when the oldest open task was opened."""

    def new_letters(self, since: Instant) -> int:
        """The open dead letters that came after ``since``."""

    def alerts(self, *, lock: bool = False) -> list[RaisedAlert]:
        """The alerts that somebody is to be told of still, or of whose end. ``lock``: nobody else tells them meanwhile."""

    def save_alerts(self, alerts: Sequence[RaisedAlert]) -> None: ...

    def drop_alerts(self, alerts: Sequence[RaisedAlert]) -> None: ...

"""Fuses: a run that is about to do more of something than policy allows stops and asks (DESIGN section 6).

A fuse is blown before anything is done that would go beyond it. ``concord approve RUN`` answers: as much as the run asked
for may then be done, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crm_master.domain.claims import Instant
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine.plan import Fuses
from crm_master.ports import Task, UnitOfWork


class Fuse(StrEnum):
    """What is counted: at a stream (``erp/parties``), links at an entity.

    What a stream has lost and what is to be deleted in it are two questions, with two answers, under one share.
    """

    ABSENCES = "absences"
    DELETES = "deletes"
    LINKS = "links"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run is about to do: ``found`` of ``of`` at ``place``; policy lets ``allowed`` pass, a person ``extra``."""

    fuse: Fuse
    place: str
    found: int
    of: int
    allowed: int
    extra: int = 0

    @property
    def blown(self) -> bool:
        return self.found > self.allowed + self.extra

    def __str__(self) -> str:
        return (
            f"{self.found} {self.fuse.value} of {self.of} in {self.place}; allowed: {self.allowed}"
        )

    def as_dict(self) -> dict[str, object]:
        return {
            "fuse": self.fuse.value,
            "place": self.place,
            "found": self.found,
            "of": self.of,
            "allowed": self.allowed,
        }


class FuseBlown(Exception):
    """A run stopped before it did more than policy allows; the text says of what, how much, and how to go on."""

    def __init__(self, reading: Reading, run_id: str) -> None:
        self.reading = reading
        self.run_id = run_id
        super().__init__(
            f"stopped by a fuse: {reading}. Nothing was done beyond it. `concord approve {run_id}` "
            "lets it pass once; how much is allowed is in the policy, under `fuses`."
        )


def read(
    fuse: Fuse, place: str, found: int, of: int, fuses: Fuses, uow: UnitOfWork, shares: int = 1
) -> Reading:
    """How a fuse stands for ``found`` of ``of`` at ``place``; ``shares`` runs divide the share that is allowed.

    Each may do as much as the floor: one of them may have all there is to do.
    """
    share = {
        Fuse.ABSENCES: fuses.deletes,
        Fuse.DELETES: fuses.deletes,
        Fuse.LINKS: fuses.links,
        Fuse.WRITES: fuses.writes,
    }[fuse]
    allowed = max(fuses.floor, int(share * of) // shares)
    if fuse in (Fuse.ABSENCES, Fuse.DELETES) and of > 1:
        allowed = min(
            allowed, of - 1
        )  # a source that is empty all at once has been emptied by no one person
    return Reading(fuse, place, found, of, allowed, uow.states.allowance(subject(fuse, place)))


def subject(fuse: Fuse, place: str) -> str:
    return f"{fuse.value} {place}"


def ask(blown: FuseBlown, most: int, uow: UnitOfWork, at: Instant) -> None:
    """Put the question of a blown fuse to a person. ``most`` is what an approval will allow."""
    reading = blown.reading
    payload = {"run": blown.run_id, **reading.as_dict(), "most": max(most, reading.found)}
    uow.tasks.open([Task(TaskKind.FUSE, subject(reading.fuse, reading.place), payload)], at)


def standing(fuse: Fuse, place: str, uow: UnitOfWork) -> bool:
    """Whether a fuse is blown there, and nobody has answered yet."""
    return bool(uow.tasks.standing([(TaskKind.FUSE, subject(fuse, place))]))


def withdraw(fuse: Fuse, place: str, uow: UnitOfWork, at: Instant) -> None:
    """Take a question back that has answered itself, or is asked anew."""
    uow.tasks.close([(TaskKind.FUSE, subject(fuse, place))], at)


def spent(fuse: Fuse, place: str, uow: UnitOfWork, at: Instant) -> None:
    """What was asked for is done: the approval ends."""
    uow.states.allow(subject(fuse, place), 0)
    withdraw(fuse, place, uow, at)


def approve(run_id: str, uow: UnitOfWork, at: Instant, author: str) -> list[str]:
    """Allow what a run asked for. Gives the subjects; none if that run asked for nothing that is still open."""
    allowed = []
    for task in uow.tasks.list([TaskKind.FUSE], limit=100_000):
        if task.payload["run"] == run_id:
            uow.states.allow(task.subject, task.payload["most"])
            uow.tasks.decide(task.id, {"answer": "approve", "author": author}, at)
            allowed.append(task.subject)
    return allowed

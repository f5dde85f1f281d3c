"""Processes: conditions on golden records under which somebody has to act, such as an order that is overdue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from crm_master.domain.claims import Instant, iso
from crm_master.domain.fields import Canonical

OWN_SYSTEM = "concord"
"""The name of the system whose streams are the processes."""

Golden: TypeAlias = Mapping[str, Canonical]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a field, or a group's member. All that are given must hold.

    ``present``: whether there is a value at all. ``values``: those that it may be. ``past``: it is a time or a day, at least
    so many microseconds ago. ``above`` and ``below``: it is a number on that side of this one.
    """

    field: str
    member: str | None = None
    present: bool | None = None
    values: tuple[Canonical, ...] = ()
    past: Instant | None = None
    above: Decimal | None = None
    below: Decimal | None = None

    def holds(self, golden: Golden, at: Instant) -> bool:
        """Whether a golden record meets the condition at a time of the hub's clock."""
        value = golden.get(self.field)
        if self.member is not None:
            value = (value or {}).get(self.member)
        there = value not in (None, "", {}, [])
        if self.present is not None and there != self.present:
            return False
        if self.values and value not in self.values:
            return False
        if self.past is not None and not (there and _is_past(str(value), at - self.past)):
            return False
        if self.above is None and self.below is None:
            return True
        number = _number(value)
        if number is None:
            return False
        over = self.above is None or number > self.above
        return over and (self.below is None or number < self.below)


@dataclass(frozen=True, slots=True)
class Volume:
    """A number of facts about an entity, or the sum of one of their fields, that is above a limit.

    ``since``: only those count whose field ``by`` lies in the last so many microseconds.
    """

    fact: str
    above: Decimal
    sum: str | None = None
    by: str | None = None
    since: Instant | None = None

    def holds(self, facts: Iterable[Golden], at: Instant) -> bool:
        counted = [
            fact
            for fact in facts
            if self.since is None
            or (self.by is not None and not _is_past(str(fact.get(self.by) or ""), at - self.since))
        ]
        if self.sum is None:
            return len(counted) > self.above
        amounts = (_number(fact.get(self.sum)) for fact in counted)
        return sum((amount for amount in amounts if amount is not None), Decimal()) > self.above


@dataclass(frozen=True, slots=True)
class Process:
    """What calls for action, and what it says of the entity that is raised: while the cause is there, and when it is gone.

    ``says`` are values by field; ``{name}`` in a text is a field of the cause. ``names`` are references: to the cause
    itself (``""``), or to what a field of it names.
    """

    name: str
    of: str
    conditions: Sequence[Condition]
    volumes: Sequence[Volume]
    raises: str
    says: Mapping[str, Canonical]
    names: Mapping[str, str]
    open: Mapping[str, Canonical]
    closed: Mapping[str, Canonical]
    schedule: str | None = None

    def calls(self, golden: Golden, facts: Mapping[str, Sequence[Golden]], at: Instant) -> bool:
        """Whether a golden record calls for action. ``facts`` are those about it, by entity."""
        return all(condition.holds(golden, at) for condition in self.conditions) and all(
            volume.holds(facts.get(volume.fact, ()), at) for volume in self.volumes
        )

    def told(self, golden: Golden, itself: str | None, *, called: bool) -> dict[str, Canonical]:
        """The document of what is raised about a golden record that is known as ``itself``."""
        document: dict[str, Canonical] = {
            name: _filled(value, golden) if isinstance(value, str) else value
            for name, value in self.says.items()
        }
        for name, field in self.names.items():
            document[name] = golden.get(field) if field else itself
        return document | dict(self.open if called else self.closed)


def _filled(text: str, golden: Golden) -> str:
    for name, value in golden.items():
        if isinstance(value, str | int):
            text = text.replace(f"{{{name}}}", str(value))
    return text


def _is_past(text: str, limit: Instant) -> bool:
    """Whether a time, or a day (which is over when it ends), lies before a limit."""
    cut = iso(limit)
    return text[:10] < cut[:10] if len(text) == 10 else text < cut


def _number(value: Canonical) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None

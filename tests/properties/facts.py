"""What the model is told: records, what they held and when, and what the hub was shown of them.

Times are microseconds on the hub's clock. Values are the systems' own; empty is ``""``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

NEVER = 1 << 62

RETIRED = -1
"""In the place of the time when a record was gone: its claims count no more, because it is a part of another (rule 13)."""

UNDONE_LIMIT = 3
"""How often the hub writes over the same value of a person before it may give the field up (rule 7)."""


class Turn(NamedTuple):
    """From ``at`` on a field holds ``value``. The hub had ``sent`` something; ``None``: a person's doing.

    ``sure``: the hub has heard of it at once.
    """

    at: int
    value: str
    sent: str | None = None
    sure: bool = True


class Look(NamedTuple):
    """The hub was shown some records (``None``: all). ``sure``: and has kept that; ``tells``: also of what is gone."""

    at: int
    keys: frozenset[int] | None
    sure: bool
    tells: bool = True


class Line(NamedTuple):
    """From ``at`` on a field is mapped in a system, or not any more. ``sure``: at once for all records (rule 21)."""

    at: int
    mapped: bool
    sure: bool


class Claim(NamedTuple):
    """What a person asserted, and when: somewhere between one of ``begins``, by what the hub has kept, and ``hi``.

    A stamp that ends it before it began is wrong: it ended when it was ``seen``, then.
    """

    value: str
    begins: tuple[int, ...]
    hi: int
    seen: int

    def until(self, begin: int) -> int:
        return self.hi if begin <= self.hi else self.seen


class Said(NamedTuple):
    """A claim of a system's record; ``gone``: when that was deleted at the latest, as the hub knows it (rule 11)."""

    system: str
    claim: Claim
    gone: int | None


class State(NamedTuple):
    """What the hub may believe of one field of one record: what is there, and what a person last said."""

    seen: str | None
    claim: Claim | None


@dataclass
class Record:
    """One record of one system, under all the keys that it has had."""

    number: int
    born: int
    system: str
    customer: str
    ours: bool
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    stamps: list[tuple[int, int | None]] = field(default_factory=list)
    writes: list[tuple[int, bool]] = field(default_factory=list)
    meant: list[tuple[int, str, str]] = field(default_factory=list)
    """What the hub was about to write when it died, or got no answer: when, field, value."""
    died: int = NEVER
    at_once: bool = True
    """Whether the hub believes that it is gone as soon as it is told."""
    shared: bool = False
    """Whether it was merged with others, or parted from them: what was said of it is on record under other names, too."""
    once: set[str] = field(default_factory=set)
    """The customers whose record it was, before it was merged with others or parted from them."""
    told: int = 0
    """When a person said that it is what a create has made whose answer was lost: until then what it shows waits (24)."""
    anew: int = 0
    """When its past was erased with somebody with whom its customer had been one (rule 25)."""
    deleted_by_us: bool = False
    """Whether the hub has deleted it, because policy says so (rule 12)."""
    unlinked: bool = False
    """Whether it surely says nothing any more, because policy takes back what a deleted record said (rule 12)."""
    unaware: list[tuple[Record, str]] = field(default_factory=list)
    """Records, and in which field they surely said what the hub knew and this one did not show when it was deleted."""
    into: Record | None = None
    """The record of its system that people have merged it into (rule 13)."""
    again: Record | None = None
    """The record that has its key now: somebody took it back, or moved one there. This one has no say any more (12)."""

    @property
    def alive(self) -> bool:
        return self.died == NEVER

    def value(self, name: str, at: int | None = None) -> str:
        turns = [turn for turn in self.turns.get(name, ()) if at is None or turn.at <= at]
        return turns[-1].value if turns else ""

    def stamp(self, at: int) -> int | None:
        return next((stamp for when, stamp in reversed(self.stamps) if when <= at), None)


@dataclass
class System:
    """One system: how its times may be wrong, and what it makes of what it is sent."""

    name: str
    skew: int = 0
    lossy: Mapping[str, Callable[[str, str], str]] = field(default_factory=dict)
    tells_merges: Literal["", "always", "sometimes"] = ""
    """Whether it says, when asked for a record that was merged into another, which that is: and whether it is asked."""
    looks: list[Look] = field(default_factory=list)
    lines: dict[str, list[Line]] = field(default_factory=dict)

    def maps(self, name: str, at: int = NEVER) -> bool:
        """Whether a field is mapped here; at first all are."""
        lines = [line.mapped for line in self.lines.get(name, ()) if line.at <= at]
        return lines[-1] if lines else True

    def has_mapped(self, name: str, since: int) -> bool:
        """Whether a field was mapped here then, and all the time since."""
        changed = any(line.at > since for line in self.lines.get(name, ()))
        return self.maps(name) and not changed


class Trouble(AssertionError):
    """Something that should not be. The text says where."""


def shows(look: Look, record: Record) -> bool:
    """Whether a record was there, and among those that the hub was shown."""
    there = record.born <= look.at < record.died
    return there and (look.keys is None or record.number in look.keys)


def plain(name: str, value: Any) -> str:
    """A value without what no mapping keeps: blanks around it and in a telephone number, case in an address."""
    text = "" if value is None else str(value).strip()
    if name == "phone":
        return text.replace(" ", "")
    return text.casefold() if name == "email" else text

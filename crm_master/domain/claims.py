"""What a source record asserts, and what it shows: claims and shadows (RULES 2, 3, 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from crm_master.domain.fields import (
    Canonical,
    Native,
)
from crm_master.domain.ids import RecordId

Instant: TypeAlias = int
"""Microseconds since 1970 on the hub's clock; 0 stands for "before anything the hub knows"."""

UNBORN: Final = -1
"""The ``born`` of a claim that no version of a golden record has counted yet."""

LONGEST_MEMORY: Final = 32
"""How many versions a shadow remembers to have shown."""


LEFT: Final = ""
"""Stands in ``Sources`` for a record that has left the customer (RULES 10)."""

Sources: TypeAlias = Mapping[str, RecordId]
"""Whose claims a delivered value is: under ``""`` a whole value or group, under its key an element of a list."""


class Unset(Enum):
    """Marks a value that is not there, where ``None`` means empty."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


class Interval(NamedTuple):
    """When something happened, on the hub's clock: not before ``lo``, not after ``hi``."""

    lo: Instant
    hi: Instant


def iso(instant: Instant) -> str:
    """An instant as a canonical time: ISO 8601 in UTC with a ``Z``."""
    when = datetime.fromtimestamp(instant / 1_000_000, UTC)
    return when.isoformat().replace("+00:00", "Z")


class ClaimKey(NamedTuple):
    """A field, or one element of a list field."""

    field: str
    element: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The last value that someone other than the hub asserted in one source record.

    ``value`` is canonical; ``None`` is an explicit empty (of an element: absent). ``seq`` is the observation that brought
    it, ``born`` the version of the golden record that first counted it, ``saw`` the version that the record's shadow
    held when it was made, ``base`` the value that was edited. ``author`` is the person behind a decision. ``past`` are the
    records whose claims had replaced it when it came from another customer. An element of a list that is absent because a
    person has edited it ``became`` another one, named by its key (RULES 19); one that is present had, and came back.
    """

    value: Canonical
    lo: Instant
    hi: Instant
    seq: int
    born: int = UNBORN
    saw: int = 0
    base: Canonical | Unset = UNSET
    author: str | None = None
    past: tuple[RecordId, ...] = ()
    became: str | None = None


Claims: TypeAlias = Mapping[ClaimKey, Claim]


@dataclass(frozen=True, slots=True)
class FieldShadow:
    """What one system holds in one field, in its own representation.

    ``held`` is the value last seen there; ``sent`` the value that the hub put there last, unless a person changed it
    since; ``pending`` a value that is on its way. ``unseen``: the system took ``sent``, and nothing has shown yet what it
    made of it. ``undone`` counts how often ``undone_to`` came back after the hub had written something else.
    ``withheld_at`` is the last version that the field showed before deliveries were withheld. ``doubt`` is the claim that
    ``held`` is, unless it is what the system made of what the hub sent: the next write shows which.
    ``review``: somebody emptied it, and a person is asked; ``vanished`` are the elements of a list that this is about.
    ``source`` says whose claims the hub delivered to make ``held``, ``coming`` the same of ``pending``. ``children`` are the
    keys that the system gives the elements of a list, each with the key of what it was last seen to hold.
    """

    held: Native | Unset = UNSET
    sent: Native | Unset = UNSET
    pending: Native | Unset = UNSET
    undone_to: Native | Unset = UNSET
    undone: int = 0
    unreadable: bool = False
    quarantined: bool = False
    review: bool = False
    unseen: bool = False
    withheld_at: int | None = None
    doubt: Claim | None = None
    vanished: tuple[str, ...] = ()
    source: Sources | None = None
    coming: Sources | None = None
    children: Mapping[str, str] | None = None


UNHELD = FieldShadow(held=None)
"""The shadow of a field that its record was never seen to hold."""


class Seen(NamedTuple):
    """From ``at`` on the record showed the golden record's ``version``."""

    version: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Shadow:
    """What one record was last seen to hold.

    ``confirmed_at`` is when it was known last what had become of a write (0: of none yet): by its answer, or by a read that
    began then.
    ``read_at`` is the beginning of the newest read that was reconciled, or the end of a look that came after it and has
    shown what had become of a write.
    ``coming`` is the version that the record shows once all that is on its way has arrived (0: not known).
    ``awaited`` are the fields, and the members of groups, that are mapped since ``mapped_at`` and were not seen yet (``""``:
    the whole field). A row that was read before that perhaps lacks them, and what was delivered to places that are left.
    ``deleting`` is when the hub was about to delete the record (0: never, or a delivery has found it there since): if it is
    gone, that was perhaps nobody else.
    """

    fields: Mapping[str, FieldShadow] = field(default_factory=dict)
    seen: tuple[Seen, ...] = ()
    confirmed_at: Instant = 0
    read_at: Instant = 0
    coming: int = 0
    mapped_at: Instant = 0
    awaited: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deleting: Instant = 0

    @property
    def stale_before(self) -> Instant:
        """A read that began before this shows less than is known: it asserts nothing (RULES 6)."""
        return max(self.confirmed_at, self.read_at)

    def saw(self, name: str, lo: Instant) -> int:
        """The version that an edit made after ``lo`` must have seen in this field; 0 if none."""
        version = max((seen.version for seen in self.seen if seen.at <= lo), default=0)
        shadow = self.fields.get(name)
        if shadow is not None and shadow.withheld_at is not None:
            return min(version, shadow.withheld_at)
        return version

    def showing(self, version: int, at: Instant, known: Instant) -> Shadow:
        """Add that ``version`` shows from ``at`` on. Entries that no edit after ``known`` can have are dropped."""
        old = [seen for seen in self.seen if seen.at <= known]
        newer = tuple(seen for seen in self.seen if seen.at > known)
        kept = (max(old),) if old else ()
        # of a stream that is never read nothing is ever known; to forget the oldest only means to have seen less
        return replace(self, seen=(*kept, *newer, Seen(version, at))[-LONGEST_MEMORY:])


def own(claims: Claims, name: str) -> Iterator[tuple[ClaimKey, Claim]]:
    """The claims of one field, elements included."""
    return ((key, claim) for key, claim in claims.items() if key.field == name)


@dataclass(frozen=True, slots=True)
class Observed:
    """The circumstances of a read. ``stamp`` and ``skew`` are the record's change time and how far it may be off."""

    seq: int
    watermark: Instant  # the start of the previous complete read of the stream
    started: Instant
    ended: Instant
    stamp: Instant | None = None
    skew: Instant = 0


def interval(observed: Observed, shadow: Shadow) -> Interval:
    """When an edit seen by this read was made (RULES 3): after the previous read and our last write, before this one's end.

    A record-level stamp narrows ``hi`` only, and only where it fits: a stamp before ``lo`` shows a wrong clock.
    """
    lo = max(observed.watermark, shadow.confirmed_at)
    hi = max(observed.ended, lo)
    if observed.stamp is not None and lo <= observed.stamp + observed.skew < hi:
        hi = observed.stamp + observed.skew
    return Interval(lo, hi)

"""Canonical fields and what a record can say of them.

A *native* value is a field in a system's own representation, as JSON: a scalar, for a group a ``dict`` of its members,
for a list field a ``dict`` of element key to element. A *canonical* value is what every system's values are compared in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

Native: TypeAlias = Any
Canonical: TypeAlias = Any


class Cardinality(StrEnum):
    """How a field holds its value."""

    ONE = "one"
    GROUP = "group"  # several members that move as one, such as an address
    MANY = "many"  # a set of elements, each present or absent


class Presence(StrEnum):
    """What a record says of a field (RULES 9)."""

    VALUE = "value"
    EMPTY = "empty"
    MISSING = "missing"  # the payload does not speak of it
    UNREADABLE = "unreadable"  # it speaks of it, and cannot be understood


class Clear(StrEnum):
    """What an emptied field means, per lens."""

    ALLOWED = "allowed"
    IGNORE = "ignore"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Reading:
    """One field as one record shows it.

    ``value`` is canonical: for a group a dict of the members that have a value, for a list field a dict of element key to
    canonical element. ``native`` is the same in the system's own representation. ``children`` has, where the system gives
    the elements of a list keys of its own, the element key by each of those. ``reason`` explains ``UNREADABLE``, without
    quoting the value. A ``silent`` value is one by absence (not on the list: denied); like an empty one it asserts nothing
    at first sight.
    """

    presence: Presence
    native: Native = None
    value: Canonical = None
    reason: str | None = None
    silent: bool = False
    children: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A record, translated: a reading for every field that the mapping reads."""

    readings: Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be translated at all. ``path`` is where, ``reason`` what was found and what is allowed."""

    path: str
    reason: str


class Lenses(Protocol):
    """The view of a compiled mapping that the rules need: one record's fields, both ways, without I/O."""

    @property
    def writable(self) -> frozenset[str]:
        """The fields that may be written to the system."""

    @property
    def hash(self) -> str:
        """Content hash of the mapping with its codecs (RULES 21)."""

    def clear(self, name: str) -> Clear: ...

    def encode(self, name: str, value: Canonical) -> Native:
        """Canonical to native; ``None`` stays ``None``. Raises ``ValueError`` if the system cannot hold the value."""

    def decode(self, name: str, native: Native) -> Canonical:
        """Native to canonical; ``None`` stays ``None``. Raises ``ValueError`` if it is not understood."""

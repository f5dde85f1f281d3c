"""What a simulated system is like. Each field of a ``Profile`` is one habit of real systems."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.testing.losses import (
    Lossy,
    dropped,
    ineffective,
    lowered,
    spaced,
    titled,
    truncated,
)
from connectors.testing.manifests import manifest_of


@dataclass(frozen=True, slots=True)
class Profile:
    """One simulated system. The defaults are a well-behaved one.

    ``manifest()`` describes it as an integration engineer would who knows its habits. What no manifest can mend is said
    beside the habit.
    """

    name: str = "shop"
    fields: tuple[str, ...] = ("name", "email", "phone", "city", "status", "note")
    children: tuple[str, ...] = ()
    """Lists of objects with an ``id``, written child by child."""

    # --- keys
    keys: Literal["own", "email"] = "own"
    """``email``: the address is the key, and a changed address is another key. No field holds a foreign key."""
    find: bool = True
    """Creates can be found again: by the hub's key in ``ref``, or by the address where that is the key."""
    unique: tuple[str, ...] = ("ref",)
    """Fields of which no two records may have the same value."""

    # --- clock
    skew: float = 0
    """Seconds by which its clock is ahead; behind, if negative."""
    resolution: float = 0
    """Seconds to which change times are cut off; 0 keeps microseconds."""
    stamps: bool = True
    """Records have a change time. Without one there is no delta."""
    date: Literal["own", "true", "none"] = "own"
    """Whose clock the answers' Date shows: its own, that of an exact gateway, or no one's."""

    # --- listings
    paging: Literal["keyset", "page", "offset", "next"] = "keyset"
    """``page`` and ``offset`` shift while they are read when rows come, go or move.

    A shift of offsets is noticed, because each page shows the last row of the one before it once more. One of page numbers
    is noticed only when the total shrinks: if one row goes and another comes meanwhile, a row is missed until the next scan.
    """
    page_size: int = 100
    pages_at_once: int = 1
    """How many pages the manifest has asked for at the same time."""
    order: Literal["key", "oldest", "newest", "none"] = "key"
    """By key; by change, so that rows move when they are edited; or by nothing one could name."""
    batch: int = 100
    """How many records one request can name; 1: each has an address of its own."""

    # --- deltas
    delta: bool = True
    exclusive: bool = False
    """A delta leaves out the time that is asked for."""
    by_second: bool = False
    """A delta compares whole seconds."""
    hidden_children: bool = False
    """A change of a child moves nothing of its parent: no delta shows it, only a full read does."""
    overlap: float = 0
    """Seconds that the manifest has read again, beyond what the habits above call for."""

    # --- deletes and merges
    deletes: Literal["hard", "soft", "log"] = "hard"
    """A deleted record is gone; is still listed, marked; or is gone and named in a log."""
    aliases: Literal["gone", "redirect", "survivor"] = "gone"
    """What the address of a record that was merged into another answers (with ``batch=1``)."""
    known_aliases: bool = False
    """The manifest says so: who was merged away is not merely gone."""

    # --- writes
    etag: bool = False
    answers: bool = True
    """Writes are answered with the record; else with its key alone, or nothing."""
    lossy: Mapping[str, Lossy] = field(default_factory=dict)
    """What becomes of values that the API is sent; ``phones.value`` names those of children."""
    reverting: tuple[str, ...] = ()
    """Fields of which the system takes a write, and puts its own value back at the next ``tick``."""
    auth: Literal["none", "bearer", "session"] = "bearer"

    # --- how patient the hub is with it
    timeout: float = 60
    """Seconds to wait for an answer."""
    attempts: int = 3
    longest_wait: float = 2
    per_second: float | None = None
    """The budget of requests that its manifest names."""

    def __post_init__(self) -> None:
        if self.paging == "keyset" and self.order != "key":
            raise ValueError("paging by keyset needs order by key")

    @property
    def has_delta(self) -> bool:
        return self.delta and self.stamps

    def manifest(self) -> str:
        """The manifest of this system, as the text of a YAML file. (JSON is YAML.)"""
        return manifest_of(self)


HABITS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "keys": [{}, {}, {"keys": "email"}, {"find": False}],
    "clock": [
        {},
        {"skew": 600},
        {"skew": -600},
        {"resolution": 1},
        {"resolution": 60},
        {"stamps": False},
        {"date": "none"},
        {"date": "true", "skew": 90},
    ],
    "listing": [
        {},
        {"paging": "page"},
        {"paging": "offset"},
        {"paging": "next"},
        {"paging": "offset", "order": "oldest"},
        {"paging": "next", "order": "newest"},
        {"paging": "page", "order": "none"},
    ],
    "delta": [
        {},
        {"delta": False},
        {"exclusive": True},
        {"by_second": True},
        {"exclusive": True, "by_second": True},
        {"children": ("phones",), "hidden_children": True},
    ],
    "deletes": [{}, {"deletes": "soft"}, {"deletes": "log"}],
    "merges": [{}, {"batch": 1, "aliases": "redirect"}, {"batch": 1, "aliases": "survivor"}],
    "guard": [{}, {"etag": True}],
    "answers": [{}, {"answers": False}],
    "auth": [{}, {"auth": "session"}, {"auth": "none"}],
    "losses": [
        {},
        {"lossy": {"name": titled}},
        {"lossy": {"name": truncated(10), "email": lowered}},
        {"lossy": {"phone": spaced, "note": dropped}},
        {"lossy": {"city": ineffective}},
        {"reverting": ("status",)},
    ],
}
"""The dimensions, and the habits in each. What is well-behaved comes first."""


def alone() -> list[Profile]:
    """Every habit by itself: the system is well-behaved otherwise."""
    return [Profile(**habit) for habits in HABITS.values() for habit in habits if habit]


def drawn(source: random.Random | int, **fixed: Any) -> Profile:
    """A system with one habit of every dimension, drawn by chance; ``fixed`` is not left to it."""
    chance = source if isinstance(source, random.Random) else random.Random(source)
    chosen: dict[str, Any] = {}
    for habits in HABITS.values():
        chosen |= chance.choice(habits)
    return Profile(**{**chosen, **fixed})


__all__ = [
    "HABITS",
    "Lossy",
    "Profile",
    "alone",
    "drawn",
    "ineffective",
    "lowered",
    "truncated",
]

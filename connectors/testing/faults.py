"""What goes wrong with a simulated system's answers: one by one as a test asks, or by a seeded chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Breakage = Literal["reset", "cut", "garbage", "hang", "double", "partial", "expire"]
"""reset: the connection breaks before the answer. cut: in the middle of it. garbage: it is no JSON. hang: no answer comes
in time. double: every row of a listing comes twice. partial: a look-up of several records answers some of them; a write
takes effect in part, and is answered by 500. expire: the credential is no longer good."""

Trouble: TypeAlias = int | Breakage
"""A status to answer, or a way to break the answer."""

READS = frozenset({"GET"})
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

READ_TROUBLES: Sequence[tuple[Trouble, bool]] = (
    (429, False),
    (500, False),
    (503, False),
    ("reset", False),
    ("cut", True),
    ("double", True),
    ("partial", True),
    ("expire", False),
)
WRITE_TROUBLES: Sequence[tuple[Trouble, bool]] = (
    (429, False),
    (500, False),
    (500, True),
    ("reset", False),
    ("reset", True),
    ("cut", True),
    ("partial", True),
    ("expire", False),
)
"""What a storm does to reads and to writes, and whether the request takes effect all the same."""


@dataclass(slots=True)
class Fault:
    """Trouble for the next ``times`` requests of these methods. ``after``: the request takes effect first."""

    what: Trouble
    times: int = 1
    methods: frozenset[str] = frozenset()
    after: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 60


class Faults:
    """Which request meets which trouble. Scheduled faults come first, then the storm's."""

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self._scheduled: list[Fault] = []
        self._chance: random.Random | None = None
        self._rates: Mapping[str, float] = {}
        self._troubles: Mapping[str, Sequence[tuple[Trouble, bool]]] = {}

    def schedule(self, fault: Fault) -> None:
        self._scheduled.append(fault)

    def storm(
        self,
        seed: int,
        reads: float,
        writes: float,
        read_troubles: Sequence[tuple[Trouble, bool]],
        write_troubles: Sequence[tuple[Trouble, bool]],
    ) -> None:
        self._chance = random.Random(seed)
        self._rates = dict.fromkeys(READS, reads) | dict.fromkeys(WRITES, writes)
        self._troubles = dict.fromkeys(READS, read_troubles) | dict.fromkeys(WRITES, write_troubles)

    def calm(self) -> None:
        self._scheduled.clear()
        self._chance = None

    def meet(self, method: str) -> Fault | None:
        """The trouble that this request meets, if any."""
        for fault in self._scheduled:
            if not fault.methods or method in fault.methods:
                fault.times -= 1
                if fault.times <= 0:
                    self._scheduled.remove(fault)
                return self._note(fault)
        if self._chance is None or self._chance.random() >= self._rates.get(method, 0):
            return None
        what, after = self._chance.choice(self._troubles[method])
        return self._note(Fault(what, after=after))

    def _note(self, fault: Fault) -> Fault:
        self.met[f"{fault.what}{' after' if fault.after else ''}"] += 1
        return fault


__all__ = [
    "READS",
    "READ_TROUBLES",
    "WRITES",
    "WRITE_TROUBLES",
    "Breakage",
    "Fault",
    "Faults",
    "Trouble",
]

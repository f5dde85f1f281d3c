"""In what order rows are locked, so that workers wait for one another and never in a circle (RULES 23, docs/workers.md)."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum


class Level(IntEnum):
    """What is locked before what; rows of one level in sorted order.

    Whatever else belongs to a customer or a record (deliveries, history, tasks) is changed under its lock only.
    """

    STREAM = 0
    BLOCK = 1  # block keys, whether a record has them yet or not
    CUSTOMER = 2
    RECORD = 3


class NotLocked(Exception):
    """These rows are needed too, and it is too late to lock them in order: the transaction is begun anew with them."""

    def __init__(self, level: Level, ids: Collection[str]) -> None:
        self.level = level
        self.ids = frozenset(ids)
        super().__init__(f"{len(self.ids)} rows of {level.name.lower()} were not locked in time")

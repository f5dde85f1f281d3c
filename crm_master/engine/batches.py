"""Batches in which one record may be poison: the others go on without it (RULES 22)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from crm_master.ports import NotLocked, UnitOfWork

ALONE_FROM = 2  # what failed, or took its worker along, this often is tried by itself
DEAD_FROM = 3  # ... and this often is given up
_PASSING = ("OperationalError", "InterfaceError", "TimeoutError", "DisconnectionError")

T = TypeVar("T")


def bisected(
    items: Sequence[T],
    uow: UnitOfWork,
    counts: Counter[str],
    attempt: Callable[[Sequence[T]], None],
    give_up: Callable[[T, Exception], None],
) -> None:
    """Attempt all at once; where that fails, by halves, under savepoints, until what cannot be done stands alone.

    What a failed attempt has counted is taken back. ``give_up`` is told of an item before the items behind it are
    attempted. An outage of the database is no item's fault, and raised.
    """
    before = counts.copy()
    try:
        with uow.savepoint():
            attempt(items)
        return
    except Exception as error:  # whatever an item does to the code, the others go on
        if is_passing(error):
            raise
        counts.clear()
        counts.update(before)
        if len(items) == 1:
            give_up(items[0], error)
            return
    half = len(items) // 2
    bisected(items[:half], uow, counts, attempt, give_up)
    bisected(items[half:], uow, counts, attempt, give_up)


def is_passing(error: Exception) -> bool:
    """Whether the database or another worker, and not a record, is to blame: then the whole batch is tried again.

    A value that the database does not take is the fault of its record.
    """
    if isinstance(error, NotLocked):
        return True
    kind = type(error)
    of_database = kind.__module__.startswith(("sqlalchemy", "psycopg", "sqlite3"))
    return of_database and kind.__name__ in _PASSING

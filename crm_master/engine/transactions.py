"""Transactions that share rows with other workers: begun anew where somebody was faster (RULES 23)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crm_master.ports import Level, NotLocked, UnitOfWork, UnitOfWorkFactory

TRIES = 50
_COLLISIONS = ("40001", "40P01", "23505")
"""SQLSTATEs of what another transaction has done meanwhile: serialization, deadlock, the same row made twice."""

T = TypeVar("T")


def transact(store: UnitOfWorkFactory, work: Callable[[UnitOfWork], T], *, keep: bool = True) -> T:
    """Do ``work`` in a transaction, and commit it; not to ``keep`` it is to see what it would do.

    Rows that it turned out to need too late to be locked in order are locked first when it is done again. ``work`` must not
    mind being done again: nothing of what it changes in memory may count before this returns.
    """
    wanted: dict[Level, frozenset[str]] = {}
    for left in reversed(range(TRIES)):
        try:
            with store() as uow:
                for level in sorted(wanted):
                    uow.lock(level, wanted[level])
                done = work(uow)
                if keep:
                    uow.commit()
                return done
        except NotLocked as late:
            if not left or not late.ids:
                raise
            wanted[late.level] = wanted.get(late.level, frozenset()) | late.ids
        except Exception as error:
            if not left or not _collided(error):
                raise
    raise AssertionError("the last try returns or raises")


def _collided(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in _COLLISIONS

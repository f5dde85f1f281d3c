"""The rows that a transaction has locked, always in the same order: the book refuses any other (ADR 19)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from crm_master.ports import Level, NotLocked
from crm_master.store.schema import block_lock, entity, source_record, stream_state
from crm_master.store.sql import chunks, locking

_ROWS = {
    Level.STREAM: stream_state.c.system + "/" + stream_state.c.stream,
    Level.CUSTOMER: entity.c.id,
    Level.RECORD: source_record.c.rec_id,
}


class LockBook:
    """What one transaction holds. SQLite's transaction holds everything: there the book watches over the order only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._postgres = connection.dialect.name == "postgresql"
        self._held: dict[Level, set[str]] = {level: set() for level in Level}
        self._last: dict[Level, str] = dict.fromkeys(Level, "")
        self._every: set[Level] = set()
        self._closed = False

    def take(self, level: Level, ids: Collection[str]) -> None:
        """Lock rows until the end of the transaction. Raises ``NotLocked`` if that would be out of order."""
        missing = self._missing(level, ids)
        if missing and self._postgres:
            self._lock(level, missing)
        self.hold(level, missing)

    def expect(self, level: Level, ids: Collection[str]) -> None:
        """The same for rows that the caller's next statement locks, in sorted order."""
        self.hold(level, self._missing(level, ids))

    def _missing(self, level: Level, ids: Collection[str]) -> set[str]:
        missing = set() if level in self._every else set(ids) - self._held[level]
        if missing and (self._late(level) or min(missing) < self._last[level]):
            raise NotLocked(level, missing)
        return missing

    def hold(self, level: Level, ids: Collection[str]) -> None:
        """Note rows that are ours without having been waited for."""
        self._held[level].update(ids)
        self._last[level] = max(self._last[level], *ids, "")

    def take_every(self, level: Level) -> None:
        """The same for a statement that finds out by itself which rows it locks, in sorted order."""
        if level not in self._every and (self._late(level) or self._held[level]):
            raise NotLocked(level, ())
        self._every.add(level)

    def close(self) -> None:
        """From now on the transaction has a place in the journal: whatever it waits for now would come before it there."""
        self._closed = True

    def release(self) -> None:
        """Leave no block keys behind: a lock on one is its row, for as long as the transaction lasts."""
        if self._postgres:
            for part in chunks(self._held[Level.BLOCK]):
                self._connection.execute(sa.delete(block_lock).where(block_lock.c.hash.in_(part)))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part whose locks are given back if it fails."""
        before = {level: set(ids) for level, ids in self._held.items()}
        last, every, closed = dict(self._last), set(self._every), self._closed
        try:
            with self._connection.begin_nested():
                yield
        except BaseException:
            self._held, self._last, self._every, self._closed = before, last, every, closed
            raise

    def _late(self, level: Level) -> bool:
        return self._closed or any(
            self._held[above] or above in self._every for above in Level if above > level
        )

    def _lock(self, level: Level, ids: Collection[str]) -> None:
        for part in chunks(ids):
            if level is Level.BLOCK:
                # whoever inserts a key that another has inserted waits until that one is done
                keys = sa.func.unnest(sa.cast(part, postgresql.ARRAY(sa.String)))
                inserting = postgresql.insert(block_lock).from_select(["hash"], sa.select(keys))
                self._connection.execute(
                    inserting.on_conflict_do_update(
                        index_elements=["hash"], set_={"hash": inserting.excluded.hash}
                    )
                )
            else:
                row = _ROWS[level]
                query = sa.select(row).where(row.in_(part)).order_by(row)
                self._connection.execute(locking(self._connection, query)).all()

"""The one clock of a history, and the process of the hub, which may die at any commit or write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Engine

from connectors.contract import Outcome, Page, RawRecord, Sink, WriteCommand
from crm_master.store import Database
from crm_master.store.database import SqlUnitOfWork
from crm_master.store.suppressions import Key


class Killed(BaseException):
    """The process of the hub died here."""


class Fate:
    """When the hub's process dies: at the so-manieth commit or write from now on, before or after it."""

    def __init__(self) -> None:
        self.dead = False
        self.deaths = 0
        self._point, self._left = "", 0

    def doom(self, point: str, times: int) -> None:
        """Points are ``before commit``, ``after commit``, ``before write``, ``after write``."""
        self._point, self._left = point, times

    def spare(self) -> None:
        self.dead, self._left = False, 0

    def reach(self, point: str) -> None:
        """Raises ``Killed`` if this is the point; a dead process does nothing more."""
        if self.dead:
            raise Killed
        if self._left and point == self._point:
            self._left -= 1
            if not self._left:
                self.dead = True
                self.deaths += 1
                raise Killed


class MortalStore(Database):
    """The master database of a process that may die. ``on`` is what knows its statements already."""

    def __init__(self, on: Database, fate: Fate) -> None:
        self.engine, self._key = on.engine, lambda _make: b"the key of the erased"
        self._fate = fate

    def __call__(self) -> SqlUnitOfWork:
        self._fate.reach("")
        return MortalUnitOfWork(self.engine, self._key, self._fate)


class MortalUnitOfWork(SqlUnitOfWork):
    def __init__(self, engine: Engine, key: Key, fate: Fate) -> None:
        super().__init__(engine, key)
        self._fate = fate

    def commit(self) -> None:
        self._fate.reach("before commit")
        super().commit()
        self._fate.reach("after commit")


class MortalSink:
    """The connector of a process that may die, and between whose reads and writes others go on working."""

    def __init__(
        self,
        sink: Sink,
        fate: Fate,
        meanwhile: Callable[[Sequence[str]], None],
        under_way: Callable[[bool], None],
    ) -> None:
        self._sink, self._fate = sink, fate
        self._meanwhile, self._under_way = meanwhile, under_way

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def read(self, *asked: Any) -> Iterator[Page]:
        for page in self._sink.read(*asked):
            self._under_way(page.complete)
            yield page

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        found = self._sink.fetch(stream, keys)
        self._meanwhile(keys)
        return found

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        self._fate.reach("before write")
        outcomes = self._sink.write(commands)
        self._fate.reach("after write")
        return outcomes

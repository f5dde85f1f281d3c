"""One transaction over all repositories: leaving its block without ``commit`` keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from crm_master.ports.journal import Journal, Runs, States
from crm_master.ports.locks import Level
from crm_master.ports.operations import Operations
from crm_master.ports.privacy import Erasures, Suppressions
from crm_master.ports.repositories import Customers, Facts, Inbox, Outbox, Records, Sightings, Tasks


class UnitOfWork(Protocol):
    """One transaction over all repositories."""

    @property
    def inbox(self) -> Inbox: ...

    @property
    def records(self) -> Records: ...

    @property
    def sightings(self) -> Sightings: ...

    @property
    def customers(self) -> Customers: ...

    @property
    def facts(self) -> Facts: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def states(self) -> States: ...

    @property
    def erasures(self) -> Erasures: ...

    @property
    def suppressions(self) -> Suppressions: ...

    @property
    def runs(self) -> Runs: ...

    @property
    def operations(self) -> Operations: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def commit(self) -> None: ...

    def lock(self, level: Level, ids: Collection[str]) -> None:
        """Lock rows until the end of the transaction, or of the savepoint that fails. Read them afterwards.

        Raises ``NotLocked`` where that would be out of order; so does whatever takes ``lock=True``.
        """

    def savepoint(self) -> AbstractContextManager[Any]:
        """A part of the transaction that can fail alone."""


UnitOfWorkFactory: TypeAlias = Callable[[], UnitOfWork]

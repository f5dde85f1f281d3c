"""What happened, in the order in which it was committed, and where everything stands by it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from crm_master.domain.claims import Instant
from crm_master.domain.ids import EntityId, ExternalRef
from crm_master.domain.lifecycle import SystemState
from crm_master.ports.rows import (
    Applied,
    Commit,
    DeliveryEntry,
    HistoryEntry,
    LinkEntry,
    OutboxMessage,
    RunEntry,
    StreamState,
)


class Journal(Protocol):
    """The order in which everything was committed, and with what outcome."""

    def commit(self, kind: str, at: Instant, run_id: str, detail: Mapping[str, Any] = ...) -> int:
        """The next position, part of this transaction. Nothing can be locked after it that others may hold: the journal has
        transactions that meet in a row in the order in which they had it.
        """

    def commits(self) -> Iterator[Commit]: ...

    def deliveries(self, pos: int) -> list[DeliveryEntry]: ...

    def add_deliveries(self, entries: Sequence[DeliveryEntry], pos: int) -> None: ...

    def save_config(self, hash_: str, content: str, at: Instant) -> bool: ...

    def config(self, hash_: str) -> str | None: ...

    def applied(self) -> Applied | None:
        """The configuration that is in force; ``None`` before the first."""

    def apply(self, hash_: str, at: Instant, swept: Mapping[str, Mapping[str, str]]) -> None:
        """Put a recorded configuration in force, or note what was swept under it."""

    def configs(self) -> list[str]:
        """The hashes of all recorded configurations, the one in force first."""


class Runs(Protocol):
    """What runs did, read back from the journal."""

    def get(self, run_id: str) -> RunEntry | None: ...

    def find(
        self, limit: int, *, system: str = "", verb: str = "", status: str = ""
    ) -> list[RunEntry]:
        """The newest first. A run is about a system if that, or a stream of it, is its target."""

    def positions(self, run_id: str, kind: str) -> list[int]:
        """Where the run's commits of one kind are in the journal: one for each batch."""

    def observations(self, run_id: str) -> dict[str, int]:
        """What the run read or reconciled, by its state now."""

    def reconciled_in(self, run_id: str) -> list[str]:
        """The runs that reconciled what this one read."""

    def gone(self, run_id: str, limit: int) -> list[ExternalRef]:
        """The records whose tombstones the run reconciled."""

    def changed(self, run_id: str) -> int:
        """How many customers have a golden record that the run changed."""

    def changes(self, run_id: str, after: EntityId, limit: int) -> list[HistoryEntry]:
        """What the run changed in ``limit`` customers behind ``after``."""

    def made(self, run_id: str, ids: Collection[EntityId]) -> set[EntityId]:
        """Those of the customers that the run made."""

    def link_counts(self, run_id: str) -> dict[str, int]: ...

    def links(self, run_id: str, limit: int) -> list[LinkEntry]: ...

    def bound_since(self, run_id: str, ids: Collection[EntityId]) -> list[LinkEntry]:
        """The records that deliveries made, or met, for these customers after the run's first commit."""

    def outcomes(self, run_id: str) -> dict[tuple[str, str], int]:
        """How many of the run's deliveries ended how: by system and outcome."""

    def deliveries(self, run_id: str, limit: int) -> list[DeliveryEntry]:
        """How the run's deliveries ended."""

    def undelivered(self, run_id: str) -> dict[tuple[str, str], int]:
        """The deliveries that wait of customers that the run changed: by system and state."""

    def set_aside(self, run_id: str, after: str, limit: int) -> list[OutboxMessage]:
        """The deliveries, behind the id ``after``, that wait for a person and that the run tried or caused."""


class States(Protocol):
    """Where streams, systems and runs stand."""

    def stream(self, system: str, stream: str, *, lock: bool = False) -> StreamState: ...

    def save_stream(self, state: StreamState) -> None: ...

    def systems(self) -> dict[str, SystemState]: ...

    def save_system(self, system: str, state: SystemState, at: Instant) -> None: ...

    def stopped(self) -> frozenset[str]:
        """The systems whose kill switch for writes is on."""

    def stop(self, system: str, on: bool) -> None: ...

    def allowance(self, subject: str) -> int:
        """How much a person has allowed of what a fuse stopped."""

    def allow(self, subject: str, number: int) -> None:
        """Set that number; 0 ends it."""

    def budget(self, credential: str) -> dict[str, Any]:
        """How the budget of a credential stands, as it was saved. Locks it: others wait until this transaction ends."""

    def save_budget(self, credential: str, standing: Mapping[str, Any]) -> None: ...

    def save_run(self, run: RunEntry) -> None: ...

    def runs(self, limit: int) -> list[RunEntry]: ...

"""What the engine asks of a store. Every method takes and gives batches; none is called per record.

A ``UnitOfWork`` is one transaction: leaving its block without ``commit`` keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from crm_master.domain.claims import Instant
from crm_master.domain.erasure import Traces
from crm_master.domain.ids import EntityId, ExternalRef, RecordId
from crm_master.domain.lifecycle import DeliveryVerb, SystemState, TaskKind
from crm_master.ports.rows import (
    Applied,
    Commit,
    Customer,
    DeliveryEntry,
    HistoryEntry,
    InboxItem,
    Landing,
    LinkEntry,
    OutboxMessage,
    Read,
    Receipt,
    RunEntry,
    SourceRecord,
    StreamState,
    Suppression,
    Task,
)


class Inbox(Protocol):
    """Observations: raw rows as they were read, kept as the first part of the journal."""

    def land(self, rows: Sequence[Landing], run_id: str) -> tuple[int, int]:
        """Keep the rows that differ from the last one landed for their record. Gives (landed, unchanged)."""

    def claim(
        self, entity: str, limit: int, alone_from: int, skip: Collection[RecordId]
    ) -> list[InboxItem]:
        """The oldest pending items, attempts counted; one alone if it was tried ``alone_from`` times before."""

    def forgive(self, seqs: Collection[int]) -> None:
        """Take back one counted attempt: that it failed was not the items' fault."""

    def waiting(self, seqs: Collection[int]) -> set[int]:
        """Those of the items that nobody has finished since they were claimed. Ask after locking their records."""

    def finish(self, items: Sequence[InboxItem], pos: int) -> None:
        """Store the items' states under a position of the journal."""

    def unpark(self, system: str, stream: str) -> None: ...

    def requeue(self, seqs: Sequence[int]) -> int:
        """Land these observations once more, unless a newer one of their record is there. Gives how many.

        The old ones keep their place in the journal.
        """

    def applied(self, pos: int) -> list[InboxItem]: ...

    def get(self, seq: int) -> InboxItem | None: ...

    def landed(
        self, ids: Collection[RecordId], before: int | None = None
    ) -> dict[RecordId, InboxItem]:
        """The newest row of each record that was reconciled, tombstones aside; before a position of the journal."""

    def by_seq(self, seqs: Collection[int]) -> dict[int, InboxItem]: ...

    def runs_of(self, seqs: Collection[int]) -> dict[int, str]:
        """The run in which each observation was read."""

    def reads_of(self, seqs: Collection[int]) -> dict[int, Read]: ...

    def read_in(self, run_id: str, after: int, limit: int) -> list[InboxItem]:
        """What a run landed, in sequence, behind ``after``."""

    def unread(self, ids: Collection[RecordId]) -> set[RecordId]:
        """Those of the records with an observation that waits to be reconciled."""

    def dead(self, system: str, stream: str, key: str) -> bytes | None:
        """The bytes of the newest dead row of that name."""

    def pending(self, entity: str | None = None) -> int: ...


class Records(Protocol):
    """Source records with their claims and shadows."""

    def get(
        self, ids: Collection[RecordId], *, lock: bool = False
    ) -> dict[RecordId, SourceRecord]: ...

    def of_entities(
        self, ids: Collection[EntityId], *, lock: bool = False
    ) -> list[SourceRecord]: ...

    def by_blocks(self, hashes: Collection[str], cap: int) -> dict[str, list[RecordId]]:
        """The records under each block key, at most ``cap`` for each."""

    def save(self, records: Sequence[SourceRecord]) -> None: ...

    def save_blocks(self, records: Sequence[SourceRecord]) -> None: ...

    def hashes(self, ids: Collection[RecordId]) -> dict[RecordId, bytes]: ...

    def merged_into(self, ids: Collection[RecordId]) -> set[RecordId]:
        """The records that their system has merged into one of these, over others if need be."""

    def linked(self, ids: Collection[RecordId]) -> set[RecordId]:
        """Those of the records that belong to a customer."""

    def to_reread(self, system: str, stream: str, limit: int) -> list[SourceRecord]: ...

    def scan(self, system: str, stream: str, after: RecordId, limit: int) -> list[SourceRecord]: ...

    def outdated(
        self, system: str, stream: str, mapping_hash: str, after: RecordId, limit: int
    ) -> list[RecordId]:
        """The next records that were read with another mapping."""

    def count(self, system: str, stream: str) -> dict[str, int]:
        """Records by what they are: live, deleted, linked, unlinked."""


class Sightings(Protocol):
    """Which records of a stream its full scan has shown: what is left over may be gone."""

    def see(
        self, system: str, stream: str, ids: Collection[RecordId], gone_at: Instant = 0
    ) -> None:
        """Note records as seen, or as asked for one by one at ``gone_at`` and not there."""

    def unseen(self, system: str, stream: str, after: RecordId, limit: int) -> list[SourceRecord]:
        """The next live records without a note."""

    def count_unseen(self, system: str, stream: str) -> int: ...

    def gone(
        self, system: str, stream: str, after: RecordId, limit: int
    ) -> list[tuple[SourceRecord, Instant]]:
        """The next records that are not there, each with the time at which it was asked for."""

    def count_gone(self, system: str, stream: str) -> int: ...

    def forget(self, system: str, stream: str, *, only_gone: bool = False) -> None: ...


class Customers(Protocol):
    """Master entities, their history and their links."""

    def get(self, ids: Collection[EntityId], *, lock: bool = False) -> dict[EntityId, Customer]: ...

    def aliases(self, id_: EntityId) -> list[EntityId]:
        """The customer with all those that were merged into it, however many steps away."""

    def save(self, customers: Sequence[Customer], at: Instant) -> None: ...

    def add_history(self, entries: Sequence[HistoryEntry]) -> None: ...

    def history(self, entity_id: EntityId) -> list[HistoryEntry]: ...

    def histories(self, ids: Collection[EntityId]) -> dict[EntityId, list[HistoryEntry]]: ...

    def add_links(self, entries: Sequence[LinkEntry], at: Instant, pos: int) -> None: ...

    def links(
        self, *, entity_id: EntityId | None = None, pos: int | None = None
    ) -> list[LinkEntry]: ...

    def link_history(self, entity_id: EntityId) -> list[LinkEntry]:
        """All that was ever decided about the records that ever were this customer's, oldest first."""

    def apart(self, ids: Collection[RecordId]) -> dict[RecordId, set[RecordId]]:
        """Which records a person has said to be another customer's than these."""

    def set_apart(self, ids: Collection[RecordId], others: Collection[RecordId]) -> None:
        """None of ``ids`` is the same customer as any of ``others``: both ways."""

    def set_together(self, ids: Collection[RecordId], others: Collection[RecordId]) -> None:
        """Take back what ``set_apart`` said."""

    def mark_dirty(self, *, system: str | None = None, ids: Collection[EntityId] = ()) -> int:
        """Have customers reconciled again: those with a record in ``system``, or those named."""

    def take_dirty(self, entity_type: str, limit: int) -> list[EntityId]:
        """Some dirty customers, no longer dirty once this transaction is committed."""

    def outdated(
        self, entity_type: str, config_hash: str, after: EntityId, limit: int
    ) -> list[EntityId]:
        """The next customers that were reconciled under another configuration."""

    def dirty(self, entity_type: str) -> int:
        """How many customers wait to be reconciled again."""

    def scan(self, entity_type: str, after: EntityId, limit: int) -> list[Customer]: ...

    def count(self, entity_type: str) -> int: ...


class Outbox(Protocol):
    """Deliveries, written in the transaction of the change that causes them."""

    def put(self, messages: Sequence[OutboxMessage], at: Instant) -> None:
        """Queue deliveries. One that is queued already only moves to the newer version."""

    def resume(self, ids: Collection[RecordId]) -> None:
        """Take up deliveries that waited for a newer state of their record."""

    def cancel(self, ids: Collection[str]) -> None:
        """Take back what was not begun."""

    def claim(
        self, system: str, limit: int, now: Instant, lease: Instant, alone_from: int
    ) -> list[OutboxMessage]:
        """Lease what is due to one worker. What took ``alone_from`` workers along is leased by itself."""

    def begin(self, messages: Sequence[OutboxMessage], until: Instant) -> frozenset[str]:
        """Mark leased messages as sent, and renew their lease. Gives the ids that are still ours to send."""

    def save(self, messages: Sequence[OutboxMessage]) -> None:
        """Store the state of leased messages, guarded by their fence."""

    def done(self, messages: Sequence[OutboxMessage]) -> None:
        """Remove what was delivered; what moved to a newer version meanwhile is pending again."""

    def creating(self, entity: str) -> list[OutboxMessage]:
        """Creates whose answer is open."""

    def retry(self, ids: Collection[str]) -> None:
        """Have deliveries tried again that waited for a person; one that was sent is looked up first."""

    def drop(self, ids: Collection[str]) -> None:
        """Give deliveries up."""

    def for_records(self, ids: Collection[RecordId]) -> dict[RecordId, OutboxMessage]: ...

    def of_customers(
        self, ids: Collection[EntityId], *, lock: bool = False
    ) -> list[OutboxMessage]: ...

    def count(self, system: str | None = None) -> dict[str, int]: ...

    def count_creates(self, system: str) -> dict[str, int]: ...

    def waiting(self, system: str) -> dict[tuple[str, DeliveryVerb], int]:
        """Deliveries that wait for time or another run, not for a person, by stream and verb."""


class Tasks(Protocol):
    """Questions to people and dead letters."""

    def open(self, tasks: Sequence[Task], at: Instant, run_id: str = "") -> None:
        """Ask. What is asked already only gets the newer payload, and stays the question of the run that asked first."""

    def of_run(self, run_id: str, after: int, limit: int) -> Sequence[Task]:
        """What a run asked first, behind the task ``after``."""

    def close(self, subjects: Iterable[tuple[TaskKind, str]], at: Instant) -> None: ...

    def standing(self, keys: Iterable[tuple[TaskKind, str]]) -> dict[tuple[TaskKind, str], int]:
        """The open tasks among ``(kind, subject)`` keys, with their ids."""

    def list(
        self, kinds: Collection[TaskKind] = (), *, only_open: bool = True, limit: int = 1000
    ) -> list[Task]: ...

    def get(self, task_id: int) -> Task | None: ...

    def decide(self, task_id: int, decision: Mapping[str, Any], at: Instant) -> None: ...

    def count(self) -> dict[str, int]: ...


class Journal(Protocol):
    """The order in which everything was committed, and with what outcome."""

    def commit(self, kind: str, at: Instant, run_id: str, detail: Mapping[str, Any] = ...) -> int:
        """The next position, part of this transaction."""

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


class States(Protocol):
    """Where streams, systems and runs stand."""

    def stream(self, system: str, stream: str) -> StreamState: ...

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

    def save_run(self, run: RunEntry) -> None: ...

    def runs(self, limit: int) -> list[RunEntry]: ...


class Erasures(Protocol):
    """Receipts of erasures, and the one way in which rows of the journal are ever deleted (RULES 25)."""

    def forget(
        self,
        customers: Collection[EntityId],
        records: Collection[RecordId],
        letters: Collection[tuple[str, str, str]] = (),
    ) -> None:
        """Delete all rows of these customers and source records, and the dead rows of that system, stream and key.

        Waits for deliveries that are just being intended or settled. Lock customers and records before.
        """

    def ever_linked(self, customers: Collection[EntityId]) -> list[EntityId]:
        """The customers, and all others that records of theirs have ever belonged to, however many steps away."""

    def begin_anew(self, customers: Collection[EntityId], pos: int) -> None:
        """Have the journal of these customers begin at ``pos`` with what they are now: all that was before goes.

        Observations that wait stay. Lock customers and records before.
        """

    def baseline(self, pos: int) -> list[dict[str, Any]]:
        """What customers began anew with at this position, for ``restore``."""

    def restore(self, baseline: Sequence[Mapping[str, Any]]) -> None: ...

    def scrub(self, traces: Traces, receipt: str) -> None:
        """Take out of all other rows what names or shows the person: tasks, decisions, evidence, dead rows, errors."""

    def save(self, receipt: Receipt) -> None: ...

    def get(self, receipt: str, *, lock: bool = False) -> Receipt | None: ...

    def of_customer(self, id_: EntityId) -> Receipt | None:
        """The receipt of an erased customer, by any of the ids that it had."""

    def list(self) -> list[Receipt]: ...


class Suppressions(Protocol):
    """What must not come back, as keyed hashes. Raises ``store.SuppressionKeyWrong`` where the key is not at hand."""

    def watched(self, entity: str) -> frozenset[tuple[str, ...]]:
        """The combinations of identity keys that somebody is kept out by; the empty one: external ids. None: nobody is."""

    def digest(self, texts: Collection[str]) -> dict[str, str]:
        """The keyed hash of each text."""

    def add(self, entries: Sequence[Suppression], receipt: str) -> None:
        """Keep these out. The first one makes the key, where the environment gives none."""

    def standing(self, hashes: Collection[str]) -> dict[str, list[Mapping[str, list[str]]]]:
        """Of some hashes, those that are kept out, with the hashes of what would show that it is another person."""

    def receipts(self, hashes: Collection[str]) -> dict[str, str]:
        """The receipt behind each of these hashes."""

    def lift(self, receipt: str, *, records: bool) -> int:
        """Let identities in again, with ``records`` external ids too. Gives how many."""


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

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def commit(self) -> None: ...

    def savepoint(self) -> AbstractContextManager[Any]:
        """A part of the transaction that can fail alone."""


UnitOfWorkFactory: TypeAlias = Callable[[], UnitOfWork]

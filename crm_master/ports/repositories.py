"""What records and customers pass through. Every method takes and gives batches; none is called per record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from crm_master.domain.claims import Instant
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import DeliveryVerb, TaskKind
from crm_master.ports.rows import (
    Customer,
    HistoryEntry,
    InboxItem,
    Landing,
    LinkEntry,
    OutboxMessage,
    Read,
    SourceRecord,
    Task,
)


class Inbox(Protocol):
    """Observations: raw rows as they were read, kept as the first part of the journal."""

    def land(
        self, rows: Sequence[Landing], run_id: str, last: Mapping[RecordId, bytes] | None = None
    ) -> tuple[int, int]:
        """Keep the rows that differ from the last one landed for their record. Gives (landed, unchanged).

        ``last``: what ``Records.hashes`` gave of them in this transaction, if it was asked.
        """

    def claim(
        self,
        entity: str,
        limit: int,
        now: Instant,
        lease: Instant,
        alone_from: int,
        after: int = 0,
    ) -> list[InboxItem]:
        """Lease the oldest pending items behind ``after`` to one worker, attempts counted.

        One alone if it was tried ``alone_from`` times before. A record's items go in sequence: one waits behind an older one
        that is pending still, at or before ``after`` or held by somebody else.
        """

    def forgive(self, seqs: Collection[int]) -> None:
        """Take back one counted attempt: that it failed was not the items' fault."""

    def release(self, seqs: Collection[int]) -> None:
        """Give back leased items that were not finished."""

    def waiting(self, seqs: Collection[int]) -> set[int]:
        """Those of the items that nobody has finished since they were claimed. Ask after locking their records."""

    def finish(self, items: Sequence[InboxItem], pos: int) -> None:
        """Store the items' states under a position of the journal."""

    def unpark(self, system: str, stream: str) -> None: ...

    def reopen(self, rec_id: RecordId, since: Instant) -> None:
        """What was read of a record from then on, and was applied, waits once more."""

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

    def any_unread(self, system: str, stream: str) -> bool:
        """Whether an observation of that stream waits to be reconciled."""

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

    def members(self, ids: Collection[EntityId]) -> set[RecordId]:
        """The records of these customers."""

    def owners(self, ids: Collection[RecordId]) -> set[EntityId]:
        """The customers of these records, and those to whom a person has linked them."""

    def reserve(self, records: Sequence[SourceRecord]) -> None:
        """Lock records, and make those that are not there: in one sorted order with whoever else makes some."""

    def by_blocks(self, hashes: Collection[str], cap: int) -> dict[str, list[RecordId]]:
        """The records under each block key, at most ``cap`` for each."""

    def save(self, records: Sequence[SourceRecord]) -> None: ...

    def save_blocks(self, records: Sequence[SourceRecord]) -> None: ...

    def hashes(self, ids: Collection[RecordId]) -> dict[RecordId, bytes]:
        """What each record was last landed as; nothing if it must be read again, whatever it shows."""

    def merged_into(self, ids: Collection[RecordId]) -> set[RecordId]:
        """The records that their system has merged into one of these, over others if need be."""

    def linked(self, ids: Collection[RecordId]) -> set[RecordId]:
        """Those of the records that belong to a customer."""

    def to_reread(self, system: str, stream: str, limit: int) -> list[SourceRecord]: ...

    def scan(self, system: str, stream: str, after: str, limit: int) -> list[SourceRecord]:
        """The next records behind a key, in the order of their keys."""

    def outdated(
        self, system: str, stream: str, mapping_hash: str, after: str, limit: int
    ) -> dict[str, RecordId]:
        """The next records behind a key that were read with another mapping, by their keys and in the order of these."""

    def count(self, system: str, stream: str) -> dict[str, int]:
        """Records by what they are: live, deleted, linked, unlinked."""


class Sightings(Protocol):
    """Which records of a stream its full scan has shown: what is left over may be gone."""

    def see(
        self, system: str, stream: str, ids: Collection[RecordId], gone_at: Instant = 0
    ) -> None:
        """Note records as seen, or as asked for one by one at ``gone_at`` and not there."""

    def unseen(self, system: str, stream: str, after: str, limit: int) -> list[SourceRecord]:
        """The next live records behind a key without a note, in the order of their keys."""

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

    def add_links(self, entries: Sequence[LinkEntry], at: Instant, pos: int) -> None:
        """Put decisions on record, after the records that they are about.

        Facts about these customers become dirty: their systems may know them by other records from now on (RULES 18).
        """

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

    def mark_dirty(self, ids: Collection[EntityId]) -> None:
        """Have customers reconciled again."""

    def mark_all_dirty(self, systems: Collection[str], entities: Collection[str]) -> int:
        """Have all customers reconciled again who are of these entities, or have a record in these systems."""

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


class Facts(Protocol):
    """What orders and interactions refer to (RULES 18)."""

    def refer(self, targets: Mapping[RecordId, Mapping[str, RecordId]]) -> None:
        """What each record of a fact refers to by its fields, in the place of what it referred to before."""

    def on(self, ids: Collection[EntityId]) -> set[EntityId]:
        """The facts about these, and those about those facts."""

    def about(
        self, ids: Collection[EntityId], entity_type: str
    ) -> list[tuple[EntityId, Mapping[str, Canonical]]]:
        """The golden records of the facts of one entity about these, each with the one of these that it is about."""

    def waiting(self) -> dict[str, int]:
        """By entity: the facts that refer to a record which is not known, or nobody's yet."""


class Outbox(Protocol):
    """Deliveries, written in the transaction of the change that causes them."""

    def put(self, messages: Sequence[OutboxMessage], at: Instant) -> None:
        """Queue deliveries. One that is queued already only moves to the newer version."""

    def resume(self, ids: Collection[RecordId]) -> None:
        """Take up deliveries that waited for a newer state of their record."""

    def look_again(self, entities: Collection[str], systems: Collection[str]) -> None:
        """Have deliveries of these facts tried at once that wait until what they refer to is known in these systems."""

    def cancel(self, ids: Collection[str]) -> None:
        """Take back what was not begun."""

    def claim(
        self,
        system: str,
        limit: int,
        now: Instant,
        lease: Instant,
        alone_from: int,
        *,
        erasing: bool = False,
    ) -> list[OutboxMessage]:
        """Lease what is due to one worker, deliveries or (``erasing``) what is to be deleted of erased customers.

        What took ``alone_from`` workers along is leased by itself.
        """

    def begin(self, messages: Sequence[OutboxMessage], until: Instant) -> frozenset[str]:
        """Mark leased messages as sent, and renew their lease. Gives the ids that are still ours to send."""

    def mine(self, messages: Sequence[OutboxMessage]) -> frozenset[str]:
        """The ids of those leased messages that nobody else has taken over; nobody does so during this transaction."""

    def open(self, ids: Collection[str]) -> set[str]:
        """Those of the creates whose answer is open still, and stays so during this transaction."""

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

    def waiting(self, system: str, stream: str) -> dict[DeliveryVerb, int]:
        """Deliveries to a stream that wait for time or another run, not for a person, by verb."""


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

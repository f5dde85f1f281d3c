"""What a store keeps, as the engine sees it: one class for each kind of row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeAlias

from crm_master.domain.claims import Claim, ClaimKey, Instant, Interval, Shadow, Sources
from crm_master.domain.fields import Canonical, Native
from crm_master.domain.ids import EntityId, ExternalRef, RecordId
from crm_master.domain.lifecycle import (
    DeliveryState,
    DeliveryVerb,
    InboxState,
    Origin,
    RecordStatus,
    TaskKind,
)
from crm_master.domain.survivorship import Winner

KnownAs: TypeAlias = dict[str, dict[tuple[str, str], list[str]]]
"""By reference, and by stream (system, stream): the records that those whom it names have there, the primary first."""


@dataclass(slots=True)
class SourceRecord:
    """A record of a system: what it asserts, what it shows, and whose it is.

    ``gone``: when it was deleted, or merged into the record ``alias_of``. ``since``: when it was first known. Of the records
    of one customer in one stream the ``primary`` one receives writes: one that a person has ``pinned``, else the oldest.
    ``placed``: the customer to whom a person has linked it.
    """

    rec_id: RecordId
    ref: ExternalRef
    entity: str
    entity_id: EntityId | None = None
    status: RecordStatus = RecordStatus.LIVE
    gone: Interval | None = None
    alias_of: RecordId | None = None
    primary: bool = True
    pinned: bool = False
    since: Instant = 0
    placed: EntityId | None = None
    origin: Origin = Origin.SOURCE
    claims: dict[ClaimKey, Claim] = field(default_factory=dict)
    shadow: Shadow = field(default_factory=Shadow)
    raw_hash: bytes = b""
    mapping_hash: str = ""
    reread: bool = False  # read again: what was seen is older than our last write
    blocks: frozenset[str] = frozenset()


@dataclass(slots=True)
class Landing:
    """A raw row on its way into the inbox."""

    ref: ExternalRef
    entity: str
    raw: bytes
    raw_hash: bytes
    stamp: Instant | None
    started: Instant
    ended: Instant
    watermark: Instant
    deleted: bool = False
    merged_into: str | None = None
    dead: str | None = None  # why it cannot even be tried


@dataclass(slots=True)
class InboxItem:
    """An observation that waits to be reconciled, oldest first for each record."""

    seq: int
    rec_id: RecordId
    ref: ExternalRef
    entity: str
    raw: bytes
    stamp: Instant | None
    started: Instant
    ended: Instant
    watermark: Instant
    deleted: bool
    attempts: int
    state: InboxState = InboxState.PENDING
    merged_into: str | None = None


class Read(NamedTuple):
    """Where an observation comes from: the run that read it, when, and the run that reconciled it (empty: none yet)."""

    run: str
    started: Instant
    ended: Instant
    reconciled_in: str


@dataclass(slots=True)
class Customer:
    """A master entity with its golden record. ``version`` counts every change of its live claims."""

    id: EntityId
    entity: str
    version: int = 0
    golden: dict[str, Canonical] = field(default_factory=dict)
    winners: dict[ClaimKey, Winner] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    config_hash: str = ""
    redirect_to: EntityId | None = None
    archived: bool = False  # kept, and told to nobody: its record was deleted, and policy says so
    known_as: KnownAs = field(default_factory=dict)  # looked up when it is needed, and not kept


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """The values that a version superseded; ``causes`` are the observations behind it.

    ``superseded`` maps a field to ``[value, won]``, or to ``[]`` where nobody had spoken of it. ``won`` says whose the value
    was: ``{element or "": [record, seq, rule]}``, of a list only the elements that the version took away.
    """

    entity_id: EntityId
    version: int
    at: Instant
    superseded: Mapping[str, Any]
    causes: tuple[int, ...]
    run_id: str


@dataclass(frozen=True, slots=True)
class LinkEntry:
    """A decision about whose a record is."""

    rec_id: RecordId
    entity_id: EntityId
    verb: str  # link, new, bind, alias; by a person: merge, split, move, unlink, pin
    author: str
    evidence: Mapping[str, Any]
    at: Instant = field(default=0, compare=False)  # when it was recorded, in what is read back
    seq: int = field(default=0, compare=False)  # its place in the log


@dataclass(slots=True)
class OutboxMessage:
    """That a customer changed for one target: a linked record, or (``rec_id`` None) a stream where it shall be created."""

    entity_id: EntityId
    entity: str
    system: str
    stream: str
    rec_id: RecordId | None
    version: int
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    fence: int = 0
    not_before: Instant = 0
    reason: str = ""
    sent: dict[str, Native] = field(default_factory=dict)
    deaths: int = 0  # how many workers in a row took it, and were not heard of again
    verb: DeliveryVerb = DeliveryVerb.WRITE

    @property
    def id(self) -> str:
        return f"{self.entity_id}:{self.rec_id or f'{self.system}/{self.stream}'}"

    @property
    def in_doubt(self) -> bool:
        """Whether this is a create that may have been made already."""
        return self.rec_id is None and self.state in (DeliveryState.SENT, DeliveryState.UNKNOWN)

    def become(self, other: OutboxMessage) -> None:
        """Be as another state of the same message was."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """A step of a delivery, for the journal: an intent, or how it was settled."""

    rec_id: RecordId | None
    ref: ExternalRef | None
    entity_id: EntityId
    system: str
    stream: str
    version: int
    operation: str  # create, update, delete
    outcome: str
    """intent, written, moved, deleted, existed, found, noop, stale, gone, retry, refused, refused in part, unknown"""
    at: Instant = 0
    sent: Mapping[str, Native] = field(default_factory=dict)
    held: Mapping[str, Native] = field(default_factory=dict)
    reason: str = ""
    sources: Mapping[str, Sources] = field(default_factory=dict)
    children: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of list fields in ``held`` or ``sent``: the key of each element, by the key that the system gives it."""


@dataclass(slots=True)
class Task:
    """A question to a person, or something to repair. One open task for each ``(kind, subject)``."""

    kind: TaskKind
    subject: str
    payload: dict[str, Any]
    id: int = 0
    open: bool = True
    opened: Instant = 0
    closed: Instant = 0
    decision: dict[str, Any] | None = None


@dataclass(slots=True)
class StreamState:
    """Where the reading of one stream stands. ``watermark`` is the start of its last complete read, on the hub's clock."""

    system: str
    stream: str
    cursor: str | None = None
    watermark: Instant = 0
    scan_started: Instant = 0  # of the scan under way; 0: none is
    complete_at: Instant = 0
    fulls: int = 0  # complete, error-free full scans
    scan_errors: int = 0  # rows of the scan under way, or the last one, that could not be read
    full: bool = False  # the scan under way, or the last one, reads everything
    absences: Instant = 0  # start of a full scan whose absences are still to be confirmed; 0: none


@dataclass(slots=True)
class RunEntry:
    """One execution and its ledger of counts."""

    id: str
    verb: str
    target: str
    started: Instant
    finished: Instant = 0
    status: str = "running"
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class Receipt:
    """That a customer was erased: who asked, when, and for each system what was done or what a person must still do.

    ``customers`` are all ids that the customer had, ``shared`` those who were once one with it and began anew. ``state`` is
    ``deleting`` while keys wait in the outbox, ``erased`` until the database's files are clean as well, then ``done``.
    Holds no personal data of the customer.
    """

    id: str
    entity: str
    customers: list[EntityId]
    at: Instant
    author: str
    reason: str
    state: str = "erased"
    systems: list[dict[str, Any]] = field(default_factory=list)
    shared: list[EntityId] = field(default_factory=list)
    lifted_at: Instant = 0
    lifted_by: str = ""


@dataclass(frozen=True, slots=True)
class Suppression:
    """What must not come back: ``text`` is only ever stored as a keyed hash, and so are the texts of ``unless``.

    ``names`` are the identity keys that it is made of; none for an external id. ``unless`` tells by other keys who it is
    not: a record that shows other values of one of these is another person.
    """

    text: str
    entity: str
    names: tuple[str, ...] = ()
    unless: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """The configuration in force since ``at``. ``swept`` holds, by entity, under which mapping of each stream its records
    and customers are: ``{"customer": {"erp/parties": hash}}``; an entity that is missing is still to be swept.
    """

    hash: str
    at: Instant
    swept: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of the journal's spine: what was committed together, in which order."""

    pos: int
    at: Instant
    kind: str
    """reconcile, remap, sweep, intent, settle, activate, decide, link, configure, undo, erase, erased"""
    detail: Mapping[str, Any]

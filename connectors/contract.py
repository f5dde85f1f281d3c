"""What the engine and a connector promise each other. Standard library only.

A connector knows one kind of system. It speaks in documents: a record of the system in the system's own
representation, as plain JSON values. What the fields of a document mean is the business of a mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

Document: TypeAlias = dict[str, Any]
"""A record in the system's own representation: what ``json.loads`` can give, nothing else."""


class Scan(StrEnum):
    """How much of a stream a read covers."""

    DELTA = "delta"  # what changed since the cursor
    FULL = "full"  # every record: afterwards absence has a meaning


class Guard(StrEnum):
    """How a stream protects a write against an edit made in the meantime (RULES 6)."""

    ETAG = "etag"  # the system compares and sets: a stale write is answered by ``Stale``
    REREAD = "reread"  # the hub reads again just before it writes, and compares
    NONE = "none"  # neither: the system's documentation names the window


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as a system gave it.

    ``stamp`` is the system's own record-level change time in UTC, on the system's clock; ``None`` where it has none.
    ``deleted`` is true for a tombstone that the system itself reports; ``merged_into`` then is the key of the record of the
    same stream that this one has become a part of, where the system says so. ``etag`` is the system's version mark.
    """

    key: str
    document: Document
    stamp: datetime | None = None
    etag: str | None = None
    deleted: bool = False
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be turned into a record: kept as bytes, with the reason."""

    raw: bytes
    reason: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a read, ready to be committed together with its cursor.

    ``cursor`` is opaque: handing it to the next ``read`` goes on behind this page, also after a crash. ``complete`` marks
    the last page of a scan. ``started`` and ``ended`` are the hub's clock (UTC) before the request and after the answer.
    """

    records: tuple[RawRecord, ...]
    cursor: str | None
    complete: bool
    scan: Scan
    started: datetime
    ended: datetime
    rejects: tuple[BadRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one stream of one system can do; the engine asks before it plans."""

    delta: bool  # has a changed-since read; else every read is full
    create: bool = False
    update: bool = False
    delete: bool = False
    find: bool = False  # an unknown create can be looked up by its correlation key or its content
    guard: Guard = Guard.REREAD
    full_payload: bool = True  # a path that is absent from a document is empty, not unknown
    absence: bool = True  # a full read shows every record: one that it does not show may be gone


LONGEST_REQUEST = 300
"""Seconds that a request with an effect may take at worst, waiting for its turn included: leases outlast it (RULES 23)."""


@dataclass(frozen=True, slots=True)
class WriteCommand:
    """One write, as a pair of documents: the state that was read, and the state that is wanted.

    ``key`` is ``None`` for a create; ``before`` is then ``{}``. The connector derives the smallest request from the
    difference. ``correlation`` is the same for every attempt at the same create.
    """

    id: str
    stream: str
    key: str | None
    before: Document
    after: Document
    correlation: str
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The system holds the write. ``record`` is what it holds now, as it answered or as read again."""

    key: str
    record: RawRecord | None = None
    existed: bool = False  # a create found the record already there (it is bound, not made)


@dataclass(frozen=True, slots=True)
class Stale:
    """Somebody changed the record since ``before`` was read. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The record is no longer there."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing was written, and a later attempt may succeed. ``partial``: some of it was written.

    ``limited``: too much was asked of the system, or its budget is used up.
    """

    reason: str
    after: timedelta | None = None
    partial: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The system will not take this write, however often it is sent. ``reason`` holds no personal data.

    ``partial``: some of it was written before the system refused the rest. ``missing``: ``path`` names something by a code
    that the system does not have; it will take the write when it has.
    """

    reason: str
    path: str | None = None
    partial: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may or may not have taken effect: the answer was lost."""

    reason: str


Outcome: TypeAlias = Written | Stale | Gone | Retry | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to a connectivity check: whether it works, and what to do if not."""

    ok: bool
    detail: str
    facts: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Source(Protocol):
    """A system that can be read."""

    def capabilities(self, stream: str) -> Capabilities: ...

    def check(self, stream: str) -> Health:
        """One cheap request that shows whether address, credentials and rights are right. Never raises."""

    def read(self, stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        """Pages of records, lazily. Raises the classes of ``connectors.errors``.

        With ``Scan.DELTA`` and no cursor, or where the stream has no delta, the read is full and the pages say so.
        """

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        """The present state of single records; ``None`` for one that is gone. Raises ``connectors.errors``.

        One that was merged into another is a tombstone that says so, where the system does.
        """


@runtime_checkable
class Sink(Source, Protocol):
    """A system that can be written."""

    def find(self, stream: str, command: WriteCommand) -> Sequence[RawRecord]:
        """The records that a create may have made: by its correlation key, else by its content. Usually none or one."""

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        """One outcome for each command, in order. Never raises for a command: faults are outcomes."""

"""The border between the engine and a store: the rows that cross it, and the repositories that take and give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from crm_master.domain.claims import Instant
from crm_master.ports.journal import Journal, Runs, States
from crm_master.ports.locks import Level, NotLocked
from crm_master.ports.operations import Operations, RaisedAlert, Tally
from crm_master.ports.privacy import Erasures, Suppressions
from crm_master.ports.repositories import Customers, Facts, Inbox, Outbox, Records, Sightings, Tasks
from crm_master.ports.rows import (
    Applied,
    Commit,
    Customer,
    DeliveryEntry,
    HistoryEntry,
    InboxItem,
    KnownAs,
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
from crm_master.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

Clock: TypeAlias = Callable[[], Instant]

__all__ = [
    "Applied",
    "Clock",
    "Commit",
    "Customer",
    "Customers",
    "DeliveryEntry",
    "Erasures",
    "Facts",
    "HistoryEntry",
    "Inbox",
    "InboxItem",
    "Journal",
    "KnownAs",
    "Landing",
    "Level",
    "LinkEntry",
    "NotLocked",
    "Operations",
    "Outbox",
    "OutboxMessage",
    "RaisedAlert",
    "Read",
    "Receipt",
    "Records",
    "RunEntry",
    "Runs",
    "Sightings",
    "SourceRecord",
    "States",
    "StreamState",
    "Suppression",
    "Suppressions",
    "Tally",
    "Task",
    "Tasks",
    "UnitOfWork",
    "UnitOfWorkFactory",
]

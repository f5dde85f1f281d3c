"""The border between the engine and a store: the rows that cross it, and the repositories that take and give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from crm_master.domain.claims import Instant
from crm_master.ports.repositories import (
    Customers,
    Inbox,
    Journal,
    Outbox,
    Records,
    States,
    Tasks,
    UnitOfWork,
    UnitOfWorkFactory,
)
from crm_master.ports.rows import (
    Commit,
    Customer,
    DeliveryEntry,
    HistoryEntry,
    InboxItem,
    Landing,
    LinkEntry,
    OutboxMessage,
    RunEntry,
    SourceRecord,
    StreamState,
    Task,
)

Clock: TypeAlias = Callable[[], Instant]

__all__ = [
    "Clock",
    "Commit",
    "Customer",
    "Customers",
    "DeliveryEntry",
    "HistoryEntry",
    "Inbox",
    "InboxItem",
    "Journal",
    "Landing",
    "LinkEntry",
    "Outbox",
    "OutboxMessage",
    "Records",
    "RunEntry",
    "SourceRecord",
    "States",
    "StreamState",
    "Task",
    "Tasks",
    "UnitOfWork",
    "UnitOfWorkFactory",
]

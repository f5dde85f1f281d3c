"""What one batch has found out on its way through steps 3 to 8: who changed, and what is to be said and done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from crm_master.domain.claims import Instant
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import InboxState, SystemState, TaskKind
from crm_master.domain.notices import Notice, Why
from crm_master.engine.plan import EntityPlan, Hub
from crm_master.ports import (
    Customer,
    HistoryEntry,
    InboxItem,
    LinkEntry,
    OutboxMessage,
    SourceRecord,
    Task,
    UnitOfWork,
)

_NOTICE_TASKS = {
    Why.UNREADABLE: TaskKind.DEAD_LETTER,
    Why.QUARANTINED: TaskKind.QUARANTINE,
    Why.CLEAR_REVIEW: TaskKind.CLEAR,
}


@dataclass(slots=True)
class Scope:
    """What a batch is reconciled under. ``states`` are those of the systems that there are.

    With ``recorded`` links, identity is taken from them and not decided: so the journal is replayed.
    """

    hub: Hub
    plan: EntityPlan
    uow: UnitOfWork
    at: Instant
    run_id: str
    new_entity_id: Callable[[], EntityId]
    states: Mapping[str, SystemState]
    watermarks: Mapping[tuple[str, str], Instant]
    recorded: Mapping[RecordId, LinkEntry] | None


@dataclass(slots=True)
class Findings:
    """The findings of one attempt at a batch. ``counts`` are those of the whole transaction."""

    counts: Counter[str]
    customers: dict[EntityId, Customer] = field(default_factory=dict)
    touched: set[EntityId] = field(default_factory=set)  # to be recomputed
    edited: set[RecordId] = field(default_factory=set)
    reindexed: set[RecordId] = field(default_factory=set)  # found under other keys from now on
    vanished: list[SourceRecord] = field(default_factory=list)
    deleted_by_us: set[RecordId] = field(default_factory=set)
    """Of those, the ones that a delivery was to delete, and has perhaps: of these nobody has to be told."""
    gone: set[RecordId] = field(default_factory=set)  # deletions that may speak for the customer
    merged: list[SourceRecord] = field(default_factory=list)
    reused: set[RecordId] = field(default_factory=set)  # under a key that was another's before
    returned: dict[RecordId, tuple[EntityId, Mapping[str, Canonical]]] = field(default_factory=dict)
    links: int = 0  # of records of systems that have joined: the others are approved with theirs
    history: list[HistoryEntry] = field(default_factory=list)
    messages: list[OutboxMessage] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)
    believed: set[EntityId] = field(default_factory=set)
    tasks: list[Task] = field(default_factory=list)
    settled: set[tuple[TaskKind, str]] = field(default_factory=set)
    renewed: list[tuple[TaskKind, str]] = field(default_factory=list)

    def ask(self, task: Task) -> None:
        """Ask a person. Of a question that is settled and asked anew in one batch the last word counts."""
        self.tasks.append(task)
        self.settled.discard((task.kind, task.subject))

    def dead(self, item: InboxItem, reason: str) -> None:
        item.state = InboxState.DEAD
        self.counts["rejected"] += 1
        payload = {"reason": reason, "seq": item.seq}
        self.ask(Task(TaskKind.DEAD_LETTER, str(item.ref), payload))

    def notice(self, item: InboxItem, notices: Iterable[Notice]) -> None:
        for notice in notices:
            self.counts[notice.why.value] += 1
            payload = {"field": notice.field, "reason": notice.detail, "seq": item.seq}
            if notice.elements:
                payload["elements"] = list(notice.elements)
            subject = f"{item.ref}:{notice.field}"
            self.ask(Task(_NOTICE_TASKS[notice.why], subject, payload))

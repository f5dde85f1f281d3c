"""What a run did, and doing again what did not work in it (promises 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_master.domain.claims import UNSET, iso
from crm_master.domain.fields import Canonical
from crm_master.domain.lifecycle import DeliveryState, InboxState, TaskKind
from crm_master.engine.explain import NotFound
from crm_master.engine.past import changed_fields
from crm_master.ports import DeliveryEntry, HistoryEntry, RunEntry, UnitOfWork, UnitOfWorkFactory

PAGE = 500
LISTED = 100
"""How many customers, links, deliveries and tasks of a run are shown; all are counted."""


def find_run(run_id: str, uow: UnitOfWork) -> RunEntry:
    """Raises ``NotFound``."""
    entry = uow.runs.get(run_id)
    if entry is None:
        raise NotFound(f"no run {run_id!r}; `concord runs list` names them")
    return entry


def ledger(entry: RunEntry) -> dict[str, Any]:
    """A run's line in the ledger, as plain JSON."""
    return {
        "run": entry.id,
        "verb": entry.verb,
        "target": entry.target,
        "status": entry.status,
        "started": iso(entry.started),
        "seconds": (entry.finished - entry.started) / 1_000_000 if entry.finished else None,
        "counts": entry.counts,
        "error": entry.error,
    }


def by_customer(entries: list[HistoryEntry]) -> dict[str, list[HistoryEntry]]:
    """A run's entries by customer, oldest first."""
    found: dict[str, list[HistoryEntry]] = {}
    for entry in entries:
        found.setdefault(entry.entity_id, []).append(entry)
    return found


def explain_run(run_id: str, store: UnitOfWorkFactory, limit: int = LISTED) -> dict[str, Any]:
    """What a run did, as plain JSON; of each kind of thing the first ``limit``. Raises ``NotFound``."""
    with store() as uow:
        entry = find_run(run_id, uow)
        links = uow.runs.links(run_id, limit)
        refs = uow.records.get({link.rec_id for link in links})
        return ledger(entry) | {
            "observations": uow.runs.observations(run_id),
            "reconciled_in": [run for run in uow.runs.reconciled_in(run_id) if run != run_id],
            "changed": uow.runs.changed(run_id),
            "customers": list(_changes(run_id, uow, limit)),
            "links": uow.runs.link_counts(run_id),
            "linked": [
                {
                    "record": str(refs[link.rec_id].ref) if link.rec_id in refs else None,
                    "customer": link.entity_id,
                    "verb": link.verb,
                    "by": link.author,
                }
                for link in links
            ],
            "deliveries": _nested(uow.runs.outcomes(run_id)),
            "delivered": [_delivery(each) for each in uow.runs.deliveries(run_id, limit)],
            "undelivered": _nested(uow.runs.undelivered(run_id)),
            "tasks": [
                {"id": task.id, "kind": task.kind.value, "subject": task.subject, "open": task.open}
                for task in uow.tasks.of_run(run_id, 0, limit)
            ],
        }


def _changes(run_id: str, uow: UnitOfWork, limit: int) -> Iterator[dict[str, Any]]:
    mine = by_customer(uow.runs.changes(run_id, "", limit))
    customers, histories = uow.customers.get(mine.keys()), uow.customers.histories(mine.keys())
    for entity_id, entries in mine.items():
        golden = customers[entity_id].golden if entity_id in customers else {}
        fields = changed_fields(entries, histories[entity_id], golden)
        yield {
            "customer": entity_id,
            "version": entries[-1].version,
            "at": iso(entries[-1].at),
            "fields": {
                name: {"before": said(change.before), "after": said(change.after)}
                for name, change in sorted(fields.items())
            },
        }


def said(value: Canonical) -> Canonical:
    """A value as JSON has it: null also where nobody spoke of it."""
    return None if value is UNSET else value


def _delivery(entry: DeliveryEntry) -> dict[str, Any]:
    return {
        "customer": entry.entity_id,
        "target": str(entry.ref) if entry.ref else f"{entry.system}/{entry.stream}",
        "operation": entry.operation,
        "outcome": entry.outcome,
        "version": entry.version,
        "sent": dict(entry.sent),
        "reason": entry.reason,
    }


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (system, what), number in sorted(counts.items()):
        found.setdefault(system, {})[what] = number
    return found


@dataclass(slots=True)
class Replayed:
    """What of a run is done again, or would be. ``left`` names deliveries that are not, each with the reason."""

    run: str
    observations: int = 0
    superseded: int = 0
    need_a_new_read: int = 0
    deliveries: dict[str, int] = field(default_factory=dict)
    left: list[dict[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "observations": self.observations,
            "superseded": self.superseded,
            "need_a_new_read": self.need_a_new_read,
            "deliveries": self.deliveries,
            "left": self.left,
        }


def replay(
    run_id: str,
    store: UnitOfWorkFactory,
    can_find: Callable[[str, str], bool],
    *,
    really: bool = True,
    tell: Callable[[Mapping[str, int]], None] = lambda counts: None,
) -> Replayed:
    """Put what a run read or reconciled back into the inbox, and what could not be delivered back into the outbox.

    An observation is replayed only where none newer of its record is there. Safe: what equals the shadow asserts nothing,
    and what was read before the hub's last write is read anew. A create whose answer was lost is tried again only where the
    system can be searched for it (``can_find``): else a person must look first (RULES 24). Not ``really``: as if, and
    nothing is kept. Raises ``NotFound``.
    """
    done = Replayed(run_id)
    with store() as uow:
        find_run(run_id, uow)
    for seqs in _observations(run_id, done, store):
        with store() as uow:
            again = uow.inbox.requeue(seqs)
            if really:
                uow.commit()
        done.observations += again
        done.superseded += len(seqs) - again
        tell({"requeued": again})
    after = ""
    while True:
        with store() as uow:
            messages = uow.runs.set_aside(run_id, after, PAGE)
            if not messages:
                return done
            after = messages[-1].id
            again_ids = []
            for message in messages:
                target = f"{message.system}/{message.stream}"
                doubtful = message.state is DeliveryState.HELD
                if doubtful and not can_find(message.system, message.stream):
                    why = "it may have been made, and the system cannot be searched for it: decide its task"
                    done.left.append({"delivery": message.id, "target": target, "why": why})
                    continue
                again_ids.append(message.id)
                done.deliveries[target] = done.deliveries.get(target, 0) + 1
            uow.outbox.retry(again_ids)
            if really:
                uow.commit()
        tell({"retried": len(again_ids)})


def _observations(run_id: str, done: Replayed, store: UnitOfWorkFactory) -> Iterator[list[int]]:
    """The observations that a run read, reconciled, or gave up, in batches; those that were no records are counted."""
    after = 0
    while True:
        with store() as uow:
            items = uow.inbox.read_in(run_id, after, PAGE)
        if not items:
            break
        after = items[-1].seq
        never = [item for item in items if item.state is InboxState.DEAD and not item.attempts]
        done.need_a_new_read += len(never)
        tried = (InboxState.DONE, InboxState.DEAD)
        yield [item.seq for item in items if item.state in tried and item.attempts]
    with store() as uow:
        positions = uow.runs.positions(run_id, "reconcile")
    for pos in positions:
        with store() as uow:
            seqs = [item.seq for item in uow.inbox.applied(pos)]
        yield seqs
    after = 0
    while True:
        with store() as uow:
            tasks = uow.tasks.of_run(run_id, after, PAGE)
        if not tasks:
            return
        after = tasks[-1].id
        letters = [task.payload for task in tasks if task.kind is TaskKind.DEAD_LETTER]
        with store() as uow:
            reads = uow.inbox.reads_of([letter["seq"] for letter in letters if "seq" in letter])
        # what was given up has no place in the journal
        yield [seq for seq, read in reads.items() if not read.reconciled_in]

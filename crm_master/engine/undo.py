"""Taking back what a run did to golden records, by decisions that are claims like any other (promise 7, RULES 5).

A field goes back to the value that it had before the run, as a claim with an author, attached to the source record whose
value that was. Where that record has no say as long as another one speaks (``source_priority``), what the run had brought
there is withdrawn. Nothing is overwritten: later edits win or lose by policy, as ever, and an undo can itself be undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_master.domain.claims import UNBORN, UNSET, Claim, ClaimKey, Instant
from crm_master.domain.ids import EntityId, RecordId
from crm_master.engine.golden import counts_for, taking_part
from crm_master.engine.ledger import Run
from crm_master.engine.past import changed_fields
from crm_master.engine.plan import Hub
from crm_master.engine.restoring import Kept, OneField, Restored, Step, blank, elements_of, taken
from crm_master.engine.runs import LISTED, by_customer, find_run, said
from crm_master.engine.transactions import transact
from crm_master.engine.work import Work
from crm_master.ports import (
    Clock,
    HistoryEntry,
    Read,
    SourceRecord,
    UnitOfWork,
    UnitOfWorkFactory,
)

PAGE = 200


@dataclass(slots=True)
class Compensation:
    """What an undo does, or would do. All is counted; listed are the first ``LISTED`` of each kind."""

    run: str
    customers: int = 0
    fields: int = 0
    already: int = 0
    not_undone: int = 0
    restored: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "customers": self.customers,
            "fields": self.fields,
            "already": self.already,
            "not_undone": self.not_undone,
            "restored": self.restored,
            "kept": self.kept,
            "notes": self.notes,
        }

    def add(self, found: Iterable[Restored | Kept | None], names: Mapping[RecordId, str]) -> None:
        """Book what was found of some customers; ``None`` is a field that is as before already."""
        customers: set[EntityId] = set()
        for item in found:
            if item is None:
                self.already += 1
            elif isinstance(item, Kept):
                self.not_undone += 1
                if len(self.kept) < LISTED:
                    self.kept.append(item.as_dict())
            else:
                customers.add(item.customer)
                self.fields += 1
                if len(self.restored) < LISTED:
                    self.restored.append(_shown(item, names))
        self.customers += len(customers)


def _shown(item: Restored, names: Mapping[RecordId, str]) -> dict[str, Any]:
    setting = [names[step.record] for step in item.steps if step.value is not UNSET]
    withdrawn = [names[step.record] for step in item.steps if step.value is UNSET]
    return {
        "customer": item.customer,
        "field": item.field,
        "now": said(item.now),
        "then": said(item.then),
        "claimed_in": sorted(set(setting)),
        "withdrawn_from": sorted(set(withdrawn)),
    }


def plan(hub: Hub, run_id: str, store: UnitOfWorkFactory, at: Instant) -> Compensation:
    """What ``undo`` would do now. Commits nothing. Raises ``NotFound``."""
    found = Compensation(run_id)
    with store() as uow:
        found.notes += _notes(run_id, uow)
    after: EntityId | None = ""
    while after is not None:
        with store() as uow:
            page = Page(hub, run_id, uow, after, at)
            found.add(page.found, page.names)
            after = page.last
    return found


def undo(
    hub: Hub,
    run_id: str,
    author: str,
    store: UnitOfWorkFactory,
    clock: Clock,
    new_entity_id: Callable[[], EntityId],
    run: Run,
) -> Compensation:
    """Take back what a run did, some customers in a transaction, and queue the deliveries. Raises ``NotFound``.

    Each page is planned again under locks. Whoever is cut off goes on by asking again: what went back stays as it is.
    """
    done = Compensation(run_id)
    with store() as uow:
        done.notes += _notes(run_id, uow)
    after: EntityId | None = ""
    while after is not None:

        def once(uow: UnitOfWork, after: EntityId = after) -> tuple[Page, Counter[str]]:
            at, counts = clock(), Counter[str]()
            page = Page(hub, run_id, uow, after, at, lock=True)
            steps = [s for item in page.found if isinstance(item, Restored) for s in item.steps]
            if steps:
                detail = {
                    "run": run_id,
                    "author": f"{author}, undoing {run_id}",
                    "steps": [step.as_dict() for step in steps],
                }
                uow.journal.commit("undo", at, run.id, detail)
                compensate(detail, uow, at)
            for entity, ids in page.restored().items():
                work = Work(hub, hub.entities[entity], uow, at, new_entity_id, run.id)
                work.sweep(ids)
                counts += work.counts
            return page, counts

        page, counts = transact(store, once)
        run.add(counts)
        done.add(page.found, page.names)
        after = page.last
    run.add({"restored": done.fields, "not_undone": done.not_undone})
    return done


def compensate(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant) -> None:
    """A recorded compensation, done: by ``undo``, and again when the journal is replayed."""
    steps = [Step.load(row) for row in detail["steps"]]
    customers = uow.customers.get({step.customer for step in steps})
    records = uow.records.get({step.record for step in steps}, lock=True)
    for step in steps:
        record, customer = records[step.record], customers[step.customer]
        record.claims = dict(taken(record.claims, customer, step, at, detail["author"]))
    uow.records.save(list(records.values()))


def _notes(run_id: str, uow: UnitOfWork) -> Iterator[str]:
    """What of a run is beside golden records, and so stays as it is."""
    entry = find_run(run_id, uow)
    if entry.status == "running":
        yield "the run has not ended, or died: what it may still commit is not undone"
    changed = uow.runs.changed(run_id)
    elsewhere = [run for run in uow.runs.reconciled_in(run_id) if run != run_id]
    if not changed and elsewhere:
        yield f"it only read; what it read was reconciled in: {', '.join(elsewhere)}. Undo that"
    outcomes = uow.runs.outcomes(run_id)
    if not changed and outcomes:
        yield "it only delivered; undo the run that changed the golden records"
    if not (changed or elsewhere or outcomes):
        yield "it changed no golden record that was there before it"
    for verb, number in uow.runs.link_counts(run_id).items():
        if verb == "new":
            yield f"{number} customers were made by it; they stay"
        else:
            yield f"{number} links were made by it ({verb}); they stay, and so do the records that it linked"
    for ref in uow.runs.gone(run_id, LISTED):
        yield f"{ref} is gone from its system; it is not made again"


class Page:
    """Some customers that a run changed, and what of each field can go back."""

    def __init__(
        self,
        hub: Hub,
        run_id: str,
        uow: UnitOfWork,
        after: EntityId,
        at: Instant,
        *,
        lock: bool = False,
    ) -> None:
        self.hub = hub
        self.run_id = run_id
        self.at = at
        mine = by_customer(uow.runs.changes(run_id, after, PAGE))
        self.last: EntityId | None = max(mine) if mine else None
        self.customers = uow.customers.get(mine.keys(), lock=lock)
        self.histories = uow.customers.histories(mine.keys())
        self.members: dict[EntityId, list[SourceRecord]] = {}
        states = taking_part(hub, uow.states.systems())
        members = uow.records.of_entities(mine.keys(), lock=lock)
        for record in members:
            if counts_for(record, states) and record.entity_id is not None:
                self.members.setdefault(record.entity_id, []).append(record)
        self.made = uow.runs.made(run_id, mine.keys())
        self.unread = uow.inbox.unread({record.rec_id for record in members})
        self.reads = uow.inbox.reads_of(
            {claim.seq for record in members for claim in record.claims.values()}
        )
        bound = uow.runs.bound_since(run_id, mine.keys())
        refs = uow.records.get({entry.rec_id for entry in bound})
        self.names = {record.rec_id: str(record.ref) for record in [*members, *refs.values()]}
        self.found: list[Restored | Kept | None] = []
        for entity_id, entries in mine.items():
            self.found += self._customer(entity_id, entries)
        for entry in bound:
            name = self.names.get(entry.rec_id, "a record")
            why = f"{name} was made or bound for this customer since; it stays"
            self.found.append(Kept(entry.entity_id, None, why))

    def restored(self) -> dict[str, list[EntityId]]:
        """The customers with a field that goes back, by entity."""
        found: dict[str, list[EntityId]] = {}
        for id_ in sorted({item.customer for item in self.found if isinstance(item, Restored)}):
            found.setdefault(self.customers[id_].entity, []).append(id_)
        return found

    def _customer(
        self, entity_id: EntityId, entries: Sequence[HistoryEntry]
    ) -> Iterator[Restored | Kept | None]:
        customer = self.customers.get(entity_id)
        if customer is None:
            return
        records = self.members.get(entity_id, [])
        waiting = sorted(self.names[r.rec_id] for r in records if r.rec_id in self.unread)
        whole = ""
        if customer.redirect_to is not None:
            whole = f"it was merged into {customer.redirect_to} since"
        elif entity_id in self.made:
            whole = "the run made this customer: there is nothing before to go back to"
        elif customer.entity not in self.hub.entities:
            whole = f"no entity {customer.entity!r} is configured any more"
        elif waiting:
            whole = f"{waiting[0]} was read since, and waits: run `concord reconcile`"
        if whole:
            yield Kept(entity_id, None, whole)
            return
        policy = self.hub.entities[customer.entity].policy
        history = self.histories[entity_id]
        for name, change in sorted(changed_fields(entries, history, customer.golden).items()):
            one = OneField(customer, records, policy, name, change, self.at)
            if name not in policy.entity.fields:
                yield Kept(entity_id, name, "no such field is configured any more")
            elif name in customer.withheld:
                yield Kept(
                    entity_id, name, "it is contested: decide that first (`concord conflicts`)"
                )
            elif blank(one.now) == blank(change.before):
                yield None
            elif one.many:
                yield from self._list(one)
            elif why := self._newer(one, None) or self._changed_since(one, history):
                yield Kept(entity_id, name, why)
            else:
                yield one.back()

    def _changed_since(self, one: OneField, history: Sequence[HistoryEntry]) -> str:
        """The run that changed a field after this one, if any: a newer claim may have gone again, a record left."""
        runs = [
            e.run_id for e in history if e.version > one.change.last and one.name in e.superseded
        ]
        return f"changed since, in run {runs[-1]}" if runs else ""

    def _list(self, one: OneField) -> Iterator[Restored | Kept | None]:
        """A list goes back element by element: those that nobody has touched since."""
        before, after, now = elements_of(one.change.before, one.change.after, one.now)
        back, kept = [], False
        for element in sorted(before.keys() | after.keys()):
            if before.get(element) == after.get(element):
                continue
            newer = self._newer(one, element)
            if now.get(element) == before.get(element) and not newer:
                continue
            if newer or now.get(element) != after.get(element):
                why, kept = newer or "changed since", True
                yield Kept(one.customer.id, one.name, f"element {element}: {why}")
            else:
                back.append(element)
        if back:
            yield one.elements_back(back)
        elif not kept:
            yield None

    def _newer(self, one: OneField, element: str | None) -> str:
        """Who has spoken of a field (of an element) since the run, if anybody: what a person did is not undone."""
        for record in one.records:
            claim = record.claims.get(ClaimKey(one.name, element))
            if claim is None or UNBORN < claim.born <= one.change.last:
                continue
            read = self.reads.get(claim.seq)
            if claim.author is None and read is not None and read.reconciled_in == self.run_id:
                continue
            return f"changed since, by {_who(claim, self.names[record.rec_id], read)}"
        return ""


def _who(claim: Claim, name: str, read: Read | None) -> str:
    if claim.author is not None:
        return f"{claim.author} (in {name})"
    return f"{name}, read in run {read.run}" if read else name

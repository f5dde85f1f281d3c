"""What people decide: letting a system in, and the questions that policy leaves open (RULES 5, 9, 16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crm_master.domain.claims import UNSET, Claim, ClaimKey, Instant
from crm_master.domain.fields import Native
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import SystemState, TaskKind
from crm_master.engine import erasure, fuses, linking, merging
from crm_master.engine.explain import find_customer
from crm_master.engine.foresight import held_in
from crm_master.engine.fuses import Fuse
from crm_master.engine.golden import fan_out, recompute, taking_part
from crm_master.engine.plan import Hub, SystemPlan
from crm_master.ports import (
    Clock,
    Customer,
    LinkEntry,
    SourceRecord,
    Task,
    UnitOfWork,
    UnitOfWorkFactory,
)

PAGE = 500
EXAMPLES = 3
_ERASED = ("done", "kept")  # there too; or they must stay, by law


class NotReady(Exception):
    """A system cannot join yet; the text says what is missing."""


class Undecidable(Exception):
    """A task does not take this decision; the text says which it takes."""


@dataclass(frozen=True, slots=True)
class Example:
    """What a record shows in one field, and what it would be sent: of a group, the members that differ."""

    record: str
    held: Native
    new: Native

    def as_dict(self) -> dict[str, Any]:
        return {"record": self.record, "held": self.held, "new": self.new}


@dataclass(slots=True)
class Preview:
    """What would happen if some systems joined now. Nothing of it has happened. The examples hold personal data."""

    systems: tuple[str, ...]
    records: dict[str, int] = field(default_factory=dict)
    not_ready: dict[str, str] = field(default_factory=dict)
    shared: int = 0
    customers: int = 0
    changed: int = 0
    conflicts: int = 0
    creates: Counter[str] = field(default_factory=Counter)
    updates: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "systems": list(self.systems),
            "records": self.records,
            "not_ready": self.not_ready,
            "customers": self.customers,
            "in_several_systems": self.shared,
            "golden_changed": self.changed,
            "conflicts": self.conflicts,
            "creates": dict(self.creates),
            "updates": dict(self.updates),
            "fields": dict(self.fields),
            "examples": {
                name: [example.as_dict() for example in examples]
                for name, examples in self.examples.items()
            },
        }


def joining(hub: Hub, uow: UnitOfWork) -> list[str]:
    """The systems that wait to be let in."""
    states = uow.states.systems()
    return [name for name in hub.systems if states.get(name) is SystemState.JOINING]


def not_ready(hub: Hub, system: SystemPlan, uow: UnitOfWork) -> str | None:
    """Why a system cannot join yet: it needs one error-free full scan, decided to the end."""
    for stream in system.streams.values():
        state = uow.states.stream(stream.system, stream.stream)
        if stream.reads and not state.fulls:
            if state.scan_errors:
                return f"{state.scan_errors} rows of {stream.name} could not be read: see `concord dlq list`"
            return f"{stream.name} has not been read completely yet: run `concord ingest`"
    waiting = sum(uow.inbox.pending(entity) for entity in hub.entities)
    if waiting:
        return f"{waiting} records wait in the inbox: run `concord reconcile`"
    return None


def preview(
    hub: Hub,
    systems: tuple[str, ...],
    store: UnitOfWorkFactory,
    at: Instant,
    examples: int = EXAMPLES,
) -> Preview:
    """Reconcile everything as if ``systems`` had joined, and count what would be written. Commits nothing.

    Of each field it keeps the first few ``examples``.
    """
    found = Preview(systems)
    with store() as uow:
        states = taking_part(hub, uow.states.systems())
        creating = _creating(hub, systems)
        for name in systems:
            states[name] = joined_state(hub.systems[name])
            reason = not_ready(hub, hub.systems[name], uow)
            if reason is not None:
                found.not_ready[name] = reason
            for stream in hub.systems[name].streams.values():
                found.records[stream.name] = uow.records.count(name, stream.stream)["live"]
        for entity, plan in hub.entities.items():
            after = ""
            while customers := uow.customers.scan(entity, after, PAGE):
                after = customers[-1].id
                members: dict[EntityId, list[SourceRecord]] = {}
                for record in uow.records.of_entities({customer.id for customer in customers}):
                    members.setdefault(record.entity_id or "", []).append(record)
                for customer in customers:
                    records = members.get(customer.id, [])
                    if entity in creating or any(r.ref.system in systems for r in records):
                        made = recompute(plan, customer, records, states)
                        out = fan_out(hub, plan, customer, made.reconciled, records, states, {}, at)
                        found.customers += 1
                        found.shared += len({record.ref.system for record in records}) > 1
                        found.changed += bool(made.changes)
                        found.conflicts += bool(made.reconciled.conflicts)
                        found.creates.update(stream.name for stream in out.creates)
                        for record, needed in out.patches:
                            name = f"{record.ref.system}/{record.ref.stream}"
                            found.updates[name] += bool(needed.writes)
                            found.fields.update(f"{name}.{part}" for part in needed.writes)
                            for part, new in needed.writes.items():
                                shown = found.examples.setdefault(f"{name}.{part}", [])
                                if len(shown) < examples:
                                    held = held_in(plan, record, part, new)
                                    shown.append(Example(str(record.ref), held, new))
    return found


def joined_state(system: SystemPlan) -> SystemState:
    return SystemState.OBSERVE if system.observe else SystemState.ACTIVE


def approve(
    hub: Hub, systems: tuple[str, ...], store: UnitOfWorkFactory, clock: Clock, run_id: str
) -> int:
    """Let systems in. Gives how many customers the next reconcile looks at again. Raises ``NotReady``."""
    with store() as uow:
        for name in systems:
            reason = not_ready(hub, hub.systems[name], uow)
            if reason is not None:
                raise NotReady(f"{name} cannot join yet: {reason}")
        at = clock()
        detail = {name: joined_state(hub.systems[name]).value for name in systems}
        uow.journal.commit("activate", at, run_id, detail)
        for name in systems:
            uow.states.save_system(name, joined_state(hub.systems[name]), at)
        marked = sum(uow.customers.mark_dirty(system=name) for name in systems)
        creating = _creating(hub, systems)
        marked = 0 if creating else marked
        for entity in creating:
            after = ""
            while customers := uow.customers.scan(entity, after, PAGE):
                after = customers[-1].id
                marked += uow.customers.mark_dirty(ids=[customer.id for customer in customers])
        # who approves a preview approves the deliveries that it shows
        for stream in hub.streams():
            if marked:
                uow.states.allow(fuses.subject(Fuse.WRITES, stream.name), marked)
        uow.commit()
    return marked


def _creating(hub: Hub, systems: tuple[str, ...]) -> set[str]:
    """The entities whose customers may be created in one of these systems, wherever they are known so far."""
    return {
        stream.entity
        for name in systems
        for stream in hub.systems[name].streams.values()
        if stream.creates is not None
    }


def rejoin(hub: Hub, store: UnitOfWorkFactory, clock: Clock, run_id: str) -> list[str]:
    """Have every system join anew, as after a restore from a backup: what the shadows say is then out of date (RULES 16).

    Nothing is written anywhere until each system was read whole and approved again. Gives their names.
    """
    with store() as uow:
        at = clock()
        names = list(hub.systems)
        uow.journal.commit("activate", at, run_id, dict.fromkeys(names, SystemState.JOINING.value))
        for name in names:
            uow.states.save_system(name, SystemState.JOINING, at)
        for stream in hub.streams():
            state = uow.states.stream(stream.system, stream.stream)
            state.cursor, state.scan_started, state.fulls = None, 0, 0
            uow.states.save_stream(state)
        uow.commit()
    return names


def decide(
    task_id: int,
    answer: str,
    author: str,
    store: UnitOfWorkFactory,
    clock: Clock,
    new_entity_id: Callable[[], EntityId],
    run_id: str,
) -> Task:
    """Carry out a person's answer to a task. Raises ``Undecidable`` naming the answers that the task takes.

    Answers: of a conflict the record (``system/stream/key``) that is right; of an emptied field, or of elements that
    vanished from one, ``accept`` or ``restore``; of a quarantine ``release``; of a match a customer's id or ``new``; of a
    merge the record that the other became a part of, or ``apart``; of an unknown create ``retry`` or ``drop``; of a refused
    write ``retry`` or ``seen``; of a request to erase ``done`` or ``kept``. All others only take ``seen``.
    """
    with store() as uow:
        task = uow.tasks.get(task_id)
        if task is None or not task.open:
            raise Undecidable(f"no open task {task_id}; `concord conflicts` lists them")
        at = clock()
        if task.kind is TaskKind.ERASE:
            if answer not in _ERASED:
                raise Undecidable(f"a request to erase takes the answers: {', '.join(_ERASED)}")
            erasure.answer(task, answer, author, at, uow)
            uow.commit()
            return task
        detail = {
            "kind": task.kind.value,
            "subject": task.subject,
            "payload": task.payload,
            "answer": answer,
            "author": author,
        }
        if task.kind is TaskKind.MATCH and answer == "new":
            detail["new_id"] = new_entity_id()
        change = None
        if task.kind is TaskKind.MERGE:
            change = merging.proposed(task.payload, answer, uow)
        if change is not None:
            detail["link"] = change.detail(author, task.payload["reason"])
        pos = uow.journal.commit("decide", at, run_id, detail)
        carry_out(detail, uow, at, pos)
        if change is not None:
            linking.retire(change, uow, at)
        uow.tasks.decide(task_id, {"answer": answer, "author": author}, at)
        uow.commit()
    return task


def carry_out(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, pos: int) -> None:
    """A recorded decision, done: by the steward's command, and again when the journal is replayed."""
    kind = TaskKind(detail["kind"])
    if kind in _DECISIONS:
        _DECISIONS[kind](detail, uow, at, pos)
    elif detail["answer"] != "seen":
        raise Undecidable(f"a {kind.value} task takes the answer: seen")


def _decide_conflict(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, _pos: int) -> None:
    name = detail["payload"]["field"]
    refs = [entry["record"] for entry in detail["payload"]["contenders"]]
    if detail["answer"] not in refs:
        raise Undecidable(f"a conflict takes one of its records: {', '.join(sorted(refs))}")
    record = _find(detail["answer"], uow)
    if ClaimKey(name) not in record.claims:
        raise Undecidable(f"{detail['answer']} no longer says anything of {name}")
    customer = uow.customers.get([detail["payload"]["entity"]])[detail["payload"]["entity"]]
    claim = record.claims[ClaimKey(name)]
    record.claims[ClaimKey(name)] = Claim(
        claim.value, at, at, claim.seq, saw=customer.version, author=detail["author"]
    )
    _save(record, uow)


def _decide_clear(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, _pos: int) -> None:
    record, name = _record_of(detail, uow)
    now = record.shadow.fields[name]
    if not now.review:
        raise Undecidable(f"{detail['subject']} was filled in again meanwhile")
    if detail["answer"] == "accept":
        seq = detail["payload"]["seq"]
        saw = record.shadow.saw(name, at)
        claim = Claim(None, at, at, seq, saw=saw, author=detail["author"])
        for element in now.vanished or (None,):
            record.claims[ClaimKey(name, element)] = claim
    elif detail["answer"] != "restore":
        raise Undecidable("an emptied field takes the answers: accept, restore")
    fields = {**record.shadow.fields, name: replace(now, review=False, vanished=())}
    record.shadow = replace(record.shadow, fields=fields)
    _save(record, uow)


def _release(detail: Mapping[str, Any], uow: UnitOfWork, _at: Instant, _pos: int) -> None:
    if detail["answer"] != "release":
        raise Undecidable("a quarantine takes the answer: release")
    record, name = _record_of(detail, uow)
    now = record.shadow.fields[name]
    fresh = replace(now, quarantined=False, undone=0, undone_to=UNSET)
    record.shadow = replace(record.shadow, fields={**record.shadow.fields, name: fresh})
    _save(record, uow)


def _decide_match(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, pos: int) -> None:
    record = _find(detail["payload"]["record"], uow)
    answer = detail["answer"]
    # one that was erased since is not there any more
    known = uow.customers.get(detail["payload"]["entities"])
    named = {name: find_customer(name, uow) for name in known}
    if answer == "new":
        customer = detail["new_id"]
        uow.customers.save([Customer(customer, record.entity)], at)
    elif answer in named:
        customer = named[answer]
    else:
        raise Undecidable(f"a match takes the answers: {', '.join(['new', *named])}")
    record.entity_id = record.placed = customer
    others = uow.records.of_entities(set(named.values()) - {customer})
    uow.customers.set_apart([record.rec_id], [other.rec_id for other in others])
    verb = "new" if answer == "new" else "link"
    entry = LinkEntry(record.rec_id, customer, verb, detail["author"], {"task": True})
    uow.customers.add_links([entry], at, pos)
    _save(record, uow)


def _decide_merge(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, pos: int) -> None:
    try:
        merging.decide(detail, uow, at, pos)
    except ValueError as error:
        raise Undecidable(str(error)) from error


def _decide_unknown(detail: Mapping[str, Any], uow: UnitOfWork, _at: Instant, _pos: int) -> None:
    outbox_id = detail["subject"]
    if detail["answer"] == "retry":
        uow.outbox.retry([outbox_id])
    elif detail["answer"] == "drop":
        uow.outbox.drop([outbox_id])
        # what was set aside as perhaps ours is read as anybody's
        uow.inbox.unpark(*outbox_id.partition(":")[2].split("/", 1))
    else:
        raise Undecidable("a write of unknown outcome takes the answers: retry, drop")


def _decide_refused(detail: Mapping[str, Any], uow: UnitOfWork, _at: Instant, _pos: int) -> None:
    if detail["answer"] == "retry":
        uow.outbox.retry([detail["subject"]])
    elif detail["answer"] != "seen":
        raise Undecidable("a refused write takes the answers: retry, seen")


def _record_of(detail: Mapping[str, Any], uow: UnitOfWork) -> tuple[SourceRecord, str]:
    ref, _, name = detail["subject"].rpartition(":")
    return _find(ref, uow), name


def _find(ref: str, uow: UnitOfWork) -> SourceRecord:
    system, stream, key = ref.split("/", 2)
    rec_id = record_id(ExternalRef(system, stream, key))
    return uow.records.get([rec_id], lock=True)[rec_id]


def _save(record: SourceRecord, uow: UnitOfWork) -> None:
    uow.records.save([record])
    if record.entity_id is not None:
        uow.customers.mark_dirty(ids=[record.entity_id])


_DECISIONS: Mapping[TaskKind, Callable[[Mapping[str, Any], UnitOfWork, Instant, int], None]] = {
    TaskKind.CONFLICT: _decide_conflict,
    TaskKind.CLEAR: _decide_clear,
    TaskKind.QUARANTINE: _release,
    TaskKind.MATCH: _decide_match,
    TaskKind.MERGE: _decide_merge,
    TaskKind.UNKNOWN: _decide_unknown,
    TaskKind.REFUSED: _decide_refused,
}

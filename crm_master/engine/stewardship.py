"""What people decide: the questions that policy leaves open (RULES 5, 9, 13, 24)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crm_master.domain.claims import UNSET, Claim, ClaimKey, FieldShadow, Instant
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine import linking, merging, receipts
from crm_master.engine.explain import find_customer
from crm_master.engine.transactions import transact
from crm_master.ports import (
    Clock,
    Customer,
    LinkEntry,
    SourceRecord,
    Task,
    UnitOfWork,
    UnitOfWorkFactory,
)

_ERASED = ("done", "kept")  # there too; or they must stay, by law


class Undecidable(Exception):
    """A task does not take this decision; the text says which it takes."""


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

    def once(uow: UnitOfWork) -> Task:
        task = uow.tasks.get(task_id)
        if task is None or not task.open:
            raise Undecidable(f"no open task {task_id}; `concord conflicts` lists them")
        at = clock()
        if task.kind is TaskKind.ERASE:
            if answer not in _ERASED:
                raise Undecidable(f"a request to erase takes the answers: {', '.join(_ERASED)}")
            receipts.answer(task, answer, author, at, uow)
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
        return task

    return transact(store, once)


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
    now = record.shadow.fields.get(name, FieldShadow())
    if not now.review:
        raise Undecidable(f"{detail['subject']} was filled in again meanwhile, or moved")
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
    if (now := record.shadow.fields.get(name)) is None:
        raise Undecidable(f"{detail['subject']} was moved meanwhile")
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

"""What is left to do in the systems for an erased customer: asked of a person, or queued to be deleted (RULES 25)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import Written
from crm_master.domain.claims import Instant, iso
from crm_master.domain.erasure import external_id
from crm_master.domain.ids import EntityId, ExternalRef, RecordId
from crm_master.domain.lifecycle import DeliveryVerb, RecordStatus, SystemState, TaskKind
from crm_master.engine.delivery import Confirmed, correlation
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import (
    OutboxMessage,
    Receipt,
    SourceRecord,
    Suppression,
    Task,
    UnitOfWork,
)

_THERE = (RecordStatus.LIVE, RecordStatus.LEFT)


def deletable(hub: Hub, ref: ExternalRef, uow: UnitOfWork) -> StreamPlan | None:
    """The plan of a record that Concord itself deletes of an erased customer; ``None`` where a person has to."""
    system = hub.systems.get(ref.system)
    if system is None or system.erase != "delete" or system.observe:
        return None
    stream = system.streams.get(ref.stream)
    able = stream is not None and stream.writes and stream.deletes
    active = uow.states.systems().get(ref.system) is SystemState.ACTIVE
    return stream if able and active else None


def entries(
    hub: Hub, records: Sequence[SourceRecord], doubtful: Sequence[OutboxMessage], uow: UnitOfWork
) -> list[dict[str, Any]]:
    """What a receipt says of each system: numbers, and who acts. No keys: some systems use an e-mail as one."""
    there = Counter(of.ref.system for of in records if of.status is not RecordStatus.DELETED)
    asked, deleted = _by_whom(hub, records, uow)
    in_doubt = Counter(message.system for message in doubtful)
    gone = {record.ref.system for record in records} - there.keys() - in_doubt.keys()
    found: list[dict[str, Any]] = []
    for system in sorted(there.keys() | in_doubt.keys() | gone):
        entry: dict[str, Any] = {
            "system": system,
            "records": there[system],
            "in_doubt": in_doubt[system],
        }
        mine = {ref.system for ref in deleted} & {system}
        if system in gone:
            entry["state"] = "gone already"
        elif system in hub.systems and hub.systems[system].erase == "keep":
            entry["state"] = "kept by policy"
        elif mine and not in_doubt[system] and not any(ref.system == system for ref in asked):
            entry["state"] = "deleting"
        else:
            entry["state"] = "asked"
        if mine:
            entry["deleted"] = 0
        found.append(entry)
    return found


def open_requests(
    hub: Hub,
    receipt: Receipt,
    records: Sequence[SourceRecord],
    doubtful: Sequence[OutboxMessage],
    uow: UnitOfWork,
    at: Instant,
) -> None:
    """Ask a person for each system that is to erase, and queue what Concord deletes there."""
    asked, deleted = _by_whom(hub, records, uow)
    found: dict[str, dict[str, list[str]]] = {}
    for ref in asked:
        of = found.setdefault(ref.system, {"records": [], "look_for": []})
        of["records"].append(str(ref))
    for message in doubtful:
        of = found.setdefault(message.system, {"records": [], "look_for": []})
        place = f"{message.system}/{message.stream}"
        of["look_for"].append(f"{place}: {correlation(message.entity_id)}")
    _request(receipt, found, uow, at)
    _queue(receipt, deleted, uow, at)


def _by_whom(
    hub: Hub, records: Sequence[SourceRecord], uow: UnitOfWork
) -> tuple[list[ExternalRef], list[ExternalRef]]:
    """The records that a person is to erase, and those that Concord deletes."""
    asked, deleted = [], []
    for record in records:
        if record.status is RecordStatus.DELETED:
            continue
        if deletable(hub, record.ref, uow) is None:
            asked.append(record.ref)
        elif record.status in _THERE:
            deleted.append(record.ref)
    return asked, deleted


def _queue(receipt: Receipt, refs: Sequence[ExternalRef], uow: UnitOfWork, at: Instant) -> None:
    """Put deletes into the outbox, under the receipt's name. A row holds a record's key, and goes when it is settled."""
    uow.outbox.put(
        [
            OutboxMessage(
                receipt.id,
                receipt.entity,
                ref.system,
                ref.stream,
                # no id of a record: whatever is done to that record's rows, this one stays
                hashlib.blake2b(f"{receipt.id} {ref}".encode(), digest_size=16).hexdigest(),
                version=0,
                verb=DeliveryVerb.ERASE,
                sent={"key": ref.key},
            )
            for ref in refs
        ],
        at,
    )
    if refs:
        receipt.state = "deleting"


def ask(receipt: Receipt, ref: ExternalRef, uow: UnitOfWork, at: Instant, why: str = "") -> None:
    """Ask a person to erase one more record of an erased customer. The receipt is to be saved."""
    entry = _entry(receipt, ref.system)
    if entry["state"] == "kept by policy":
        return
    entry["state"] = "asked"
    key = (TaskKind.ERASE, f"{receipt.id}:{ref.system}")
    standing = uow.tasks.standing([key])
    task = uow.tasks.get(standing[key]) if key in standing else None
    found: dict[str, Any] = {"records": [str(ref)], "look_for": []}
    if task is not None:
        found["records"] = [*task.payload["records"], str(ref)]
        found["look_for"] = task.payload["look_for"]
    if why:
        found["reason"] = why
    _request(receipt, {ref.system: found}, uow, at)


def not_erased(
    hub: Hub,
    plan: StreamPlan,
    confirmed: Sequence[Confirmed],
    records: Mapping[RecordId, SourceRecord],
    at: Instant,
    uow: UnitOfWork,
) -> list[Confirmed]:
    """Leave out what was on its way when its customer was erased. A record that was made by then is to be erased."""
    creating = {item.delivery.customer.id for item in confirmed if item.delivery.record is None}
    there = uow.customers.get(creating, lock=True).keys()
    kept: list[Confirmed] = []
    for item in confirmed:
        record, customer, outcome = item.delivery.record, item.delivery.customer.id, item.outcome
        if customer in there if record is None else record.rec_id in records:
            kept.append(item)
        elif record is None and isinstance(outcome, Written):
            _arrived(hub, customer, ExternalRef(plan.system, plan.stream, outcome.key), at, uow)
    return kept


def _arrived(hub: Hub, customer: EntityId, ref: ExternalRef, at: Instant, uow: UnitOfWork) -> None:
    """A create that was under way while its customer was erased has made a record: it is kept out, and to be erased."""
    receipt = uow.erasures.of_customer(customer)
    if receipt is None:
        return
    receipt = uow.erasures.get(receipt.id, lock=True) or receipt
    uow.suppressions.add([Suppression(external_id(ref), receipt.entity)], receipt.id)
    entry = _entry(receipt, ref.system)
    entry["records"] += 1
    if deletable(hub, ref, uow) is None:
        ask(receipt, ref, uow, at)
    else:
        entry.setdefault("deleted", 0)
        if entry["state"] != "asked":
            entry["state"] = "deleting"
        _queue(receipt, [ref], uow, at)
    uow.erasures.save(receipt)


def deleted(receipt: Receipt, message: OutboxMessage, uow: UnitOfWork, at: Instant) -> None:
    """Note that a record is deleted, and forget its key. The receipt is to be saved."""
    entry = _entry(receipt, message.system)
    entry["deleted"] = entry.get("deleted", 0) + 1
    uow.outbox.drop([message.id])
    _let_go(receipt, uow, at)


def handed_over(
    receipt: Receipt, message: OutboxMessage, reason: str, uow: UnitOfWork, at: Instant
) -> None:
    """Leave to a person what cannot be deleted. The receipt is to be saved."""
    ref = ExternalRef(message.system, message.stream, str(message.sent["key"]))
    uow.outbox.drop([message.id])
    ask(receipt, ref, uow, at, reason)
    _let_go(receipt, uow, at)


def let_in_again(receipt: Receipt, uow: UnitOfWork, at: Instant) -> None:
    """Nothing more is deleted of somebody whose records are let in again. The receipt is to be saved."""
    uow.outbox.drop([message.id for message in uow.outbox.of_customers([receipt.id])])
    for entry in receipt.systems:
        if entry["state"] == "deleting":
            entry |= {"state": "let in again", "at": iso(at)}
    _let_go(receipt, uow, at)


def _let_go(receipt: Receipt, uow: UnitOfWork, at: Instant) -> None:
    """Where nothing is left to delete the receipt says so; then the database's files are to be cleaned once more."""
    waiting = {message.system for message in uow.outbox.of_customers([receipt.id])}
    for entry in receipt.systems:
        if entry["state"] == "deleting" and entry["system"] not in waiting:
            entry |= {"state": "deleted", "at": iso(at)}
    if receipt.state == "deleting" and not waiting:
        receipt.state = "erased"


def answer(task: Task, said: str, author: str, at: Instant, uow: UnitOfWork) -> None:
    """What a person did about the records in a system. With it the records' own keys go as well."""
    receipt_id, _, system = task.subject.partition(":")
    receipt = uow.erasures.get(receipt_id, lock=True)
    assert receipt is not None, "receipts are never deleted"
    for entry in receipt.systems:
        if entry["system"] == system:
            entry |= {"state": said, "by": author, "at": iso(at)}
    uow.erasures.save(receipt)
    uow.tasks.open([Task(task.kind, task.subject, {"receipt": receipt_id})], at)
    uow.tasks.decide(task.id, {"answer": said, "author": author}, at)


def _entry(receipt: Receipt, system: str) -> dict[str, Any]:
    for entry in receipt.systems:
        if entry["system"] == system:
            return entry
    receipt.systems.append({"system": system, "records": 0, "in_doubt": 0, "state": "asked"})
    return receipt.systems[-1]


def _request(
    receipt: Receipt, found: Mapping[str, Mapping[str, Any]], uow: UnitOfWork, at: Instant
) -> None:
    """Ask a person for each system that is to erase. The tasks hold the records' keys until they are answered."""
    asked = {entry["system"] for entry in receipt.systems if entry["state"] == "asked"}
    tasks = [
        Task(TaskKind.ERASE, f"{receipt.id}:{system}", {"receipt": receipt.id, **of})
        for system, of in found.items()
        if system in asked
    ]
    uow.tasks.open(tasks, at)
    numbers = uow.tasks.standing((task.kind, task.subject) for task in tasks)
    for entry in receipt.systems:
        key = (TaskKind.ERASE, f"{receipt.id}:{entry['system']}")
        if key in numbers:
            entry["task"] = numbers[key]

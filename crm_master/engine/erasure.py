"""Erasing a customer: everything the hub keeps of them, what may not come back, and who has to act (RULES 25).

All of it is one transaction: whoever dies in it has done nothing, and begins again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.contract import Written
from crm_master.domain.claims import Instant, iso
from crm_master.domain.erasure import (
    combinations,
    distinctions,
    external_id,
    identities,
    traces,
)
from crm_master.domain.identity import Profile, profile
from crm_master.domain.ids import EntityId, ExternalRef, RecordId
from crm_master.domain.lifecycle import DeliveryState, RecordStatus, TaskKind
from crm_master.domain.membership import disowned, without
from crm_master.engine.delivery import Confirmed, correlation
from crm_master.engine.explain import NotFound, find_customer
from crm_master.engine.matching import BLOCK_CAP, block_hashes, values_of
from crm_master.engine.plan import EntityPlan, Hub, StreamPlan
from crm_master.ports import (
    Clock,
    Customer,
    OutboxMessage,
    Receipt,
    SourceRecord,
    Suppression,
    Task,
    UnitOfWork,
    UnitOfWorkFactory,
)

LETTERS = 100_000
_MAYBE_SENT = (DeliveryState.SENT, DeliveryState.UNKNOWN, DeliveryState.HELD)


class NotErasable(Exception):
    """Somebody has to decide first whose a record is; the text says which."""


@dataclass(slots=True)
class Person:
    """Everything by which the hub knows a customer. ``doubtful`` are creates that may have been made."""

    ids: list[EntityId]
    entity: str
    customers: dict[EntityId, Customer]
    records: list[SourceRecord]
    profiles: list[Profile]
    doubtful: list[OutboxMessage] = field(default_factory=list)


def preview(hub: Hub, name: str, store: UnitOfWorkFactory) -> dict[str, Any]:
    """What erasing a customer would do, by system. Of one who was erased before, ``receipt`` says where to read on.

    Raises ``NotFound`` and ``NotErasable``.
    """
    with store() as uow:
        try:
            customer = find_customer(name, uow)
        except NotFound:
            known = _erased_before(name, uow)
            if known is None:
                raise
            return {"customer": name, "systems": known.systems, "receipt": known.id}
        systems = _systems(hub, _gather(hub, customer, uow))
        return {"customer": customer, "systems": systems, "receipt": None}


def erase(
    hub: Hub,
    name: str,
    author: str,
    reason: str,
    store: UnitOfWorkFactory,
    clock: Clock,
    new_id: Callable[[], str],
    run_id: str,
) -> Receipt:
    """Erase a customer, named by id or by a record; of one who was erased before, give the receipt.

    Raises ``NotFound`` and ``NotErasable``.
    """
    with store() as uow:
        try:
            customer_id = find_customer(name, uow)
        except NotFound:
            known = _erased_before(name, uow)
            if known is None:
                raise
            return known
        person = _gather(hub, customer_id, uow, lock=True)
        plan = hub.entities[person.entity]
        at = clock()
        receipt = Receipt(new_id(), person.entity, person.ids, at, author, reason)
        receipt.shared = _shared(person, uow)
        pos = uow.journal.commit("erase", at, run_id, {"ids": person.ids, "receipt": receipt.id})
        uow.suppressions.add(_suppressions(plan, person), receipt.id)
        uow.erasures.forget(
            person.ids,
            [record.rec_id for record in person.records],
            [(of.ref.system, of.ref.stream, of.ref.key) for of in person.records],
        )
        _disown(receipt.shared, {record.rec_id for record in person.records}, uow)
        uow.erasures.begin_anew(receipt.shared, pos)
        refs = [record.ref for record in person.records]
        uow.erasures.scrub(traces(person.ids, refs, person.profiles, plan.match), receipt.id)
        receipt.systems = _systems(hub, person)
        _request(receipt, _to_erase(person), uow, at)
        uow.erasures.save(receipt)
        uow.commit()
    return receipt


def _disown(shared: Sequence[EntityId], gone: set[RecordId], uow: UnitOfWork) -> None:
    """Records that were once the same customer's forget whom they were with, and what was spread from there is withdrawn.

    They are read again: the rows that were landed of them go with their past, and a new mapping will need one.
    """
    records = uow.records.of_entities(shared, lock=True)
    for record in records:
        record.claims = without(record.claims, gone)
        record.shadow = disowned(record.shadow, gone)
        record.reread = record.reread or record.status is RecordStatus.LIVE
    uow.records.save(records)
    uow.customers.mark_dirty(ids=shared)


def finish(receipt: Receipt, store: UnitOfWorkFactory) -> Receipt:
    """Note that the database's files hold nothing of the customer any more."""
    with store() as uow:
        found = uow.erasures.get(receipt.id, lock=True) or receipt
        found.state = "done"
        uow.erasures.save(found)
        uow.commit()
    return found


def lift(
    receipt_id: str, author: str, store: UnitOfWorkFactory, clock: Clock, *, records: bool
) -> int:
    """Let a person in again who was erased: as a new record, or (``records``) with the old ones. Gives how many hashes.

    Raises ``NotFound``.
    """
    with store() as uow:
        receipt = uow.erasures.get(receipt_id, lock=True)
        if receipt is None:
            raise NotFound(f"no receipt {receipt_id!r}; `concord erase --receipts` lists them")
        receipt.lifted_at, receipt.lifted_by = clock(), author
        lifted = uow.suppressions.lift(receipt_id, records=records)
        uow.erasures.save(receipt)
        uow.commit()
    return lifted


def not_erased(
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
            _arrived(customer, ExternalRef(plan.system, plan.stream, outcome.key), at, uow)
    return kept


def _arrived(customer: EntityId, ref: ExternalRef, at: Instant, uow: UnitOfWork) -> None:
    """A create that was under way while its customer was erased has made a record: it is kept out, and to be erased."""
    receipt = uow.erasures.of_customer(customer)
    if receipt is None:
        return
    receipt = uow.erasures.get(receipt.id, lock=True) or receipt
    uow.suppressions.add([Suppression(external_id(ref), receipt.entity)], receipt.id)
    entry = next((of for of in receipt.systems if of["system"] == ref.system), None)
    if entry is None:
        entry = {"system": ref.system, "records": 0, "in_doubt": 0, "state": "asked"}
        receipt.systems.append(entry)
    entry["records"] += 1
    if entry["state"] != "kept by policy":
        entry["state"] = "asked"
        key = (TaskKind.ERASE, f"{receipt.id}:{ref.system}")
        standing = uow.tasks.standing([key])
        task = uow.tasks.get(standing[key]) if key in standing else None
        found = {ref.system: {"records": [str(ref)], "look_for": []}}
        if task is not None:
            found[ref.system]["records"] = [*task.payload["records"], str(ref)]
            found[ref.system]["look_for"] = task.payload["look_for"]
        _request(receipt, found, uow, at)
    uow.erasures.save(receipt)


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


def _erased_before(name: str, uow: UnitOfWork) -> Receipt | None:
    """The receipt of whoever had this id, or this record."""
    if name.count("/") < 2:
        return uow.erasures.of_customer(name)
    text = external_id(ExternalRef(*name.split("/", 2)))
    if not uow.erasures.list():
        return None
    found = uow.suppressions.receipts(uow.suppressions.digest([text]).values())
    return uow.erasures.get(next(iter(found.values()))) if found else None


def _gather(hub: Hub, id_: EntityId, uow: UnitOfWork, *, lock: bool = False) -> Person:
    """Everybody and everything that the customer is. With ``lock`` nobody else can add to it any more (RULES 23)."""
    if lock:
        uow.records.of_entities(uow.customers.aliases(id_), lock=True)
        uow.customers.get(uow.customers.aliases(id_), lock=True)
    ids = uow.customers.aliases(id_)
    customers = uow.customers.get(ids, lock=lock)
    if id_ not in customers:
        raise NotFound(f"customer {id_} is being changed by somebody else; try again")
    records = uow.records.of_entities(ids, lock=lock)
    plan = hub.entities[customers[id_].entity]
    records += _strays(plan, ids, records, uow, lock=lock)
    messages = uow.outbox.of_customers(ids, lock=lock)
    return Person(
        ids,
        plan.spec.name,
        customers,
        records,
        _profiles(plan, customers.values(), records),
        [of for of in messages if of.rec_id is None and of.state in _MAYBE_SENT],
    )


def _shared(person: Person, uow: UnitOfWork) -> list[EntityId]:
    """The customers who were ever one with this one: what was said and sent then cannot be told apart any more."""
    ids = sorted(set(uow.erasures.ever_linked(person.ids)) - set(person.ids))
    uow.records.of_entities(ids, lock=True)
    uow.customers.get(ids, lock=True)
    return ids


def _strays(
    plan: EntityPlan,
    ids: Sequence[EntityId],
    records: Sequence[SourceRecord],
    uow: UnitOfWork,
    *,
    lock: bool,
) -> list[SourceRecord]:
    """Records that agree with the customer and belong to nobody yet. Raises ``NotErasable`` if a person was asked."""
    kind, rules = plan.spec.name, plan.match
    hashes = {
        hash_ for of in _profiles(plan, (), records) for hash_ in block_hashes(kind, of, rules)
    }
    near = {
        rec_id for found in uow.records.by_blocks(hashes, BLOCK_CAP).values() for rec_id in found
    }
    near |= uow.records.merged_into([record.rec_id for record in records])
    strays = [of for of in uow.records.get(near, lock=lock).values() if of.entity_id is None]
    names = {str(of.ref) for of in strays}
    asked = [
        task.id
        for task in uow.tasks.list([TaskKind.MATCH, TaskKind.MERGE], limit=LETTERS)
        if task.subject in names or _may_be(task, set(ids))
    ]
    if asked:
        numbers = ", ".join(str(number) for number in sorted(asked))
        raise NotErasable(
            f"records that may be this customer's wait for a decision: tasks {numbers} of `concord conflicts`. "
            "Answer them first; what is found to be this customer's is erased too"
        )
    return strays


def _may_be(task: Task, ids: set[EntityId]) -> bool:
    """Whether a question is if somebody else's, or nobody's, record is this customer's."""
    about = {*task.payload.get("entities", ()), task.payload.get("entity")}
    return bool(about & ids) and bool(about - ids)


def _profiles(
    plan: EntityPlan, customers: Iterable[Customer], records: Iterable[SourceRecord]
) -> list[Profile]:
    values: list[Mapping[str, Any]] = [values_of(record) for record in records]
    values += [customer.golden for customer in customers]
    return [of for of in (profile(some, plan.match) for some in values) if of]


def _suppressions(plan: EntityPlan, person: Person) -> list[Suppression]:
    entity = plan.spec.name
    found = [Suppression(external_id(record.ref), entity) for record in person.records]
    everything: dict[str, frozenset[str]] = {}
    for of in person.profiles:
        everything |= {name: everything.get(name, frozenset()) | of[name] for name in of}
    unless = distinctions(entity, everything, plan.match.differ)
    texts = {
        text: names
        for of in person.profiles
        for names, text in identities(entity, of, combinations(plan.match))
    }
    return found + [Suppression(text, entity, names, unless) for text, names in texts.items()]


def _systems(hub: Hub, person: Person) -> list[dict[str, Any]]:
    """What the receipt says of each system: numbers, and who acts. No keys: some systems use an e-mail as one."""
    there = Counter(of.ref.system for of in person.records if of.status is not RecordStatus.DELETED)
    doubtful = Counter(message.system for message in person.doubtful)
    gone = {record.ref.system for record in person.records} - there.keys() - doubtful.keys()
    found: list[dict[str, Any]] = []
    for system in sorted(there.keys() | doubtful.keys() | gone):
        keep = system in hub.systems and hub.systems[system].erase == "keep"
        state = "gone already" if system in gone else "kept by policy" if keep else "asked"
        numbers = {"records": there[system], "in_doubt": doubtful[system]}
        found.append({"system": system, **numbers, "state": state})
    return found


def _to_erase(person: Person) -> dict[str, dict[str, list[str]]]:
    """By system: its records, and what may have been created there and can be found under a correlation key."""
    found: dict[str, dict[str, list[str]]] = {}
    for record in person.records:
        if record.status is not RecordStatus.DELETED:
            of = found.setdefault(record.ref.system, {"records": [], "look_for": []})
            of["records"].append(str(record.ref))
    for message in person.doubtful:
        of = found.setdefault(message.system, {"records": [], "look_for": []})
        place = f"{message.system}/{message.stream}"
        of["look_for"].append(f"{place}: {correlation(message.entity_id)}")
    return found


def _request(
    receipt: Receipt, found: Mapping[str, Mapping[str, list[str]]], uow: UnitOfWork, at: Instant
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

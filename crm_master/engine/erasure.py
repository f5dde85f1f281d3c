"""Erasing a customer: everything the hub keeps of them, what may not come back, and who has to act (RULES 25).

All of it is one transaction: whoever dies in it has done nothing, and begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from crm_master.engine.explain import NotFound, find_customer
from crm_master.engine.matching import BLOCK_CAP, block_hashes, readable, values_of
from crm_master.engine.plan import EntityPlan, Hub
from crm_master.engine.receipts import entries, let_in_again, open_requests
from crm_master.engine.transactions import transact
from crm_master.ports import (
    Clock,
    Customer,
    Level,
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
    """Everything by which the hub knows a customer, and the facts about them.

    ``doubtful`` are creates that may have been made.
    """

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
        person = _gather(hub, customer, uow)
        systems = entries(hub, person.records, person.doubtful, uow)
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
    receipt_id = new_id()

    def once(uow: UnitOfWork) -> Receipt:
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
        receipt = Receipt(receipt_id, person.entity, person.ids, at, author, reason)
        receipt.shared = _shared(person, uow)
        pos = uow.journal.commit("erase", at, run_id, {"ids": person.ids, "receipt": receipt.id})
        uow.suppressions.add(_suppressions(plan, person), receipt.id)
        for message in person.doubtful:  # what was read as perhaps theirs is kept out
            uow.inbox.unpark(message.system, message.stream)
        uow.erasures.forget(
            person.ids,
            [record.rec_id for record in person.records],
            [(of.ref.system, of.ref.stream, of.ref.key) for of in person.records],
        )
        _disown(receipt.shared, {record.rec_id for record in person.records}, uow)
        uow.erasures.begin_anew(receipt.shared, pos)
        refs = [record.ref for record in person.records]
        uow.erasures.scrub(traces(person.ids, refs, person.profiles, plan.match), receipt.id)
        receipt.systems = entries(hub, person.records, person.doubtful, uow)
        open_requests(hub, receipt, person.records, person.doubtful, uow, at)
        uow.erasures.save(receipt)
        return receipt

    return transact(store, once)


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

    def once(uow: UnitOfWork) -> Receipt:
        found = uow.erasures.get(receipt.id, lock=True) or receipt
        if found.state == "erased":  # while records are to be deleted their keys wait in the outbox
            found.state = "done"
        uow.erasures.save(found)
        return found

    return transact(store, once)


def lift(
    receipt_id: str, author: str, store: UnitOfWorkFactory, clock: Clock, *, records: bool
) -> int:
    """Let a person in again who was erased: as a new record, or (``records``) with the old ones. Gives how many hashes.

    Raises ``NotFound``.
    """

    def once(uow: UnitOfWork) -> int:
        receipt = uow.erasures.get(receipt_id, lock=True)
        if receipt is None:
            raise NotFound(f"no receipt {receipt_id!r}; `concord erase --receipts` lists them")
        receipt.lifted_at, receipt.lifted_by = clock(), author
        if records:
            let_in_again(receipt, uow, clock())
        lifted = uow.suppressions.lift(receipt_id, records=records)
        uow.erasures.save(receipt)
        return lifted

    return transact(store, once)


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
        uow.lock(Level.CUSTOMER, _ids(id_, uow))
    ids = _ids(id_, uow)
    customers = uow.customers.get(ids, lock=lock)
    if id_ not in customers:
        raise NotFound(f"customer {id_} is being changed by somebody else; try again")
    records = uow.records.of_entities(ids, lock=lock)
    plan = hub.entities[customers[id_].entity]
    messages = uow.outbox.of_customers(ids, lock=lock)
    doubtful = [of for of in messages if of.rec_id is None and of.state in _MAYBE_SENT]
    sent = _sent(hub, plan, doubtful)
    records += _strays(plan, ids, records, sent, uow, lock=lock)
    profiles = _profiles(plan, customers.values(), records) + sent
    return Person(ids, plan.spec.name, customers, records, profiles, doubtful)


def _sent(hub: Hub, plan: EntityPlan, messages: Iterable[OutboxMessage]) -> list[Profile]:
    """Who they are by what was sent with creates of which nobody knows what they have made."""
    found = []
    for of in messages:
        if of.system in hub.systems and of.stream in hub.systems[of.system].streams:
            mapping = hub.stream(of.system, of.stream).mapping
            found.append(profile(readable(of.sent, mapping), plan.match))
    return [of for of in found if of]


def _ids(id_: EntityId, uow: UnitOfWork) -> list[EntityId]:
    """All ids that the customer has had, and those of the orders and interactions about them (RULES 18)."""
    own = uow.customers.aliases(id_)
    return [*own, *sorted(uow.facts.on(own))]


def _shared(person: Person, uow: UnitOfWork) -> list[EntityId]:
    """The customers who were ever one with this one: what was said and sent then cannot be told apart any more."""
    ids = sorted(set(uow.erasures.ever_linked(person.ids)) - set(person.ids))
    uow.lock(Level.CUSTOMER, ids)
    uow.lock(Level.RECORD, uow.records.members(ids))
    return ids


def _strays(
    plan: EntityPlan,
    ids: Sequence[EntityId],
    records: Sequence[SourceRecord],
    sent: Sequence[Profile],
    uow: UnitOfWork,
    *,
    lock: bool,
) -> list[SourceRecord]:
    """Records that agree with the customer and belong to nobody yet. Raises ``NotErasable`` if a person was asked."""
    kind, rules = plan.spec.name, plan.match
    hashes = {
        hash_
        for of in [*_profiles(plan, (), records), *sent]
        for hash_ in block_hashes(kind, of, rules)
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
        if task.subject in names or _may_be(task, set(ids), {str(record.ref) for record in records})
    ]
    if asked:
        numbers = ", ".join(str(number) for number in sorted(asked))
        raise NotErasable(
            f"records that may be this customer's wait for a decision: tasks {numbers} of `concord conflicts`. "
            "Answer them first; what is found to be this customer's is erased too"
        )
    return strays


def _may_be(task: Task, ids: set[EntityId], records: set[str]) -> bool:
    """Whether a question is if somebody else's, or nobody's, record is this customer's.

    A merge is asked of records, and these may be others' customers' by now.
    """
    if task.kind is TaskKind.MERGE:
        about, own = {task.payload["record"], *task.payload["into"]}, records
    else:
        about, own = {*task.payload.get("entities", ()), task.payload.get("entity")}, ids
    return bool(about & own) and bool(about - own)


def _profiles(
    plan: EntityPlan, customers: Iterable[Customer], records: Iterable[SourceRecord]
) -> list[Profile]:
    values: list[Mapping[str, Any]] = [values_of(record) for record in records]
    values += [customer.golden for customer in customers]
    return [of for of in (profile(some, plan.match) for some in values) if of]


def _suppressions(plan: EntityPlan, person: Person) -> list[Suppression]:
    entity = plan.spec.name
    found = [Suppression(external_id(record.ref), record.entity) for record in person.records]
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

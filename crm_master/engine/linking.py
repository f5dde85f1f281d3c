"""What people decide about whose a record is: merging two customers, parting them again, moving a record (RULES 14, 15).

Each is one entry of the journal that names customers and records; ``relink`` carries it out, now and in a replay. The next
reconcile recomputes the customers, and what has to be told to whom. What a person has said about two records stands against
every rule of matching, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_master.domain.claims import Instant
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import DeliveryState, Origin, TaskKind
from crm_master.domain.membership import carried, forgotten, transferred
from crm_master.engine.explain import find_customer, find_record, links_of
from crm_master.engine.facts import look_up
from crm_master.engine.golden import counts_for, fan_out, recompute, taking_part
from crm_master.engine.plan import Hub
from crm_master.engine.transactions import transact
from crm_master.ports import (
    Clock,
    Customer,
    LinkEntry,
    OutboxMessage,
    SourceRecord,
    UnitOfWork,
    UnitOfWorkFactory,
)

NEW = "new"
_UNDER_WAY = (DeliveryState.LEASED, DeliveryState.SENT)
_OPEN = (*_UNDER_WAY, DeliveryState.UNKNOWN, DeliveryState.HELD)


class NotLinkable(Exception):
    """Records cannot be linked like that, or not yet; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of links, ready to be carried out: ``records`` of the customer ``source`` become those of ``target``."""

    verb: str
    entity: str
    source: EntityId
    target: EntityId
    records: tuple[RecordId, ...]
    names: tuple[str, ...]
    new: bool = False
    absorbs: bool = False
    """Nothing is left of ``source``: its id stands for ``target`` from now on."""
    cancelled: tuple[str, ...] = field(default=())
    """Deliveries that were not begun, and are not needed any more."""

    def detail(self, author: str, reason: str) -> dict[str, Any]:
        """The change as the journal keeps it."""
        return {
            "verb": self.verb,
            "entity": self.entity,
            "from": self.source,
            "to": self.target,
            "records": list(self.records),
            "new": self.new,
            "absorbs": self.absorbs,
            "author": author,
            "reason": reason,
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "verb": self.verb,
            "from": self.source,
            "to": self.target,
            "new": self.new,
            "absorbs": self.absorbs,
            "records": list(self.names),
        }


Propose = Callable[[UnitOfWork], Change]


# --- what is asked for


def merge(survivor: str, absorbed: str) -> Propose:
    """Everything of one customer becomes the other's. Both by id, or by a record of theirs."""

    def propose(uow: UnitOfWork) -> Change:
        target, source = find_customer(survivor, uow), find_customer(absorbed, uow)
        if target == source:
            raise NotLinkable(f"{survivor} and {absorbed} are the same customer already: {target}")
        customers = uow.customers.get([target, source])
        kinds = [customers[id_].entity for id_ in (target, source)]
        if kinds[0] != kinds[1]:
            raise NotLinkable(f"{survivor} is a {kinds[0]}, {absorbed} a {kinds[1]}")
        moving = uow.records.of_entities([source])
        return _change("merge", moving, source, target, uow, absorbs=True)

    return propose


def split(customer: str, names: Sequence[str], new_entity_id: Callable[[], EntityId]) -> Propose:
    """Some records become a new customer. Those that the hub made for the customer stay (RULES 15)."""
    target = new_entity_id()

    def propose(uow: UnitOfWork) -> Change:
        source = find_customer(customer, uow)
        moving = [find_record(name, uow) for name in dict.fromkeys(names)]
        for record in moving:
            if record.entity_id != source:
                raise NotLinkable(f"{record.ref} is no record of {customer}; see `concord show`")
            if record.origin is Origin.HUB:
                raise NotLinkable(
                    f"{record.ref} was made by Concord for {source}, and stays with that id; "
                    "`concord link move` moves a single record all the same"
                )
        return _change("split", moving, source, target, uow, new=True)

    return propose


def move(name: str, customer: str, new_entity_id: Callable[[], EntityId]) -> Propose:
    """One record becomes another customer's, or (``new``) a customer of its own."""
    own = new_entity_id() if customer == NEW else ""

    def propose(uow: UnitOfWork) -> Change:
        record = find_record(name, uow)
        source = find_customer(name, uow)
        if customer == NEW:
            return _change("move", [record], source, own, uow, new=True)
        target = find_customer(customer, uow)
        if target == source:
            raise NotLinkable(f"{name} is a record of {customer} already")
        if uow.customers.get([target])[target].entity != record.entity:
            raise NotLinkable(f"{name} is a {record.entity}, {customer} is none")
        members = uow.records.of_entities([source])
        return _change("move", [record], source, target, uow, absorbs=len(members) == 1)

    return propose


def pin(name: str) -> Propose:
    """Of the customer's records in its stream, this one receives the writes (RULES 14)."""

    def propose(uow: UnitOfWork) -> Change:
        record = find_record(name, uow)
        customer = find_customer(name, uow)
        return Change("pin", record.entity, customer, customer, (record.rec_id,), (name,))

    return propose


def _change(
    verb: str,
    moving: Sequence[SourceRecord],
    source: EntityId,
    target: EntityId,
    uow: UnitOfWork,
    *,
    new: bool = False,
    absorbs: bool = False,
) -> Change:
    """Raises ``NotLinkable`` while something is under way whose outcome has to be known first."""
    ids = {record.rec_id for record in moving}
    if not absorbs and not any(
        record.claims and record.origin is Origin.SOURCE
        for record in uow.records.of_entities([source])
        if record.rec_id not in ids
    ):
        raise NotLinkable(
            f"nothing that anybody said would remain of {source}: "
            "`concord link merge` makes two customers one"
        )
    cancelled = []
    for message in uow.outbox.of_customers([source], lock=True):
        if message.rec_id in ids or (message.rec_id is None and absorbs):
            _refuse_open(message, uow)
            cancelled.append(message.id)
    return Change(
        verb,
        uow.customers.get([source])[source].entity,
        source,
        target,
        tuple(sorted(ids)),
        tuple(sorted(str(record.ref) for record in moving)),
        new=new,
        absorbs=absorbs,
        cancelled=tuple(cancelled),
    )


def _refuse_open(message: OutboxMessage, uow: UnitOfWork) -> None:
    place = f"{message.system}/{message.stream}"
    deliver = f"run `concord deliver {message.system}`, then try again"
    if message.rec_id is not None:
        if message.state in _UNDER_WAY:
            raise NotLinkable(f"a delivery to a record in {place} is under way: {deliver}")
        return
    # what a person had sent again is in doubt still
    if message.state not in _OPEN and not message.sent:
        return
    asked = uow.tasks.standing([(TaskKind.UNKNOWN, message.id)]).get((TaskKind.UNKNOWN, message.id))
    if asked is not None:
        deliver = f"answer task {asked} (`concord conflicts decide {asked} drop`), then try again"
    raise NotLinkable(
        f"{message.entity_id} may have been created in {place}, and nobody knows yet: {deliver}"
    )


# --- what would happen, and what happens


def preview(hub: Hub, propose: Propose, store: UnitOfWorkFactory, at: Instant) -> dict[str, Any]:
    """What a change would make of the customers, and what would be written. Commits nothing. Raises ``NotLinkable``."""

    def once(uow: UnitOfWork) -> dict[str, Any]:
        change = propose(uow)
        relink(change.detail("", ""), uow, at, 0)
        uow.outbox.drop(change.cancelled)
        states = taking_part(hub, uow.states.systems())
        plan = hub.entity(change.entity)
        found = change.as_dict() | {"customers": {}}
        for id_ in dict.fromkeys((change.target, change.source)):
            customer = uow.customers.get([id_])[id_]
            records = uow.records.of_entities([id_])
            look_up(plan, [customer], records, uow)
            if customer.redirect_to is not None:
                continue
            if customer.version and not any(counts_for(record, states) for record in records):
                raise NotLinkable(
                    f"no record that {id_} would have then has a say: their systems have not joined"
                )
            made = recompute(plan, customer, records, states)
            out = fan_out(hub, plan, customer, made.reconciled, records, states, {}, at)
            refs = {record.rec_id: str(record.ref) for record in records}
            found["customers"][id_] = {
                "golden": customer.golden,
                "waits_for_a_decision": sorted(customer.withheld),
                "records": sorted(refs.values()),
                "secondary": sorted(str(r.ref) for r in records if not r.primary),
                "would_update": sorted(refs[m.rec_id] for m in out.messages if m.rec_id),
                "would_create": sorted(stream.name for stream in out.creates),
            }
        return found

    return transact(store, once, keep=False)


def carry_out(
    hub: Hub,
    propose: Propose,
    author: str,
    reason: str,
    store: UnitOfWorkFactory,
    clock: Clock,
    run_id: str,
) -> dict[str, Any]:
    """Do it. The next reconcile recomputes the customers. Raises ``NotLinkable``."""
    preview(hub, propose, store, clock())

    def once(uow: UnitOfWork) -> Change:
        change = propose(uow)
        enter(change, author, reason, uow, clock(), run_id)
        return change

    return transact(store, once).as_dict() | {"author": author, "reason": reason}


def enter(
    change: Change, author: str, reason: str, uow: UnitOfWork, at: Instant, run_id: str
) -> None:
    """Put a change into the journal, and carry it out."""
    detail = change.detail(author, reason)
    pos = uow.journal.commit("link", at, run_id, detail)
    relink(detail, uow, at, pos)
    retire(change, uow, at)


def retire(change: Change, uow: UnitOfWork, at: Instant) -> None:
    """Take back what was not begun for the customer who was, and the questions about it."""
    uow.outbox.drop(change.cancelled)
    uow.tasks.close([(TaskKind.REFUSED, id_) for id_ in change.cancelled], at)
    if change.absorbs:
        withheld = uow.customers.get([change.source])[change.source].withheld
        uow.tasks.close([(TaskKind.CONFLICT, f"{change.source}:{name}") for name in withheld], at)


def relink(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, pos: int) -> None:
    """A recorded change of links, done: by a person's command, and again when the journal is replayed."""
    customers = uow.customers.get([detail["from"], detail["to"]], lock=True)
    members = uow.records.of_entities([detail["from"], detail["to"]], lock=True)
    if detail["verb"] == "pin":
        _pin(detail, members, uow, at, pos)
        return
    # whoever joined the customer in the same moment goes along
    moves = {r.rec_id for r in members if r.entity_id == detail["from"] and detail["absorbs"]}
    moves |= set(detail["records"])
    moves |= _aliases(moves, members)
    moving = [record for _, record in sorted(uow.records.get(moves, lock=True).items())]
    staying = [r for r in members if r.entity_id == detail["from"] and r.rec_id not in moves]
    there = [record for record in members if record.entity_id == detail["to"]]
    among = {record.rec_id: dict(record.claims) for record in (*moving, *staying)}
    for record in moving:
        record.claims = carried(record.rec_id, among)
        record.shadow = transferred(record.shadow)
        record.entity_id = record.placed = detail["to"]
        record.pinned = False
    said = [record.claims for record in staying]
    for record in staying:
        record.claims = forgotten(record.claims, said)
    # a customer who was erased is not there in a replay
    if detail["to"] not in customers:
        uow.customers.save([Customer(detail["to"], detail["entity"])], at)
    if detail["absorbs"] and detail["from"] in customers:
        customers[detail["from"]].redirect_to = detail["to"]
        uow.customers.save([customers[detail["from"]]], at)
    uow.records.save([*moving, *staying])
    _say_apart(_ids(moving), _ids(there), _ids(staying), uow)
    entries = _entries(detail, moving, staying)
    uow.customers.add_links(entries, at, pos)
    left = [] if detail["absorbs"] else [detail["from"]]
    uow.customers.mark_dirty(ids={detail["to"], *left})


def _aliases(moves: Collection[RecordId], members: Sequence[SourceRecord]) -> set[RecordId]:
    """The records that are a part of those that move, directly or over others: they go along."""
    found = set(moves)
    while more := {r.rec_id for r in members if r.alias_of in found} - found:
        found |= more
    return found


def _ids(records: Iterable[SourceRecord]) -> list[RecordId]:
    return [record.rec_id for record in records]


def _say_apart(
    moved: Collection[RecordId],
    there: Collection[RecordId],
    stayed: Collection[RecordId],
    uow: UnitOfWork,
) -> None:
    """The newest word of a person on whether two records are one customer."""
    uow.customers.set_together(moved, there)
    uow.customers.set_apart(moved, stayed)


def _entries(
    detail: Mapping[str, Any], moving: Sequence[SourceRecord], staying: Sequence[SourceRecord]
) -> list[LinkEntry]:
    why = {"reason": detail["reason"]} if detail["reason"] else {}
    apart = {"apart": sorted(str(record.ref) for record in staying)} if staying else {}
    left, joined = {"to": detail["to"]} | why | apart, {"from": detail["from"]} | why | apart
    author = detail["author"]
    return [
        entry
        for record in moving
        for entry in (
            LinkEntry(record.rec_id, detail["from"], "unlink", author, left),
            LinkEntry(record.rec_id, detail["to"], detail["verb"], author, joined),
        )
    ]


def _pin(
    detail: Mapping[str, Any],
    members: Sequence[SourceRecord],
    uow: UnitOfWork,
    at: Instant,
    pos: int,
) -> None:
    [chosen] = [record for record in members if record.rec_id in detail["records"]]
    place = (chosen.ref.system, chosen.ref.stream)
    rivals = [record for record in members if (record.ref.system, record.ref.stream) == place]
    for record in rivals:
        record.pinned = record is chosen
    uow.records.save(rivals)
    why = {"reason": detail["reason"]} if detail["reason"] else {}
    entry = LinkEntry(chosen.rec_id, detail["to"], "pin", detail["author"], why)
    uow.customers.add_links([entry], at, pos)
    uow.customers.mark_dirty(ids=[detail["to"]])


# --- what happened


def log(name: str, store: UnitOfWorkFactory) -> dict[str, Any]:
    """Every link of a customer, and of those who were merged into it, oldest first. Raises ``NotFound``."""
    with store() as uow:
        customer = find_customer(name, uow)
        absorbed = [id_ for id_ in uow.customers.aliases(customer) if id_ != customer]
        return {
            "customer": customer,
            "absorbed": absorbed,
            "links": links_of([customer, *absorbed], uow),
        }

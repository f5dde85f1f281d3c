"""Letting systems in: the preview of what that would do, the approval, and having all of them join anew (RULES 16)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from crm_master.domain.claims import Instant
from crm_master.domain.fields import Native
from crm_master.domain.ids import EntityId
from crm_master.domain.lifecycle import SystemState
from crm_master.engine import fuses
from crm_master.engine.facts import look_up
from crm_master.engine.foresight import held_in
from crm_master.engine.fuses import Fuse
from crm_master.engine.golden import fan_out, recompute, taking_part
from crm_master.engine.plan import EntityPlan, Hub, SystemPlan
from crm_master.engine.transactions import transact
from crm_master.ports import (
    Clock,
    Customer,
    Level,
    SourceRecord,
    UnitOfWork,
    UnitOfWorkFactory,
)

PAGE = 500
EXAMPLES = 3


class NotReady(Exception):
    """A system cannot join yet; the text says what is missing."""


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
    customers: Counter[str] = field(default_factory=Counter)
    """How many there are of each entity."""
    shared: Counter[str] = field(default_factory=Counter)
    """How many of them are in several systems."""
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
            "customers": dict(self.customers),
            "in_several_systems": dict(self.shared),
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
        while page := _page(plan, after, store):
            after = page[-1][0].id
            for customer, records in page:
                if entity not in creating and not any(r.ref.system in systems for r in records):
                    continue
                made = recompute(plan, customer, records, states)
                out = fan_out(hub, plan, customer, made.reconciled, records, states, {}, at)
                found.customers[entity] += 1
                found.shared[entity] += len({record.ref.system for record in records}) > 1
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


def _page(
    plan: EntityPlan, after: EntityId, store: UnitOfWorkFactory
) -> list[tuple[Customer, list[SourceRecord]]]:
    """The next customers with their records, in a transaction of their own: nobody waits for the whole preview."""
    with store() as uow:
        customers = uow.customers.scan(plan.spec.name, after, PAGE)
        records = uow.records.of_entities({customer.id for customer in customers})
        look_up(plan, customers, records, uow)
        members: dict[EntityId, list[SourceRecord]] = {}
        for record in records:
            members.setdefault(record.entity_id or "", []).append(record)
    return [(customer, members.get(customer.id, [])) for customer in customers]


def joined_state(system: SystemPlan) -> SystemState:
    return SystemState.OBSERVE if system.observe else SystemState.ACTIVE


def approve(
    hub: Hub, systems: tuple[str, ...], store: UnitOfWorkFactory, clock: Clock, run_id: str
) -> int:
    """Let systems in. Gives how many customers the next reconcile looks at again. Raises ``NotReady``."""

    def once(uow: UnitOfWork) -> int:
        for name in systems:
            reason = not_ready(hub, hub.systems[name], uow)
            if reason is not None:
                raise NotReady(f"{name} cannot join yet: {reason}")
        at = clock()
        marked = uow.customers.mark_all_dirty(systems, _creating(hub, systems))
        detail = {name: joined_state(hub.systems[name]).value for name in systems}
        uow.journal.commit("activate", at, run_id, detail)
        for name in systems:
            uow.states.save_system(name, joined_state(hub.systems[name]), at)
        # who approves a preview approves the deliveries that it shows
        for stream in hub.streams():
            if marked:
                uow.states.allow(fuses.subject(Fuse.WRITES, stream.name), marked)
        return marked

    return transact(store, once)


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

    def once(uow: UnitOfWork) -> list[str]:
        at = clock()
        names = list(hub.systems)
        uow.lock(Level.STREAM, [stream.name for stream in hub.streams()])
        uow.journal.commit("activate", at, run_id, dict.fromkeys(names, SystemState.JOINING.value))
        for name in names:
            uow.states.save_system(name, SystemState.JOINING, at)
        for stream in hub.streams():
            state = uow.states.stream(stream.system, stream.stream)
            state.cursor, state.scan_started, state.fulls = None, 0, 0
            uow.states.save_stream(state)
        return names

    return transact(store, once)

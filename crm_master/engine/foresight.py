"""What a changed configuration would do, worked out with the functions that do it, and kept from happening."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_master.domain.changes import projection
from crm_master.domain.claims import UNSET, Instant
from crm_master.domain.fields import Cardinality, Native
from crm_master.domain.ids import EntityId, RecordId
from crm_master.engine import fuses
from crm_master.engine.deletion import leave, returns
from crm_master.engine.facts import here, look_up
from crm_master.engine.fuses import Fuse
from crm_master.engine.golden import FannedOut, fan_out, recompute, taking_part
from crm_master.engine.plan import EntityPlan, Hub
from crm_master.engine.remap import Remapper, outdated
from crm_master.ports import Customer, SourceRecord, UnitOfWork, UnitOfWorkFactory

PAGE = 500
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Write:
    """One delivery; ``record`` is ``None`` for a create. ``natives`` are to be sent, ``held`` is what stands there.

    A ``delete`` sends nothing.
    """

    stream: str
    customer: EntityId
    record: str | None
    natives: Mapping[str, Native]
    held: Mapping[str, Native] = field(default_factory=dict)
    delete: bool = False


@dataclass(slots=True)
class Foresight:
    """What would happen. Nothing of it has. Examples, and ``each`` write if it was asked for, hold personal data."""

    hash: str
    remapped: Counter[str] = field(default_factory=Counter)
    lacking: dict[str, set[str]] = field(default_factory=dict)
    customers: int = 0
    golden: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    creates: Counter[str] = field(default_factory=Counter)
    updates: Counter[str] = field(default_factory=Counter)
    deletes: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    each: list[Write] = field(default_factory=list)
    readings: list[fuses.Reading] = field(default_factory=list)

    @property
    def writes(self) -> Counter[str]:
        return self.creates + self.updates

    @property
    def blown(self) -> list[fuses.Reading]:
        return [reading for reading in self.readings if reading.blown]

    @property
    def empty(self) -> bool:
        return not (self.remapped or self.golden or self.writes or self.deletes)

    def as_dict(self) -> dict[str, Any]:
        return {
            "configuration": self.hash,
            "remapped": dict(self.remapped),
            "read_whole": {name: sorted(fields) for name, fields in sorted(self.lacking.items())},
            "customers": self.customers,
            "golden_changed": dict(self.golden),
            "conflicts": self.conflicts,
            "creates": dict(self.creates),
            "updates": dict(self.updates),
            "deletes": dict(self.deletes),
            "fields": dict(self.fields),
            "examples": self.examples,
            "fuses": [reading.as_dict() for reading in self.blown],
        }


def foresee(
    hub: Hub, store: UnitOfWorkFactory, at: Instant, examples: int = EXAMPLES, *, each: bool = False
) -> Foresight:
    """Reconcile everything as if ``hub`` were in force. Commits nothing; memory is that of a page, but for ``each``."""
    return _Seer(hub, store, at, examples, each)()


class _Seer:
    def __init__(
        self, hub: Hub, store: UnitOfWorkFactory, at: Instant, examples: int, each: bool
    ) -> None:
        self.hub, self.store, self.at = hub, store, at
        self.examples, self.each = examples, each
        self.found = Foresight(hub.hash)

    def __call__(self) -> Foresight:
        for plan in self.hub.entities.values():
            after = ""
            while ids := self._customers(plan, after):
                after = ids[-1]
        for stream in self.hub.streams():
            after = ""
            while rest := self._unlinked(stream.system, stream.stream, after):
                *_, after = rest
        with self.store() as uow:
            for stream in self.hub.streams():
                plan = self.hub.entities[stream.entity]
                for fuse, counted in (
                    (Fuse.WRITES, self.found.writes),
                    (Fuse.DELETES, self.found.deletes),
                ):
                    if number := counted[stream.name]:
                        of = uow.customers.count(stream.entity)
                        reading = fuses.read(fuse, stream.name, number, of, plan.fuses, uow)
                        self.found.readings.append(reading)
        return self.found

    def _customers(self, plan: EntityPlan, after: EntityId) -> Sequence[EntityId]:
        """One page of customers, in a transaction of its own. Gives their ids."""
        with self.store() as uow:
            page = uow.customers.scan(plan.spec.name, after, PAGE)
            states = taking_part(self.hub, uow.states.systems())
            members = uow.records.of_entities({customer.id for customer in page})
            self._remap(members, uow)
            look_up(plan, page, members, uow)
        of: dict[EntityId, list[SourceRecord]] = {}
        for record in members:
            of.setdefault(record.entity_id or "", []).append(record)
        for customer in page:
            before, records = dict(customer.golden), of.get(customer.id, [])
            made = recompute(plan, customer, records, states)
            if leave(self.hub, customer, records):
                made = recompute(plan, customer, records, states)
            if returns(customer, [record for record, _ in made.born]):
                customer.archived = False
            out = fan_out(self.hub, plan, customer, made.reconciled, records, states, {}, self.at)
            self.found.customers += 1
            self.found.conflicts += sum(c.contested for c in made.reconciled.conflicts)
            for name in made.changes:
                self.found.golden[name] += 1
                change = {"before": before.get(name), "after": customer.golden.get(name)}
                self._example(f"golden {name}", {"customer": customer.id, **change})
            for write in _writes(self.hub, plan, customer, out):
                self._write(write)
        return [customer.id for customer in page]

    def _remap(self, records: Sequence[SourceRecord], uow: UnitOfWork) -> None:
        due = [record for record in records if outdated(self.hub, record)]
        for done in Remapper(self.hub, uow, self.at)(due) if due else ():
            name = f"{done.record.ref.system}/{done.record.ref.stream}"
            self.found.remapped[name] += 1
            if done.lacking:
                self.found.lacking.setdefault(name, set()).update(done.lacking)

    def _unlinked(self, system: str, stream: str, after: str) -> Mapping[str, RecordId]:
        """One page of the records to be read again, by key; those that belong to nobody were not looked at yet."""
        mapping = self.hub.stream(system, stream).mapping
        with self.store() as uow:
            found = uow.records.outdated(system, stream, mapping.hash, after, PAGE)
            records = uow.records.get(found.values()).values()
            self._remap([record for record in records if record.entity_id is None], uow)
        return found

    def _write(self, write: Write) -> None:
        if self.each:
            self.found.each.append(write)
        if write.record is None:
            self.found.creates[write.stream] += 1
            return
        if write.delete:
            self.found.deletes[write.stream] += 1
            return
        self.found.updates[write.stream] += 1
        for name, new in write.natives.items():
            self.found.fields[f"{write.stream}.{name}"] += 1
            example = {"record": write.record, "held": write.held.get(name), "new": new}
            self._example(f"{write.stream}.{name}", example)

    def _example(self, name: str, example: dict[str, Any]) -> None:
        shown = self.found.examples.setdefault(name, []) if self.examples else []
        if len(shown) < self.examples:
            shown.append(example)


def _writes(hub: Hub, plan: EntityPlan, customer: Customer, out: FannedOut) -> Iterator[Write]:
    for stream in out.creates:
        natives = projection(here(customer.golden, customer.known_as, stream), stream.mapping)
        natives = {n: native for n, native in natives.items() if n not in customer.withheld}
        yield Write(stream.name, customer.id, None, natives)
    for record in out.deletes:
        name = f"{record.ref.system}/{record.ref.stream}"
        yield Write(name, customer.id, str(record.ref), {}, delete=True)
    for record, needed in out.patches:
        if needed.writes:
            stream = hub.stream(record.ref.system, record.ref.stream)
            held = {name: held_in(plan, record, name, new) for name, new in needed.writes.items()}
            yield Write(stream.name, customer.id, str(record.ref), needed.writes, held)


def held_in(plan: EntityPlan, record: SourceRecord, name: str, new: Native) -> Native:
    """What a record holds in a field that is to be sent: of a group, the members that differ."""
    now = record.shadow.fields.get(name)
    held = None if now is None or now.held is UNSET else now.held
    group = plan.spec.fields[name].cardinality is Cardinality.GROUP
    if group and isinstance(held, dict) and isinstance(new, dict):
        held = {member: held.get(member) for member in new}
    return held

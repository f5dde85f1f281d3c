"""Does every system hold what it should? Read live, compared field by field, nothing changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.contract import Page, RawRecord, Scan, Sink
from connectors.errors import ConnectorError
from crm_master.domain.attribution import attribute
from crm_master.domain.changes import Hold, patch
from crm_master.domain.claims import Observed, Shadow
from crm_master.domain.fields import Mapped
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryState, RecordStatus, SystemState, TaskKind
from crm_master.domain.survivorship import Reconciled
from crm_master.engine.facts import here, look_up
from crm_master.engine.golden import rests
from crm_master.engine.ingest import read_each
from crm_master.engine.ledger import Run
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.engine.suppression import admitted
from crm_master.ports import Customer, OutboxMessage, SourceRecord, UnitOfWorkFactory

EXAMPLES = 200
PAGE = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one record that is not what it should be, or a record that should be there, and why."""

    record: str
    entity: str | None
    field: str | None
    why: str
    excepted: bool = False
    put_off: str = ""
    """What has put off the delivery that waits."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "record": self.record,
            "customer": self.entity,
            "field": self.field,
            "why": self.why,
            "excepted": self.excepted,
            "put_off": self.put_off,
        }


@dataclass(slots=True)
class Verdict:
    """``converged`` unless a difference remains that nobody has to decide about."""

    checked: Counter[str] = field(default_factory=Counter)
    matching: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    excepted: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        return not self.reasons

    def add(self, difference: Difference) -> None:
        (self.excepted if difference.excepted else self.reasons)[difference.why] += 1
        if len(self.differences) < EXAMPLES:
            self.differences.append(difference)

    def as_dict(self) -> dict[str, Any]:
        return {
            "converged": self.converged,
            "checked": dict(self.checked),
            "matching": dict(self.matching),
            "differences": dict(self.reasons),
            "waiting_for_a_person": dict(self.excepted),
            "examples": [difference.as_dict() for difference in self.differences],
        }


_HELD = {
    Hold.CONTESTED: "withheld: its values contradict each other and wait for a decision",
    Hold.QUARANTINED: "quarantined: the system kept undoing what it was sent",
    Hold.UNREADABLE: "not overwritten: what stands there cannot be read",
    Hold.REVIEW: "withheld: the emptied field waits for a decision",
    Hold.UNHOLDABLE: "the system cannot hold this value",
    Hold.UNKNOWN: "it names a record that the system does not know yet",
}
_QUEUED = {
    DeliveryState.REFUSED: ("refused by the system", True),
    DeliveryState.HELD: ("held: the outcome of an earlier write is not known", True),
}
_EDITED = "edited in the system since it was last read"
_QUEUED_STILL = "a delivery is waiting"
_LOST = "differs, and no delivery is waiting"
_ERASED = "kept out: its customer was erased, and is still there"
_GARBLED = "cannot be read: see `concord dlq list`"
_NOW = Observed(seq=0, watermark=0, started=1 << 62, ended=1 << 62)  # after every write


class Verifier:
    """Compares every active system with the master. Memory is that of a page."""

    def __init__(self, hub: Hub, store: UnitOfWorkFactory, run: Run) -> None:
        self.hub = hub
        self.store = store
        self.run = run
        self.verdict = Verdict()

    def __call__(self, connect: Mapping[str, Sink]) -> Verdict:
        """Read every stream of every connected system whole. Raises ``connectors.errors.ConnectorError``."""
        with self.store() as uow:
            states = uow.states.systems()
            inbox = uow.inbox.pending()
            dirty = sum(uow.customers.dirty(entity) for entity in self.hub.entities)
        if dirty:
            why = "approved or decided, and not reconciled yet"
            self.verdict.reasons[why] += dirty
        if inbox:
            why = "waits in the inbox to be reconciled"
            self.verdict.reasons[why] += inbox
        for stream in self.hub.streams():
            if stream.reads and states.get(stream.system) is SystemState.ACTIVE:
                try:
                    self._stream(stream, connect[stream.system])
                except ConnectorError as error:
                    error.add_note(stream.name)
                    raise
        self._queued(states)
        if not any(states.get(name) is SystemState.ACTIVE for name in self.hub.systems):
            self.verdict.reasons["no system has joined yet: nothing was compared"] += 1
        return self.verdict

    def _stream(self, plan: StreamPlan, sink: Sink) -> None:
        seen = 0
        for page in sink.read(plan.stream, None, Scan.FULL):
            seen += self._page(plan, page)
            self.run.add({"checked": len(page.records)})
        with self.store() as uow:
            live = uow.records.count(plan.system, plan.stream)["live"]
        if live > seen and sink.capabilities(plan.stream).absence:
            self._missing(plan, sink)

    def _page(self, plan: StreamPlan, page: Page) -> int:
        """Compare one page. Gives the number of its records that the master knows as live."""
        ids = {
            record.key: record_id(ExternalRef(plan.system, plan.stream, record.key))
            for record in page.records
        }
        with self.store() as uow:
            known = uow.records.get(ids.values())
            customers = uow.customers.get(
                {found.entity_id for found in known.values() if found.entity_id}
            )
            plan_of = self.hub.entities[plan.entity]
            look_up(plan_of, customers.values(), (), uow)
            waiting = uow.outbox.for_records(known)
            asked = uow.tasks.standing((TaskKind.MATCH, f"{plan.name}/{key}") for key in ids)
            rules = plan_of.match
            admissible = {row.key for row in admitted(plan, rules, page, uow).records}
        for bad in page.rejects:
            name = f"{plan.name}/{bad.key or '(no key)'}"
            self.verdict.add(Difference(name, None, None, _GARBLED, excepted=True))
        live = 0
        for shown in page.records:
            self.verdict.checked[plan.name] += 1
            record = known.get(ids[shown.key])
            name = f"{plan.name}/{shown.key}"
            if shown.deleted:
                continue
            if record is None and shown.key not in admissible:
                self.verdict.add(Difference(name, None, None, _ERASED, excepted=True))
                continue
            if record is None:
                self.verdict.add(Difference(name, None, None, "not read yet"))
                continue
            live += record.status is RecordStatus.LIVE
            if record.entity_id is None:
                in_review = (TaskKind.MATCH, name) in asked
                why = (
                    "waits for a decision whose it is"
                    if in_review
                    else "belongs to no customer yet"
                )
                self.verdict.add(Difference(name, None, None, why, excepted=in_review))
                continue
            message = waiting.get(record.rec_id)
            self._record(plan, shown, record, customers[record.entity_id], message)
        return live

    def _record(
        self,
        plan: StreamPlan,
        shown: RawRecord,
        record: SourceRecord,
        customer: Customer,
        message: OutboxMessage | None,
    ) -> None:
        name = f"{plan.name}/{shown.key}"
        mapped = plan.mapping.apply(shown.document, full_payload=plan.full_payload)
        if not isinstance(mapped, Mapped):
            self.verdict.add(
                Difference(name, customer.id, None, "cannot be translated", excepted=True)
            )
            return
        spec = self.hub.entities[plan.entity].spec
        seen = attribute(mapped, record.claims, record.shadow, plan.mapping, spec, _NOW)
        now, edited = seen.shadow, {key.field for key in seen.edits}
        for part in sorted(edited):
            self.verdict.add(Difference(name, customer.id, part, _EDITED))
        left_alone = customer.archived or record.status is RecordStatus.LEFT
        if not plan.writes or left_alone or rests(plan, record, customer):
            self.verdict.matching[plan.name] += not edited
            return
        golden = here(customer.golden, customer.known_as, plan, now)
        reconciled = Reconciled(golden, customer.winners, withheld=customer.withheld)
        needed = patch(reconciled, now, plan.mapping, spec, secondary=not record.primary)
        for part, hold in needed.holds.items():
            if hold is not Hold.CONTESTED or _differs(customer, part, now):
                self.verdict.add(Difference(name, customer.id, part, _HELD[hold], excepted=True))
        why, excepted, put_off = _LOST, False, ""
        if message is not None:
            why, excepted = _QUEUED.get(message.state, (_QUEUED_STILL, False))
            put_off = message.reason
        for part in sorted(needed.writes.keys() - edited):
            self.verdict.add(Difference(name, customer.id, part, why, excepted, put_off))
        self.verdict.matching[plan.name] += not edited and not needed.writes

    def _missing(self, plan: StreamPlan, sink: Sink) -> None:
        """Some linked records were not in the scan: find out which, and whether they are really gone."""
        after = ""
        while True:
            with self.store() as uow:
                records = uow.records.scan(plan.system, plan.stream, after, PAGE)
            if not records:
                return
            after = records[-1].ref.key
            live = [record for record in records if record.status is RecordStatus.LIVE]
            found, garbled = read_each(sink, plan.stream, [record.ref.key for record in live])
            for record in live:
                if record.ref.key not in garbled and (
                    (shown := found.get(record.ref.key)) is None or shown.deleted
                ):
                    why = "gone from the system since it was last read"
                    self.verdict.add(Difference(str(record.ref), record.entity_id, None, why))

    def _queued(self, states: Mapping[str, SystemState]) -> None:
        with self.store() as uow:
            for system in self.hub.systems:
                if states.get(system) is not SystemState.ACTIVE:
                    continue
                for state, number in uow.outbox.count_creates(system).items():
                    why, excepted = _QUEUED.get(
                        DeliveryState(state), ("a create is waiting", False)
                    )
                    target = self.verdict.excepted if excepted else self.verdict.reasons
                    target[f"{system}: {why}"] += number


def _differs(customer: Customer, name: str, now: Shadow) -> bool:
    held = now.fields.get(name)
    return held is not None and held.held != customer.golden.get(name)

"""The ways back for one field that a run changed, found by trying them on the claims (RULES 5)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crm_master.domain.claims import UNBORN, UNSET, Claim, ClaimKey, Instant, Unset
from crm_master.domain.fields import Canonical, Cardinality
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.survivorship import ORIGINATOR, Policy, reconcile
from crm_master.domain.weighing import Held
from crm_master.engine.golden import origin_of
from crm_master.engine.past import FieldChange
from crm_master.ports import Customer, SourceRecord


@dataclass(frozen=True, slots=True)
class Step:
    """One claim that is set in a record, or (``value`` is ``UNSET``) withdrawn from it."""

    customer: EntityId
    record: RecordId
    key: ClaimKey
    value: Canonical | Unset = UNSET

    def as_dict(self) -> dict[str, Any]:
        place = {"customer": self.customer, "record": self.record, "field": self.key.field}
        if self.key.element is not None:
            place["element"] = self.key.element
        return place if self.value is UNSET else place | {"value": self.value}

    @staticmethod
    def load(row: Mapping[str, Any]) -> Step:
        key = ClaimKey(row["field"], row.get("element"))
        return Step(row["customer"], row["record"], key, row.get("value", UNSET))


@dataclass(frozen=True, slots=True)
class Restored:
    """A field that goes back, with the steps that bring it there."""

    customer: EntityId
    field: str
    now: Canonical
    then: Canonical
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is not undone, and why. Without a ``field``: all of a customer, or something beside its golden record."""

    customer: EntityId
    field: str | None
    why: str

    def as_dict(self) -> dict[str, Any]:
        return {"customer": self.customer, "field": self.field, "why": self.why}


def taken(
    claims: Mapping[ClaimKey, Claim], customer: Customer, step: Step, at: Instant, author: str
) -> Mapping[ClaimKey, Claim]:
    """A record's claims after a step. The decision has seen the golden record as it is, so it replaces what made it."""
    if step.value is UNSET:
        return {key: claim for key, claim in claims.items() if key != step.key}
    now = customer.golden.get(step.key.field)
    if step.key.element is not None:
        now = (now or {}).get(step.key.element)
    made = Claim(step.value, at, at, 0, saw=customer.version, base=now, author=author)
    if (was := claims.get(step.key)) is not None:
        made = replace(made, became=was.became)  # where its other contents are to be found
    return {**claims, step.key: made}


@dataclass(frozen=True, slots=True)
class OneField:
    """One field of one customer that a run changed, and the ways to bring it back."""

    customer: Customer
    records: Sequence[SourceRecord]
    policy: Policy
    name: str
    change: FieldChange
    at: Instant

    @property
    def now(self) -> Canonical | Unset:
        return self.customer.golden.get(self.name, UNSET)

    @property
    def many(self) -> bool:
        spec = self.policy.entity.fields.get(self.name)
        return spec is not None and spec.cardinality is Cardinality.MANY

    def back(self) -> Restored | Kept:
        """The first way that, by policy, gives the value of before: tried on the claims, not believed."""
        if why := self._undecided_before():
            return Kept(self.customer.id, self.name, why)
        spec = self.policy.entity.fields[self.name]
        then = None if self.change.before is UNSET else self.change.before
        # all members are named: what is left out would be completed from the claims that are taken back
        value = {part: then.get(part) for part in spec.members} if spec.members and then else then
        key = ClaimKey(self.name)
        for record in self._carriers():
            setting = Step(self.customer.id, record.rec_id, key, value)
            others = tuple(
                Step(self.customer.id, other.rec_id, key)
                for other in self.records
                if other is not record and self._brought(other, key)
            )
            for steps in ((setting,), (setting, *others)):
                if self._gives(steps, then):
                    return Restored(self.customer.id, self.name, self.now, then, steps)
        rule = self.policy.of(self.name).rule.value
        why = f"no record that {rule} listens to can say it any more"
        return Kept(self.customer.id, self.name, why)

    def _undecided_before(self) -> str:
        """Why no value can go back to where none counted: each system kept its own, and those are overwritten."""
        if self.change.before is not UNSET:
            return "" if self.change.won else "it was contested before the run"
        key = ClaimKey(self.name)
        for record in self.records:
            claim = record.claims.get(key)
            if claim is None:
                continue
            stood = claim.base if self._brought(record, key) else claim.value
            if blank(stood) is not None:
                return f"before the run no value counted, and {record.ref} had one of its own"
        return ""

    def elements_back(self, elements: Sequence[str]) -> Restored | Kept:
        """Of a list, the elements that the run added go, and those that it removed come back; the others stay."""
        before, _, now = elements_of(self.change.before, None, self.now)
        then = {key: value for key, value in now.items() if key not in elements}
        then |= {key: before[key] for key in elements if key in before}
        carriers = self._carriers()
        steps = []
        for element in elements if carriers else ():
            won = self.change.won.get(element)
            carrier = next((r for r in carriers if won and r.rec_id == won[0]), carriers[0])
            key = ClaimKey(self.name, element)
            speaker = next((r for r in carriers if key in r.claims), carrier)
            record = carrier if element in before else speaker
            steps.append(Step(self.customer.id, record.rec_id, key, before.get(element)))
        if steps and self._gives(steps, then):
            return Restored(self.customer.id, self.name, self.now, then, tuple(steps))
        return Kept(self.customer.id, self.name, "no record can say it any more")

    def _carriers(self) -> list[SourceRecord]:
        """The records that a decision may be attached to: whose the value was, then whose it is, then by authority.

        What nobody had said before goes to the record with the least: else it would silence those that were free to speak.
        """
        standing, rank = self.policy.of(self.name).standing, self.policy.rank
        origin = origin_of(self.records, rank)
        able = [
            record
            for record in self.records
            if record.status is RecordStatus.LIVE
            and (
                self.name in record.shadow.fields
                or any(key.field == self.name for key in record.claims)
            )
        ]
        able.sort(
            key=lambda record: (
                standing.get(ORIGINATOR if record is origin else "", len(rank)),
                standing.get(record.ref.system, len(rank)),
                rank[record.ref.system],
                record.rec_id,
            )
        )
        if self.change.before is UNSET:
            return able[::-1]
        won = self.change.won.get("")
        winner = self.customer.winners.get(ClaimKey(self.name))
        first = [won[0] if won else None, winner.record if winner else None]
        places = {rec_id: place for place, rec_id in reversed(list(enumerate(first)))}
        return sorted(able, key=lambda record: places.get(record.rec_id, len(first)))

    def _brought(self, record: SourceRecord, key: ClaimKey) -> bool:
        """Whether a record's claim came with the run."""
        claim = record.claims.get(key)
        return claim is not None and claim.born >= self.change.first

    def _gives(self, steps: Collection[Step], then: Canonical) -> bool:
        made = reconcile(self._claims(steps), self.policy)
        return made.golden.get(self.name, UNSET) == then and self.name not in made.withheld

    def _claims(self, steps: Collection[Step]) -> Iterator[tuple[ClaimKey, Held]]:
        """The field's claims as they would be after some steps."""
        origin = origin_of(self.records, self.policy.rank)
        for record in self.records:
            claims: Mapping[ClaimKey, Claim] = record.claims
            for step in steps:
                if step.record == record.rec_id:
                    claims = taken(claims, self.customer, step, self.at, "")
            for key, claim in claims.items():
                if key.field == self.name:
                    born = self.customer.version + 1 if claim.born == UNBORN else claim.born
                    claim = replace(claim, born=born)
                    made_here = record is origin
                    yield key, Held(claim, record.ref.system, record.rec_id, origin=made_here)


def elements_of(*values: Canonical | Unset) -> tuple[dict[str, Canonical], ...]:
    return tuple(value if isinstance(value, dict) else {} for value in values)


def blank(value: Canonical | Unset) -> Canonical:
    """A value to compare by: an empty one says as little as none."""
    return None if value is UNSET or value in ({}, "") else value

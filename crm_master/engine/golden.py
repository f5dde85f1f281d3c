"""Steps 6 and 7 for one customer: recompute the golden record from all live claims, and see who has to be told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm_master.domain.changes import Change, Patch, diff, patch, withdraw
from crm_master.domain.claims import UNBORN, UNSET, ClaimKey, Instant
from crm_master.domain.lifecycle import (
    DeletePolicy,
    DeliveryVerb,
    Leaving,
    Origin,
    RecordStatus,
    SystemState,
)
from crm_master.domain.settling import agree, believe, hide, withhold
from crm_master.domain.survivorship import Reconciled, Winner, reconcile
from crm_master.domain.weighing import Held
from crm_master.engine.deletion import out_of_scope
from crm_master.engine.facts import here
from crm_master.engine.plan import EntityPlan, Hub, StreamPlan
from crm_master.ports import Customer, OutboxMessage, SourceRecord

Watermarks = Mapping[tuple[str, str], Instant]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A customer as all live claims have it now, beside what it was. ``born`` are the claims that count now.

    ``winners`` are those before.
    """

    reconciled: Reconciled
    changes: Mapping[str, Change]
    winners: Mapping[ClaimKey, Winner]
    born: tuple[tuple[SourceRecord, ClaimKey], ...]
    first: bool


def counts_for(record: SourceRecord, states: Mapping[str, SystemState]) -> bool:
    """Whether a record's claims count: its system has joined, and it is no alias of another record."""
    joined = states.get(record.ref.system) in (SystemState.ACTIVE, SystemState.OBSERVE)
    return joined and record.status not in (RecordStatus.ALIAS, RecordStatus.LEFT)


def taking_part(hub: Hub, states: Mapping[str, SystemState]) -> dict[str, SystemState]:
    """The states of the systems that there are: one taken out of ``hub.yaml`` has no say, and is told nothing."""
    return {name: state for name, state in states.items() if name in hub.systems}


def live_claims(
    records: Sequence[SourceRecord], rank: Mapping[str, int]
) -> Iterator[tuple[ClaimKey, Held]]:
    origin = origin_of(records, rank)
    for record in records:
        gone = record.gone.hi if record.gone is not None else None
        for key, claim in record.claims.items():
            yield key, Held(claim, record.ref.system, record.rec_id, gone, record is origin)


def origin_of(records: Iterable[SourceRecord], rank: Mapping[str, int]) -> SourceRecord | None:
    """The record in which an entity was made: the one that the hub has not made itself (RULES 18).

    Of several the highest in rank. Not the one that was read first: that would depend on the order of polling.
    """
    made = [record for record in records if record.origin is Origin.SOURCE]
    return min(made, key=lambda of: (rank.get(of.ref.system, len(rank)), of.rec_id), default=None)


def recompute(
    plan: EntityPlan,
    customer: Customer,
    records: Sequence[SourceRecord],
    states: Mapping[str, SystemState],
) -> Recomputed:
    """Move ``customer`` to its next version, computed from scratch. Claims counted for the first time are born in it."""
    version = customer.version + 1
    counted = [record for record in records if counts_for(record, states)]
    born: list[tuple[SourceRecord, ClaimKey]] = []
    for record in counted:
        for key, claim in record.claims.items():
            if claim.born == UNBORN:
                record.claims[key] = replace(claim, born=version)
                born.append((record, key))
    reconciled = reconcile(live_claims(counted, plan.policy.rank), plan.policy)
    changes = diff(customer.golden, reconciled.golden)
    first, winners = customer.version == 0, customer.winners
    customer.version = version
    customer.golden = dict(reconciled.golden)
    customer.winners = dict(reconciled.winners)
    customer.withheld = reconciled.withheld
    return Recomputed(reconciled, changes, winners, tuple(born), first)


def superseded(made: Recomputed) -> dict[str, list[Any]]:
    """What a new version supersedes, as history keeps it; see ``crm_master.ports.HistoryEntry``."""
    found: dict[str, list[Any]] = {}
    for name, change in made.changes.items():
        if change.before is UNSET:
            found[name] = []
            continue
        won = {
            key.element or "": [winner.record, winner.seq, winner.rule.value]
            for key, winner in made.winners.items()
            if key.field == name
            and not (key.element and isinstance(change.after, dict) and key.element in change.after)
        }
        found[name] = [change.before, won]
    return found


@dataclass(slots=True)
class FannedOut:
    """Who has to be told of a customer: deliveries to queue, deliveries no longer needed, records that show it already."""

    messages: list[OutboxMessage]
    unneeded: list[str]
    patches: list[tuple[SourceRecord, Patch]]
    creates: list[StreamPlan]
    deletes: list[SourceRecord] = field(default_factory=list)
    believed: bool = False
    """A value in doubt became a claim, because nothing will be written there that would tell: to be recomputed."""


def fan_out(
    hub: Hub,
    plan: EntityPlan,
    customer: Customer,
    reconciled: Reconciled,
    records: Sequence[SourceRecord],
    states: Mapping[str, SystemState],
    watermarks: Watermarks,
    at: Instant,
) -> FannedOut:
    """Compare the golden record with every linked record's shadow, and with where policy wants the customer created."""
    out = FannedOut([], [], [], [])
    present: set[tuple[str, str]] = set()
    members = {record.rec_id for record in records}
    elect(records)
    for record in records:
        ref = record.ref
        record.shadow = withdraw(record.shadow, members)
        present.add((ref.system, ref.stream))
        stream = _target(hub, record, states)
        if stream is None:
            out.believed |= _believe(record)
            continue
        message = _message(customer, stream, record.rec_id)
        if customer.archived or rests(stream, record, customer):
            out.believed |= _believe(record)
            if customer.archived and plan.deletes is DeletePolicy.PROPAGATE and stream.deletes:
                message.verb = DeliveryVerb.DELETE
                out.messages.append(message)
                out.deletes.append(record)
            else:
                out.unneeded.append(message.id)
            continue
        local = here(reconciled.golden, customer.known_as, stream, record.shadow)
        needed = patch(
            replace(reconciled, golden=local),
            record.shadow,
            stream.mapping,
            plan.spec,
            secondary=not record.primary,
        )
        out.believed |= _believe(record, needed.writes)
        out.patches.append((record, needed))
        record.shadow = agree(record.shadow, needed.matched)
        if record.primary:
            # also where there is something to write: whatever becomes of that, these will not show this version
            record.shadow = hide(record.shadow, needed.unshown, customer.version - 1)
        # whether a delete that is no more wanted has happened, a look tells
        if needed.writes or needed.crossing or record.shadow.deleting:
            out.messages.append(message)
            continue
        out.unneeded.append(message.id)
        if not record.primary:
            continue
        known = watermarks.get((ref.system, ref.stream), 0)
        shown = record.shadow.showing(customer.version, at, known)
        record.shadow = withhold(shown, needed.unshown, customer.version - 1)
    for stream in hub.streams(customer.entity):
        if stream.creates is None:
            continue
        message = _message(customer, stream, None)
        joined = states.get(stream.system) is SystemState.ACTIVE
        there = (stream.system, stream.stream) in present
        if joined and not there and wanted(stream, customer):
            out.messages.append(message)
            out.creates.append(stream)
        else:
            out.unneeded.append(message.id)
    return out


def wanted(stream: StreamPlan, customer: Customer) -> bool:
    """Whether a customer is one to be made in a stream (RULES 17). Nobody is of whom nothing is said."""
    if stream.creates is None or customer.archived:
        return False
    said = any(value not in (None, {}) for value in customer.golden.values())
    return said and all(test.holds(customer.golden) for test in stream.creates)


def elect(records: Sequence[SourceRecord]) -> None:
    """Of a customer's live records in one stream one is primary: pinned, else the oldest (RULES 14)."""
    first: dict[tuple[str, str], SourceRecord] = {}
    for record in records:
        if record.status is RecordStatus.LIVE:
            place = (record.ref.system, record.ref.stream)
            if place not in first or _seniority(record) < _seniority(first[place]):
                first[place] = record
    for record in records:
        elected = first.get((record.ref.system, record.ref.stream), record)
        record.primary = elected is record


def _seniority(record: SourceRecord) -> tuple[bool, Instant, int, str]:
    """Pinned before not, then by age; of those that were read together the lower key counts as older."""
    return (not record.pinned, record.since, len(record.ref.key), record.ref.key)


def rests(stream: StreamPlan, record: SourceRecord, customer: Customer) -> bool:
    """Whether a record is not written for now, because its customer is not one to be made there (RULES 17)."""
    return stream.leaving is Leaving.ARCHIVE and out_of_scope(stream, record, customer.golden)


def _believe(record: SourceRecord, writes: Collection[str] | None = None) -> bool:
    found = believe(record.shadow, writes)
    record.shadow, record.claims = found.shadow, {**record.claims, **found.edits}
    return bool(found.edits)


def _target(hub: Hub, record: SourceRecord, states: Mapping[str, SystemState]) -> StreamPlan | None:
    """The stream plan of a record that may be written, else ``None``."""
    stream = hub.known(record.ref)
    if stream is None or not stream.writes:
        return None
    if record.status is not RecordStatus.LIVE:
        return None
    return stream if states.get(record.ref.system) is SystemState.ACTIVE else None


def _message(customer: Customer, stream: StreamPlan, rec_id: str | None) -> OutboxMessage:
    return OutboxMessage(
        entity_id=customer.id,
        entity=customer.entity,
        system=stream.system,
        stream=stream.stream,
        rec_id=rec_id,
        version=customer.version,
    )

"""What follows for a customer when one of its records is gone, or leaves the scope of a create (RULES 12, 17)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from crm_master.domain.claims import UNBORN
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import RecordId
from crm_master.domain.lifecycle import DeletePolicy, Leaving, Origin, RecordStatus
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import Customer, SourceRecord


def silenced(gone: SourceRecord, records: Sequence[SourceRecord]) -> str:
    """Why a tombstone does not speak for the customer of these records; empty if it does.

    Who deleted it knew nothing of what was claimed after the version that the record showed last.
    """
    others = [record for record in records if record.rec_id != gone.rec_id]
    if any(r.status is RecordStatus.LIVE and r.ref.system == gone.ref.system for r in others):
        return "the system has another live record of this customer"
    shown = max((seen.version for seen in gone.shadow.seen), default=0)
    for record in others:
        if record.status is RecordStatus.ALIAS:
            continue
        if any(claim.born == UNBORN or claim.born > shown for claim in record.claims.values()):
            return f"{record.ref.system} has said something since that this record did not show"
    return ""


def obey(
    policy: DeletePolicy,
    customer: Customer,
    records: Sequence[SourceRecord],
    gone: Collection[RecordId],
) -> dict[RecordId, str]:
    """Do to a customer what policy says of its records that are gone now. Gives for each what became of it, in words."""
    said: dict[RecordId, str] = {}
    for record in records:
        if record.rec_id not in gone:
            continue
        why = silenced(record, records)
        if policy is DeletePolicy.IGNORE:
            said[record.rec_id] = "policy ignores deletions: the customer stays as it is elsewhere"
        elif why:
            said[record.rec_id] = f"kept elsewhere: {why}"
        elif policy is DeletePolicy.UNLINK:
            if any(other.status is RecordStatus.LIVE for other in records):
                record.claims = {}
            said[record.rec_id] = "what it said no longer counts"
        else:
            customer.archived = True
            said[record.rec_id] = (
                "the customer is archived, and deleted where that is possible"
                if policy is DeletePolicy.PROPAGATE
                else "the customer is archived: nobody is told of it any more"
            )
    return said


def returns(customer: Customer, said: Collection[SourceRecord]) -> bool:
    """Whether an archived customer lives again: one of its live records says something new."""
    return customer.archived and any(record.status is RecordStatus.LIVE for record in said)


def out_of_scope(stream: StreamPlan, record: SourceRecord, golden: Mapping[str, Canonical]) -> bool:
    """Whether a record that the hub made is one that it would not make now."""
    made = record.origin is Origin.HUB and stream.creates is not None
    return made and not all(test.holds(golden) for test in stream.creates or ())


def leave(hub: Hub, customer: Customer, records: Sequence[SourceRecord]) -> list[SourceRecord]:
    """Let go for good of the records that are out of scope, where policy says ``unlink``. Gives those."""
    left = []
    for record in records:
        stream = hub.known(record.ref)
        if stream is None or stream.leaving is not Leaving.UNLINK:
            continue
        if record.status is RecordStatus.LIVE and out_of_scope(stream, record, customer.golden):
            record.status = RecordStatus.LEFT
            left.append(record)
    return left

"""A delivery on its way: what was rendered for a message, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.contract import Outcome, Page, RawRecord, WriteCommand
from crm_master.domain.changes import patch, projection, sources_of
from crm_master.domain.claims import Instant, Sources
from crm_master.domain.fields import Mapped, Native, Presence
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryVerb
from crm_master.domain.survivorship import Reconciled
from crm_master.engine.facts import here
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.ports import Customer, DeliveryEntry, OutboxMessage, SourceRecord


@dataclass(slots=True)
class Delivery:
    """One message with what was rendered for it. ``natives`` are the fields sent, whole."""

    message: OutboxMessage
    customer: Customer
    command: WriteCommand
    plan: StreamPlan
    record: SourceRecord | None
    natives: dict[str, Native]
    held: dict[str, Native] = field(default_factory=dict)  # of a delete: what it takes away
    found: bool = False  # a create whose answer was lost, and that was looked for and found
    overtaken: Page | None = None  # what the last look before the write showed instead

    @property
    def sources(self) -> Mapping[str, Sources]:
        """Whose claims the fields are that are sent."""
        return sources_of(self.natives, self.customer.winners)

    @property
    def operation(self) -> str:
        if self.message.verb is DeliveryVerb.DELETE:
            return "delete"
        return "create" if self.message.rec_id is None else "update"

    def entry(
        self,
        outcome: str,
        at: Instant,
        *,
        sent: Mapping[str, Native] | None = None,
        held: Mapping[str, Native] | None = None,
        children: Mapping[str, Mapping[str, str]] | None = None,
        reason: str = "",
        ref: ExternalRef | None = None,
    ) -> DeliveryEntry:
        ref = ref or (None if self.record is None else self.record.ref)
        return DeliveryEntry(
            rec_id=None if ref is None else record_id(ref),
            ref=ref,
            entity_id=self.customer.id,
            system=self.plan.system,
            stream=self.plan.stream,
            version=self.message.version,
            operation=self.operation,
            outcome=outcome,
            at=at,
            sent=sent or {},
            sources=self.sources if sent else {},
            held=held or {},
            children=children or {},
            reason=reason,
        )


@dataclass(slots=True)
class Confirmed:
    """An outcome, and what the system holds now where that is known. ``at`` is when it was known."""

    delivery: Delivery
    outcome: Outcome
    shown: RawRecord | None
    started: Instant
    at: Instant


def draft(plan: StreamPlan, message: OutboxMessage, customer: Customer) -> Delivery:
    """A create: all of the golden record that the system can hold, but for what waits for a decision."""
    message.version = customer.version
    natives = projection(here(customer.golden, customer.known_as, plan), plan.mapping)
    natives = {name: native for name, native in natives.items() if name not in customer.withheld}
    command = WriteCommand(
        id=message.id,
        stream=plan.stream,
        key=None,
        before={},
        after=plan.mapping.put({}, natives),
        correlation=correlation(customer.id),
    )
    return Delivery(message, customer, command, plan, None, natives)


def still_mapped(plan: StreamPlan, sent: Mapping[str, Native]) -> dict[str, Native]:
    """What was sent once, without the fields that the mapping does not write any more."""
    return {name: native for name, native in sent.items() if name in plan.mapping.writable}


def correlation(entity_id: EntityId) -> str:
    """The key under which a create can be found again: the same for every attempt, and no personal data."""
    return f"CRM-{entity_id}"


def unshown(hub: Hub, plan: StreamPlan, customer: Customer, record: SourceRecord) -> frozenset[str]:
    """The fields in which a record that was delivered to still does not show the golden record (RULES 4).

    A secondary record is not brought up to it, and so does not show what it would have to be sent.
    """
    golden = here(customer.golden, customer.known_as, plan, record.shadow)
    reconciled = Reconciled(golden, customer.winners, withheld=customer.withheld)
    spec = hub.entities[customer.entity].spec
    found = patch(reconciled, record.shadow, plan.mapping, spec)
    return found.unshown if record.primary else found.unshown.union(found.writes)


def natives_of(mapped: Mapped) -> dict[str, Native]:
    """What a record shows, where it shows something that can be read."""
    unsaid = (Presence.MISSING, Presence.UNREADABLE)
    return {
        name: reading.native
        for name, reading in mapped.readings.items()
        if reading.presence not in unsaid
    }


def legible(mapped: Mapped) -> bool:
    """Whether all that a record shows can be read."""
    return all(reading.presence is not Presence.UNREADABLE for reading in mapped.readings.values())


def children_of(mapped: Mapped) -> dict[str, Mapping[str, str]]:
    """Under which keys of the system's own the elements of its lists stand, where it gives them any."""
    return {
        name: reading.children
        for name, reading in mapped.readings.items()
        if reading.children is not None
    }

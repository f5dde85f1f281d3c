"""Step 9: what a record is to be sent, seen from the golden record and the system as both are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.contract import RawRecord, WriteCommand
from crm_master.domain.attribution import attribute
from crm_master.domain.changes import patch
from crm_master.domain.claims import UNSET, FieldShadow, Instant, Observed, Shadow
from crm_master.domain.elements import former_keys
from crm_master.domain.fields import Mapped, Native, Rejected
from crm_master.domain.lifecycle import DeliveryState, DeliveryVerb, RecordStatus, TaskKind
from crm_master.domain.settling import abandoned, arrived, on_its_way, withhold
from crm_master.domain.survivorship import Reconciled, former_contents
from crm_master.engine.delivery import Delivery, children_of, correlation, natives_of, unshown
from crm_master.engine.facts import here
from crm_master.engine.ingest import canonical, fingerprint, land, spot_page
from crm_master.engine.plan import Hub, StreamPlan
from crm_master.engine.settle import Settler, wait
from crm_master.ports import Clock, Customer, DeliveryEntry, OutboxMessage, SourceRecord, UnitOfWork


@dataclass(frozen=True, slots=True)
class Checked:
    """The present state of records that are about to be written, and when it was asked for."""

    found: Mapping[str, RawRecord | None]
    started: Instant
    ended: Instant


class Renderer:
    """Renders updates. What needs no write, or must not be written yet, it books."""

    def __init__(self, hub: Hub, settler: Settler, clock: Clock, run_id: str) -> None:
        self.hub = hub
        self.settler = settler
        self.clock = clock
        self.run_id = run_id

    def __call__(
        self,
        plan: StreamPlan,
        message: OutboxMessage,
        record: SourceRecord,
        customer: Customer,
        now: Checked,
        uow: UnitOfWork,
    ) -> Delivery | str:
        """The delivery; or what became of it instead, as the ledger counts it: gone, overtaken, already."""
        message.version = customer.version
        shown = now.found.get(record.ref.key)
        if shown is not None and shown.merged_into is not None:
            watermark = uow.states.stream(plan.system, plan.stream).watermark
            return self._overtaken(plan, message, shown, now, watermark, uow)
        if shown is None or record.status is not RecordStatus.LIVE:
            entry = self.settler.gone(message, record, uow)
            pos = uow.journal.commit("settle", self.clock(), self.run_id)
            uow.journal.add_deliveries([entry], pos)
            return "gone"
        if message.verb is DeliveryVerb.DELETE and not customer.archived:
            uow.outbox.done([message])
            return "already"
        spec = self.hub.entities[customer.entity].spec
        watermark = uow.states.stream(plan.system, plan.stream).watermark
        mapped = plan.mapping.apply(shown.document, full_payload=plan.full_payload)
        if isinstance(mapped, Rejected):
            return self._overtaken(plan, message, shown, now, watermark, uow)
        observed = Observed(0, watermark, now.started, now.ended, skew=plan.skew)
        seen = attribute(mapped, record.claims, record.shadow, plan.mapping, spec, observed)
        told = seen.edits or seen.notices or seen.stale or seen.doubts
        if told or _first_seen(record.shadow, seen.shadow):
            return self._overtaken(plan, message, shown, now, watermark, uow)
        known, record.shadow = record.shadow, replace(seen.shadow, deleting=0)
        # what a write without an answer has done comes in like all that is seen: by the journal
        news = _news(known, seen.shadow)
        if message.verb is DeliveryVerb.DELETE:
            if news:
                return self._overtaken(plan, message, shown, now, watermark, uow)
            return self._deletion(plan, message, record, customer, shown, natives_of(mapped))
        golden = here(customer.golden, customer.known_as, plan, record.shadow)
        reconciled = Reconciled(golden, customer.winners, withheld=customer.withheld)
        needed = patch(reconciled, record.shadow, plan.mapping, spec, secondary=not record.primary)
        if not needed.writes:
            if news or on_its_way(known):
                # what was landed last is from before that: who makes the record so again makes an edit
                record.raw_hash = fingerprint(canonical(shown.document))
            return self._already(plan, message, record, customer, mapped, now, uow)
        if news:
            return self._overtaken(plan, message, shown, now, watermark, uow)
        former = {
            name: former_keys(name, golden[name], was, plan.mapping)
            for name, was in former_contents(customer.winners).items()
            if name in needed.writes and name in golden
        }
        command = WriteCommand(
            id=message.id,
            stream=plan.stream,
            key=record.ref.key,
            before=shown.document,
            after=plan.mapping.put(shown.document, needed.writes, former),
            correlation=correlation(customer.id),
            etag=shown.etag,
        )
        return Delivery(message, customer, command, plan, record, dict(needed.intents))

    def _deletion(
        self,
        plan: StreamPlan,
        message: OutboxMessage,
        record: SourceRecord,
        customer: Customer,
        shown: RawRecord,
        held: dict[str, Native],
    ) -> Delivery:
        """A delete is a write of nothing. What it takes away is in the journal, for whoever wants it back."""
        command = WriteCommand(
            id=message.id,
            stream=plan.stream,
            key=record.ref.key,
            before=shown.document,
            after={},
            correlation=correlation(customer.id),
            etag=shown.etag,
        )
        return Delivery(message, customer, command, plan, record, {}, held)

    def _overtaken(
        self,
        plan: StreamPlan,
        message: OutboxMessage,
        shown: RawRecord,
        now: Checked,
        watermark: Instant,
        uow: UnitOfWork,
    ) -> str:
        """Somebody was faster: their state comes in first, and only then is this rendered again."""
        page = spot_page([shown], now.started, now.ended)
        landed, _ = land(plan, [shown], page, watermark, uow, self.run_id)
        message.state = DeliveryState.OVERTAKEN if landed else DeliveryState.PENDING
        message.not_before = now.ended + wait(message, None)
        message.reason = "the record was changed in the system; its new state is in the inbox"
        uow.outbox.save([message])
        return "overtaken"

    def _already(
        self,
        plan: StreamPlan,
        message: OutboxMessage,
        record: SourceRecord,
        customer: Customer,
        mapped: Mapped,
        now: Checked,
        uow: UnitOfWork,
    ) -> str:
        """The system shows the golden record already, perhaps through a write whose answer was lost.

        Then a read that began before this one was over shows it perhaps as it was before (RULES 6), and an edit was made
        after this one began.
        """
        at = self.clock()
        confirmed_at, read_at = record.shadow.confirmed_at, record.shadow.read_at
        if on_its_way(record.shadow):
            confirmed_at, read_at = max(confirmed_at, now.started), at
        fields = {
            name: was
            if was.pending is UNSET
            else replace(
                arrived(was) if was.held == was.pending else abandoned(was),
                sent=was.pending if was.held == was.pending else was.sent,
            )
            for name, was in record.shadow.fields.items()
        }
        known = uow.states.stream(plan.system, plan.stream).watermark
        shadow = replace(record.shadow, fields=fields, confirmed_at=confirmed_at, read_at=read_at)
        shadow = record.shadow = shadow.showing(customer.version, now.started, known)
        record.shadow = withhold(
            shadow, unshown(self.hub, plan, customer, record), customer.version - 1
        )
        pos = uow.journal.commit("settle", at, self.run_id)
        uow.records.save([record])
        uow.outbox.done([message])
        uow.tasks.close([(TaskKind.REFUSED, message.id)], at)
        entry = DeliveryEntry(
            rec_id=record.rec_id,
            ref=record.ref,
            entity_id=customer.id,
            system=plan.system,
            stream=plan.stream,
            version=customer.version,
            operation="update",
            outcome="noop",
            at=now.started,
            held={name: fields[name].held for name in natives_of(mapped)},
            children=children_of(mapped),
        )
        uow.journal.add_deliveries([entry], pos)
        return "already"


def _first_seen(known: Shadow, seen: Shadow) -> bool:
    """Whether a record shows for the first time a field that could not be read before, or what became of a write."""
    return any(
        (was.unreadable and not seen.fields[name].unreadable)
        or (was.unseen and not seen.fields[name].unseen)
        for name, was in known.fields.items()
    )


def _news(known: Shadow, seen: Shadow) -> bool:
    """Whether a record shows something else than it was last known to hold, or holds what nobody knew to have arrived."""
    return any(
        (was.held, was.sent) != (now.held, now.sent) or was.children not in (None, now.children)
        for was, now in (
            (known.fields.get(name, FieldShadow()), now) for name, now in seen.fields.items()
        )
    )

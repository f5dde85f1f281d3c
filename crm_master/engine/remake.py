"""Steps 6 to 8 for a batch: the golden records of all who were touched, who has to be told, and the commit of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crm_master.domain.claims import UNSET, ClaimKey
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import Winner
from crm_master.engine.deletion import leave, obey, returns
from crm_master.engine.facts import look_up, note
from crm_master.engine.findings import Findings, Scope
from crm_master.engine.golden import Recomputed, counts_for, fan_out, recompute, superseded
from crm_master.engine.matching import add_sent
from crm_master.ports import Customer, HistoryEntry, LinkEntry, SourceRecord, Task


class Remaker:
    """Recomputes the customers that a batch has touched, and stores the batch."""

    def __init__(self, scope: Scope, found: Findings) -> None:
        self.scope = scope
        self.hub = scope.hub
        self.plan = scope.plan
        self.uow = scope.uow
        self.found = found

    def __call__(self, records: dict[RecordId, SourceRecord]) -> None:
        """Steps 6 and 7: recompute every customer that was touched, and see who has to be told."""
        self.found.customers |= self.uow.customers.get(
            self.found.touched - self.found.customers.keys(), lock=True
        )
        self._redirect(records)
        members: dict[EntityId, dict[RecordId, SourceRecord]] = {}
        for stored in self.uow.records.of_entities(self.found.touched, lock=True):
            member = records.setdefault(stored.rec_id, stored)
            if member.entity_id is not None:
                members.setdefault(member.entity_id, {})[member.rec_id] = member
        for record in records.values():
            if record.entity_id in self.found.touched:
                members.setdefault(record.entity_id, {})[record.rec_id] = record
        look_up(self.plan, self.found.customers.values(), records.values(), self.uow)
        for entity_id in sorted(self.found.touched):
            of = [record for _, record in sorted(members.get(entity_id, {}).items())]
            self._remake_one(self.found.customers[entity_id], of)

    def _redirect(self, records: dict[RecordId, SourceRecord]) -> None:
        """What was linked to a customer while a person merged that one belongs to whom it was merged into."""
        while absorbed := {
            id_: self.found.customers[id_].redirect_to
            for id_ in self.found.touched
            if self.found.customers[id_].redirect_to is not None
        }:
            for stored in self.uow.records.of_entities(absorbed, lock=True):
                records.setdefault(stored.rec_id, stored)
            for record in records.values():
                if record.entity_id in absorbed:
                    record.entity_id = absorbed[record.entity_id]
            self.found.touched = self.found.touched - absorbed.keys() | {
                id_ for id_ in absorbed.values() if id_
            }
            missing = self.found.touched - self.found.customers.keys()
            self.found.customers |= self.uow.customers.get(missing, lock=True)

    def _remake_one(self, customer: Customer, records: Sequence[SourceRecord]) -> None:
        if not any(counts_for(record, self.scope.states) for record in records):
            return
        withheld_before = customer.withheld
        gone = {
            record.rec_id for record in records if counts_for(record, self.scope.states)
        } & self.found.gone
        said = obey(self.plan.deletes, customer, records, gone)
        made = recompute(self.plan, customer, records, self.scope.states)
        if leave(self.hub, customer, records):
            made = recompute(self.plan, customer, records, self.scope.states)
        if returns(customer, [record for record, _ in made.born]):
            customer.archived = False
        customer.config_hash = self.hub.hash
        if made.changes:
            self.found.counts["golden" if made.first else "changed"] += 1
        if made.changes and not made.first:
            self.found.history.append(self._history(customer, made))
        self.found.counts["conflicts"] += len(made.reconciled.conflicts)
        refs = {record.rec_id: str(record.ref) for record in records}
        for conflict in made.reconciled.conflicts:
            if conflict.contested:
                contenders = [
                    {"record": refs[held.record], "value": held.claim.value}
                    for held in conflict.contenders
                ]
                payload = {"entity": customer.id, "field": conflict.field, "contenders": contenders}
                subject = f"{customer.id}:{conflict.field}"
                self.found.ask(Task(TaskKind.CONFLICT, subject, payload))
        for name in withheld_before - customer.withheld:
            self.found.settled.add((TaskKind.CONFLICT, f"{customer.id}:{name}"))
        self._tell(customer, records, said)
        self._lost_edits(customer, made)
        out = fan_out(
            self.hub,
            self.plan,
            customer,
            made.reconciled,
            records,
            self.scope.states,
            self.scope.watermarks,
            self.scope.at,
        )
        self.found.messages += out.messages
        self.found.unneeded += out.unneeded
        self.found.counts["queued"] += len(out.messages)
        if out.believed:
            self.found.believed.add(customer.id)

    def _tell(
        self, customer: Customer, records: Sequence[SourceRecord], said: Mapping[RecordId, str]
    ) -> None:
        """What became of a customer whose record is gone, in that record's task."""
        for record in records:
            if record.rec_id in said.keys() - self.found.deleted_by_us:
                payload = {
                    "entity": customer.id,
                    "record": str(record.ref),
                    "outcome": said[record.rec_id],
                }
                self.found.ask(Task(TaskKind.GONE, str(record.ref), payload))

    def _lost_edits(self, customer: Customer, made: Recomputed) -> None:
        """Put every new edit that did not win on record, with the rule that rejected it (promise 3)."""
        for record, key in made.born:
            claim = record.claims[key]
            if claim.base is UNSET:
                continue
            subject = f"{record.ref}:{key.field}"
            # an edit that lost before stays on record beside the one that loses now
            self.found.renewed.append((TaskKind.REVERTED, subject))
            winner = customer.winners.get(key)
            ours = winner is not None and winner.record == record.rec_id
            if ours or key.field in customer.withheld or _won(customer.golden, key, claim.value):
                continue
            winner = winner or _instead(customer.winners, key)
            payload = {
                "entity": customer.id,
                "field": key.field,
                "rule": self.plan.policy.of(key.field).rule.value,
                "lost": claim.value,
                "seq": claim.seq,
                "winner": None if winner is None else winner.record,
            }
            self.found.counts["lost"] += 1
            self.found.ask(Task(TaskKind.REVERTED, subject, payload))

    def _history(self, customer: Customer, made: Recomputed) -> HistoryEntry:
        causes = tuple(sorted({record.claims[key].seq for record, key in made.born}))
        return HistoryEntry(
            customer.id,
            customer.version,
            self.scope.at,
            superseded(made),
            causes,
            self.scope.run_id,
        )

    def save(
        self, records: dict[RecordId, SourceRecord], links: Sequence[LinkEntry], pos: int
    ) -> None:
        uow = self.uow
        uow.records.save(list(records.values()))
        said = self.found.edited | self.found.reindexed
        note([records[rec_id] for rec_id in sorted(said)], self.plan.spec, uow)
        reindexed = [records[rec_id] for rec_id in sorted(self.found.reindexed)]
        for record in reindexed:
            # it is found by what is on its way to it until that is known to have arrived, or not
            if stream := self.hub.known(record.ref):
                add_sent(record, stream.mapping, self.plan.spec.name, self.plan.match)
        uow.records.save_blocks(reindexed)
        uow.customers.save(list(self.found.customers.values()), self.scope.at)
        uow.customers.add_history(self.found.history)
        uow.customers.add_links(links, self.scope.at, pos)
        uow.outbox.cancel(self.found.unneeded)
        uow.outbox.put(self.found.messages, self.scope.at)
        uow.outbox.resume(records.keys())
        uow.customers.mark_dirty(ids=self.found.believed)
        uow.tasks.close(self.found.renewed, self.scope.at)
        uow.tasks.open(self.found.tasks, self.scope.at, self.scope.run_id)
        uow.tasks.close(self.found.settled, self.scope.at)
        unneeded = [(TaskKind.REFUSED, id_) for id_ in self.found.unneeded]
        uow.tasks.close(unneeded, self.scope.at)


def _instead(winners: Mapping[ClaimKey, Winner], key: ClaimKey) -> Winner | None:
    """Whose claim is in the place of an element that lost against another edit of the same element."""
    return next(
        (
            winner
            for of, winner in winners.items()
            if of.field == key.field and any(key.element in former for former in winner.was)
        ),
        None,
    )


def _won(golden: dict[str, Canonical], key: ClaimKey, value: Canonical) -> bool:
    if key.element is None:
        return bool(golden.get(key.field) == value)
    return (key.element in golden.get(key.field, {})) == (value is not None)

"""What systems merge among their own records: told by them, or suspected of them (RULES 13).

A record that was merged into another is an alias: its claims retire, and nothing is deleted anywhere. Whether two customers
are one because of it is a question to a person, and so is a deletion that looks like a merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from crm_master.domain.claims import UNSET, Claim, ClaimKey, Instant
from crm_master.domain.fields import Canonical
from crm_master.domain.identity import Profile, agreement, profile
from crm_master.domain.ids import ExternalRef, RecordId, record_id
from crm_master.domain.lifecycle import RecordStatus, TaskKind
from crm_master.engine import linking
from crm_master.engine.explain import POLICY, find_record
from crm_master.engine.matching import BLOCK_CAP, block_hashes, values_of
from crm_master.engine.plan import EntityPlan, Hub, Translator
from crm_master.ports import LinkEntry, SourceRecord, Task, UnitOfWork

APART = "apart"


def survivors(
    merged: Iterable[SourceRecord], records: dict[RecordId, SourceRecord], uow: UnitOfWork
) -> dict[RecordId, SourceRecord]:
    """By record that was merged away, the one into which it was, over others if need be. Loads them into ``records``."""
    into = {record.rec_id: record.alias_of for record in merged}
    wanted = {of for of in into.values() if of is not None}
    while missing := wanted - records.keys():
        found = uow.records.get(missing, lock=True)
        records.update(found)
        wanted = {record.alias_of for record in found.values() if record.alias_of is not None}
    return {
        loser: last
        for loser, of in into.items()
        if (last := _last(of, records, {loser})) is not None
    }


def _last(
    of: RecordId | None, records: Mapping[RecordId, SourceRecord], seen: set[RecordId]
) -> SourceRecord | None:
    while of is not None and of in records and of not in seen:
        seen.add(of)
        record = records[of]
        if record.alias_of is None:
            return record
        of = record.alias_of
    return None


def taken_over(
    loser: SourceRecord, survivor: SourceRecord, mapping: Translator
) -> dict[ClaimKey, Claim]:
    """The loser's claims that are the survivor's words now: what it shows, and does not say by itself already.

    The hub may have put that there, and its own values coming back are no edits: else nobody would say it any more.
    """
    return {
        key: claim
        for key, claim in loser.claims.items()
        if key not in survivor.claims and _shows(survivor, key, claim.value, mapping)
    }


def _shows(record: SourceRecord, key: ClaimKey, value: Canonical, mapping: Translator) -> bool:
    now = record.shadow.fields.get(key.field)
    if now is None or now.held is UNSET or value is None:
        return False
    if key.element is not None:
        return isinstance(now.held, dict) and key.element in now.held
    for native in (now.held, now.sent):
        try:
            shown = None if native is UNSET else mapping.decode(key.field, native)
        except ValueError:
            continue
        if isinstance(shown, dict) and isinstance(value, dict):
            value = {part: value.get(part) for part in shown if value.get(part) is not None}
            shown = {part: of for part, of in shown.items() if of is not None}
        if shown == value:
            return True
    return False


def told(loser: SourceRecord, survivor: SourceRecord) -> LinkEntry | Task | None:
    """What a merge in a system means: an alias on record, or with two customers a question."""
    if loser.entity_id is None or survivor.entity_id is None:
        return None
    if loser.entity_id == survivor.entity_id:
        evidence = {"into": str(survivor.ref)}
        return LinkEntry(loser.rec_id, loser.entity_id, "alias", POLICY, evidence)
    return _question(loser, [survivor], "the system merged it into a record of another customer")


def vanished(
    hub: Hub, plan: EntityPlan, records: Sequence[SourceRecord], uow: UnitOfWork
) -> Iterator[Task]:
    """A question for each record that is gone and was somebody's: was it deleted, or merged into one that is like it?"""
    gone = [record for record in records if record.entity_id is not None]
    alike = _alike(hub, plan, gone, uow) if gone else {}
    for record in gone:
        if record.rec_id in alike:
            reason = "it was deleted, while a record with the same keys is there: merged?"
            yield _question(record, alike[record.rec_id], reason)
        else:
            payload = {"entity": record.entity_id, "record": str(record.ref)}
            yield Task(TaskKind.GONE, str(record.ref), payload)


def _question(loser: SourceRecord, into: Sequence[SourceRecord], reason: str) -> Task:
    entities = [of.entity_id for of in into if of.entity_id not in (None, loser.entity_id)]
    payload = {
        "entity": loser.entity_id,
        "entities": list(dict.fromkeys(entities)),
        "record": str(loser.ref),
        "into": [str(of.ref) for of in into],
        "reason": reason,
    }
    return Task(TaskKind.MERGE, str(loser.ref), payload)


def _alike(
    hub: Hub, plan: EntityPlan, gone: Sequence[SourceRecord], uow: UnitOfWork
) -> dict[RecordId, list[SourceRecord]]:
    """The live records of the same stream that agree with those that are gone, on what they show."""
    rules, kind = plan.match, plan.spec.name
    profiles = {record.rec_id: _shown(hub, plan, record) for record in gone}
    hashes = {of: block_hashes(kind, profiles[of], rules) for of in profiles}
    stored = uow.records.by_blocks({hash_ for of in hashes.values() for hash_ in of}, BLOCK_CAP)
    near = uow.records.get({found for ids in stored.values() for found in ids})
    for member in uow.records.of_entities({record.entity_id or "" for record in gone}):
        near.setdefault(member.rec_id, member)
    place = [(of.ref.system, of.ref.stream, of) for _, of in sorted(near.items())]
    found: dict[RecordId, list[SourceRecord]] = {}
    away = {record.rec_id for record in gone}
    for record in gone:
        for system, stream, other in place:
            if other.status is not RecordStatus.LIVE or other.rec_id in away:
                continue
            if (system, stream) != (record.ref.system, record.ref.stream):
                continue
            if agreement(profiles[record.rec_id], _shown(hub, plan, other), rules):
                found.setdefault(record.rec_id, []).append(other)
    return found


def _shown(hub: Hub, plan: EntityPlan, record: SourceRecord) -> Profile:
    """The identity of a record by what it shows."""
    mapping = hub.stream(record.ref.system, record.ref.stream).mapping
    return profile(shown_values(record, mapping), plan.match)


def shown_values(record: SourceRecord, mapping: Translator) -> dict[str, Canonical]:
    """What a record shows, whoever has put that there."""
    values: dict[str, Any] = values_of(record)
    for name, now in record.shadow.fields.items():
        if now.held is not UNSET:
            try:
                values[name] = mapping.decode(name, now.held)
            except ValueError:
                continue
    return values


# --- what a person says of it


def proposed(payload: Mapping[str, Any], answer: str, uow: UnitOfWork) -> linking.Change | None:
    """The merge of customers that an answer means, if it means one. Raises ``NotLinkable``."""
    if answer not in payload["into"]:
        return None
    survivor, loser = find_record(answer, uow), find_record(payload["record"], uow)
    if None in (survivor.entity_id, loser.entity_id) or survivor.entity_id == loser.entity_id:
        return None
    return linking.merge(answer, payload["record"])(uow)


def decide(detail: Mapping[str, Any], uow: UnitOfWork, at: Instant, pos: int) -> None:
    """Carry out an answer. Raises ``ValueError`` naming those that the question takes."""
    payload, answer = detail["payload"], detail["answer"]
    if answer not in (APART, *payload["into"]):
        raise ValueError(f"a merge takes the answers: {', '.join([APART, *payload['into']])}")
    loser = find_record(payload["record"], uow)
    if answer == APART:
        others = [find_record(name, uow) for name in payload["into"]]
        uow.customers.set_apart([loser.rec_id], [other.rec_id for other in others])
        return
    survivor = find_record(answer, uow)
    loser.status, loser.alias_of = RecordStatus.ALIAS, survivor.rec_id
    uow.records.save([loser])
    if "link" in detail:
        linking.relink(detail["link"], uow, at, pos)
    elif loser.entity_id is not None:
        entry = told(loser, survivor)
        author = detail["author"]
        if isinstance(entry, LinkEntry):
            uow.customers.add_links([replace(entry, author=author)], at, pos)
        uow.customers.mark_dirty(ids=[loser.entity_id])


def alias_of(ref: ExternalRef, key: str) -> RecordId:
    """The record of the same stream into which one was merged."""
    return record_id(ExternalRef(ref.system, ref.stream, key))

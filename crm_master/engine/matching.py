"""Step 5 for a batch: whose are the records that nobody is linked to yet?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress

from crm_master.domain.fields import Canonical, Lenses, Native
from crm_master.domain.identity import (
    Candidate,
    Decision,
    Linked,
    MatchRules,
    New,
    Profile,
    agreement,
    block_keys,
    decide,
    profile,
)
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.settling import on_its_way
from crm_master.engine.plan import EntityPlan
from crm_master.ports import SourceRecord, UnitOfWork

BY_HAND = "a person's decision"
"""The evidence of a link that a person has made: it outlives every rule."""

BLOCK_CAP = 50
"""Records looked at under one key. A key that more records share says little about identity."""


def values_of(record: SourceRecord) -> dict[str, Canonical]:
    """A record's asserted values, list fields as dicts of element key to element."""
    values: dict[str, Canonical] = {}
    for key, claim in record.claims.items():
        if claim.value is None:
            continue
        if key.element is None:
            values[key.field] = claim.value
        else:
            values.setdefault(key.field, {})[key.element] = claim.value
    return values


def index(record: SourceRecord, kind: str, rules: MatchRules) -> Profile:
    """Give a record the keys under which it is found. Gives its profile."""
    of = profile(values_of(record), rules)
    record.blocks = block_hashes(kind, of, rules)
    return of


def sent_unheard(record: SourceRecord, lenses: Lenses) -> dict[str, Canonical]:
    """What is on its way to a record, as far as it can be read."""
    return readable(on_its_way(record.shadow), lenses)


def readable(natives: Mapping[str, Native], lenses: Lenses) -> dict[str, Canonical]:
    """What a stream was sent, as far as it can be read."""
    values: dict[str, Canonical] = {}
    for name, native in natives.items():
        with suppress(ValueError, KeyError):  # it may not be mapped any more
            values[name] = lenses.decode(name, native)
    return values


def index_sent(record: SourceRecord, lenses: Lenses, kind: str, rules: MatchRules) -> None:
    """Let a record be found by what is on its way to it as well: it may get another key by that (RULES 24)."""
    index(record, kind, rules)
    add_sent(record, lenses, kind, rules)


def add_sent(record: SourceRecord, lenses: Lenses, kind: str, rules: MatchRules) -> None:
    """Add to the keys under which a record is found those of what is on its way to it."""
    if sent := sent_unheard(record, lenses):
        record.blocks |= block_hashes(kind, profile(sent, rules), rules)


def same(
    left: Mapping[str, Canonical], right: Mapping[str, Canonical], rules: MatchRules
) -> tuple[str, ...]:
    """The keys by which two records' values are of one customer; empty if they are not."""
    return agreement(profile(left, rules), profile(right, rules), rules)


class BatchMatcher:
    """Matches the records of one batch against the store and against each other, in order.

    All candidates are fetched before the first decision: two queries for a batch, however many records it has.
    """

    def __init__(
        self,
        plan: EntityPlan,
        uow: UnitOfWork,
        records: Sequence[SourceRecord],
        known: Mapping[RecordId, SourceRecord],
    ) -> None:
        self._rules: MatchRules = plan.match
        self._kind = plan.spec.name
        self._profiles: dict[RecordId, Profile] = {}
        self._blocks: dict[str, list[RecordId]] = {}
        self._records: dict[RecordId, SourceRecord] = dict(known)
        self._occupied: dict[tuple[str, str], set[EntityId]] = {}
        hashes: set[str] = set()
        for record in records:
            hashes |= self.index(record)
        stored = uow.records.by_blocks(hashes, BLOCK_CAP)
        apart = uow.customers.apart([record.rec_id for record in records])
        unknown = {found for ids in (*stored.values(), *apart.values()) for found in ids}
        unknown -= self._records.keys()
        self._records.update(uow.records.get(unknown))
        for hash_, ids in stored.items():
            bucket = self._blocks.setdefault(hash_, [])
            bucket.extend(found for found in ids if found not in bucket)
        self._apart = {
            rec_id: {self._records[other].entity_id for other in others if other in self._records}
            for rec_id, others in apart.items()
        }
        entities = {found.entity_id for found in self._records.values() if found.entity_id}
        for member in uow.records.of_entities(entities):
            self._occupy(member)

    def index(self, record: SourceRecord) -> frozenset[str]:
        """Note a record's keys, so that later records of the batch find it. Gives its block hashes."""
        self._profiles[record.rec_id] = index(record, self._kind, self._rules)
        self._records[record.rec_id] = record
        for hash_ in record.blocks:
            bucket = self._blocks.setdefault(hash_, [])
            if record.rec_id not in bucket:
                bucket.append(record.rec_id)
        return record.blocks

    def __call__(self, record: SourceRecord) -> Decision:
        if record.placed is not None:
            return Linked(record.placed, (BY_HAND,), record.rec_id)
        if not record.blocks:
            return New()
        ids = {found for hash_ in record.blocks for found in self._blocks.get(hash_, ())}
        ids.discard(record.rec_id)
        candidates = [
            Candidate(found, self._records[found].entity_id, self._profile(found))
            for found in sorted(ids)
            if self._records[found].status is RecordStatus.LIVE
        ]
        occupied = self._occupied.get((record.ref.system, record.ref.stream), set())
        return decide(
            self._profiles[record.rec_id], candidates, occupied, self._rules, self.apart(record)
        )

    def apart(self, record: SourceRecord) -> set[EntityId]:
        """The customers of whom a person has said that a record of the batch is not theirs."""
        return {entity for entity in self._apart.get(record.rec_id, ()) if entity is not None}

    def customers(self, records: Sequence[SourceRecord]) -> set[EntityId]:
        """Whose those records are that decisions about these are made from."""
        near = {found for of in records for hash_ in of.blocks for found in self._blocks[hash_]}
        return {owner for found in near if (owner := self._records[found].entity_id) is not None}

    def neighbours(self, record: SourceRecord) -> list[SourceRecord]:
        """The live records of its stream that are found by its keys."""
        ids = {found for hash_ in record.blocks for found in self._blocks.get(hash_, ())}
        near = [self._records[found] for found in sorted(ids - {record.rec_id})]
        place = (record.ref.system, record.ref.stream)
        return [
            of
            for of in near
            if of.status is RecordStatus.LIVE and (of.ref.system, of.ref.stream) == place
        ]

    def profile(self, record: SourceRecord) -> Profile:
        """The identity values of a record of the batch."""
        return self._profiles[record.rec_id]

    def linked(self, record: SourceRecord) -> None:
        """Note that a record of the batch has found its customer."""
        self._occupy(record)

    def _occupy(self, record: SourceRecord) -> None:
        if record.entity_id is not None and record.status is RecordStatus.LIVE:
            stream = (record.ref.system, record.ref.stream)
            self._occupied.setdefault(stream, set()).add(record.entity_id)

    def _profile(self, rec_id: RecordId) -> Profile:
        if rec_id not in self._profiles:
            self._profiles[rec_id] = profile(values_of(self._records[rec_id]), self._rules)
        return self._profiles[rec_id]


def block_hashes(kind: str, of: Profile, rules: MatchRules) -> frozenset[str]:
    """The hashes under which records with this profile are found."""
    return frozenset(_hash(kind, key) for key in block_keys(of, rules))


def _hash(kind: str, key: str) -> str:
    text = f"{kind}\x1e{key}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()

"""Which customer a source record belongs to: by its crosswalk, else by keys that policy declares.

This is the deterministic part: exact agreement on normalised keys. It decides one record against the customers that share
a key with it, and says why. A likelihood model can take its place behind ``decide``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from crm_master.domain.ids import EntityId, RecordId

Profile: TypeAlias = Mapping[str, frozenset[str]]
"""The normalised identity values of a record, by key name: ``{"email": {"ada@example.org"}, "name": {"ada lovelace"}}``."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """An identity key: the fields whose values it pools, and whether they are compared as words."""

    fields: tuple[str, ...]
    words: bool = False


@dataclass(frozen=True, slots=True)
class MatchRules:
    """``same``: each entry is a set of keys; records that agree on all of one entry are the same customer.

    ``differ`` names keys on which known, different values speak against that. ``within_system``: what to do when the
    customer already has a record of the same stream: ``review`` (default), ``link`` or ``new``.
    """

    keys: Mapping[str, KeySpec]
    same: Sequence[tuple[str, ...]]
    differ: tuple[str, ...] = ()
    within_system: str = "review"

    @property
    def fields(self) -> frozenset[str]:
        """The fields by which customers are known."""
        return frozenset(name for key in self.keys.values() for name in key.fields)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that shares a key: whose it is, and its profile."""

    record: RecordId
    entity: EntityId | None
    profile: Profile


@dataclass(frozen=True, slots=True)
class Linked:
    """The record belongs to this customer. ``because`` names the keys that agree and the record they agree with."""

    entity: EntityId
    because: tuple[str, ...]
    with_record: RecordId


@dataclass(frozen=True, slots=True)
class New:
    """Nobody known; or none but customers of whom a person said that they are others (``apart``)."""

    apart: tuple[EntityId, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedsReview:
    """Several customers fit, or one that policy does not allow to be taken without a person."""

    entities: tuple[EntityId, ...]
    reason: str
    because: tuple[str, ...] = ()


Decision: TypeAlias = Linked | New | NeedsReview


def profile(values: Mapping[str, Any], rules: MatchRules) -> dict[str, frozenset[str]]:
    """The identity values of a record from its canonical values; keys without a value are left out."""
    found: dict[str, frozenset[str]] = {}
    for name, spec in rules.keys.items():
        forms = {
            _words(text) if spec.words else text.casefold().strip()
            for field in spec.fields
            for text in _texts(values.get(field))
        }
        forms.discard("")
        if forms:
            found[name] = frozenset(forms)
    return found


def block_keys(of: Profile, rules: MatchRules) -> list[str]:
    """The keys under which a record can be found: one for each combination of values of each ``same`` entry."""
    keys: list[str] = []
    for place, names in enumerate(rules.same):
        combined = [f"{place}"]
        for name in names:
            combined = [
                f"{head}\x1f{value}" for head in combined for value in sorted(of.get(name, ()))
            ]
        keys.extend(combined)
    return keys


def decide(
    of: Profile,
    candidates: Iterable[Candidate],
    occupied: Collection[EntityId],
    rules: MatchRules,
    apart: Collection[EntityId] = (),
) -> Decision:
    """Link a record to the one customer that agrees with it, or say why that cannot be done alone.

    ``occupied`` are the customers that already have a live record in the stream that the record comes from; ``apart``
    those of whom a person said that they are not the same: no likeness counts against that.
    """
    fitting: dict[EntityId, tuple[tuple[str, ...], Candidate]] = {}
    for candidate in sorted(candidates, key=lambda found: found.record):
        if candidate.entity is None:
            continue
        agreeing = agreement(of, candidate.profile, rules)
        if agreeing and candidate.entity not in fitting:
            fitting[candidate.entity] = (agreeing, candidate)
    barred = tuple(sorted(fitting.keys() & set(apart)))
    for entity in barred:
        del fitting[entity]
    if not fitting:
        return New(barred)
    entities = tuple(sorted(fitting))
    if len(entities) > 1:
        return NeedsReview(entities, "several customers agree with this record")
    agreeing, candidate = fitting[entities[0]]
    if entities[0] in occupied and rules.within_system != "link":
        if rules.within_system == "new":
            return New()
        reason = "the customer already has a record in this stream"
        return NeedsReview(entities, reason, agreeing)
    return Linked(entities[0], agreeing, candidate.record)


def agreement(left: Profile, right: Profile, rules: MatchRules) -> tuple[str, ...]:
    """The keys of the first ``same`` entry on which two profiles agree; empty if none, or if they differ where it counts."""
    for name in rules.differ:
        if name in left and name in right and not left[name] & right[name]:
            return ()
    for names in rules.same:
        if all(left.get(name, frozenset()) & right.get(name, frozenset()) for name in names):
            return names
    return ()


def _texts(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return (text for part in value.values() for text in _texts(part))
    return (str(value),)


@lru_cache(maxsize=100_000)
def _words(text: str) -> str:
    """A name as its words: no case, no accents, no punctuation, no order."""
    plain = "".join(
        char
        for char in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(char)
    )
    cut = "".join(char if char.isalnum() else " " for char in plain)
    return " ".join(sorted(cut.split()))

"""Which claim wins: the rules that make a golden record from all live claims of a customer (RULES 3, 4, 5).

Every function is a function of the *set* of claims: the order in which they arrive or are listed never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from crm_master.domain.claims import UNSET, Claim, ClaimKey, Instant
from crm_master.domain.entities import EntitySpec, FieldSpec
from crm_master.domain.fields import Canonical, Cardinality
from crm_master.domain.ids import RecordId


class Rule(StrEnum):
    """The policies of RULES 4 and 5."""

    MOST_RECENT = "most_recent"
    SOURCE_PRIORITY = "source_priority"
    OWNER = "owner"
    UNION = "union"
    MOST_RESTRICTIVE = "most_restrictive"
    MANUAL = "manual"


ORIGINATOR = "originator"
"""In the place of a system: the one in which an entity was made, such as the shop for an order placed there (RULES 18)."""


@dataclass(frozen=True, slots=True)
class FieldPolicy:
    """How one field is decided.

    ``standing`` ranks systems for ``source_priority`` and ``owner`` (0 first; ties allowed; a system that is not named
    stands below all), with ``ORIGINATOR`` for the one that the entity comes from. ``strictness`` lists values from the most
    restrictive on, ``member`` names the member of a group that they are values of.
    """

    rule: Rule = Rule.MOST_RECENT
    standing: Mapping[str, int] = field(default_factory=dict)
    strictness: Sequence[str] = ()
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The policies of an entity. ``rank`` orders all systems, first the one that wins a tie: mandatory and total."""

    entity: EntitySpec
    rank: Mapping[str, int]
    fields: Mapping[str, FieldPolicy] = field(default_factory=dict)

    def of(self, name: str) -> FieldPolicy:
        return self.fields.get(name) or _default(self.entity.fields[name])


class Held(NamedTuple):
    """A claim with where it was made. ``gone``: when that record was deleted at the latest; its claims are last words.

    ``origin``: the record is the one in which the entity was made.
    """

    claim: Claim
    system: str
    record: RecordId
    gone: Instant | None = None
    origin: bool = False


@dataclass(frozen=True, slots=True)
class Winner:
    """Why a field has its value: whose claim, under which rule."""

    record: RecordId
    seq: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Conflict:
    """Claims that a rule decided against, or (``contested``) could not decide between."""

    field: str
    rule: Rule
    contenders: tuple[Held, ...]
    contested: bool = False


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A golden record: values, whose they are, what lost, and the fields that wait for a person."""

    golden: Mapping[str, Canonical]
    winners: Mapping[ClaimKey, Winner]
    conflicts: tuple[Conflict, ...] = ()
    withheld: frozenset[str] = frozenset()


class _Verdict(NamedTuple):
    winner: Held | None
    value: Canonical = None
    losers: Sequence[Held] = ()
    contested: bool = False


def reconcile(claims: Iterable[tuple[ClaimKey, Held]], policy: Policy) -> Reconciled:
    """The golden record of one customer, from all its live claims. A field that nobody speaks of is absent."""
    by_field: dict[str, list[tuple[ClaimKey, Held]]] = {}
    for key, held in claims:
        by_field.setdefault(key.field, []).append((key, held))
    golden: dict[str, Canonical] = {}
    winners: dict[ClaimKey, Winner] = {}
    conflicts: list[Conflict] = []
    withheld: set[str] = set()
    for name in sorted(by_field):
        rule = policy.of(name)
        if policy.entity.fields[name].cardinality is Cardinality.MANY:
            golden[name] = _union(by_field[name], policy.rank, winners)
            continue
        claimed = standing([held for _, held in by_field[name]])
        decider = _DECIDERS[rule.rule]
        if rule.rule is Rule.OWNER and _has_been_answered(by_field[name], claimed, rule):
            decider = _by_recency
        verdict = decider(claimed, rule, policy.rank)
        if verdict.contested:
            withheld.add(name)
        if verdict.losers:
            conflicts.append(Conflict(name, rule.rule, tuple(verdict.losers), verdict.contested))
        if verdict.winner is not None:
            spec = policy.entity.fields[name]
            golden[name] = _completed(verdict, claimed, spec, rule, policy.rank)
            winner = verdict.winner
            winners[ClaimKey(name)] = Winner(winner.record, winner.claim.seq, rule.rule)
        elif verdict.value is not None:
            golden[name] = verdict.value
    return Reconciled(golden, winners, tuple(conflicts), frozenset(withheld))


def standing(claims: Sequence[Held]) -> Sequence[Held]:
    """The claims without the last words of deleted records that anybody has answered since (RULES 11).

    What a person decided about a record after it was gone is no last word.
    """
    if all(held.gone is None for held in claims):
        return claims
    latest = max(held.claim.lo for held in claims)
    return [
        held
        for held in claims
        if held.gone is None or held.gone >= latest or held.claim.lo > held.gone
    ]


def most_recent(claims: Sequence[Held], rank: Mapping[str, int]) -> Held:
    """The newest of the whole set: drop all that ended before another began, then rank, then record id (RULES 3)."""
    latest = max(held.claim.lo for held in claims)
    return min(
        (held for held in claims if held.claim.hi >= latest),
        key=lambda held: (rank[held.system], held.record),
    )


def unreplaced(claims: Sequence[Held]) -> list[Held]:
    """The claims that no other claim has replaced: a claim replaces those in the version that it saw (RULES 4)."""
    saw = max((held.claim.saw for held in claims), default=0)
    records = {held.record for held in claims}
    # a claim is born after what it saw, so it never replaces itself
    return [
        held
        for held in claims
        if (saw <= 0 or held.claim.born < 0 or held.claim.born > saw)
        and records.isdisjoint(held.claim.past)
    ]


def _default(spec: FieldSpec) -> FieldPolicy:
    many = spec.cardinality is Cardinality.MANY
    return FieldPolicy(Rule.UNION if many else Rule.MOST_RECENT)


def _against(claims: Sequence[Held], winner: Held) -> list[Held]:
    """The claims whose value is not the winner's, in a fixed order."""
    others = [held for held in claims if held.claim.value != winner.claim.value]
    return sorted(others, key=lambda held: (held.system, held.record))


def _by_recency(claims: Sequence[Held], _rule: FieldPolicy, rank: Mapping[str, int]) -> _Verdict:
    winner = most_recent(claims, rank)
    return _Verdict(winner, losers=_against(claims, winner))


def _by_priority(claims: Sequence[Held], rule: FieldPolicy, rank: Mapping[str, int]) -> _Verdict:
    best = min(rule.standing.get(held.system, len(rank)) for held in claims)
    top = [held for held in claims if rule.standing.get(held.system, len(rank)) == best]
    winner = most_recent(top, rank)
    return _Verdict(winner, losers=_against(claims, winner))


def _by_owner(claims: Sequence[Held], rule: FieldPolicy, rank: Mapping[str, int]) -> _Verdict:
    owned = [held for held in claims if _owns(held, rule)]
    if not owned:
        return _Verdict(None, losers=sorted(claims, key=lambda held: (held.system, held.record)))
    winner = most_recent(owned, rank)
    return _Verdict(winner, losers=_against(claims, winner))


def _has_been_answered(
    claims: Sequence[tuple[ClaimKey, Held]], standing: Sequence[Held], rule: FieldPolicy
) -> bool:
    """Whether nothing but answered last words is left of the owner: then nobody owns the field any more."""
    owned = any(_owns(held, rule) for held in standing)
    return not owned and any(_owns(held, rule) for _, held in claims)


def _owns(held: Held, rule: FieldPolicy) -> bool:
    return held.system in rule.standing or (held.origin and ORIGINATOR in rule.standing)


def _by_strictness(claims: Sequence[Held], rule: FieldPolicy, rank: Mapping[str, int]) -> _Verdict:
    order = {value: place for place, value in enumerate(rule.strictness)}

    def strictness(held: Held) -> int:
        value: Any = held.claim.value
        if rule.member is not None and value is not None:
            value = value.get(rule.member)
        return order.get(value, len(order))

    live = unreplaced(claims)
    strictest = min(map(strictness, live))
    winner = most_recent([held for held in live if strictness(held) == strictest], rank)
    return _Verdict(winner, losers=_against(live, winner))


def _by_hand(claims: Sequence[Held], _rule: FieldPolicy, rank: Mapping[str, int]) -> _Verdict:
    live = unreplaced(claims)
    winner = most_recent(live, rank)
    if all(held.claim.value == winner.claim.value for held in live):
        return _Verdict(winner)
    oldest = min(live, key=lambda held: (held.claim.saw, rank[held.system], held.record))
    seen = oldest.claim.base if oldest.claim.saw > 0 else UNSET
    contenders = sorted(live, key=lambda held: (held.system, held.record))
    return _Verdict(None, None if seen is UNSET else seen, contenders, contested=True)


_Decider = Callable[[Sequence[Held], FieldPolicy, Mapping[str, int]], _Verdict]
_DECIDERS: Mapping[Rule, _Decider] = {
    Rule.MOST_RECENT: _by_recency,
    Rule.SOURCE_PRIORITY: _by_priority,
    Rule.OWNER: _by_owner,
    Rule.MOST_RESTRICTIVE: _by_strictness,
    Rule.MANUAL: _by_hand,
}


def _union(
    claims: Sequence[tuple[ClaimKey, Held]],
    rank: Mapping[str, int],
    winners: dict[ClaimKey, Winner],
) -> dict[str, Canonical]:
    """The elements that someone asserts and nobody who saw that assertion removed. Side by side, presence wins."""
    by_element: dict[str, list[Held]] = {}
    for key, held in claims:
        by_element.setdefault(key.element or "", []).append(held)
    present: dict[str, Canonical] = {}
    for element in sorted(by_element):
        asserted = [
            held
            for held in unreplaced(standing(by_element[element]))
            if held.claim.value is not None
        ]
        if asserted:
            winner = most_recent(asserted, rank)
            present[element] = winner.claim.value
            winners[ClaimKey(claims[0][0].field, element)] = Winner(
                winner.record, winner.claim.seq, Rule.UNION
            )
    return present


def _completed(
    verdict: _Verdict,
    claims: Sequence[Held],
    spec: FieldSpec,
    rule: FieldPolicy,
    rank: Mapping[str, int],
) -> Canonical:
    """The winner's value. Members of a group that its system does not map are taken from the next best claim.

    ``own`` and ``observed`` members are not: another decision's legal basis or time would be a false statement.
    """
    assert verdict.winner is not None
    value = verdict.winner.claim.value
    if not spec.members or value is None:
        return value
    complete = dict(value)
    for member in spec.members:
        if member in complete or member in spec.own or member in spec.observed:
            continue
        others = [held for held in claims if held.claim.value and member in held.claim.value]
        if not others:
            continue
        next_best = _DECIDERS[rule.rule](others, rule, rank).winner
        if next_best is not None:
            complete[member] = next_best.claim.value[member]
    return {member: part for member, part in complete.items() if part is not None} or None

"""Which claim wins: the rules that make a golden record from all live claims of a customer (RULES 3, 4, 5).

Every function is a function of the *set* of claims: the order in which they arrive or are listed never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from crm_master.domain.claims import UNSET, ClaimKey
from crm_master.domain.elements import Former, union
from crm_master.domain.entities import EntitySpec, FieldSpec
from crm_master.domain.fields import Canonical, Cardinality
from crm_master.domain.ids import RecordId
from crm_master.domain.weighing import Held, most_recent, standing, unreplaced


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


@dataclass(frozen=True, slots=True)
class Winner:
    """Why a field has its value: whose claim, under which rule.

    Of an element of a list, ``was`` are the contents that it has had in some system, or that lost against this one: the
    nearest to it first, each under its key (RULES 19).
    """

    record: RecordId
    seq: int
    rule: Rule
    was: Former = ()


def former_contents(winners: Mapping[ClaimKey, Winner]) -> dict[str, dict[str, Former]]:
    """The former contents of elements of lists, by field and element, where there are any."""
    found: dict[str, dict[str, Former]] = {}
    for key, winner in winners.items():
        if winner.was:
            found.setdefault(key.field, {})[key.element or ""] = winner.was
    return found


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
            golden[name], losers = _union(by_field[name], policy.rank, winners)
            if losers:
                conflicts.append(Conflict(name, Rule.UNION, losers))
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
) -> tuple[dict[str, Canonical], tuple[Held, ...]]:
    """The elements of a list, and the edits that lost against other edits of the same element."""
    made = union([(key.element or "", held) for key, held in claims], rank)
    name = claims[0][0].field
    for element, (held, was) in made.present.items():
        seq = held.claim.seq
        winners[ClaimKey(name, element)] = Winner(held.record, seq, Rule.UNION, was)
    present = {element: found.held.claim.value for element, found in made.present.items()}
    return present, made.lost


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

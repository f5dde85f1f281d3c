"""Claims with where they were made, which of them still stand, and which is the newest (RULES 3, 4, 11).

Every function is a function of the *set* of claims: the order in which they arrive or are listed never matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from crm_master.domain.claims import Claim, Instant
from crm_master.domain.ids import RecordId


class Held(NamedTuple):
    """A claim with where it was made. ``gone``: when that record was deleted at the latest; its claims are last words.

    ``origin``: the record is the one in which the entity was made.
    """

    claim: Claim
    system: str
    record: RecordId
    gone: Instant | None = None
    origin: bool = False


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

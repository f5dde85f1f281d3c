"""Which claim wins under a policy (rules 3, 4, 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.properties.facts import Said


def decided(
    policy: tuple[str, Sequence[str]] | None,
    rank: Mapping[str, int],
    said: Sequence[Said],
    begins: Sequence[int],
) -> str | None:
    """The value that wins, if the claims began then."""
    rule, order = policy or ("most_recent", ())
    latest = max(begins, default=0)
    heard = [
        (one, begin)
        for one, begin in zip(said, begins, strict=True)
        if one.gone is None or one.gone >= latest
    ]
    if rule == "owner":
        owned = [(one, begin) for one, begin in heard if one.system in order]
        # last words of the owner that somebody has answered: nobody owns the field any more
        heard = owned if owned or not any(one.system in order for one in said) else heard
    if rule == "source_priority" and heard:
        places = {system: place for place, system in enumerate(order)}
        standing = [places.get(one.system, len(rank)) for one, _ in heard]
        best = min(standing)
        heard = [pair for pair, place in zip(heard, standing, strict=True) if place == best]
    if not heard:
        return None
    latest = max(begin for _, begin in heard)
    newest = [one for one, begin in heard if one.claim.until(begin) >= latest]
    return min(newest, key=lambda one: rank[one.system]).claim.value

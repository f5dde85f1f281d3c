"""Which elements a list has, and which of them are one element that was edited (RULES 4, 19).

Elements are known by their content. Where a system gives them keys of its own, an edit under such a key is on record as a
step from one content to another: a claim that the one is absent, because it ``became`` the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from crm_master.domain.claims import UNSET, FieldShadow, Sources
from crm_master.domain.fields import Canonical, Lenses, Reading
from crm_master.domain.ids import RecordId
from crm_master.domain.weighing import Held, most_recent, standing, unreplaced

MOST_FORMER: Final = 32
"""How many former contents of an element are remembered at most."""

Former = tuple[Mapping[str, Canonical], ...]
Place = tuple[RecordId, str]
"""A claim on an element: the record that makes it, and the element's key."""


class Element(NamedTuple):
    """An element that is present: whose claim it is, and its former contents, the nearest first."""

    held: Held
    was: Former = ()


@dataclass(frozen=True, slots=True)
class Union:
    """The elements of a list by their keys, and the edits that lost against other edits of the same element."""

    present: Mapping[str, Element]
    lost: tuple[Held, ...] = ()


def union(claims: Iterable[tuple[str, Held]], rank: Mapping[str, int]) -> Union:
    """The elements that someone asserts and nobody who saw that assertion removed. Side by side, presence wins.

    Where two records edited one element and neither had seen what the other made of it, the newest edit counts: as with
    any value (RULES 3). An element that somebody asserts besides is present whatever becomes of that.
    """
    by_element: dict[str, list[Held]] = {}
    for element, held in claims:
        by_element.setdefault(element, []).append(held)
    edited = any(held.claim.became is not None for of in by_element.values() for held in of)
    live = {element: unreplaced(standing(held)) for element, held in by_element.items()}
    lost = _lost(by_element, live, rank) if edited else {}
    for element in {element for _, element in lost}:
        # what an edit that lost had replaced stands again
        counting = [held for held in by_element[element] if (held.record, element) not in lost]
        live[element] = unreplaced(standing(counting))
    won: dict[str, Held] = {}
    for element in sorted(live):
        asserted = [held for held in live[element] if held.claim.value is not None]
        if asserted:
            won[element] = most_recent(asserted, rank)
    former = _Former(by_element if edited else {})
    present = {element: Element(held, former(element, won)) for element, held in won.items()}
    return Union(present, tuple(lost[place] for place in sorted(lost)))


class _Step(NamedTuple):
    """An edit of an element under its key: the claim that its old content is no more, or was no more before it came back."""

    old: str
    new: str
    held: Held

    def follows(self, other: _Step, free: Collection[str]) -> bool:
        """Whether this is an edit of what the other has made of the element: of the same record, or by who had seen it.

        Who edits a content that is ``free``, said by somebody who did not come to it by an edit, may mean another element.
        """
        if other.new != self.old or self.held.claim.value is not None:
            return False
        seen = 0 <= other.held.claim.born <= self.held.claim.saw
        return other.held.record == self.held.record or (seen and self.old not in free)


def _lost(
    by_element: Mapping[str, Sequence[Held]],
    live: Mapping[str, Sequence[Held]],
    rank: Mapping[str, int],
) -> dict[Place, Held]:
    """The edits of an element of which another edit counts, each as the claim of what it has made of the element."""
    steps = [
        _Step(old, held.claim.became, held)
        for old in sorted(live)
        for held in live[old]
        if held.claim.became is not None
    ]
    free = {
        of
        for of, claims in by_element.items()
        for held in claims
        if held.claim.value is not None and not _led_to(of, held, steps)
    }
    lost: dict[Place, Held] = {}
    for family in _families(steps, free):
        edits = {
            (held.record, of): held
            for of in sorted({step.new for step in family})
            for held in standing(by_element.get(of, ()))
            if _led_to(of, held, family)
        }
        if len({of for _, of in edits}) > 1:
            kept = _kept(edits, family, live, rank)
            lost |= {place: held for place, held in edits.items() if place[1] != kept}
    return lost


def _kept(
    edits: Mapping[Place, Held],
    family: Sequence[_Step],
    live: Mapping[str, Sequence[Held]],
    rank: Mapping[str, int],
) -> str | None:
    """What the element is after several edits: the newest. ``None`` if it was removed by who had seen all of them."""
    others = [step.held for step in family if step.held.claim.value is None]
    left = _unreplaced(edits, others)
    while left:
        winner = most_recent(list(left.values()), rank)
        kept = next(of for (_, of), held in left.items() if held is winner)
        if any(held.claim.value is not None for held in live[kept]):
            return kept
        left = _unreplaced(
            {place: of for place, of in left.items() if place[1] != kept}, live[kept]
        )
    return None


def _unreplaced(edits: Mapping[Place, Held], by: Sequence[Held]) -> dict[Place, Held]:
    """The edits that neither one of them nor one of the other claims has replaced."""
    stand = unreplaced([*edits.values(), *by])
    return {place: held for place, held in edits.items() if any(held is one for one in stand)}


def _families(steps: Sequence[_Step], free: Collection[str]) -> list[list[_Step]]:
    """The edits of each element, and what followed on them; those with an edit in common are of one element."""
    families: list[list[_Step]] = []
    for root in sorted({step.old for step in steps}):
        family = [step for step in steps if step.old == root]
        for step in family:
            family += [
                other for other in steps if other not in family and other.follows(step, free)
            ]
        for known in [known for known in families if any(step in family for step in known)]:
            families.remove(known)
            family += [step for step in known if step not in family]
        families.append(family)
    return families


def _led_to(element: str, held: Held, steps: Sequence[_Step]) -> bool:
    """Whether a claim on an element is the other half of a step; what a person decided is more than an edit."""
    made = (element, held.record, held.claim.seq)
    by_steps = ((step.new, step.held.record, step.held.claim.seq) for step in steps)
    return held.claim.value is not None and held.claim.author is None and made in by_steps


class _Former:
    """What elements were before: all contents that steps connect with theirs, in whichever direction."""

    def __init__(self, claims: Mapping[str, Sequence[Held]]) -> None:
        self._beside: dict[str, set[str]] = {}
        for old, said in claims.items():
            for new in {held.claim.became for held in said} - {None, old}:
                assert new is not None
                self._beside.setdefault(old, set()).add(new)
                self._beside.setdefault(new, set()).add(old)
        self._claims = claims

    def __call__(self, element: str, present: Mapping[str, Held]) -> Former:
        """Former contents of an element, the nearest first; what is present itself is none."""
        found: list[Mapping[str, Canonical]] = []
        known, ring = {element}, [element]
        while ring and len(found) < MOST_FORMER:
            ring = sorted({near for of in ring for near in self._beside.get(of, ())} - known)
            known.update(ring)
            found += [{of: self._content(of)} for of in ring if of not in present]
        return tuple(found[:MOST_FORMER])

    def _content(self, element: str) -> Canonical:
        """What an element says, of which perhaps only an edit knows that it was there; ``None`` if nobody does any more."""
        for held in sorted(self._claims.get(element, ()), key=lambda held: held.record):
            claim = held.claim
            if claim.value is not None:
                return claim.value
            if claim.became is not None and claim.base is not UNSET:
                return claim.base
        return None


def still(shadow: FieldShadow, now: Mapping[str, Any]) -> Sources | None:
    """Whose claims those elements of a list are that the hub delivered and the record shows, or may show yet."""
    known = {**(shadow.source or {}), **(shadow.coming or {})}
    sent = shadow.sent if isinstance(shadow.sent, dict) else {}
    return {key: of for key, of in known.items() if key in now or key in sent} or None


def steps_of(was: FieldShadow, reading: Reading, added: Sequence[str]) -> dict[str, str]:
    """The elements that somebody has edited: what the same child of the system showed before, and what it shows now.

    Two children that had the same content, or have it now, are not told apart.
    """
    before, now = was.children or {}, reading.native or {}
    steps = [
        (before[child], new)
        for child, new in (reading.children or {}).items()
        if child in before and new in added and before[child] not in now
    ]
    old, new = Counter(step[0] for step in steps), Counter(step[1] for step in steps)
    return {of: to for of, to in steps if old[of] == new[to] == 1}


def former_keys(
    name: str, golden: Mapping[str, Canonical], was: Mapping[str, Former], lenses: Lenses
) -> dict[str, tuple[str, ...]]:
    """Under which keys a system has perhaps shown an element before, the nearest first, by the key that it shall show.

    Keys are those of what the system can hold. ``was`` has the former contents of the golden elements.
    """
    found: dict[str, tuple[str, ...]] = {}
    for element, former in was.items():
        for key in _shown(name, element, golden.get(element), lenses):
            keys = (_shown(name, of, value, lenses) for one in former for of, value in one.items())
            found[key] = tuple(old for old in chain(*keys) if old != key)
    return found


def _shown(name: str, element: str, content: Canonical, lenses: Lenses) -> tuple[str, ...]:
    """Under which key a system shows an element; nothing if it cannot hold it."""
    if content is None:
        return (element,)
    try:
        return tuple(lenses.encode(name, {element: content}) or ())
    except ValueError:
        return ()

"""What a record says under another mapping than the one it was read with (RULES 21).

Nobody edited anything: claims keep their time, their author and what they had seen; only what they say is read again, each
from the observation that brought it. Shadows stay in the system's own representation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crm_master.domain.claims import UNSET, Claim, ClaimKey, FieldShadow, Shadow, Unset
from crm_master.domain.entities import EntitySpec, FieldSpec
from crm_master.domain.fields import Cardinality, Native, Presence, Reading

Readings = Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class View:
    """One document as the former mapping (``None`` where it is not known any more) and the present one read it."""

    former: Readings | None
    present: Readings

    def moved(self, name: str) -> bool:
        """Whether the two read something else in a field."""
        before, now = (self.former or {}).get(name), self.present.get(name)
        return before is None or now is None or _said(before) != _said(now)


def _said(reading: Reading) -> tuple[Any, ...]:
    return reading.presence, reading.native, reading.value


def remap_claims(
    claims: Mapping[ClaimKey, Claim],
    view_of: Callable[[int], View | None],
    spec: EntitySpec,
    read: frozenset[str],
    lacking: frozenset[str],
    shown: Readings,
    moved: Mapping[str, Collection[str]],
) -> dict[ClaimKey, Claim]:
    """The claims as the present mapping reads them. A field that it does not ``read`` has none: they are withdrawn.

    ``view_of`` gives the document of an observation; ``None`` if that was not kept. Of ``lacking`` fields the documents do
    not speak, or they are yet to be seen at their place: until then the last word stands. ``shown`` is what the present
    mapping reads in the record as it stands; of ``moved`` members of groups that is what they say.
    """
    kept: dict[ClaimKey, Claim] = {}
    renamed: dict[ClaimKey, str | None] = {}
    for key, claim in claims.items():
        if key.field not in read:
            continue
        view = view_of(claim.seq)
        silent = view is None or claim.value is None or key.field in lacking
        if view is None or silent or not (key.field in moved or view.moved(key.field)):
            kept[key] = claim
            continue
        there = shown.get(key.field)
        members = moved.get(key.field, ())
        for after, again in _reread(key, claim, view, spec.fields[key.field], there, members):
            kept[after] = again
            renamed[key] = after.element
    return {
        key: replace(claim, became=renamed.get(ClaimKey(key.field, claim.became), claim.became))
        if claim.became is not None
        else claim
        for key, claim in kept.items()
    }


def _reread(
    key: ClaimKey,
    claim: Claim,
    view: View,
    spec: FieldSpec,
    shown: Reading | None,
    moved: Collection[str],
) -> Iterator[tuple[ClaimKey, Claim]]:
    before, now = (view.former or {}).get(key.field), view.present[key.field]
    if now.presence in (Presence.UNREADABLE, Presence.MISSING):
        yield key, claim  # a person is told; until then the last word stands
    elif now.presence is Presence.EMPTY:
        return
    elif spec.cardinality is Cardinality.MANY:
        for element in _elements(key.element or "", before, now, shown):
            yield ClaimKey(key.field, element), replace(claim, value=now.value[element])
    elif spec.members:
        yield key, replace(claim, value=_members(claim.value, before, now, spec, shown, moved))
    elif before is not None and before.value != claim.value:
        yield key, claim  # not what stood there
    else:
        yield key, replace(claim, value=now.value)


def _elements(
    element: str, before: Reading | None, now: Reading, shown: Reading | None
) -> Sequence[str]:
    """Under which keys the present mapping has an element: the same, or that of the same native.

    Where elements have other members now, those that agree in the members that both have; if they are still ``shown``: what
    others have removed since does not come back under another name.
    """
    natives: Mapping[str, Native] = now.native or {}
    if element in (now.value or {}):
        return [element]
    native = ((before.native if before else None) or {}).get(element, UNSET)
    if same := [key for key, one in natives.items() if one == native]:
        return same[:1]
    there = (shown.value if shown else None) or {}
    return [key for key, one in natives.items() if key in there and _agree(one, native)]


def _agree(one: Native, other: Native | Unset) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    both = one.keys() & other.keys()
    return bool(both) and all(one[member] == other[member] for member in both)


def _members(
    value: Any,
    before: Reading | None,
    now: Reading,
    spec: FieldSpec,
    shown: Reading | None,
    moved: Collection[str],
) -> Any:
    """A group's claim. A member that is not what stood there (a fuller value, a time) stays what it is.

    One that has ``moved`` says what is ``shown`` now: people have used its place before it was mapped.
    """
    stood = None if before is None else (before.value or {})
    there = {} if shown is None else (shown.value or {})
    made: dict[str, Any] = {}
    for member in (*now.native, *(part for part in spec.observed if part in value)):
        own = value.get(member)
        if member in moved:
            made[member] = there.get(member)
            continue
        # where the former mapping is not known, what differs may be a fuller value: it is not cut
        straight = own == stood.get(member) if stood is not None else own is None
        made[member] = (now.value or {}).get(member) if straight else own
    return made


def remap_shadow(
    shadow: Shadow, held: View, sent: View, pending: View, kept: frozenset[str]
) -> Shadow:
    """The shadow of a record whose fields are read from other places now, or in other parts.

    The views are those of the document as it stands, as the hub sent it last, and as it is on its way. Only fields in
    ``kept`` have a shadow from now on.
    """
    fields: dict[str, FieldShadow] = {}
    for name, was in shadow.fields.items():
        if name not in kept:
            continue
        now = held.present.get(name)
        was = fields[name] = replace(was, children=_children(was, now))
        known = now is not None and now.presence in (Presence.VALUE, Presence.EMPTY)
        if was.held is UNSET or was.unreadable or not known:
            continue
        assert now is not None
        if not _other_native(name, was, held, now):
            continue
        fields[name] = replace(
            was,
            held=now.native,
            sent=_native(name, was.sent, sent),
            pending=_native(name, was.pending, pending),
            undone_to=UNSET,
            undone=0,
        )
    return replace(shadow, fields=fields)


def without(shadow: Shadow, hidden: Mapping[str, Collection[str]]) -> Shadow:
    """The shadow without members of groups of which it is not known what stands there."""
    fields = dict(shadow.fields)
    for name, members in hidden.items():
        held = fields[name].held if name in fields else UNSET
        if isinstance(held, dict):
            known = {member: native for member, native in held.items() if member not in members}
            fields[name] = replace(fields[name], held=known)
    return replace(shadow, fields=fields)


def met(
    reading: Reading, shadow: FieldShadow, awaited: Sequence[str], early: bool
) -> tuple[Reading, FieldShadow, Collection[str], tuple[str, ...]]:
    """A group's reading, and its shadow with ``awaited`` members that are seen for the first time; which of those the hub
    has not put there, and which are still awaited.

    An ``early`` row is of before they were mapped: it perhaps only does not speak of those that are empty in it.
    """
    native = reading.native
    if not isinstance(native, dict):
        return reading, shadow, (), tuple(awaited) if early else ()
    held = shadow.held if isinstance(shadow.held, dict) else {}
    unsaid = {of for of in awaited if early and of not in held and native.get(of) is None}
    said = {member: value for member, value in native.items() if member not in unsaid}
    shown = {of: said[of] for of in awaited if of in said and of not in held}
    after = replace(shadow, held=(held or dict.fromkeys(said)) | shown)
    ours = [value for value in (shadow.pending, shadow.sent) if isinstance(value, dict)]
    theirs = [of for of in shown if all(value.get(of, UNSET) != shown[of] for value in ours)]
    rest = tuple(of for of in awaited if of and of not in said)
    return replace(reading, native=said), after, theirs, rest


def _children(was: FieldShadow, now: Reading | None) -> Mapping[str, str] | None:
    """The keys of a list's elements in their system: as was known, where that is still so, else as the document has them."""
    if now is None or now.children is None:
        return None
    there = now.native or {}
    known = {child: key for child, key in (was.children or {}).items() if key in there}
    return {**now.children, **known}


def _other_native(name: str, was: FieldShadow, held: View, now: Reading) -> bool:
    before = (held.former or {}).get(name)
    if before is not None:
        return bool(before.native != now.native)
    # the former mapping is not known: only what cannot be the same representation is taken anew
    return type(was.held) is not type(now.native) and None not in (was.held, now.native)


def _native(name: str, was: Native | Unset, view: View) -> Native | Unset:
    if was is UNSET:
        return UNSET
    reading = view.present.get(name)
    known = reading is not None and reading.presence in (Presence.VALUE, Presence.EMPTY)
    return reading.native if known and reading is not None else UNSET

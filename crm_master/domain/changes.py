"""From a new golden record to what has to be told: history for the hub, patches for the systems (RULES 1, 5, 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from crm_master.domain.claims import (
    LEFT,
    UNHELD,
    UNSET,
    ClaimKey,
    FieldShadow,
    Shadow,
    Sources,
    Unset,
)
from crm_master.domain.entities import EntitySpec
from crm_master.domain.fields import Canonical, Cardinality, Lenses, Native
from crm_master.domain.ids import RecordId
from crm_master.domain.survivorship import Reconciled, Winner


@dataclass(frozen=True, slots=True)
class Change:
    """One field of a golden record: what it was, what it is. ``UNSET`` where nobody spoke of it."""

    before: Canonical | Unset
    after: Canonical | Unset


def diff(before: Mapping[str, Canonical], after: Mapping[str, Canonical]) -> dict[str, Change]:
    """The fields in which two golden records differ."""
    return {
        name: Change(before.get(name, UNSET), after.get(name, UNSET))
        for name in sorted(before.keys() | after.keys())
        if before.get(name, UNSET) != after.get(name, UNSET)
    }


class Hold(StrEnum):
    """Why a field is not written although the system does not hold the golden value."""

    CONTESTED = "contested"  # waits for a decision
    QUARANTINED = "quarantined"  # the system undid it too often
    UNREADABLE = "unreadable"  # what stands there is not understood, so it is not overwritten
    REVIEW = "review"  # an emptied field waits for a decision
    UNHOLDABLE = "unholdable"  # the system's representation has no place for the value
    UNKNOWN = "unknown"  # it names a record that is not known to the system yet


@dataclass(frozen=True, slots=True)
class Patch:
    """What one record needs: the natives to write (of a group only the members that differ), and what is held back.

    ``intents`` are the same fields whole, as the system shall then hold them. ``accepted`` are fields where the system
    made something else of what it was sent; they count as converged. ``matched`` are fields where the golden record has
    moved to what the system holds anyway. ``unshown`` are fields in which the record, once it is
    written, still does not show the golden record: whoever edits it has not seen that (RULES 4). ``crossing`` are fields
    where something else than what is wanted is on its way: whether a write is needed shows when that has arrived.
    """

    writes: Mapping[str, Native] = field(default_factory=dict)
    intents: Mapping[str, Native] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    matched: Mapping[str, Native] = field(default_factory=dict)
    unshown: frozenset[str] = frozenset()
    crossing: frozenset[str] = frozenset()


def patch(
    reconciled: Reconciled,
    shadow: Shadow,
    lenses: Lenses,
    spec: EntitySpec,
    *,
    secondary: bool = False,
) -> Patch:
    """The smallest set of writes that makes a record the projection of the golden record (RULES 1, 7, 10).

    Compared is the golden record as it now is with the record's shadow, whatever the change was. A field that nobody
    speaks of is left as it is, unless it holds what was delivered from a record that has left the customer: that is
    replaced by the golden value, also where it waits for a decision, else cleared. A ``secondary`` record is rid of such
    values, and written nothing else (RULES 14).
    """
    writes: dict[str, Native] = {}
    intents: dict[str, Native] = {}
    holds: dict[str, Hold] = {}
    accepted: set[str] = set()
    matched: dict[str, Native] = {}
    crossing: set[str] = set()
    for name in sorted(lenses.writable):
        now = shadow.fields.get(name, UNHELD)
        left = departed(now)
        if secondary and not left:
            continue
        if name in reconciled.withheld and not left:
            holds[name] = Hold.CONTESTED
            continue
        if name not in reconciled.golden and not left:
            continue
        try:
            want = _wanted(name, reconciled.golden, now, left, lenses)
        except ValueError:
            refers = spec.fields[name].to is not None
            holds[name] = Hold.UNKNOWN if refers else Hold.UNHOLDABLE
            if not left:
                continue
            want = None
        if now.pending is not UNSET and now.pending != want:
            crossing.add(name)
        missing = _missing(name, want, now, lenses, spec.fields[name].cardinality)
        if missing is UNSET:
            if now.sent is not UNSET and want != now.sent:
                matched[name] = want
            elif now.sent is not UNSET and now.held != now.sent:
                accepted.add(name)
            continue
        if (hold := _held_back(now)) is not None:
            holds[name] = hold
            continue
        writes[name] = missing
        intents[name] = want
        if spec.fields[name].cardinality is Cardinality.GROUP and missing is not None:
            stands = now.held if now.sent is UNSET else now.sent
            # what is to be empty and is: the system may fill it in with what it thinks fit, and that is no difference then
            empties = {part: None for part, native in (want or {}).items() if native is None}
            stands = stands if isinstance(stands, dict) else {}
            intents[name] = {**empties, **stands, **missing}
    only_read = _only_read(reconciled.golden, shadow, lenses)
    unshown = reconciled.withheld.union(holds, only_read)
    return Patch(writes, intents, holds, frozenset(accepted), matched, unshown, frozenset(crossing))


def _wanted(
    name: str,
    golden: Mapping[str, Canonical],
    now: FieldShadow,
    left: Collection[str],
    lenses: Lenses,
) -> Native:
    """What the field shall hold. Where nobody speaks of it, all but what came from records that have left.

    Raises ``ValueError`` for a value that the system cannot hold.
    """
    if name in golden:
        return lenses.encode(name, golden[name])
    if "" in left or not isinstance(now.held, dict):
        return None
    return {key: native for key, native in now.held.items() if key not in left}


def departed(now: FieldShadow) -> frozenset[str]:
    """What of a field came, or is coming, from records that have left the customer: elements, or ``""`` for all of it."""
    if now.source is None and now.coming is None:
        return frozenset()
    delivered = (*(now.source or {}).items(), *(now.coming or {}).items())
    return frozenset(key for key, record in delivered if record == LEFT)


def withdraw(shadow: Shadow, members: Collection[RecordId]) -> Shadow:
    """Note what the hub has delivered from records that are no longer ``members`` of the customer (RULES 10).

    What a system may have made of such a value is not taken for an edit: it would leave the value behind as a claim.
    """
    fields: dict[str, FieldShadow] = {}
    for name, now in shadow.fields.items():
        if now.source is None and now.coming is None:
            continue
        if now.pending is UNSET and empty(now.held) and (now.sent is UNSET or empty(now.sent)):
            fields[name] = replace(now, source=None)
            continue
        source, coming = _marked(now.source, members), _marked(now.coming, members)
        if (source, coming) != (now.source, now.coming):
            after = replace(now, source=source, coming=coming)
            fields[name] = replace(after, doubt=None) if departed(after) else after
    return replace(shadow, fields={**shadow.fields, **fields}) if fields else shadow


def _marked(sources: Sources | None, members: Collection[RecordId]) -> Sources | None:
    if sources is None:
        return None
    return {key: record if record in members else LEFT for key, record in sources.items()}


def sources_of(
    natives: Mapping[str, Native], winners: Mapping[ClaimKey, Winner]
) -> dict[str, Sources]:
    """Whose claims the values of a delivery are. What nobody of the customer says any more is marked as ``LEFT``."""
    found: dict[str, Sources] = {}
    for name, native in natives.items():
        if empty(native):
            continue
        won = {
            key.element or "": winner.record for key, winner in winners.items() if key.field == name
        }
        if "" not in won and isinstance(native, dict):
            found[name] = {key: won.get(key, LEFT) for key in (*native, *([] if won else [""]))}
        else:
            found[name] = {"": won.get("", LEFT)}
    return found


def _only_read(golden: Mapping[str, Canonical], shadow: Shadow, lenses: Lenses) -> Iterator[str]:
    """The fields that cannot be written to the system and in which it shows something else than the golden record."""
    for name, now in shadow.fields.items():
        if name in lenses.writable or name not in golden:
            continue
        try:
            shown = None if now.held is UNSET else lenses.decode(name, now.held)
        except ValueError:
            shown = UNSET
        value = golden[name]
        if isinstance(shown, dict) and isinstance(value, dict):
            value = {part: value.get(part) for part in shown}
        if shown != value:
            yield name


def projection(golden: Mapping[str, Canonical], lenses: Lenses) -> dict[str, Native]:
    """All of a golden record that a system can hold, for a record that is to be created there."""
    natives: dict[str, Native] = {}
    for name in sorted(lenses.writable & golden.keys()):
        try:
            native = lenses.encode(name, golden[name])
        except ValueError:
            continue
        if not empty(native):
            natives[name] = native
    return natives


def empty(native: Native) -> bool:
    """Whether a native value says nothing: null, or a group or list without content."""
    if isinstance(native, dict):
        return all(value is None for value in native.values())
    return native is None


def _held_back(now: FieldShadow) -> Hold | None:
    if now.quarantined:
        return Hold.QUARANTINED
    if now.unreadable:
        return Hold.UNREADABLE
    if now.review:
        return Hold.REVIEW
    return None


def _missing(
    name: str, want: Native, now: FieldShadow, lenses: Lenses, cardinality: Cardinality
) -> Any:
    """What to send so that the system holds ``want``; ``UNSET`` if nothing.

    Written is only what differs from what was sent before; where nothing was sent, or a person has changed it since,
    what differs in meaning from what is held.
    """
    held = None if now.held is UNSET else now.held
    normal = _normal(name, held, lenses)
    if cardinality is Cardinality.ONE:
        stands = now.sent is not UNSET and want == now.sent
        return UNSET if stands or want in (held, normal) else want
    if want is None and cardinality is Cardinality.GROUP:
        return UNSET if empty(held) or now.sent is None else None
    want, held, normal = want or {}, held or {}, normal or {}
    sent = now.sent if isinstance(now.sent, dict) else {}
    stood = held if now.sent is UNSET else sent
    differing = {
        part: want.get(part)
        for part in (want if cardinality is Cardinality.GROUP else {**want, **stood})
        if not (part in sent and sent[part] == want.get(part))
        and want.get(part) not in (held.get(part), normal.get(part))
    }
    if not differing:
        return UNSET
    return differing if cardinality is Cardinality.GROUP else want


def _normal(name: str, native: Native, lenses: Lenses) -> Native:
    """A held value as the hub would write it: formatting alone is no difference."""
    try:
        return lenses.encode(name, lenses.decode(name, native))
    except ValueError:
        return native

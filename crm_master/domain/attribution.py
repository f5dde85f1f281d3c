"""The rule that tells an edit from an echo: what of a reading is a claim (RULES 2, 3, 6, 7, 9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from crm_master.domain.changes import empty
from crm_master.domain.claims import (
    UNSET,
    Claim,
    ClaimKey,
    Claims,
    FieldShadow,
    Interval,
    Observed,
    Shadow,
    Unset,
    interval,
    iso,
    own,
)
from crm_master.domain.echoes import doubtful, echoes
from crm_master.domain.elements import steps_of, still
from crm_master.domain.entities import EntitySpec, FieldSpec
from crm_master.domain.fields import (
    Canonical,
    Cardinality,
    Clear,
    Lenses,
    Mapped,
    Native,
    Presence,
    Reading,
)
from crm_master.domain.notices import Notice, Why
from crm_master.domain.remapping import met
from crm_master.domain.settling import count_undone, heard, passed, there


@dataclass(frozen=True, slots=True)
class Attributed:
    """The outcome of ``attribute``: the record's claims and shadow from now on, and which claims are new.

    ``due``: although nobody asserted anything, the record may have to be written: a field can be read again, or was emptied
    where that counts for nothing. ``doubts``: of a field it cannot be told yet who has put there what it shows.
    """

    claims: Claims
    shadow: Shadow
    edits: frozenset[ClaimKey]
    notices: tuple[Notice, ...] = ()
    stale: bool = False
    due: bool = False
    doubts: bool = False


def attribute(
    mapped: Mapped,
    claims: Claims,
    shadow: Shadow,
    lenses: Lenses,
    spec: EntitySpec,
    observed: Observed,
) -> Attributed:
    """Tell what a person asserted in a record from what it merely shows (RULES 2, 3, 6, 7, 9).

    A field equal to its shadow asserts nothing and keeps its claim's time. At first sight every value is a claim, as old
    as the record's stamp says. A read that began before our last write was confirmed, or before another that was reconciled
    already, asserts nothing: ``stale``.
    """
    if observed.started < shadow.stale_before:
        return Attributed(claims, shadow, frozenset(), stale=True)
    sheet = _Sheet(dict(claims), dict(shadow.fields), shadow, lenses, observed)
    for name, reading in mapped.readings.items():
        sheet.read(spec.fields[name], reading)
    after = heard(shadow, sheet.fields, observed.started, observed.watermark)
    if shadow.awaited:
        after = replace(after, awaited=sheet.awaited)
    notices = tuple(sheet.notices)
    edits = frozenset(sheet.edits)
    return Attributed(
        sheet.claims, after, edits, notices, due=sheet.due or sheet.doubts, doubts=sheet.doubts
    )


class _Sheet:
    """The working copy of one record's claims and shadow while its fields are read."""

    def __init__(
        self,
        claims: dict[ClaimKey, Claim],
        fields: dict[str, FieldShadow],
        shadow: Shadow,
        lenses: Lenses,
        observed: Observed,
    ) -> None:
        self.claims = claims
        self.fields = fields
        self.shadow = shadow
        self.lenses = lenses
        self.observed = observed
        self.when = interval(observed, shadow)
        self.awaited = dict(shadow.awaited)
        self.early = bool(self.awaited) and observed.started < shadow.mapped_at
        self.edits: list[ClaimKey] = []
        self.notices: list[Notice] = []
        self.due = self.doubts = False

    def read(self, spec: FieldSpec, reading: Reading) -> None:
        name, shadow = spec.name, self.fields.get(spec.name)
        if reading.presence is Presence.MISSING:
            return
        if reading.presence is Presence.UNREADABLE:
            if shadow is None or not shadow.unreadable:
                self.fields[name] = replace(shadow or FieldShadow(), unreadable=True)
                self.notices.append(Notice(name, Why.UNREADABLE, reading.reason or ""))
            return
        self.due = self.due or (shadow is not None and shadow.unreadable)
        if shadow is None or shadow.held is UNSET:
            self._first_sight(spec, reading)
        elif spec.cardinality is Cardinality.MANY:
            self._elements(spec, reading, replace(shadow, unreadable=False, unseen=False))
        else:
            self._value(spec, reading, replace(shadow, unreadable=False))

    def _first_sight(self, spec: FieldSpec, reading: Reading) -> None:
        moved = spec.name in self.awaited
        if moved and self.early and reading.value in (None, {}):
            return  # a row of before the field was mapped perhaps only does not speak of it
        self.awaited.pop(spec.name, None)
        # a record may have shown versions of the customer before anybody looked at this field
        self.fields[spec.name] = FieldShadow(
            held=reading.native,
            children=reading.children,
            withheld_at=0 if self.shadow.seen else None,
        )
        self.due = self.due or bool(self.shadow.seen)
        if reading.silent:
            return
        # a stamp from the future shows a wrong clock: it would win until its time has come
        stamp = min(self.observed.stamp or 0, self.observed.ended)
        when = Interval(stamp, stamp)
        said: dict[str | None, Canonical] = {}
        if spec.cardinality is Cardinality.MANY:
            said |= reading.value or {}
        elif reading.presence is Presence.VALUE:
            said[None] = self._group(spec, reading, None) if spec.members else reading.value
        for key, was in list(own(self.claims, spec.name)) if moved else ():
            if was.value is not None:
                self._moved(key, was, said)
        for element, value in said.items():
            self._assert(ClaimKey(spec.name, element), value, when)

    def _moved(self, key: ClaimKey, was: Claim, said: dict[str | None, Canonical]) -> None:
        """A claim that was made where the field was read before: what stands here now keeps its time (RULES 21)."""
        if key.element not in said:
            del self.claims[key]
        elif (value := said.pop(key.element)) != was.value:
            self.claims[key] = replace(was, value=value, seq=self.observed.seq, author=None)
        self.edits.append(key)

    def _assert(
        self, key: ClaimKey, value: Canonical, when: Interval, base: Canonical | Unset = UNSET
    ) -> None:
        self._claim(key, self._made(key.field, value, when, base))

    def _claim(self, key: ClaimKey, claim: Claim) -> None:
        self.claims[key] = claim
        self.edits.append(key)

    def _made(self, name: str, value: Canonical, when: Interval, base: Canonical | Unset) -> Claim:
        saw = 0 if base is UNSET else self.shadow.saw(name, self.when.lo)
        return Claim(value, when.lo, when.hi, self.observed.seq, saw=saw, base=base)

    def _value(self, spec: FieldSpec, reading: Reading, shadow: FieldShadow) -> None:
        spoken = reading.native
        if spec.members:
            reading = self._complete(spec.name, reading, shadow.held)
            if spec.name in self.awaited and not shadow.quarantined:
                reading, shadow = self._meet(spec, reading, shadow)
        name, native = spec.name, reading.native
        if shadow.unseen:
            shadow = replace(shadow, unseen=False)
            if self._first_shown(spec, reading, spoken, shadow):
                return
        if native == shadow.held:
            self.fields[name] = shadow
            return
        ours = echoes(spoken, shadow.pending, shadow.held) or (
            shadow.pending is not UNSET and self._same(name, native, shadow.pending)
        )
        if ours and shadow.doubt is not None:
            # what we sent does stand there now: so the system had made nothing else of it, and that was an edit
            self.fields[name] = replace(there(shadow), held=native, doubt=None)
            self._claim(ClaimKey(name), shadow.doubt)
            return
        if (
            ours
            or echoes(spoken, shadow.sent, shadow.held)
            or self._same(name, native, shadow.held)
            or (reading.silent and shadow.held is None)
        ):
            self.fields[name] = replace(there(shadow) if ours else shadow, held=native)
            return
        shadow = passed(shadow)
        cleared = reading.presence is Presence.EMPTY
        if not shadow.quarantined and doubtful(spoken, shadow):
            self._doubt(spec, reading, replace(shadow, source=shadow.coming))
            return
        after = replace(count_undone(shadow, native), doubt=None, source=None)
        if after.quarantined:
            self.fields[name] = after
            if not shadow.quarantined:
                self.claims.pop(ClaimKey(name), None)
                self.notices.append(Notice(name, Why.QUARANTINED))
            return
        clear = self.lenses.clear(name) if cleared else Clear.ALLOWED
        if clear is Clear.IGNORE:
            self.fields[name] = after
            self.due = True
            return
        if clear is Clear.REVIEW:
            self.fields[name] = replace(after, review=True)
            self.notices.append(Notice(name, Why.CLEAR_REVIEW))
            return
        self.fields[name] = replace(after, review=False)
        self._claim(ClaimKey(name), self._edit(spec, reading, shadow))

    def _first_shown(
        self, spec: FieldSpec, reading: Reading, spoken: Native, shadow: FieldShadow
    ) -> bool:
        """Take the first read since a write of which nothing was shown. False if it is nothing that is to be found out."""
        name, native, sent = spec.name, reading.native, shadow.sent
        if echoes(spoken, sent, shadow.held) or self._same(name, native, sent):
            self.fields[name] = replace(shadow, held=native, doubt=None)
            if shadow.doubt is not None:
                self._claim(ClaimKey(name), shadow.doubt)
            return True
        unmoved = native == shadow.held or doubtful(spoken, replace(shadow, pending=sent))
        emptied = reading.presence is Presence.EMPTY and (
            not self.shadow.read_at or self.lenses.clear(name) is not Clear.ALLOWED
        )
        if shadow.quarantined or not unmoved or emptied or empty(sent):
            return False
        if shadow.doubt is None or native != shadow.held:
            self._doubt(spec, reading, shadow)
        else:  # once more the same of the same: so that is what the system makes of it
            self.fields[name] = replace(shadow, held=native, doubt=None)
        return True

    def _doubt(self, spec: FieldSpec, reading: Reading, shadow: FieldShadow) -> None:
        """An edit, or what the system made of what was sent: the next write shows which."""
        doubt = self._edit(spec, reading, shadow)
        self.fields[spec.name] = replace(shadow, held=reading.native, sent=UNSET, doubt=doubt)
        self.doubts = True

    def _edit(self, spec: FieldSpec, reading: Reading, shadow: FieldShadow) -> Claim:
        """The claim of a person who has changed a value to what is read."""
        value = reading.value if reading.presence is Presence.VALUE else None
        if spec.members and value is not None:
            value = self._group(spec, reading, shadow)
        base = self._decoded(spec.name, shadow.held if shadow.sent is UNSET else shadow.sent)
        return self._made(spec.name, value, self.when, None if base is _UNKNOWN else base)

    def _complete(self, name: str, reading: Reading, held: Native | Unset) -> Reading:
        """A group with the members that the payload did not speak of: those assert nothing, and stay (RULES 9).

        To clear some members is to edit the group; it is cleared when nothing remains in it.
        """
        if not isinstance(reading.native, dict) or not isinstance(held, dict):
            return reading
        kept = {member: held[member] for member in held if member not in reading.native}
        if not kept:
            return reading
        stood = self._decoded(name, held)
        values = stood if isinstance(stood, dict) else {}
        known = {member: values[member] for member in kept if member in values}
        native, value = {**kept, **reading.native}, {**known, **(reading.value or {})}
        if self._decoded(name, native) is None:
            return Reading(Presence.EMPTY, dict.fromkeys(native))
        return Reading(Presence.VALUE, native, value)

    def _meet(
        self, spec: FieldSpec, reading: Reading, shadow: FieldShadow
    ) -> tuple[Reading, FieldShadow]:
        """The reading and the shadow with members that were awaited: what stood there joins the claim (RULES 21)."""
        name, key = spec.name, ClaimKey(spec.name)
        reading, after, news, rest = met(reading, shadow, self.awaited.pop(name), self.early)
        if rest:
            self.awaited[name] = rest
        value, was = reading.value or {}, self.claims.get(key)
        values = {member: value[member] for member in news if value.get(member) is not None}
        if not values:
            return reading, after
        if was is None:
            self._assert(key, self._group(spec, reading, None), Interval(0, 0))
        else:
            self._claim(key, replace(was, value=(was.value or dict.fromkeys(value)) | values))
        return reading, after

    def _group(self, spec: FieldSpec, reading: Reading, shadow: FieldShadow | None) -> Canonical:
        """A group as one claim. Members that the person left as they were keep what the hub had put there (RULES 7)."""
        native, value = reading.native, reading.value or {}
        claimed: dict[str, Canonical] = {}
        for member in native:
            claimed[member] = value.get(member)
            if shadow is None or shadow.sent is UNSET or not isinstance(shadow.sent, dict):
                continue
            held = shadow.held if isinstance(shadow.held, dict) else {}
            if member in shadow.sent and native[member] == held.get(member):
                sent = self._decoded(spec.name, {**native, **shadow.sent}) or {}
                claimed[member] = sent.get(member)
        if shadow is not None:
            for member in spec.observed:
                if claimed.get(member) is None:
                    claimed[member] = iso(self.when.hi)
        return claimed

    def _elements(self, spec: FieldSpec, reading: Reading, shadow: FieldShadow) -> None:
        name = spec.name
        now: dict[str, Any] = reading.native or {}
        held: dict[str, Any] = shadow.held or {}  # type: ignore[assignment]
        ours = [value for value in (shadow.sent, shadow.pending) if isinstance(value, dict)]
        was = shadow
        shadow = replace(shadow, source=still(shadow, now), children=reading.children)
        added = [key for key in now if key not in held and not any(key in sent for sent in ours)]
        gone = [key for key in held if key not in now and all(key in sent for sent in ours)]
        if not added and not gone:
            arrived = now != held and now == shadow.pending
            self.fields[name] = replace(shadow, held=now, sent=now if arrived else shadow.sent)
            return
        shadow = passed(shadow)
        self.fields[name] = replace(shadow, held=now, sent=UNSET)
        if shadow.quarantined:
            return
        for of, claim in list(own(self.claims, name)):
            if (
                claim.became in added
            ):  # what had come to that content before is no more what shows it
                self.claims[of] = replace(claim, became=None)
        for key in added:
            before = self.claims.get(ClaimKey(name, key))
            found = self._made(name, (reading.value or {})[key], self.when, None)
            became = None if before is None else before.became
            self._claim(ClaimKey(name, key), replace(found, became=became))
        steps = steps_of(was, reading, added)
        for old, new in steps.items():
            step = self._made(name, None, self.when, self._content(name, old, was))
            self._claim(ClaimKey(name, old), replace(step, became=new))
        gone = [key for key in gone if key not in steps]
        clear = self.lenses.clear(name)
        if clear is Clear.ALLOWED:
            for key in gone:
                self._assert(ClaimKey(name, key), None, self.when, key)
        elif gone:
            self.fields[name] = after = count_undone(shadow, now)
            self.due = self.due or clear is Clear.IGNORE
            if after.quarantined:
                for asserted, _ in list(own(self.claims, name)):
                    del self.claims[asserted]
                self.notices.append(Notice(name, Why.QUARANTINED))
                return
        self._ask(name, gone if clear is Clear.REVIEW else [], added)

    def _ask(self, name: str, gone: list[str], added: list[str]) -> None:
        """Make what vanished one question, with what it was about before; what a person put back is out of it."""
        shadow = self.fields[name]
        asked = dict.fromkeys((*shadow.vanished, *gone))
        vanished = tuple(key for key in asked if key not in added)
        if vanished != shadow.vanished:
            self.fields[name] = replace(shadow, vanished=vanished, review=bool(vanished))
            if vanished:
                self.notices.append(Notice(name, Why.CLEAR_REVIEW, elements=vanished))

    def _content(self, name: str, element: str, shadow: FieldShadow) -> Canonical:
        """What an element said that a record has shown; ``None`` where that is not known."""
        for native in (shadow.held, shadow.sent, shadow.pending):
            if isinstance(native, dict) and element in native:
                found = self._decoded(name, {element: native[element]})
                return None if found is _UNKNOWN else found.get(element)
        return None

    def _same(self, name: str, left: Native, right: Native) -> bool:
        """Whether two representations mean the same; a person who only reformats asserts nothing."""
        value = self._decoded(name, left)
        return value is not _UNKNOWN and bool(value == self._decoded(name, right))

    def _decoded(self, name: str, native: Native) -> Canonical:
        try:
            return self.lenses.decode(name, native)
        except ValueError:
            return _UNKNOWN


_UNKNOWN: Final = object()

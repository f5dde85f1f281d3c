"""What becomes of a shadow while a write is under way: intended, settled, given up, in doubt (RULES 6, 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from crm_master.domain.claims import (
    UNHELD,
    UNSET,
    Claim,
    ClaimKey,
    FieldShadow,
    Instant,
    Shadow,
    Sources,
)
from crm_master.domain.fields import Native

UNDONE_LIMIT: Final = 3
"""How often the same value may be undone before the field of that record is quarantined (RULES 7)."""


def agree(shadow: Shadow, matched: Mapping[str, Native]) -> Shadow:
    """The shadow after the golden record came to what the system holds: as if that had been sent.

    Else a value that once had no effect would never be sent again, although the golden record left it and returned.
    """
    if not matched:
        return shadow
    fields = {name: replace(shadow.fields[name], sent=native) for name, native in matched.items()}
    return replace(shadow, fields={**shadow.fields, **fields})


def intend(
    shadow: Shadow,
    writes: Mapping[str, Native],
    sources: Mapping[str, Sources] | None = None,
    version: int = 0,
    at: Instant = 0,
) -> Shadow:
    """The shadow between intent and settlement: held, and sent but not yet known to be held (RULES 6).

    To write nothing is to delete the record, from ``at`` on.
    ``version`` is what the record shows once that is done; 0 for none: a secondary record is not brought up to one
    (RULES 14), nor is any while more is on its way.
    """
    if not writes:
        return replace(shadow, deleting=at)
    more = {name for name, now in shadow.fields.items() if now.pending not in (UNSET, now.sent)}
    fields = dict(shadow.fields)
    for name, native in writes.items():
        fields[name] = replace(
            fields.get(name, UNHELD), pending=native, coming=(sources or {}).get(name)
        )
    coming = version if more <= writes.keys() else 0
    return replace(shadow, fields=fields, coming=coming, deleting=0)


def on_its_way(shadow: Shadow) -> dict[str, Native]:
    """What was sent and is not known to have arrived."""
    return {name: now.pending for name, now in shadow.fields.items() if now.pending is not UNSET}


def abandon(shadow: Shadow) -> Shadow:
    """The shadow after a write that is known not to have happened."""
    return replace(shadow, fields={name: abandoned(now) for name, now in shadow.fields.items()})


def abandoned(now: FieldShadow) -> FieldShadow:
    """The field when nothing is on its way to it any more: what was, never arrived."""
    return replace(now, pending=UNSET, coming=None)


@dataclass(frozen=True, slots=True)
class Settled:
    """The shadow after a write, and the claims that turned out to have been edits of people after all."""

    shadow: Shadow
    edits: Mapping[ClaimKey, Claim]


def settle(
    shadow: Shadow,
    written: Collection[str],
    held: Mapping[str, Native],
    version: int,
    confirmed_at: int,
    known: int,
    children: Mapping[str, Mapping[str, str]] = {},
) -> Settled:
    """What is known after a write of the fields ``written`` took effect.

    ``held`` is what the system now shows of every field it was read for, ``children`` under which keys of its own. It also
    settles doubts: a system that makes the same of the same value again had made it the first time; where it now holds
    something else, a person had put it there. What an earlier write without an answer had sent, and is not there, never
    arrived.
    """
    fields = dict(shadow.fields)
    edits: dict[ClaimKey, Claim] = {}
    for name, native in held.items():
        now = fields.get(name, FieldShadow())
        if name not in written and native != now.pending:
            now = abandoned(now)
        sent = now.sent if now.pending is UNSET else now.pending
        doubt = now.doubt
        if doubt is not None and native != now.held:
            edits[ClaimKey(name)], doubt = doubt, None
        elif name in written:
            doubt = None
        fields[name] = replace(arrived(now), held=native, sent=sent, doubt=doubt, unseen=False)
    for name in written:
        now = fields.get(name, UNHELD)
        if now.pending is not UNSET:
            now = fields[name] = replace(arrived(now), sent=now.pending, unseen=True)
        if now.withheld_at is not None:
            fields[name] = replace(now, withheld_at=max(now.withheld_at, version))
    for name, keys in children.items():
        fields[name] = replace(fields[name], children=keys)
    after = replace(shadow, fields=fields, confirmed_at=confirmed_at)
    return Settled(after.showing(version, confirmed_at, known), edits)


def heard(before: Shadow, fields: Mapping[str, FieldShadow], at: Instant, known: Instant) -> Shadow:
    """The shadow with what a read that began ``at`` has made of its fields.

    Where they show, for the first time, all that was on its way, the record shows the version that this is of: whoever
    edits it from then on has seen it, though no answer has told. So the read confirms the write.
    """
    after = replace(before, fields=fields)
    if not before.coming:
        return after
    sent = on_its_way(before)
    there = all(fields[name].sent == native for name, native in sent.items())
    news = any(before.fields[name].sent != native for name, native in sent.items())
    if not (there and news):
        return after
    caps = {name: fields[name].withheld_at for name in sent}
    risen = {
        name: replace(fields[name], withheld_at=max(cap, before.coming))
        for name, cap in caps.items()
        if cap is not None
    }
    after = replace(after, fields={**fields, **risen}, confirmed_at=max(before.confirmed_at, at))
    return after.showing(before.coming, at, known)


def arrived(now: FieldShadow) -> FieldShadow:
    """The field when nothing is on its way to it any more: what was, is there."""
    source = now.source if now.pending is UNSET else now.coming
    return replace(now, pending=UNSET, source=source, coming=None)


def believe(shadow: Shadow, writes: Collection[str] | None = None) -> Settled:
    """Take what is in doubt for edits where no later write will tell: no edit may be lost.

    ``writes`` are the fields that are going to be written, ``None`` if the record is written no more. What a write has come
    to that was ``unseen``, the next read shows.
    """
    doubtful = {
        name: now
        for name, now in shadow.fields.items()
        if now.doubt is not None and (writes is None or not (now.unseen or name in writes))
    }
    fields = {name: replace(now, doubt=None, source=None) for name, now in doubtful.items()}
    edits = {ClaimKey(name): now.doubt for name, now in doubtful.items() if now.doubt is not None}
    return Settled(replace(shadow, fields={**shadow.fields, **fields}), edits)


def withhold(shadow: Shadow, names: Iterable[str], version: int) -> Shadow:
    """Note which fields do not show ``version`` although the rest of the record does, and which do again."""
    names = set(names)
    again = {
        name: replace(now, withheld_at=None)
        for name, now in shadow.fields.items()
        if now.withheld_at is not None and name not in names
    }
    return hide(replace(shadow, fields={**shadow.fields, **again}), names, version)


def hide(shadow: Shadow, names: Iterable[str], version: int) -> Shadow:
    """Note which fields show no more from now on than the record was known to when ``version`` was golden, or less still."""
    fields = shadow.fields
    new = [name for name in names if name in fields and fields[name].withheld_at is None]
    if not new:
        return shadow
    known = max((seen.version for seen in shadow.seen if seen.version <= version), default=0)
    hidden = {name: replace(fields[name], withheld_at=known) for name in new}
    return replace(shadow, fields={**fields, **hidden})


def count_undone(shadow: FieldShadow, native: Native) -> FieldShadow:
    """The shadow after an edit to ``native``: what was sent no longer stands, and coming back is counted."""
    after = replace(shadow, held=native, sent=UNSET)
    if shadow.sent is UNSET:
        return after
    if shadow.undone_to != native:
        return replace(after, undone_to=native, undone=1)
    undone = shadow.undone + 1
    return replace(after, undone=undone, quarantined=shadow.quarantined or undone >= UNDONE_LIMIT)


def passed(shadow: FieldShadow) -> FieldShadow:
    """The field when it shows something else than before: what had arrived by then, and is entered again, is an edit."""
    return abandoned(shadow) if shadow.sent == shadow.pending else shadow


def there(shadow: FieldShadow) -> FieldShadow:
    """The field when a read shows what was on its way: that is what the hub has put there last, whatever it sent before."""
    return replace(shadow, sent=shadow.pending, source=shadow.coming)

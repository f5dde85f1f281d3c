"""What becomes of a shadow while a write is under way: intended, settled, given up, in doubt (RULES 6, 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from crm_master.domain.claims import UNHELD, UNSET, Claim, ClaimKey, FieldShadow, Shadow, Sources
from crm_master.domain.fields import Native


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
) -> Shadow:
    """The shadow between intent and settlement: held, and sent but not yet known to be held (RULES 6).

    ``version`` is what the record shows once that is done; 0 where that is not known.
    """
    fields = dict(shadow.fields)
    for name, native in writes.items():
        fields[name] = replace(
            fields.get(name, UNHELD), pending=native, coming=(sources or {}).get(name)
        )
    return replace(shadow, fields=fields, coming=version)


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
        fields[name] = replace(arrived(now), held=native, sent=sent, doubt=doubt)
    for name in written:
        now = fields.get(name, UNHELD)
        if now.pending is not UNSET:
            fields[name] = replace(arrived(now), sent=now.pending)
    for name, keys in children.items():
        fields[name] = replace(fields[name], children=keys)
    after = replace(shadow, fields=fields, confirmed_at=confirmed_at)
    return Settled(after.showing(version, confirmed_at, known), edits)


def arrived(now: FieldShadow) -> FieldShadow:
    """The field when nothing is on its way to it any more: what was, is there."""
    source = now.source if now.pending is UNSET else now.coming
    return replace(now, pending=UNSET, source=source, coming=None)


def believe(shadow: Shadow, but: Collection[str] = ()) -> Settled:
    """Take what is in doubt for edits, except in the fields ``but``: no later write will tell, and no edit may be lost."""
    doubtful = {
        name: now
        for name, now in shadow.fields.items()
        if now.doubt is not None and name not in but
    }
    fields = {name: replace(now, doubt=None, source=None) for name, now in doubtful.items()}
    edits = {ClaimKey(name): now.doubt for name, now in doubtful.items() if now.doubt is not None}
    return Settled(replace(shadow, fields={**shadow.fields, **fields}), edits)


def withhold(shadow: Shadow, names: Iterable[str], version: int) -> Shadow:
    """Note which fields do not show what the rest of the record does, but ``version`` at the most, and which do again."""
    names = set(names)
    fields: dict[str, FieldShadow] = {}
    for name, now in shadow.fields.items():
        if name in names:
            cap = version if now.withheld_at is None else now.withheld_at
            fields[name] = now if now.withheld_at == cap else replace(now, withheld_at=cap)
        elif now.withheld_at is not None:
            fields[name] = replace(now, withheld_at=None)
        else:
            fields[name] = now
    return replace(shadow, fields=fields)

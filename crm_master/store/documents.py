"""Claims and shadows as compact JSON documents, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_master.domain.claims import (
    UNSET,
    Claim,
    ClaimKey,
    FieldShadow,
    Seen,
    Shadow,
)
from crm_master.domain.survivorship import Rule, Winner

_SEPARATOR = "\x1f"
_FLAGS = ("unreadable", "quarantined", "review", "unseen")


def dump_claims(claims: Mapping[ClaimKey, Claim]) -> dict[str, list[Any]]:
    """``{field: [value, lo, hi, seq, born, saw(, author, [base], [past], became)]}``.

    An element's key follows its field's.
    """
    return {_dump_key(key): _dump_claim(claim) for key, claim in claims.items()}


def load_claims(document: Mapping[str, Any]) -> dict[ClaimKey, Claim]:
    return {_load_key(text): _load_claim(row) for text, row in document.items()}


def _dump_key(key: ClaimKey) -> str:
    return key.field if key.element is None else f"{key.field}{_SEPARATOR}{key.element}"


def _load_key(text: str) -> ClaimKey:
    field, separator, element = text.partition(_SEPARATOR)
    return ClaimKey(field, element if separator else None)


def _dump_claim(claim: Claim) -> list[Any]:
    row = [claim.value, claim.lo, claim.hi, claim.seq, claim.born, claim.saw]
    more = [
        claim.author,
        [] if claim.base is UNSET else [claim.base],
        list(claim.past),
        claim.became,
    ]
    while more and more[-1] in (None, []):
        more.pop()
    return row + more


def _load_claim(row: list[Any]) -> Claim:
    value, lo, hi, seq, born, saw = row[:6]
    author = row[6] if len(row) > 6 else None
    base = row[7][0] if len(row) > 7 and row[7] else UNSET
    past = tuple(row[8]) if len(row) > 8 else ()
    became = row[9] if len(row) > 9 else None
    return Claim(value, lo, hi, seq, born, saw, base, author, past, became)


def dump_shadow(shadow: Shadow) -> dict[str, Any]:
    fields = {name: _dump_field(now) for name, now in shadow.fields.items()}
    row = {"f": fields, "s": [list(seen) for seen in shadow.seen], "r": shadow.read_at}
    awaited = {name: list(members) for name, members in shadow.awaited.items()}
    rare = {"c": shadow.coming, "m": shadow.mapped_at, "a": awaited, "d": shadow.deleting}
    return row | {short: value for short, value in rare.items() if value}


def load_shadow(document: Mapping[str, Any] | None, confirmed_at: int | None) -> Shadow:
    if document is None:
        return Shadow()
    fields = {name: _load_field(row) for name, row in document["f"].items()}
    seen = tuple(Seen(version, at) for version, at in document["s"])
    read_at, coming, mapped_at, deleting = (document.get(short, 0) for short in "rcmd")
    awaited = {name: tuple(members) for name, members in document.get("a", {}).items()}
    return Shadow(fields, seen, confirmed_at or 0, read_at, coming, mapped_at, awaited, deleting)


def _dump_field(now: FieldShadow) -> dict[str, Any]:
    values = {"h": now.held, "s": now.sent, "p": now.pending, "u": now.undone_to}
    row: dict[str, Any] = {short: value for short, value in values.items() if value is not UNSET}
    if now.undone:
        row["n"] = now.undone
    if now.withheld_at is not None:
        row["w"] = now.withheld_at
    if now.doubt is not None:
        row["d"] = _dump_claim(now.doubt)
    if now.vanished:
        row["v"] = list(now.vanished)
    if now.source is not None:
        row["o"] = dict(now.source)
    if now.coming is not None:
        row["c"] = dict(now.coming)
    if now.children is not None:
        row["k"] = dict(now.children)
    row.update({flag: True for flag in _FLAGS if getattr(now, flag)})
    return row


def _load_field(row: Mapping[str, Any]) -> FieldShadow:
    return FieldShadow(
        held=row.get("h", UNSET),
        sent=row.get("s", UNSET),
        pending=row.get("p", UNSET),
        undone_to=row.get("u", UNSET),
        undone=row.get("n", 0),
        unreadable="unreadable" in row,
        quarantined="quarantined" in row,
        review="review" in row,
        unseen="unseen" in row,
        withheld_at=row.get("w"),
        doubt=_load_claim(row["d"]) if "d" in row else None,
        vanished=tuple(row.get("v", ())),
        source=row.get("o"),
        coming=row.get("c"),
        children=row.get("k"),
    )


def dump_winners(winners: Mapping[ClaimKey, Winner]) -> dict[str, list[Any]]:
    """``{field: [record, seq, rule(, was)]}``."""
    return {
        _dump_key(key): [won.record, won.seq, won.rule.value, *([list(won.was)] if won.was else [])]
        for key, won in winners.items()
    }


def load_winners(document: Mapping[str, Any]) -> dict[ClaimKey, Winner]:
    return {
        _load_key(text): Winner(record, seq, Rule(rule), tuple(*was))
        for text, (record, seq, rule, *was) in document.items()
    }

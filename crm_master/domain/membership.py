"""What changes in records and claims when they become another customer's (RULES 14, 15).

Versions count the golden records of one customer. Elsewhere they mean nothing, and would be taken for what they are not: so
what they told is kept in another form, and they begin anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from crm_master.domain.changes import withdraw
from crm_master.domain.claims import UNBORN, UNSET, Claim, ClaimKey, Claims, Shadow
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import RecordId


def carried(record: RecordId, among: Mapping[RecordId, Claims]) -> dict[ClaimKey, Claim]:
    """The claims that a record takes along from its customer, whose records and claims are ``among``.

    A claim that somebody there had seen and replaced stays replaced wherever the two are together (RULES 4). What an edit
    was made over may be the value of a person who does not come along: it is left behind.
    """
    taken: dict[ClaimKey, Claim] = {}
    for key, claim in among[record].items():
        seen_by = {
            other
            for other, claims in among.items()
            if key in claims and other != record and 0 <= claim.born <= claims[key].saw
        }
        past = tuple(sorted({*claim.past, *seen_by}))
        taken[key] = replace(claim, born=UNBORN, saw=0, base=UNSET, past=past)
    return taken


def without(claims: Claims, gone: Collection[RecordId]) -> dict[ClaimKey, Claim]:
    """The claims, without memory of records that are erased."""
    return {
        key: replace(claim, past=tuple(record for record in claim.past if record not in gone))
        for key, claim in claims.items()
    }


def disowned(shadow: Shadow, gone: Collection[RecordId]) -> Shadow:
    """The shadow of a record to which values of records were delivered that are erased: those are to be withdrawn."""
    delivered = {
        record
        for now in shadow.fields.values()
        for of in (now.source, now.coming)
        for record in (of or {}).values()
    }
    return withdraw(shadow, delivered - set(gone))


def transferred(shadow: Shadow) -> Shadow:
    """The shadow of a record that becomes another customer's: it has shown no version of that one yet."""
    fields = {
        name: replace(
            now,
            withheld_at=None,
            doubt=None if now.doubt is None else replace(now.doubt, saw=0, base=UNSET),
        )
        for name, now in shadow.fields.items()
    }
    return replace(shadow, fields=fields, seen=(), coming=0)


def forgotten(claims: Claims, staying: Iterable[Claims]) -> dict[ClaimKey, Claim]:
    """The claims of a record that stays, without memory of values that only those said who have left."""
    said: dict[ClaimKey, list[Canonical]] = {}
    for others in staying:
        for key, claim in others.items():
            said.setdefault(key, []).append(claim.value)
    return {
        key: claim if claim.base is UNSET or claim.base in said[key] else replace(claim, base=UNSET)
        for key, claim in claims.items()
    }

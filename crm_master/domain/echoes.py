"""Whether what a read shows may be the hub's own (RULES 6, 7)."""

from __future__ import annotations

from crm_master.domain.claims import UNSET, FieldShadow, Unset
from crm_master.domain.fields import Native


def echoes(native: Native, ours: Native | Unset, held: Native) -> bool:
    """Whether a read shows a value of the hub's own. Of a group it may show fewer members than were sent, or more."""
    if ours is UNSET:
        return False
    if isinstance(native, dict) and (ours is None or isinstance(ours, dict)):
        before = held if isinstance(held, dict) and ours is not None else {}
        shown = {**before, **(ours or {})}
        return all(value == shown.get(member) for member, value in native.items())
    return bool(native == ours)


def reduced(native: Native, shadow: FieldShadow) -> bool:
    """Whether a read shows what a system may have made of the value on its way: cut off, or in other letters and signs."""
    pending = shadow.pending
    if isinstance(pending, dict) and isinstance(native, dict):
        held = shadow.held if isinstance(shadow.held, dict) else {}
        parts = [(value, pending.get(part, held.get(part))) for part, value in native.items()]
    else:
        parts = [(native, pending)]
    return all(made == of or _is_part(made, of) for made, of in parts)


def doubtful(native: Native, shadow: FieldShadow) -> bool:
    """Whether it is open who has made of the value on its way what a read shows.

    What is in doubt of an earlier write was written over since: what this read shows is another question.
    """
    asked = shadow.doubt is not None and reduced(shadow.held, shadow)
    return not asked and reduced(native, shadow)


def _is_part(made: Native, of: Native | Unset) -> bool:
    if not isinstance(made, str) or not isinstance(of, str):
        return False
    made, of = (
        "".join(letter for letter in text.casefold() if letter.isalnum()) for text in (made, of)
    )
    return made != "" and of.startswith(made)

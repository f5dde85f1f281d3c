"""What a person should know of what was read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """Why a reading did not simply become a claim or an echo."""

    UNREADABLE = "unreadable"
    QUARANTINED = "quarantined"
    CLEAR_REVIEW = "clear_review"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know of one field of one record, or of some elements of it."""

    field: str
    why: Why
    detail: str = ""
    elements: tuple[str, ...] = ()

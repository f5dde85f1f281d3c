"""What systems make of the values that they are sent: each rule takes the value held and the value sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

Lossy = Callable[[Any, Any], Any]
"""Of the value held and the value sent, the value that is kept."""


class _Dropped:
    """The field is not kept at all: no record has it."""

    def __repr__(self) -> str:
        return "DROPPED"


DROPPED: Final = _Dropped()


def truncated(length: int) -> Lossy:
    """A field that keeps only its beginning."""
    return lambda old, new: new[:length] if isinstance(new, str) else new


def lowered(_old: Any, new: Any) -> Any:
    """A field that is kept in lower case."""
    return new.lower() if isinstance(new, str) else new


def titled(_old: Any, new: Any) -> Any:
    """A field in which every word begins with a capital: ada o'brien becomes Ada O'Brien."""
    return new.title() if isinstance(new, str) else new


def spaced(_old: Any, new: Any) -> Any:
    """A telephone number that is kept in groups: +3225551212 becomes +32 255 512 12."""
    if not isinstance(new, str):
        return new
    plus, digits = "+" if new.lstrip().startswith("+") else "", re.sub(r"\D", "", new)
    groups = [digits[:2]] + [digits[i : i + 3] for i in range(2, len(digits), 3)]
    return plus + " ".join(group for group in groups if group)


def ineffective(old: Any, _new: Any) -> Any:
    """A field that takes a write and keeps what it had."""
    return old


def dropped(_old: Any, _new: Any) -> Any:
    """A field that takes a write and that no record shows afterwards."""
    return DROPPED


__all__ = [
    "DROPPED",
    "Lossy",
    "dropped",
    "ineffective",
    "lowered",
    "spaced",
    "titled",
    "truncated",
]

"""Reads JSON answers as they really come: quickly when they are right, row by row when not.

The standard library's reader is used, because it keeps whole numbers of any length as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from connectors.errors import BadAnswer


class Parsed(NamedTuple):
    """An answer's value. Unless it is ``clean``, ``fault`` has to look at each row."""

    value: Any
    clean: bool


def parse(body: bytes, what: str) -> Parsed:
    """The answer as plain values. Raises ``BadAnswer`` if it is not JSON.

    A row with bytes that are not UTF-8 does not spoil its page: such bytes come back as lone
    surrogates, which ``fault`` finds in the row that has them.
    """
    try:
        if b"\\ud" not in body and b"\\uD" not in body:
            text = body.decode("utf-8")
            return Parsed(json.loads(text, parse_constant=_refuse, parse_float=_finite), True)
    except (ValueError, RecursionError):
        pass
    try:
        text = body.decode("utf-8", errors="surrogateescape")
        return Parsed(json.loads(text), False)
    except (ValueError, RecursionError):
        raise BadAnswer(f"{what} gave something that is not JSON ({len(body)} bytes).") from None


class Unreadable(str):
    """A value that is not what the system's own schema says, as it came; ``kind`` is what it should be."""

    kind: str

    def __new__(cls, text: str, kind: str) -> Unreadable:
        found = super().__new__(cls, text)
        found.kind = kind
        return found


def fault(value: Any) -> str | None:
    """Why a parsed value cannot be a document, or ``None``."""
    try:
        if (broken := next(_unreadable(value), None)) is not None:
            return f"holds a value that is no {broken.kind}"
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return "holds bytes that are not UTF-8"
    except ValueError:
        return "holds a number that is not finite"
    except RecursionError:
        return "is nested too deeply"
    return None


def raw(value: Any) -> bytes:
    """A row as bytes, also one that ``fault`` complains about: the bytes as they came."""
    text = json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
    try:
        return text.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", errors="surrogatepass")


def dump(value: Any) -> bytes:
    """A request's body. Raises ``ValueError`` for what no JSON can hold."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _unreadable(value: Any) -> Iterator[Unreadable]:
    if isinstance(value, Unreadable):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _unreadable(item)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    """A number too large for a float would become infinite, and then nothing at all."""
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)

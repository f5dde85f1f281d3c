"""Reads JSON answers as they really come: quickly when they are right, row by row when not."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from connectors.errors import BadAnswer


def parse(body: bytes, what: str) -> Any:
    """The answer as plain values. Raises ``BadAnswer`` if it is not JSON.

    A row with bytes that are not UTF-8 does not spoil its page: such bytes come back as lone
    surrogates, which ``fault`` finds in the row that has them.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode("utf-8", errors="surrogateescape"))
    except (ValueError, RecursionError):
        raise BadAnswer(f"{what} gave something that is not JSON ({len(body)} bytes).") from None


def fault(value: Any) -> str | None:
    """Why a parsed value cannot be a document, or ``None``: bytes that are no text, no numbers."""
    try:
        orjson.dumps(value)
    except (TypeError, ValueError):
        return "holds bytes that are not UTF-8, or a number out of range"
    return "holds a number that is not finite" if _infinite(value) else None


def _infinite(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_infinite(item) for item in value.values())
    if isinstance(value, list):
        return any(_infinite(item) for item in value)
    return isinstance(value, float) and not math.isfinite(value)


def raw(value: Any) -> bytes:
    """A row as bytes, also one that ``fault`` complains about: the bytes as they came."""
    text = json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
    try:
        return text.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", errors="surrogatepass")


def dump(value: Any) -> bytes:
    """A request's body."""
    return orjson.dumps(value)

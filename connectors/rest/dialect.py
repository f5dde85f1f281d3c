"""Values and encodings of one vendor that templates cannot express: the only escape hatch."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Protocol

from connectors.runtime.jsonbody import dump

_CLOCK = ("hour", "minute", "second", "microsecond")


class Dialect(Protocol):
    """How a system's values become plain JSON values, and how queries are written."""

    def decode(self, value: Any) -> Any: ...

    def encode(self, value: Any, kind: str | None = None) -> Any:
        """A value for a request; ``kind`` is its declared type."""

    def packed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A query or headers with the entries that this system packs into one text packed."""


class Plain:
    """JSON as everybody writes it."""

    def decode(self, value: Any) -> Any:
        return value

    def encode(self, value: Any, kind: str | None = None) -> Any:
        return value

    def packed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return dict(values)


class Tryton:
    """Tryton's REST: tagged times and decimals, and base64url JSON for domain, order, context."""

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        match value.get("__class__"):
            case None:
                return {k: self.decode(v) for k, v in value.items() if k != "__name__"}
            case "datetime":
                parts = {name: value[name] for name in ("year", "month", "day", *_CLOCK)}
                return datetime(**parts, tzinfo=UTC).isoformat()
            case "date":
                return date(value["year"], value["month"], value["day"]).isoformat()
            case "Decimal":
                return str(value["decimal"])
            case _:
                return value

    def encode(self, value: Any, kind: str | None = None) -> Any:
        if isinstance(value, str) and kind == "datetime":
            value = datetime.fromisoformat(value)
        if isinstance(value, str) and kind == "date":
            value = date.fromisoformat(value)
        if isinstance(value, str) and kind == "decimal":
            return {"__class__": "Decimal", "decimal": value}
        if isinstance(value, datetime):
            utc = value.astimezone(UTC)
            parts = {name: getattr(utc, name) for name in ("year", "month", "day", *_CLOCK)}
            return {"__class__": "datetime", **parts}
        if isinstance(value, date):
            return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
        if isinstance(value, dict):
            return {name: self.encode(item) for name, item in value.items()}
        return [self.encode(item) for item in value] if isinstance(value, list) else value

    def packed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        packed = dict(values)
        for name in {"d", "o", "X-Tryton-Context"} & packed.keys():
            packed[name] = base64.urlsafe_b64encode(dump(self.encode(packed[name]))).decode()
        return packed


DIALECTS: dict[str, type[Dialect]] = {"plain": Plain, "tryton": Tryton}

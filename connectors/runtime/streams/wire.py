"""How a kind speaks: a call of the manifest becomes a request, an answer plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from connectors.errors import BadAnswer
from connectors.runtime.budget import Priority
from connectors.runtime.http import Answer, Request
from connectors.runtime.paths import MISSING, get
from connectors.runtime.streams.calls import Call, Lookup


class Wire(Protocol):
    """What a kind of system adds to the shared reading and writing of streams."""

    def request(
        self,
        call: Call,
        scope: Mapping[str, Any],
        *,
        body: Any = MISSING,
        strict: bool = False,
        priority: Priority = Priority.NORMAL,
    ) -> Request:
        """The request of ``call`` with its slots filled; ``body`` replaces the template's.

        Raises ``Absent`` where a slot has no value, ``ValueError`` for a value that cannot be written.
        """

    def decode(self, value: Any) -> Any:
        """A value of an answer as documents have it. Raises ``KeyError``, ``TypeError``, ``ValueError``."""

    def encode(self, value: Any, kind: str | None = None) -> Any:
        """A document's value as requests have it; ``kind`` is its declared type."""


def rows(answer: Answer, lookup: Lookup) -> list[Any]:
    """The records of an answer: a list, one record, or none. Raises ``BadAnswer``."""
    body = answer.json
    found = get(body, lookup.records, MISSING)
    if found is MISSING:
        # Some systems leave an empty list out. Any other answer without one is an error in disguise.
        if lookup.empty is not None and get(body, lookup.empty, MISSING) is not MISSING:
            return []
        raise BadAnswer(f"{answer.request.name}: there is no {lookup.records!r} in the answer.")
    if found is None:
        return []
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return [found]
    raise BadAnswer(f"{answer.request.name}: {lookup.records or 'the answer'!r} is no list.")

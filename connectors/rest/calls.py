"""From a call of the manifest and a scope to a request; from an answer to its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import BadAnswer
from connectors.rest.dialect import Dialect
from connectors.rest.manifest import Call, Lookup
from connectors.runtime.budget import Priority
from connectors.runtime.http import Answer, Request, encode_body, pairs
from connectors.runtime.paths import MISSING, get
from connectors.runtime.templates import render, render_path


def build(
    call: Call,
    scope: Mapping[str, Any],
    dialect: Dialect,
    *,
    shared_headers: Mapping[str, Any] | None = None,
    body: Any = MISSING,
    strict: bool = False,
    priority: Priority = Priority.NORMAL,
) -> Request:
    """The request of ``call`` with its slots filled; ``body`` replaces the template's.

    Raises ``Absent`` where a slot has no value.
    """
    query = dialect.packed(render(call.query, scope, strict=strict))
    headers = {**(shared_headers or {}), **call.headers}
    headers = dialect.packed(render(headers, scope, strict=strict))
    if body is MISSING:
        body = render(call.body, scope, strict=strict)
    content, kind = encode_body(None if body is None else dialect.encode(body), call.format)
    if content is not None:
        headers["Content-Type"] = kind
    address = scope.get("address")
    return Request(
        method=call.method,
        path=str(address) if address else render_path(call.path, scope),
        template=call.path,
        query=() if address else pairs(query),
        headers={name: str(value) for name, value in headers.items()},
        body=content,
        faults=call.faults,
        priority=priority,
    )


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

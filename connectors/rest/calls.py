"""From a call of the manifest and a scope to a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.rest.dialect import Dialect
from connectors.runtime.budget import Priority
from connectors.runtime.http import Request, encode_body, pairs
from connectors.runtime.paths import MISSING
from connectors.runtime.streams.calls import Call
from connectors.runtime.templates import render, render_path


class RestWire:
    """Requests in JSON or as forms, in one system's dialect; ``headers`` go with each of them."""

    def __init__(self, dialect: Dialect, headers: Mapping[str, Any]) -> None:
        self._dialect, self._headers = dialect, headers
        self.decode, self.encode = dialect.decode, dialect.encode

    def request(
        self,
        call: Call,
        scope: Mapping[str, Any],
        *,
        body: Any = MISSING,
        strict: bool = False,
        priority: Priority = Priority.NORMAL,
    ) -> Request:
        """See ``Wire.request``."""
        method, path = call.call.split(" ", 1)
        query = self._dialect.packed(render(call.query, scope, strict=strict))
        headers = render({**self._headers, **call.headers}, scope, strict=strict)
        headers = self._dialect.packed(headers)
        if body is MISSING:
            body = render(call.body, scope, strict=strict)
        content, kind = encode_body(None if body is None else self.encode(body), call.format)
        if content is not None:
            headers["Content-Type"] = kind
        address = scope.get("address")
        return Request(
            method=method,
            path=str(address) if address else render_path(path, scope),
            template=path,
            query=() if address else pairs(query),
            headers={name: str(value) for name, value in headers.items()},
            body=content,
            faults=call.faults,
            priority=priority,
        )

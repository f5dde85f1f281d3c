"""From a call of the manifest and a scope to an envelope; from an envelope to plain values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from zeep.wsse.username import UsernameToken

from connectors.errors import BadConfiguration
from connectors.runtime.budget import Priority
from connectors.runtime.connection import Connection
from connectors.runtime.http import Request
from connectors.runtime.paths import MISSING, scalars
from connectors.runtime.streams.calls import Call
from connectors.runtime.templates import Absent, render
from connectors.soap.description import Description
from connectors.soap.envelope import STANDARD, read
from connectors.soap.manifest import SoapManifest


class SoapWire:
    """Requests to one service. ``describe`` is called once, when the first request is made."""

    def __init__(
        self, manifest: SoapManifest, connection: Connection, describe: Callable[[], Description]
    ) -> None:
        self._path, self._describe = manifest.endpoint, describe
        self._faults = (*manifest.faults, *STANDARD)
        self._hidden = tuple(text for text in scalars(connection.secrets) if len(text) > 2)
        self._lock = threading.Lock()
        self._description: Description | None = None
        try:
            self._shared = render(manifest.security.arguments, connection.secrets, strict=True)
        except Absent as missing:
            raise BadConfiguration(
                f"This system needs {missing.slot!r}: set it in the connection."
            ) from None
        self._token: Callable[[], UsernameToken] | None = None
        if manifest.security.username_token != "none":
            if connection.login is None:
                raise BadConfiguration("This system needs a login: set it in the connection.")
            digest = manifest.security.username_token == "digest"
            self._token = partial(
                UsernameToken,
                connection.login,
                connection.password or "",
                use_digest=digest,
                zulu_timestamp=True,
            )

    @property
    def description(self) -> Description:
        """The WSDL. Raises ``connectors.errors`` where it has to be fetched and cannot be."""
        with self._lock:
            if self._description is None:
                self._description = self._describe()
            return self._description

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
        description = self.description
        operation = description.operations.get(call.call)
        if operation is None:
            raise BadConfiguration(f"The system's WSDL has no operation {call.call!r}.")
        if body is MISSING:
            body = render(call.body, scope, strict=strict)
        arguments = {**self._shared, **(body or {})}
        token = self._token() if self._token else None
        return Request(
            method="POST",
            path=self._path,
            template=call.call,
            headers=operation.headers,
            body=description.envelope(operation, arguments, token),
            faults=(*call.faults, *self._faults),
            priority=priority,
            parse=partial(read, description, operation, self._hidden),
            strict=True,
        )

    def decode(self, value: Any) -> Any:
        """Values of answers are plain already."""
        return value

    def encode(self, value: Any, kind: str | None = None) -> Any:
        """The WSDL says how a value is written."""
        return value

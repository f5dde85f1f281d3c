"""Systems with a SOAP service, described by a manifest and a WSDL."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests

from connectors.errors import BadAnswer
from connectors.runtime.budget import Budget
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock, Request, Transport
from connectors.runtime.jsonbody import Parsed
from connectors.runtime.manifest import Verdict
from connectors.runtime.streams.system import StreamSystem
from connectors.soap.manifest import SoapManifest
from connectors.soap.wire import SoapWire


def open(
    manifest: SoapManifest,
    connection: Connection,
    *,
    clock: Clock,
    budget: Budget | None = None,
    session: requests.Session | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> StreamSystem:
    """The system that the manifest describes, at the place that the connection names."""
    transport = Transport(
        manifest, connection, clock=clock, budget=budget, session=session, sleep=sleep
    )

    def fetch(address: str) -> bytes:
        headers = {"Accept": "text/xml"}
        request = Request("GET", address, "the WSDL", headers=headers, parse=_unread)
        answer = transport.read(request)
        if answer.verdict is not Verdict.OK:
            raise BadAnswer(f"The system gives no WSDL (status {answer.status}).")
        return answer.body

    wire = SoapWire(manifest, connection, lambda: manifest.description(transport.base, fetch))
    return StreamSystem(manifest, transport, wire, clock)


def _unread(_body: bytes, _what: str) -> Parsed:
    """A description holds no fault, and is read by itself."""
    return Parsed(None, True)


__all__ = ["SoapManifest", "open"]

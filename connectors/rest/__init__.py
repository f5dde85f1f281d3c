"""Systems with a REST API, described by a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests

from connectors.rest.calls import RestWire
from connectors.rest.dialect import DIALECTS
from connectors.rest.manifest import RestManifest
from connectors.runtime.budget import Budget
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock, Transport
from connectors.runtime.streams.system import StreamSystem


def open(
    manifest: RestManifest,
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
    wire = RestWire(DIALECTS[manifest.dialect](), manifest.http.headers)
    return StreamSystem(manifest, transport, wire, clock)


__all__ = ["RestManifest", "open"]

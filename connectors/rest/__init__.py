"""Systems with a REST API, described by a manifest."""

from __future__ import annotations

import requests

from connectors.rest.manifest import RestManifest
from connectors.rest.system import RestSystem
from connectors.runtime.budget import Budget
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock


def open(
    manifest: RestManifest,
    connection: Connection,
    *,
    clock: Clock,
    budget: Budget | None = None,
    session: requests.Session | None = None,
) -> RestSystem:
    """The system that the manifest describes, at the place that the connection names."""
    return RestSystem(manifest, connection, clock=clock, budget=budget, session=session)


__all__ = ["RestManifest", "RestSystem", "open"]

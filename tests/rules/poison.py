"""What fails whenever one record comes along."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from connectors.contract import Document
from crm_master.domain.fields import Mapped, Presence, Reading, Rejected
from mappings import CompiledMapping
from tests.rules.fakes import Killed


class Fragile:
    """A mapping with a defect: a name of ``boom`` breaks it, one of ``kill`` takes the process along."""

    def __init__(self, inner: CompiledMapping) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def apply(self, document: Document, *, full_payload: bool) -> Mapped | Rejected:
        name = str(document.get("name"))
        if name == "boom":
            raise ZeroDivisionError(name)
        if name == "outage":
            raise sa.exc.OperationalError("SELECT 1", {}, Exception("database is locked"))
        if name == "kill":
            raise Killed
        found = self._inner.apply(document, full_payload=full_payload)
        if name == "odd" and isinstance(found, Mapped):
            odd = Reading(Presence.VALUE, "odd", object())
            return Mapped({**found.readings, "name": odd})
        return found

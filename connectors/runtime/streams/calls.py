"""The shape of requests in a manifest: templates, and where their answers hold records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from connectors.runtime.manifest import Fault
from connectors.yamlfile import Configured


class Call(Configured):
    """One request: what is called (its form is the kind's affair), and templates for what goes with it."""

    call: str
    query: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}
    body: Any = None
    format: Literal["json", "form"] = "json"
    faults: tuple[Fault, ...] = ()

    def templates(self) -> Iterator[Any]:
        """Everything of this request that holds slots."""
        yield from (self.call, self.query, self.headers, self.body)


class Lookup(Call):
    """A request that answers with records."""

    records: str = ""
    """Where they are: a list, or a single record; the empty path is the whole answer."""
    empty: str | None = None
    """What an answer that leaves out an empty list still has; without it such an answer is refused."""

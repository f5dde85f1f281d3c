"""Codes in documents, turned into the system's own keys when they are written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from connectors.runtime.paths import get
from connectors.runtime.streams.reader import Reader
from connectors.runtime.streams.writes import Reference

_MOST = 1000


class NoReference(LookupError):
    """The system has nothing of this code. ``path`` names the field; the code is not shown."""

    def __init__(self, path: str) -> None:
        super().__init__("The system knows no such code here.")
        self.path = path


class References:
    """Looks codes up once and remembers a bounded number of them."""

    def __init__(self, references: Mapping[str, Reference], reader: Reader) -> None:
        self._references, self._reader = references, reader
        self._known: OrderedDict[tuple[str, Any], Any] = OrderedDict()

    def resolve(self, path: str, value: Any) -> Any:
        """The key for the document's value; null for null. Raises ``NoReference``."""
        reference = self._references[path]
        code = get(value, reference.code) if isinstance(value, dict) else value
        if code in (None, ""):
            return None
        if (path, code) not in self._known:
            found = self._reader.rows_of(reference, {"value": code})
            key = get(found[0], reference.take) if found else None
            if key is None:
                raise NoReference(path)
            self._known[path, code] = key
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return self._known[path, code]

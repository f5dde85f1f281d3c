"""The lens of rows that move as one, such as the lines of an order: one value, whatever its number of elements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from crm_master.domain.fields import Canonical, Native, Presence, Reading
from mappings.codecs.base import wrong_kind
from mappings.lenses import Lens, Phase, element_key
from mappings.lists import ListLens
from mappings.paths import ABSENT, All, Place, Where, list_of

_NONE = Reading(Presence.EMPTY)


class TableLens(ListLens):
    """The rows of a JSON list, each known by some of its members.

    Natives and canonical values are lists, in the order of those members: the order in a document says nothing. Two rows
    may agree on them, as two lines of one product do. When rows are written, one that is there already keeps what else
    the system knows of it, its own id above all (RULES 19).
    """

    def __init__(
        self,
        place: Place,
        selector: Where | All,
        element: Lens,
        path: str,
        *,
        by: tuple[str, ...],
        keep: bool,
    ) -> None:
        super().__init__(place, selector, element, path, rest=False, fold=True, keep=keep)
        self._by = by

    def key(self, value: Canonical) -> str:
        return element_key({name: value[name] for name in self._by if name in value}, fold=True)

    def read(self, document: Any, full: bool) -> Reading:
        found = super().read(document, full)
        return found if found.native or found.presence is not Presence.VALUE else _NONE

    def decode(self, native: Native) -> Canonical:
        if native is None:
            return None
        return [value for value, _ in self._sorted(self._rows(native))] or None

    def encode(self, value: Canonical) -> Native:
        if value is None:
            return None
        if not isinstance(value, list):
            raise wrong_kind(value, "a list of rows")
        natives = [native for row in value if (native := self.element.encode(row)) is not None]
        return [native for _, native in self._sorted(self._rows(natives))] or None

    def _rows(self, natives: Any) -> list[tuple[Canonical, Native]]:
        if not isinstance(natives, list):
            raise wrong_kind(natives, "a list of rows")
        rows = ((self.element.decode(native), native) for native in natives)
        return [(value, native) for value, native in rows if value is not None]

    def _sorted(self, rows: list[tuple[Canonical, Native]]) -> list[tuple[Canonical, Native]]:
        return sorted(rows, key=lambda row: (self.key(row[0]), json.dumps(row[0], sort_keys=True)))

    def _collect(self, elements: Iterator[Any]) -> Reading:
        rows: list[tuple[Canonical, Native]] = []
        for element in elements:
            reading = self.element.read(element, True)
            if reading.presence is Presence.UNREADABLE:
                return Reading(Presence.UNREADABLE, reason=f"{self._path}: {reading.reason}")
            if reading.presence is Presence.VALUE:
                rows.append((reading.value, reading.native))
        rows = self._sorted(rows)
        values, natives = [value for value, _ in rows], [native for _, native in rows]
        return Reading(Presence.VALUE, natives, values)

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        if phase is Phase.LISTS:
            self._lay(document, [] if native is None else self._rows(native))

    def _lay(self, document: Any, rows: list[tuple[Canonical, Native]]) -> None:
        """Make the list hold exactly these rows: of those that are there each takes the first of its key."""
        wanted: dict[str, list[Native]] = {}
        for value, native in rows:
            wanted.setdefault(self.key(value), []).append(native)
        items = self.place.get(document)
        there = list_of(items) if items is not None and items is not ABSENT else []
        kept: list[Any] = []
        changed = False
        for element in there:
            if not self._matches(element):
                kept.append(element)
            elif waiting := wanted.get(self._key_of(element) or ""):
                kept.append(self._updated(element, waiting.pop(0)))
            else:
                changed = True
        new = [self._made(native) for waiting in wanted.values() for native in waiting]
        if changed or new:
            if isinstance(items, list):
                items[:] = kept + new
            else:
                self.place.set(document, kept + new)

"""The lenses of list fields: a set of elements, each known by its natural key, never by its position."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crm_master.domain.fields import Canonical, Native, Presence, Reading
from mappings.codecs.base import Codec, wrong_kind
from mappings.lenses import MISSING, Lens, Phase, ValueLens, element_key, same
from mappings.paths import ABSENT, All, Place, Where, list_of

_NONE = Reading(Presence.VALUE, {}, {})
_BARE = Reading(Presence.VALUE, {}, {}, children={})

Former = Mapping[str, Sequence[str]]
"""Under which keys of elements an element may be there that shall be there under another key, the nearest first."""


class ItemLens(Lens):
    """An element that is itself the value, as in a list of texts."""

    def __init__(self, codec: Codec, path: str) -> None:
        self.codec = codec
        self._path = path

    def read(self, document: Any, full: bool) -> Reading:
        try:
            value = self.codec.decode(document)
        except ValueError as fault:
            return Reading(Presence.UNREADABLE, reason=f"{self._path}: {fault}")
        if value is None:
            return Reading(Presence.EMPTY)
        return Reading(Presence.VALUE, document, value)

    def decode(self, native: Native) -> Canonical:
        return self.codec.decode(native)

    def encode(self, value: Canonical) -> Native:
        return None if value is None else self.codec.encode(value)

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        """A value has no parts to store into."""


class ManyLens(Lens):
    """Base of list fields: translates element by element.

    A record always says the whole set, unless its payload does not speak of the list. One element that cannot be read
    makes the field unreadable: the set is not known. ``child`` is where an element has the key that its system gives it.
    """

    child: str | None = None

    def __init__(self, element: Lens, path: str, *, fold: bool, keep: bool) -> None:
        self.element = element
        self.fold = fold
        self._keep = keep
        self._path = path
        codec = element.codec if isinstance(element, ItemLens | ValueLens) else None
        cut = isinstance(element, ValueLens) and element.truncates
        self._exact = codec is not None and not codec.lossy and not cut

    def key(self, value: Canonical) -> str:
        return element_key(value, fold=self.fold)

    def decode(self, native: Native) -> Canonical:
        if native is None:
            return None
        if not isinstance(native, dict):
            raise wrong_kind(native, "an object of elements")
        values = (self.element.decode(part) for part in native.values())
        return {self.key(value): value for value in values if value is not None}

    def encode(self, value: Canonical) -> Native:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong_kind(value, "an object of elements")
        out: dict[str, Native] = {}
        for part in value.values():
            native = self.element.encode(part)
            if native is not None:
                # The key is that of what the system will show, where that is less than what it is sent.
                shown = part if self._exact else self.element.decode(native)
                if shown is not None:
                    out.setdefault(self.key(shown), native)
        return out

    def _collect(self, elements: Iterator[Any]) -> Reading:
        native: dict[str, Native] = {}
        value: dict[str, Canonical] = {}
        children: dict[str, str] | None = None if self.child is None else {}
        for element in elements:
            reading = self.element.read(element, True)
            if reading.presence is Presence.VALUE:
                key = self.key(reading.value)
                if key not in value:
                    native[key], value[key] = reading.native, reading.value
                if children is not None and element.get(self.child) is not None:
                    children[str(element[self.child])] = key
            elif reading.presence is Presence.UNREADABLE:
                return Reading(Presence.UNREADABLE, reason=f"{self._path}: {reading.reason}")
        return Reading(Presence.VALUE, native, value, children=children) if value else self._none

    def _key_of(self, element: Any) -> str | None:
        reading = self.element.read(element, True)
        return self.key(reading.value) if reading.presence is Presence.VALUE else None

    @property
    def _none(self) -> Reading:
        return _NONE if self.child is None else _BARE

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        if phase is Phase.LISTS:
            self.lay(document, native, {})

    def lay(self, document: Any, native: Native, former: Former) -> None:
        """Make a document's list hold exactly the elements of ``native``.

        One that is there with a ``former`` content is rewritten, and keeps what else its system knows of it.
        """
        if not isinstance(native, dict | None):
            raise wrong_kind(native, "an object of elements")
        self._replace(document, {k: v for k, v in (native or {}).items() if v is not None}, former)

    @abstractmethod
    def _replace(self, document: Any, wanted: dict[str, Native], former: Former) -> None:
        """Make the list hold exactly ``wanted``; what need not change stays as it is."""


class ListLens(ManyLens):
    """The elements of a JSON list that a selector chooses: all, or all but the first."""

    def __init__(
        self,
        place: Place,
        selector: Where | All,
        element: Lens,
        path: str,
        *,
        rest: bool,
        fold: bool,
        keep: bool,
    ) -> None:
        super().__init__(element, path, fold=fold, keep=keep)
        self.place = place
        self._matches = selector.matches if isinstance(selector, Where) else _any
        self._selector = selector
        self._rest = rest

    def read(self, document: Any, full: bool) -> Reading:
        try:
            items = self.place.get(document)
            if items is ABSENT and (self._keep or not full):
                return MISSING
            if items is None or items is ABSENT:
                return self._none
            return self._collect(iter(self._chosen(list_of(items))))
        except ValueError as fault:
            return Reading(Presence.UNREADABLE, reason=f"{self._path}: {fault}")

    def _chosen(self, items: list[Any]) -> list[Any]:
        chosen = [element for element in items if self._matches(element)]
        return chosen[1:] if self._rest else chosen

    def _replace(self, document: Any, wanted: dict[str, Native], former: Former) -> None:
        items = self.place.get(document)
        present = list_of(items) if items is not None and items is not ABSENT else []
        skip = 1 if self._rest else 0
        kept: list[Any] = []
        open_keys = dict(wanted)
        heirs = self._heirs(present, wanted, former)
        done: set[str] = set()
        changed = False
        for element in present:
            if not self._matches(element):
                kept.append(element)
                continue
            skip, first = skip - 1, skip > 0
            key = None if first else self._key_of(element)
            key = heirs.pop(key, key) if key is not None else None
            if key is None or key in done:
                kept.append(element)
            elif key in open_keys:
                done.add(key)
                kept.append(self._updated(element, open_keys.pop(key)))
                changed = changed or kept[-1] is not element
            else:
                changed = True
        new = [self._made(native) for native in open_keys.values()]
        if changed or new:
            if isinstance(items, list):
                items[:] = kept + new
            else:
                self.place.set(document, kept + new)

    def _heirs(
        self, present: list[Any], wanted: Mapping[str, Native], former: Former
    ) -> dict[str, str]:
        """Which elements that shall not stay become which that are not there, by their keys."""
        if not former:
            return {}
        there = dict.fromkeys(map(self._key_of, self._chosen(present)))
        heirs: dict[str, str] = {}
        for new in (key for key in wanted if key not in there):
            for old in former.get(new, ()):
                if old in there and old not in wanted and old not in heirs:
                    heirs[old] = new
                    break
        return heirs

    def _updated(self, element: Any, native: Native) -> Any:
        if isinstance(self.element, ItemLens):
            return element if same(element, native) else native
        self.element.store(element, native, Phase.SET, element)
        self.element.store(element, native, Phase.CLEAR, element)
        return element

    def _made(self, native: Native) -> Any:
        if isinstance(self.element, ItemLens):
            return native
        element = self._selector.create() if isinstance(self._selector, Where) else {}
        self.element.store(element, native, Phase.SET, element)
        return element


def _any(_: Any) -> bool:
    return True


class SplitLens(ManyLens):
    """The parts of a delimited text, as ``red, green``."""

    def __init__(
        self, place: Place, separator: str, element: Lens, path: str, *, fold: bool, keep: bool
    ) -> None:
        super().__init__(element, path, fold=fold, keep=keep)
        self.place = place
        self._separator = separator

    def read(self, document: Any, full: bool) -> Reading:
        try:
            text = self.place.get(document)
            if text is ABSENT and (self._keep or not full):
                return MISSING
            return self._collect(iter(self._parts(text)))
        except ValueError as fault:
            return Reading(Presence.UNREADABLE, reason=f"{self._path}: {fault}")

    def _parts(self, text: Any) -> list[str]:
        if text is None or text is ABSENT:
            return []
        if not isinstance(text, str):
            raise wrong_kind(text, "text")
        return [part.strip() for part in text.split(self._separator)]

    def encode(self, value: Canonical) -> Native:
        native = super().encode(value)
        for part in (native or {}).values():
            if self._separator in str(part):
                raise ValueError(f"an element holds the separator {self._separator!r}")
        return native

    def _replace(self, document: Any, wanted: dict[str, Native], former: Former) -> None:
        before = self._parts(self.place.get(document))
        open_keys = dict(wanted)
        parts: list[str] = []
        known: set[str] = set()
        changed = False
        for part in before:
            key = self._key_of(part)
            if key is None or key in known:
                parts.append(part)
            elif key in open_keys:
                known.add(key)
                parts.append(str(open_keys.pop(key)))
                changed = changed or parts[-1] != part
            else:
                changed = True
        if changed or open_keys:
            parts = [*(part for part in parts if part), *map(str, open_keys.values())]
            join = self._separator if self._separator.isspace() else f"{self._separator} "
            self.place.set(document, join.join(parts) or None)

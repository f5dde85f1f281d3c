"""The lenses of a compiled mapping: one object per field, which reads, decodes, encodes and puts.

Natives have one form: ``None`` is "nothing there" for a value and for a group; a group is a dict of its members with
``None`` where empty, and ``None`` itself when a whole document says that all are; a list field is a dict of element key
to element.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from crm_master.domain.fields import Canonical, Native, Presence, Reading
from mappings.codecs.base import Codec, wrong_kind
from mappings.paths import ABSENT, Joined, Place

MISSING = Reading(Presence.MISSING)
EMPTY = Reading(Presence.EMPTY)
_VALUE = Presence.VALUE
_UNREADABLE = Presence.UNREADABLE
_MISSING = Presence.MISSING


class Phase(Enum):
    """The order of changes in a put: a child must not vanish before its new values are in."""

    SET = auto()
    LISTS = auto()
    CLEAR = auto()


class Lens(ABC):
    """A field of one stream, both ways."""

    @abstractmethod
    def read(self, document: Any, full: bool) -> Reading:
        """What a document says of the field. Never raises for content."""

    @abstractmethod
    def decode(self, native: Native) -> Canonical: ...

    @abstractmethod
    def encode(self, value: Canonical) -> Native: ...

    @abstractmethod
    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        """The part of a put that belongs to ``phase``, in place; ``before`` is the document as it was.

        Raises ``ValueError`` on another shape.
        """


class ValueLens(Lens):
    """A single value at a path, or in two places."""

    def __init__(
        self, place: Place | Joined, codec: Codec, path: str, *, keep: bool, longest: int | None
    ) -> None:
        self.place = place
        self.codec = codec
        self._get = place.get
        self._decode = codec.decode
        self._keep = keep
        self._longest = longest
        self._path = path

    @property
    def truncates(self) -> bool:
        return self._longest is not None

    def read(self, document: Any, full: bool) -> Reading:
        try:
            native = self._get(document)
            if native is None:
                return EMPTY
            if native is ABSENT:
                return EMPTY if full and not self._keep else MISSING
            value = self._decode(native)
        except ValueError as fault:
            return Reading(_UNREADABLE, reason=f"{self._path}: {fault}")
        return EMPTY if value is None else Reading(_VALUE, native, value)

    def decode(self, native: Native) -> Canonical:
        return None if native is None else self._decode(native)

    def encode(self, value: Canonical) -> Native:
        if value is None:
            return None
        native = self.codec.encode(value)
        if self._longest is not None and isinstance(native, str) and len(native) > self._longest:
            native = native[: self._longest].rstrip()
        return native

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        if phase is Phase.SET and native is not None:
            if not same(self.place.get(document), native):
                self.place.set(document, native)
        elif phase is Phase.CLEAR and native is None:
            # What was empty before stays: a child that stands here now came with a list.
            empty = self._is_empty(self.place.get(before))
            if not empty and not self._is_empty(self.place.get(document)):
                self.place.clear(document)

    def _is_empty(self, native: Native) -> bool:
        try:
            return native is ABSENT or self.decode(native) is None
        except ValueError:
            return False


class PresentLens(Lens):
    """Whether an element is there. Native: true, or false (null where absence asserts nothing)."""

    def __init__(self, place: Place, codec: Codec, path: str, *, keep: bool) -> None:
        self.place = place
        self.codec = codec
        self._keep = keep
        self._path = path
        self._there = Reading(_VALUE, True, codec.decode(True))
        no = codec.decode(False)
        self._not_there = MISSING if no is None else Reading(_VALUE, False, no, silent=True)
        self._absence = None if no is None else False

    def read(self, document: Any, full: bool) -> Reading:
        try:
            element = self.place.get(document)
        except ValueError as fault:
            return Reading(_UNREADABLE, reason=f"{self._path}: {fault}")
        if element is ABSENT and (self._keep or not full):
            return MISSING
        return self._there if _is_there(element) else self._not_there

    def decode(self, native: Native) -> Canonical:
        return self.codec.decode(native)

    def encode(self, value: Canonical) -> Native:
        return None if value is None else self.codec.encode(value)

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        there = _is_there(self.place.get(document))
        if phase is Phase.SET and native is True and not there:
            self.place.create(document)
        elif phase is Phase.CLEAR and native is not True and there:
            self.place.remove(document)


def _is_there(element: Any) -> bool:
    return element is not None and element is not ABSENT and element is not False


class ConstLens(Lens):
    """A canonical value that every record of the stream has. Read only."""

    def __init__(self, value: Canonical) -> None:
        self.value = value
        self._reading = Reading(_VALUE, value, value)

    def read(self, document: Any, full: bool) -> Reading:
        return self._reading

    def decode(self, native: Native) -> Canonical:
        return None if native is None else self.value

    def encode(self, value: Canonical) -> Native:
        return value

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        """Nothing is written."""


class QueryLens(Lens):
    """A value computed by a JMESPath query, then decoded. Read only."""

    def __init__(self, query: Any, codec: Codec, path: str, *, keep: bool) -> None:
        self._search = query.search
        self.codec = codec
        self._path = path
        self._keep = keep

    def read(self, document: Any, full: bool) -> Reading:
        try:
            native = self._search(document)
            value = None if native is None else self.codec.decode(native)
        except ValueError as fault:  # jmespath's errors are ValueErrors too, and may quote the data
            own = str(fault) if type(fault) is ValueError else "the query does not fit the data"
            return Reading(_UNREADABLE, reason=f"{self._path}: {own}")
        if native is None and (self._keep or not full):
            return MISSING
        return EMPTY if value is None else Reading(_VALUE, native, value)

    def decode(self, native: Native) -> Canonical:
        return None if native is None else self.codec.decode(native)

    def encode(self, value: Canonical) -> Native:
        return None if value is None else self.codec.encode(value)

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        """Nothing is written."""


class GroupLens(Lens):
    """Members that move as one.

    A constant member holds where another member has a value, and is then part of the native dict
    too. A member that the payload does not speak of is left out of that dict; an empty one is
    ``None`` in it. Where a partial payload speaks of empty ones only, the reading is ``EMPTY`` with
    that dict: whether the group is empty depends on what stood in the others.
    """

    def __init__(self, members: Mapping[str, Lens], writable: frozenset[str]) -> None:
        self.members = dict(members)
        self._writable = {name: lens for name, lens in members.items() if name in writable}
        self._const = {n: m.value for n, m in members.items() if isinstance(m, ConstLens)}
        self._read = {n: m for n, m in members.items() if not isinstance(m, ConstLens)}

    def only(self, read: frozenset[str]) -> None:
        """Restrict reading to these members."""
        self._read = {name: lens for name, lens in self._read.items() if name in read}

    def read(self, document: Any, full: bool) -> Reading:
        native: dict[str, Native] = {}
        value: dict[str, Canonical] = {}
        reasons = []
        silent = True
        for name, lens in self._read.items():
            reading = lens.read(document, full)
            presence = reading.presence
            if presence is _VALUE:
                native[name], value[name] = reading.native, reading.value
                silent = silent and reading.silent
            elif presence is _UNREADABLE:
                reasons.append(f"{name}: {reading.reason}")
            elif presence is not _MISSING:
                native[name] = None
        if reasons:
            return Reading(_UNREADABLE, reason="; ".join(reasons))
        if not value:
            if full and len(native) == len(self._read):
                return EMPTY
            # a later payload may speak of other members: which were empty must not be forgotten
            return Reading(Presence.EMPTY, native) if native else MISSING
        if self._const:
            native |= self._const
            value |= self._const
        return Reading(_VALUE, native, value, silent=silent)

    def decode(self, native: Native) -> Canonical:
        if native is None:
            return None
        value = {}
        for name, lens in self._read_or_write(native):
            part = lens.decode(native[name])
            if part is not None:
                value[name] = part
        return (value | self._const) if value else None

    def _read_or_write(self, native: Native) -> list[tuple[str, Lens]]:
        if not isinstance(native, dict):
            raise wrong_kind(native, "an object of its members")
        return [(n, m) for n, m in self.members.items() if n in native and n not in self._const]

    def encode(self, value: Canonical) -> Native:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong_kind(value, "an object of its members")
        native = {name: lens.encode(value.get(name)) for name, lens in self._writable.items()}
        return native if any(part is not None for part in native.values()) else None

    def store(self, document: Any, native: Native, phase: Phase, before: Any) -> None:
        for name, lens in self._writable.items():
            if native is None:
                lens.store(document, None, phase, before)
            elif name in native:
                lens.store(document, native[name], phase, before)


def element_key(value: Canonical, *, fold: bool) -> str:
    """The natural key of an element of a list field: its canonical value, normalised; never its position."""
    if isinstance(value, dict):
        parts = [f"{name}={_escaped(_folded(str(value[name])))}" for name in sorted(value)]
        return "|".join(parts)
    return _folded(str(value)) if fold else str(value)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\p").replace("=", "\\e")


def same(found: Any, wanted: Any) -> bool:
    """Equality of JSON values in which ``True`` is not ``1``."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)

"""From a row of an answer to a record, or to a row that is kept for repair. Nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.contract import BadRow, Document, RawRecord
from connectors.errors import BadConfiguration
from connectors.runtime import jsonbody
from connectors.runtime.paths import MISSING, convert, drop, get, walk
from connectors.runtime.streams.models import Include, Key, Named, Stamp, Stream

_LONGEST_KEY = 500
_GREATEST = 10**30
_INTEGER = re.compile(r"-?[0-9]{1,30}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Clockwork:
    """Reads and writes the change times of one stream."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        try:
            self._zone = ZoneInfo(stamp.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise BadConfiguration(f"{stamp.zone!r} is no time zone.") from None

    def latest(self, document: Any) -> datetime | None:
        """The latest change time of a document; unreadable ones count as absent."""
        latest: datetime | None = None
        for path in self._stamp.at:
            values = walk(document, path) if "." in path else (get(document, path),)
            for value in values:
                time = self.parse(value)
                if time is not None and (latest is None or time > latest):
                    latest = time
        return latest

    def parse(self, value: Any) -> datetime | None:
        """A change time in UTC, or ``None``."""
        if value is None or isinstance(value, bool):
            return None
        try:
            match self._stamp.format:
                case "iso" | "native":
                    time = datetime.fromisoformat(str(value))
                case "epoch":
                    time = datetime.fromtimestamp(float(value), UTC)
                case "epoch_ms":
                    time = datetime.fromtimestamp(float(value) / 1000, UTC)
                case pattern:
                    time = datetime.strptime(str(value), pattern)  # noqa: DTZ007
            if time.tzinfo is None:
                time = time.replace(tzinfo=self._zone)
            return time if time.tzinfo is UTC else time.astimezone(UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            return None

    def write(self, time: datetime) -> Any:
        """A time as the system's own requests want it."""
        match self._stamp.since or self._stamp.format:
            case "native":
                return time
            case "iso":
                return time.astimezone(self._zone).isoformat().replace("+00:00", "Z")
            case "epoch":
                return int(time.timestamp())
            case "epoch_ms":
                return int(time.timestamp() * 1000)
            case pattern:
                return time.astimezone(self._zone).strftime(pattern)


Step = Callable[[Document], Document]
"""One thing that is done to a document of a stream, mostly in place. Gives the document."""


def _steps(stream: Stream) -> Iterator[Step]:
    """What a stream's documents need: typed, sorted, and without what is not kept."""
    if stream.keep:
        kept = {*stream.keep, *stream.include}
        yield partial(_keep, kept)
    for name, shape in stream.named.items():
        yield partial(_by_name, name, shape)
    for name, path in stream.alias.items():
        yield partial(_alias, name, path)
    for path, nothing in stream.nothing.items():
        yield partial(_empty, path, nothing)
    for path in stream.omit:
        yield partial(_drop, path)
    for path in stream.stamp.at if stream.stamp is not None and not stream.stamp.keep else ():
        yield partial(_drop, path)
    for path, kind in stream.types.items():
        if kind == "boolean":
            yield partial(_convert, path, _boolean)
    for path, by in stream.sort.items():
        yield partial(_convert, path, partial(ordered, by=by))


def _keep(names: set[str], document: Document) -> Document:
    return {name: value for name, value in document.items() if name in names}


def _by_name(name: str, shape: Named, document: Document) -> Document:
    document[name] = by_name(document.get(name), shape)
    return document


def _alias(name: str, path: str, document: Document) -> Document:
    document[name] = get(document, path)
    return document


def _empty(path: str, nothing: Any, document: Document) -> Document:
    if get(document, path) == nothing:
        drop(document, path)
    return document


def _drop(path: str, document: Document) -> Document:
    drop(document, path)
    return document


def _convert(path: str, change: Callable[[Any], Any], document: Document) -> Document:
    convert(document, path, change)
    return document


class Row(NamedTuple):
    """A row of an answer that can become a record: its key as requests want it, and its plain values."""

    key: str | int
    document: Document


class Composer:
    """Makes records of one stream's rows."""

    def __init__(self, stream: Stream, decode: Callable[[Any], Any]) -> None:
        self._stream, self._decode = stream, decode
        self.clockwork = Clockwork(stream.stamp) if stream.stamp else None
        self._steps = tuple(_steps(stream))

    def decode(self, row: Any, clean: bool) -> Row | BadRow:
        """The row as plain values, before anything is joined to it."""
        reason = None if clean else jsonbody.fault(row)
        if reason is None and not isinstance(row, dict):
            reason = "is no object"
        if reason is not None:
            key = get(row, self._stream.key.at) if isinstance(row, dict) else None
            named = str(key) if isinstance(key, int) else None
            return BadRow(jsonbody.raw(row), f"The row {reason}.", named)
        try:
            document = self._decode(row)
        except (KeyError, TypeError, ValueError, RecursionError):
            return BadRow(jsonbody.raw(row), "The row holds a value that the dialect cannot read.")
        assert isinstance(document, dict)
        key = key_of(document, self._stream.key)
        if key is None:
            at = self._stream.key.at
            return BadRow(jsonbody.raw(row), f"The row has no usable key at {at!r}.")
        return Row(key, document)

    def record(self, row: Row, headers: Mapping[str, str]) -> RawRecord:
        """The whole document as a record: typed, sorted, and without what is not kept."""
        stream, key, document = self._stream, str(row.key), row.document
        stamp = self.clockwork.latest(document) if self.clockwork else None
        etag = None if stream.etag is None else self.etag(document, headers)
        deleted, merged_into = False, None
        if stream.deleted is not None:
            deleted = get(document, stream.deleted.at) == stream.deleted.equals
        if stream.merged is not None:
            # what can be no key is no merge: the record is there, or not, as it says otherwise
            into = key_of(document, Key(at=stream.merged, type=stream.key.type))
            merged_into = None if into is None or str(into) == key else str(into)
        for step in self._steps:
            document = step(document)
        if merged_into is not None:
            return RawRecord(key, {}, stamp, etag, True, merged_into)
        return RawRecord(key, document, stamp, etag, deleted)

    def etag(self, document: Any, headers: Mapping[str, str]) -> str | None:
        """The version of a record: in it, or in the headers of the answer that shows it alone."""
        version = self._stream.etag
        if version is not None and version.at == "header":
            return headers.get("ETag")
        found = None if version is None else get(document, version.at)
        return None if found is None else str(found)


def key_of(document: Any, key: Key) -> str | int | None:
    """The key as requests want it, or ``None`` if it cannot be one.

    A database takes no NUL and indexes no long text; dots alone would lead to another address.
    """
    value = get(document, key.at)
    if type(value) is int and key.type == "integer":
        return value if -_GREATEST < value < _GREATEST else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if key.type == "integer":
        if isinstance(value, str):
            value = int(value) if _INTEGER.fullmatch(value) else None
        return value if value is not None and -_GREATEST < value < _GREATEST else None
    text = str(value)
    fits = 0 < len(text) <= _LONGEST_KEY and text not in (".", "..")
    return text if fits and (text.isprintable() or not _CONTROL.search(text)) else None


def for_request(key: str, shape: Key) -> str | int:
    """A record's key as requests want it. Raises ``ValueError`` for one that cannot be."""
    return int(key) if shape.type == "integer" else key


def attach(document: Document, name: str, include: Include, found: list[Any]) -> None:
    """Put a listed part into its record: trimmed, sorted, as a list or as one object or null."""
    parts = [part for part in found if isinstance(part, dict)]
    parts = ordered(parts, include.sort)
    if include.keep:
        parts = [{k: v for k, v in part.items() if k in include.keep} for part in parts]
    if include.single:
        document[name] = parts[0] if parts else None
    else:
        document[name] = parts


def by_name(items: Any, shape: Named) -> dict[str, Any]:
    """A list of named values as one object."""
    found = {}
    for item in items if isinstance(items, list) else ():
        name = get(item, shape.by)
        if isinstance(name, str | int):
            found[str(name)] = get(item, shape.value)
    return found


def ordered(items: Any, by: tuple[str, ...]) -> Any:
    """A list in a fixed order, empty values first; anything else as it is."""
    if not isinstance(items, list) or not by:
        return items

    def rank(item: Any) -> list[tuple[int, float, str]]:
        ranks = []
        for path in by:
            value = get(item, path, MISSING)
            if value is MISSING or value is None:
                ranks.append((0, 0.0, ""))
            elif isinstance(value, int | float):
                # a whole number may be too large for a float
                ranks.append((1, float(min(max(value, -1e300), 1e300)), ""))
            else:
                ranks.append((2, 0.0, str(value)))
        return ranks

    return sorted(items, key=rank)


def _boolean(value: Any) -> Any:
    return bool(value) if isinstance(value, int) else value

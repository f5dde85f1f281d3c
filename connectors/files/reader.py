"""Reads one stream of files: page by page, resumable, and single records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connectors.contract import BadRow, Page, RawRecord, Scan
from connectors.errors import BadConfiguration, Unreachable
from connectors.files.folder import Found, files
from connectors.files.manifest import FileStream, Reading
from connectors.files.rows import Row, rows
from connectors.runtime.http import Clock
from connectors.runtime.paths import drop, get
from connectors.runtime.streams.models import Key
from connectors.runtime.streams.records import Clockwork, key_of

_VERSION = 1


@dataclass(frozen=True)
class _Position:
    """``done`` are the marks of files that were read to their end; the rest is the place in the one that is being read.

    It grows with the files in the folder, not with their rows: who takes old files away keeps it short.
    """

    done: frozenset[str] = frozenset()
    full: bool = False
    mark: str = ""
    end: int = 0
    line: int = 0

    @classmethod
    def parse(cls, cursor: str | None) -> _Position:
        if cursor is None:
            return cls(full=True)
        try:
            data = json.loads(cursor)
            if data.pop("v") != _VERSION:
                raise ValueError
            return cls(**{**data, "done": frozenset(data["done"])})
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BadConfiguration(
                "The stored cursor is not one of this connector; read the stream anew."
            ) from None

    def text(self) -> str:
        data: dict[str, Any] = {"v": _VERSION, "done": sorted(self.done), "full": self.full}
        return json.dumps(data | {"mark": self.mark, "end": self.end, "line": self.line})


@dataclass
class _Batch:
    records: list[RawRecord] = field(default_factory=list)
    rejects: list[BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.rejects)


class Reader:
    """The reading half of one stream. ``folder`` is looked at anew for every read."""

    def __init__(self, stream: FileStream, folder: Path, clock: Clock) -> None:
        self._stream, self._folder, self._clock = stream, folder, clock
        self._clockwork = Clockwork(stream.stamp) if stream.stamp else None
        if stream.write is not None:
            # the hub replaces this file as a whole: there is nothing to wait for
            self._reading = Reading(files=stream.write.file, holds="snapshot", settle=0)
        else:
            assert stream.read is not None  # the manifest's own rule
            self._reading = stream.read

    @property
    def snapshot(self) -> bool:
        """Whether one file is all there is."""
        return self._reading.holds == "snapshot"

    def files(self) -> list[Found]:
        """The files that count now. Raises ``Unreachable``: a snapshot that is missing empties nothing."""
        there = files(self._folder, self._reading, self._clock())
        if self.snapshot and not there and self._stream.write is None:
            raise Unreachable(f"There is no settled file {self._reading.files!r} in the folder.")
        return there[-1:] if self.snapshot else there

    def pages(self, cursor: str | None, scan: Scan) -> Iterator[Page]:
        """What files hold that were not read yet; all of it without a cursor, or for a full scan that begins.

        A snapshot that has changed is read whole, and says so: who is not in it is gone.
        """
        position = _Position.parse(cursor)
        there = self.files()
        if scan is Scan.FULL and not position.full:
            position = _Position(full=True)
        new = [place for place, one in enumerate(there) if one.mark not in position.done]
        # what a later file says of a key has to come after what this one says
        waiting = there[new[0] :] if new else []
        if waiting and self.snapshot and not position.full:
            position = _Position(full=True)
        position = replace(position, done=position.done - {one.mark for one in waiting})
        if not any(one.mark == position.mark for one in waiting):
            position = replace(position, mark="", end=0, line=0)  # it is another file by now
        started = self._clock()
        batch = _Batch()
        for one in waiting:
            if one.mark != position.mark:
                position = replace(position, mark=one.mark, end=0, line=0)
            for row in rows(one.path, self._stream, position.end, position.line):
                self._take(row, one, batch)
                position = replace(position, end=row.end, line=row.line)
                if len(batch) >= self._stream.page:
                    yield self._page(batch, position, started, complete=False)
                    started, batch = self._clock(), _Batch()
            position = replace(position, done=position.done | {one.mark}, mark="", end=0, line=0)
        # what is no longer there needs no remembering; the end of a scan begins the next
        known = frozenset(one.mark for one in there)
        last = replace(position, done=position.done & known, full=False)
        yield self._page(batch, last, started, complete=True, full=position.full)

    def _page(
        self,
        batch: _Batch,
        position: _Position,
        started: Any,
        *,
        complete: bool,
        full: bool = False,
    ) -> Page:
        return Page(
            records=tuple(batch.records),
            cursor=position.text(),
            complete=complete,
            scan=Scan.FULL if full or position.full else Scan.DELTA,
            started=started,
            ended=self._clock(),
            rejects=tuple(batch.rejects),
        )

    def _take(self, row: Row, one: Found, batch: _Batch) -> None:
        key = None if row.document is None else self.key(row.document)
        if row.document is None or key is None:
            reason = row.reason or f"has no usable key in {', '.join(self._stream.key)}"
            where = f"{one.path.name}, line {row.line}"
            batch.rejects.append(BadRow(row.raw, f"{where}: the row {reason}.", key))
        else:
            batch.records.append(self.record(key, row.document))

    def key(self, document: Any) -> str | None:
        """A row's key: that of its columns, joined."""
        parts = [key_of(document, Key(at=name)) for name in self._stream.key]
        if any(part is None for part in parts):
            return None
        texts = [str(part) for part in parts]
        if len(texts) > 1:
            texts = [text.replace("\\", "\\\\").replace("|", "\\|") for text in texts]
        joined = key_of({"key": "|".join(texts)}, Key(at="key"))
        return None if joined is None else str(joined)

    def record(self, key: str, document: Any) -> RawRecord:
        """A row as a record; in a file that the hub keeps, with the mark that guards its next write."""
        etag = None
        if self._stream.write is not None:
            content = json.dumps(document, sort_keys=True, default=str).encode()
            etag = hashlib.blake2b(content, digest_size=12).hexdigest()
        stream = self._stream
        stamp = self._clockwork.latest(document) if self._clockwork else None
        gone = stream.deleted
        deleted = gone is not None and get(document, gone.at) == gone.equals
        unkept = [*stream.omit]
        if stream.stamp is not None and not stream.stamp.keep:
            unkept += stream.stamp.at
        if unkept:
            document = json.loads(json.dumps(document))
            for path in unkept:
                drop(document, path)
        return RawRecord(key, document, stamp, etag, deleted)

    def fetch(self, keys: Sequence[str]) -> dict[str, RawRecord | None]:
        """The last row of each key. The files are searched from the last to the first, until all are found."""
        found: dict[str, RawRecord | None] = dict.fromkeys(keys)
        missing = set(found)
        for one in reversed(self.files()):
            here: dict[str, RawRecord] = {}
            for row in rows(one.path, self._stream):
                key = None if row.document is None else self.key(row.document)
                if key in missing and key is not None:
                    here[key] = self.record(key, row.document)
            missing -= here.keys()
            found |= {key: None if record.deleted else record for key, record in here.items()}
            if not missing:
                break
        return found

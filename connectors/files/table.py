"""A file that the hub keeps row by row: read, changed and put back whole, by one writer at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from connectors.contract import (
    Document,
    Gone,
    Outcome,
    RawRecord,
    Refused,
    Retry,
    Stale,
    WriteCommand,
    Written,
)
from connectors.errors import BadAnswer, ConnectorError, Unreachable
from connectors.files.folder import found, hidden, replace
from connectors.files.manifest import FileStream
from connectors.files.reader import Reader
from connectors.files.rows import LONGEST_LINE, Row, header, row, rows, written


class _Meanwhile(Exception):
    """Somebody else replaced the file while it was being rewritten."""


@dataclass
class _Change:
    """What becomes of one row: ``document`` is the new one, ``None`` takes it away."""

    place: int
    command: WriteCommand
    key: str
    document: Document | None
    outcome: Outcome | None = None


class Table:
    """The writing half of one stream, and what it holds. Safe to share between threads and processes of one machine."""

    def __init__(self, stream: FileStream, folder: Path, reader: Reader) -> None:
        assert stream.write is not None
        self._stream, self._writing, self._reader = stream, stream.write, reader
        self._folder, self._path = folder, folder / stream.write.file
        self._key = stream.key[0]

    def fetch(self, keys: Sequence[str]) -> dict[str, RawRecord | None]:
        """The rows of these keys, with the mark that guards their next write."""
        self._there()
        found_: dict[str, RawRecord | None] = dict.fromkeys(keys)
        for one in self._rows():
            key = None if one.document is None else self._reader.key(one.document)
            if key in found_ and one.document is not None:
                found_[key] = self._reader.record(key, one.document)
        return found_

    def find(self, command: WriteCommand) -> list[RawRecord]:
        """The row that a create made, if it did."""
        key = self._change(0, command).key
        record = self.fetch([key])[key]
        return [] if record is None else [record]

    def write(self, commands: Sequence[WriteCommand]) -> list[Outcome]:
        """All changes in one new file, put in its place at once: of a crash it has all of them, or none."""
        outcomes: list[Outcome] = [Refused("")] * len(commands)
        waiting = list(enumerate(commands))
        try:
            with self._alone():
                while waiting:
                    # two writes to one row are two files: each looks at what the other left
                    now: dict[str, _Change] = {}
                    later = []
                    for place, command in waiting:
                        change = self._change(place, command)
                        if change.key in now:
                            later.append((place, command))
                        else:
                            now[change.key] = change
                    self._rewrite(now)
                    for change in now.values():
                        outcomes[change.place] = change.outcome or (
                            Written(change.key) if change.document is None else Gone()
                        )
                    waiting = later
        except _Meanwhile:
            reason = f"{self._path.name} was changed by somebody else meanwhile."
            for place, _ in waiting:
                outcomes[place] = Retry(reason)
        except (OSError, ConnectorError) as error:
            for place, _ in waiting:
                outcomes[place] = Retry(
                    f"{self._path.name} cannot be written ({type(error).__name__})."
                )
        return outcomes

    def _change(self, place: int, command: WriteCommand) -> _Change:
        if command.key is None:
            key = str(command.after.get(self._key) or command.correlation)
            return _Change(place, command, key, {**command.after, self._key: key})
        if not command.after:
            return _Change(place, command, command.key, None)
        return _Change(place, command, command.key, {**command.after, self._key: command.key})

    def _rewrite(self, changes: dict[str, _Change]) -> None:
        before = found(self._path).mark if self._path.exists() else None
        names = self._header()
        draft = hidden(self._path)
        effects: list[_Change] = []
        try:
            with draft.open("wb") as file:
                if self._stream.format == "csv" and not self._stream.csv.header:
                    bom = (
                        b"\xef\xbb\xbf"
                        if self._stream.csv.encoding.lower().endswith("-sig")
                        else b""
                    )
                    file.write(bom + row(names, self._stream))
                for one in self._rows():
                    self._copy(one, changes, names, file, effects)
                for change in changes.values():
                    if change.outcome is None and change.command.key is None:
                        self._put(change, names, file, effects)
                file.flush()
                os.fsync(file.fileno())
            if not effects:
                return
            for change in effects:
                self._send(change)
            if before != (found(self._path).mark if self._path.exists() else None):
                raise _Meanwhile
            replace(self._path, draft)
        finally:
            draft.unlink(missing_ok=True)

    def _copy(
        self,
        one: Row,
        changes: dict[str, _Change],
        names: Sequence[str],
        file: IO[bytes],
        effects: list[_Change],
    ) -> None:
        """A row as it is, or as a change has it. What cannot be read is kept, byte by byte."""
        if len(one.raw) >= LONGEST_LINE:
            raise BadAnswer("A line is too long to be kept.")
        key = None if one.document is None else self._reader.key(one.document)
        change = changes.get(key) if key is not None else None
        if change is None or one.document is None or change.outcome is not None:
            file.write(one.raw if one.raw.endswith(b"\n") else one.raw + b"\n")
            return
        held = self._reader.record(change.key, one.document)
        if change.command.key is None:
            change.outcome = Written(change.key, held, existed=True)
        elif change.command.etag not in (None, held.etag):
            change.outcome = Stale()
        elif change.document is None:
            change.outcome = Written(change.key)
            effects.append(change)
            return
        else:
            # what this stream does not show (a change time, say) stays as it is
            unseen = {
                name: value for name, value in one.document.items() if name not in held.document
            }
            change.document = {**unseen, **change.document}
            self._put(change, names, file, effects)
            if not isinstance(change.outcome, Refused):
                return
        file.write(one.raw if one.raw.endswith(b"\n") else one.raw + b"\n")

    def _put(
        self, change: _Change, names: Sequence[str], file: IO[bytes], effects: list[_Change]
    ) -> None:
        assert change.document is not None
        try:
            content = written(change.document, names, self._stream)
        except ValueError as error:
            why = "its encoding lacks a character" if isinstance(error, UnicodeError) else error
            change.outcome = Refused(f"The file cannot hold this: {why}.")
            return
        file.write(content)
        shown = {name: "" if value is None else value for name, value in change.document.items()}
        if self._stream.format == "csv":
            shown = {name: _cell(shown.get(name, "")) for name in names}
        change.outcome = Written(change.key, self._reader.record(change.key, shown))
        effects.append(change)

    def _send(self, change: _Change) -> None:
        """The change as a file of its own, for whoever takes changes. A retry writes the same file again."""
        if self._writing.outgoing is None:
            return
        folder = self._folder / self._writing.outgoing
        folder.mkdir(exist_ok=True)
        command = change.command
        verb = (
            "create" if command.key is None else "delete" if change.document is None else "update"
        )
        content = {"id": command.id, "change": verb, "key": change.key, "record": change.document}
        name = hashlib.blake2b(f"{command.id} {change.key}".encode(), digest_size=16).hexdigest()
        path = folder / f"{name}.json"
        draft = hidden(path)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        replace(path, draft)

    def _rows(self) -> Iterator[Row]:
        return rows(self._path, self._stream) if self._path.exists() else iter(())

    def _header(self) -> list[str]:
        if self._stream.format == "jsonl":
            return []
        return (header(self._path, self._stream) if self._path.exists() else []) or list(
            self._stream.csv.header or self._writing.columns
        )

    def _there(self) -> None:
        """A share that is not mounted is no empty file."""
        if not self._folder.is_dir():
            raise Unreachable(f"The folder {self._folder.name!r} is not there.")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._there()
        with self._path.with_name(f".{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _cell(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)

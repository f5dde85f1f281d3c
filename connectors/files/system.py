"""One folder of files behind the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from connectors.contract import (
    Capabilities,
    Guard,
    Health,
    Outcome,
    Page,
    RawRecord,
    Refused,
    Scan,
    WriteCommand,
)
from connectors.errors import BadConfiguration, ConnectorError
from connectors.files.manifest import FilesManifest, FileStream
from connectors.files.reader import Reader
from connectors.files.rows import rows
from connectors.files.table import Table
from connectors.runtime.connection import Connection
from connectors.runtime.http import Clock


class FilesSystem:
    """Source and Sink of all streams of one folder. Safe to share between threads."""

    def __init__(self, manifest: FilesManifest, connection: Connection, clock: Clock) -> None:
        self._manifest, self._folder = manifest, connection.folder
        self._readers = {
            name: Reader(stream, self._folder, clock) for name, stream in manifest.streams.items()
        }
        self._tables = {
            name: Table(stream, self._folder, self._readers[name])
            for name, stream in manifest.streams.items()
            if stream.write is not None
        }

    def close(self) -> None:
        """There is nothing to give back."""

    def capabilities(self, stream: str) -> Capabilities:
        """What the manifest declares. Raises ``BadConfiguration`` for an unknown stream."""
        declared, kept = self._stream(stream), stream in self._tables
        return Capabilities(
            delta=not self._readers[stream].snapshot,
            create=kept,
            update=kept,
            delete=kept,
            find=kept,
            guard=Guard.ETAG if kept else Guard.REREAD,
            full_payload=not declared.partial,
            absence=self._readers[stream].snapshot,
        )

    def check(self, stream: str) -> Health:
        """Look into the folder, and at the first row. Never raises."""
        facts = {"system": self._manifest.title, "folder": str(self._folder)}
        try:
            there = self._readers[stream].files()
            facts["files"] = str(len(there))
            if there:
                next(rows(there[-1].path, self._stream(stream)), None)
        except (ConnectorError, OSError, KeyError) as error:
            return Health(False, f"{error} Check the connection and the manifest.", facts)
        if not there and stream not in self._tables:
            return Health(True, "The folder is there, and no file that fits and is settled.", facts)
        return Health(True, f"{self._manifest.title} can be read.", facts)

    def read(self, stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        """Pages behind ``cursor``, lazily. Raises the classes of ``connectors.errors``."""
        self._stream(stream)
        return self._readers[stream].pages(cursor, scan)

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        """The last row of each key; ``None`` where no file that is there has one."""
        self._stream(stream)
        reader = self._tables.get(stream) or self._readers[stream]
        return reader.fetch(keys)

    def find(self, stream: str, command: WriteCommand) -> Sequence[RawRecord]:
        """The row that a create may have made: its key is the command's."""
        self._stream(stream)
        table = self._tables.get(stream)
        if table is None:
            return ()
        return table.find(command)

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        """One outcome for each command, in order; those of one stream in one new file."""
        outcomes: dict[int, Outcome] = {}
        for name in dict.fromkeys(command.stream for command in commands):
            places = [place for place, command in enumerate(commands) if command.stream == name]
            mine = [commands[place] for place in places]
            if name in self._tables:
                outcomes |= zip(places, self._tables[name].write(mine), strict=True)
            else:
                reason = f"{self._manifest.system} writes no stream {name!r}."
                outcomes |= dict.fromkeys(places, Refused(reason))
        return [outcomes[place] for place in range(len(commands))]

    def _stream(self, name: str) -> FileStream:
        try:
            return self._manifest.streams[name]
        except KeyError:
            known = ", ".join(self._manifest.streams)
            raise BadConfiguration(
                f"{self._manifest.system} has no stream {name!r}; it has {known}."
            ) from None

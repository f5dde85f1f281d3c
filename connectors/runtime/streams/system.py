"""One system that answers requests, behind the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from connectors.contract import (
    Capabilities,
    Health,
    Outcome,
    Page,
    RawRecord,
    Refused,
    Scan,
    WriteCommand,
)
from connectors.errors import (
    BadAnswer,
    BadConfiguration,
    BadCredentials,
    ConnectorError,
    RateLimited,
    Unreachable,
)
from connectors.runtime import redact
from connectors.runtime.http import Clock, Transport
from connectors.runtime.manifest import Verdict
from connectors.runtime.streams.models import Stream, StreamManifest
from connectors.runtime.streams.reader import Reader
from connectors.runtime.streams.wire import Wire
from connectors.runtime.streams.writer import Writer


class StreamSystem:
    """Source and Sink of all streams of one system, which speaks as ``wire`` does. Safe to share between threads."""

    def __init__(
        self,
        manifest: StreamManifest,
        transport: Transport,
        wire: Wire,
        clock: Clock,
    ) -> None:
        self._manifest, self._transport = manifest, transport
        self._readers = {
            name: Reader(name, stream, self._transport, wire, clock)
            for name, stream in manifest.streams.items()
        }
        self._writers = {
            name: Writer(stream, self._readers[name], self._transport, wire)
            for name, stream in manifest.streams.items()
        }

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def capabilities(self, stream: str) -> Capabilities:
        """What the manifest declares. Raises ``BadConfiguration`` for an unknown stream."""
        declared = self._stream(stream)
        return Capabilities(
            delta=declared.read.delta is not None,
            create=bool(declared.writes.create),
            update=bool(declared.writes.update or declared.writes.actions),
            delete=bool(declared.writes.delete),
            find=bool(declared.find),
            guard=declared.guard,
            full_payload=not declared.partial,
        )

    def check(self, stream: str) -> Health:
        """One cheap request; says what to do if it fails. Never raises."""
        facts = {"system": self._manifest.title, "address": self._transport.address}
        try:
            self._stream(stream)
            answer = self._readers[stream].first(self._manifest.check)
            if answer.verdict is Verdict.OK:
                answer.json  # noqa: B018  an answer that is not JSON raises
                return Health(True, f"{self._manifest.title} answers.", facts)
            what = redact.request(answer.request.method, answer.request.template, answer.status)
            if answer.status == 403:
                advice = "the credentials work, but lack the right to read this"
            else:
                advice = "check the connection's address and the params of this system"
            return Health(False, f"{what}: {advice}.", facts)
        except ConnectorError as error:
            return Health(False, f"{error} {_advice(error, self._manifest.title)}", facts)

    def read(self, stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        """Pages behind ``cursor``, lazily. Raises the classes of ``connectors.errors``."""
        self._stream(stream)
        return self._readers[stream].pages(cursor, scan)

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        """The present state of single records; ``None`` for one that is gone."""
        self._stream(stream)
        return self._readers[stream].fetch(keys)

    def find(self, stream: str, command: WriteCommand) -> Sequence[RawRecord]:
        """The records that a create may have made. Raises the classes of ``connectors.errors``."""
        self._stream(stream)
        return self._readers[stream].find(command)

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        """One outcome for each command, in order."""
        return [
            self._writers[command.stream].write(command)
            if command.stream in self._writers
            else Refused(f"{self._manifest.system} has no stream {command.stream!r}.")
            for command in commands
        ]

    def _stream(self, name: str) -> Stream:
        try:
            return self._manifest.streams[name]
        except KeyError:
            known = ", ".join(self._manifest.streams)
            raise BadConfiguration(
                f"{self._manifest.system} has no stream {name!r}; it has {known}."
            ) from None


def _advice(error: ConnectorError, title: str) -> str:
    match error:
        case BadCredentials():
            return "Set login and password of the connection, and see what rights they have."
        case RateLimited():
            return "The system is there; try again later."
        case Unreachable():
            return "Check host, port and scheme of the connection, and that the system runs."
        case BadAnswer():
            return f"Something answers there, and it does not look like {title}."
        case _:
            return "Check the connection and the params of this system."

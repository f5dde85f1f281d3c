"""The simulator's HTTP: real sockets on loopback, kept alive, and broken when a test asks for it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Protocol

HOST = "127.0.0.1"

Break = Literal["reset"]
"""Instead of an answer: the connection breaks."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Answering(Protocol):
    """What stands behind the server."""

    def date(self) -> datetime | None: ...

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break: ...


class Loopback(ThreadingHTTPServer):
    """Serves on loopback from the moment it is made; its connections end with it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self.open_sockets: set[socket.socket] = set()
        super().__init__((HOST, port), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        # Without HTTPServer's own look-up of the host's name, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def halt(self) -> None:
        self.shutdown()
        for connected in list(self.open_sockets):
            self.sever(connected)
        self.server_close()
        self._thread.join()

    def sever(self, connected: socket.socket) -> None:
        """End a connection: with a reset, as a crashed server does."""
        _break(connected)


class Server(Loopback):
    def __init__(self, simulator: Answering) -> None:
        self.simulator = simulator
        super().__init__(_Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.request)

    def finish(self) -> None:
        self.server.open_sockets.discard(self.request)
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.simulator.answer(self.command, self.path, headers, body)
        if not isinstance(reply, Reply):
            self.close_connection = True
            _break(self.request)
            return
        content, extra = reply.body, dict(reply.headers)
        cut = extra.pop("cut", None) is not None
        self.send_response_only(reply.status)
        date = self.server.simulator.date()
        if date is not None:
            self.send_header("Date", format_datetime(date.astimezone(UTC), usegmt=True))
        self.send_header("Content-Type", "application/json")
        if reply.status != 204:
            self.send_header("Content-Length", str(len(content)))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self.close_connection = True
            self.request.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _break(connected: socket.socket) -> None:
    """Close with a reset, as a crashed server does."""
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connected.shutdown(socket.SHUT_RDWR)
        connected.close()
    except OSError:
        pass

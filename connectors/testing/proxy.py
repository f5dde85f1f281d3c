"""A proxy between Concord and one real system: it counts what passes, and makes the trouble that a test asks for."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from urllib.parse import urlsplit

from connectors.testing.faults import Fault, Faults, Trouble
from connectors.testing.server import HOST, Loopback

_PAUSE = 0.5  # seconds
_SAFE = ("GET", "HEAD", "OPTIONS")
_GRAPHQL = re.compile(r"\s*(?P<kind>query|mutation)?[^{]*\{\s*(?:\w+:\s*)?(?P<field>\w+)")
_SOAP = re.compile(rb"[:<]Body[^>]*>\s*<(?:[\w-]+:)?(\w+)")
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection"}

Loss = Literal["answer", "request"]
"""What gets lost: the answer, after the system has done what was asked; or the request before it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the proxy. ``status`` is ``None`` where the caller got no answer."""

    method: str
    path: str
    status: int | None


PATH_READ_TROUBLES: Sequence[tuple[Trouble, bool]] = (
    (429, False),
    (500, False),
    (503, False),
    ("reset", False),
    ("cut", True),
    ("garbage", True),
    ("hang", True),
)
PATH_WRITE_TROUBLES: Sequence[tuple[Trouble, bool]] = (
    *PATH_READ_TROUBLES,
    (500, True),
    (503, True),
    ("reset", True),
)
"""What the proxy does to reads and to writes, and whether the request has taken effect by then. ``garbage`` is half of the
answer, as if it were all; one that is to ``hang`` comes after a pause in its middle."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    method: str
    path: re.Pattern[str]
    fault: Fault | None
    then: Callable[[], None]


class Proxy:
    """Stands before the system at ``port`` on loopback.

    A call is a write unless its method is safe (RFC 9110), or it is a POST whose path is one of ``searches``. The path of a
    GraphQL request goes on with its kind and first field: ``/admin-api/mutation/createCustomer``; that of a SOAP request
    with its operation: ``/backoffice/CreateCustomer``. ``faults`` meets reads as GET and writes as POST, whatever their
    methods.
    """

    def __init__(self, port: int, searches: str = r"(?!)") -> None:
        self.calls: list[Call] = []
        self.target = port
        self._searches = re.compile(searches)
        self.faults = Faults()
        self._wanted: list[_Wanted] = []
        self._lock = threading.Lock()
        self._server: _Server | None = _Server(self, 0)
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def writes(self) -> list[Call]:
        """The calls that may have changed something."""
        return [call for call in self.calls if self.is_write(call)]

    @property
    def written(self) -> Counter[str]:
        """How often which kind of write was called: method, and path without ids and addresses."""
        found = (f"{call.method} {_shape(call.path)}" for call in self.writes)
        return Counter(found)

    def is_write(self, call: Call) -> bool:
        search = call.method == "POST" and self._searches.search(call.path) is not None
        return call.method not in _SAFE and not search

    def clear(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    def lose(
        self, loses: Loss, method: str, path: str, then: Callable[[], None] = lambda: None
    ) -> None:
        """Lose the next such request or its answer; ``then`` happens before the caller notices."""
        self.trouble("reset", method, path, after=loses == "answer", then=then)

    def trouble(
        self,
        what: Trouble,
        method: str,
        path: str,
        *,
        after: bool = False,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Trouble for the next request whose path is like this; ``after``: once the system has done what was asked."""
        with self._lock:
            self._wanted.append(_Wanted(method, re.compile(path), Fault(what, after=after), then))

    def before(self, method: str, path: str, then: Callable[[], None]) -> None:
        """``then`` happens just before the next such request is handed on."""
        with self._lock:
            self._wanted.append(_Wanted(method, re.compile(path), None, then))

    @property
    def losing(self) -> bool:
        """Whether something that was asked for has not happened yet."""
        return bool(self._wanted)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nothing answers at the address: connections are refused, and open ones broken."""
        self.close()
        with socket.socket() as place:  # bound and not listening: kept for us, and refused to all
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((HOST, self.port))
            yield
        self._server = _Server(self, self.port)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.halt()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def trouble_for(
        self, method: str, path: str, *, write: bool
    ) -> tuple[Fault | None, Callable[[], None]]:
        """What this request meets, and what happens then: before the caller notices, or, without a fault, at once."""
        with self._lock:
            for wanted in self._wanted:
                if wanted.method == method and wanted.path.search(path):
                    self._wanted.remove(wanted)
                    return wanted.fault, wanted.then
            met = self.faults.meet("POST" if write else "GET")
        return met, lambda: None


class _Server(Loopback):
    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        super().__init__(_Handler, port)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what this is for."""

    def sever(self, connected: socket.socket) -> None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.request)
        self._upstream = http.client.HTTPConnection(HOST, self.server.proxy.target, timeout=60)

    def finish(self) -> None:
        self.server.open_sockets.discard(self.request)
        self._upstream.close()
        with suppress(OSError):
            super().finish()

    def _pass_on(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = _operation(body)
        path = urlsplit(self.path).path + operation
        write = proxy.is_write(Call(self.command, path, None))
        fault, then = proxy.trouble_for(self.command, self.path + operation, write=write)
        if fault is None:
            then()
        status, content = 0, b""
        headers: list[tuple[str, str]] = []
        if fault is None or fault.after:
            status, headers, content = self._ask(body)
        if fault is not None:
            then()
            if isinstance(fault.what, int):
                status, headers, content = fault.what, list(fault.headers.items()), b""
        broken = fault is not None and fault.what in ("reset", "cut")
        proxy.calls.append(Call(self.command, path, None if broken else status))
        if fault is not None and fault.what == "reset":
            self._break()
            return
        if fault is not None and fault.what == "garbage":
            content = content[: len(content) // 2]
        self._answer(status, headers, content, "" if fault is None else str(fault.what))

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, how: str
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        middle = len(content) // 2
        if how in ("cut", "hang"):
            self.wfile.write(content[:middle])
            self.wfile.flush()
            content = content[middle:]
        if how == "cut":
            self._break()
            return
        if how == "hang":
            time.sleep(_PAUSE)
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if body:
            headers["Content-Length"] = str(len(body))
        for last in (False, True):
            try:
                self._upstream.request(self.command, self.path, body or None, headers)
                answer = self._upstream.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                # The system has closed a connection that stood idle; the request was not seen.
                self._upstream.close()
                if last:
                    raise
        raise AssertionError("the loop above returns or raises")

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _operation(body: bytes) -> str:
    if (soap := _SOAP.search(body)) is not None:
        return "/" + soap[1].decode()
    if not body.startswith(b'{"query":'):
        return ""
    found = _GRAPHQL.match(str(json.loads(body)["query"]))
    assert found is not None, "a GraphQL request of an unknown shape"
    return f"/{found['kind'] or 'query'}/{found['field']}"


def _shape(path: str) -> str:
    return re.sub(r"/[^/]*[0-9@][^/.]*(\.[^/]*)?(?=/|$)", "/{}", path.replace("/3.1/", "/"))

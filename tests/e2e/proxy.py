"""A proxy between Concord and one real system: it counts what passes, and loses what a test wants lost."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

HOST = "127.0.0.1"
_SAFE = ("GET", "HEAD", "OPTIONS")
_GRAPHQL = re.compile(r"\s*(?P<kind>query|mutation)?[^{]*\{\s*(?:\w+:\s*)?(?P<field>\w+)")
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection"}

Loss = Literal["answer", "request"]
"""What gets lost: the answer, after the system has done what was asked; or the request before it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the proxy. ``status`` is ``None`` where the caller got no answer."""

    method: str
    path: str
    status: int | None


@dataclass(slots=True)
class _Fault:
    method: str
    path: re.Pattern[str]
    loses: Loss | None
    then: Callable[[], None]


class Proxy:
    """Stands before the system at ``port`` on loopback.

    A call is a write unless its method is safe (RFC 9110), or it is a POST whose path is one of ``searches``. The path of a
    GraphQL request goes on with its kind and first field: ``/admin-api/mutation/createCustomer``.
    """

    def __init__(self, port: int, searches: str = r"(?!)") -> None:
        self.calls: list[Call] = []
        self.target = port
        self._searches = re.compile(searches)
        self._faults: list[_Fault] = []
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
        with self._lock:
            self._faults.append(_Fault(method, re.compile(path), loses, then))

    def before(self, method: str, path: str, then: Callable[[], None]) -> None:
        """``then`` happens just before the next such request is handed on."""
        with self._lock:
            self._faults.append(_Fault(method, re.compile(path), None, then))

    @property
    def losing(self) -> bool:
        """Whether something that was asked for has not happened yet."""
        return bool(self._faults)

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

    def fault_for(self, method: str, path: str) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.method == method and fault.path.search(path):
                    self._faults.remove(fault)
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        self.open_sockets: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        # Without HTTPServer's own look-up of the host's name, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what this is for."""

    def halt(self) -> None:
        self.shutdown()
        for connected in list(self.open_sockets):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()


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
        path = urlsplit(self.path).path + _operation(body)
        fault = proxy.fault_for(self.command, self.path + _operation(body))
        if fault is not None and fault.loses is None:
            fault.then()
            fault = None
        if fault is not None and fault.loses == "request":
            self._break(fault, path)
            return
        status, headers, content = self._ask(body)
        if fault is not None:
            self._break(fault, path)
            return
        proxy.calls.append(Call(self.command, path, status))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
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

    def _break(self, fault: _Fault, path: str) -> None:
        self.server.proxy.calls.append(Call(self.command, path, None))
        self.close_connection = True
        fault.then()
        with suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _operation(body: bytes) -> str:
    if not body.startswith(b'{"query":'):
        return ""
    found = _GRAPHQL.match(str(json.loads(body)["query"]))
    assert found is not None, "a GraphQL request of an unknown shape"
    return f"/{found['kind'] or 'query'}/{found['field']}"


def _shape(path: str) -> str:
    return re.sub(r"/[^/]*[0-9@][^/.]*(\.[^/]*)?(?=/|$)", "/{}", path.replace("/3.1/", "/"))

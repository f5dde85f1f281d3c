"""A small system with a REST API over a real socket, for tests: it can be edited, slowed and broken.

with Simulator() as shop:
    key = shop.add(name="Ada")
    system = shop.open()
    shop.fail_next("reset", methods={"PATCH"}, after=True)
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connectors.contract import Document
from connectors.registry import System, load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.runtime.manifest import Manifest
from connectors.testing.profiles import Profile
from connectors.testing.server import Breakage, Reply, Server

TOKEN = "simulated-key"


@dataclass(frozen=True, slots=True)
class Write:
    """One write that took effect."""

    method: str
    key: str
    body: Mapping[str, Any]
    at: datetime


@dataclass(slots=True)
class _Fault:
    what: int | Breakage
    times: int
    methods: frozenset[str]
    after: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 0


class Simulator:
    """A simulated system. Its state may be looked at and changed at any time, as a person would."""

    def __init__(
        self, profile: Profile | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.profile = profile or Profile()
        self.clock = clock or (lambda: datetime.now(UTC))
        self.records: dict[str, Document] = {}
        self.writes: list[Write] = []
        self.calls: Counter[str] = Counter()
        self.logins = 0
        self._poison: dict[str, bytes] = {}
        self._faults: list[_Fault] = []
        self._tokens: set[str] = {TOKEN}
        self._ids = 0
        self._lock = threading.RLock()
        self._server: Server | None = None

    # --- as a person -------------------------------------------------------------------------

    def add(self, **fields: Any) -> str:
        """A person makes a record; its key."""
        with self._lock:
            self._ids += 1
            key = str(self._ids)
            blank: Document = dict.fromkeys(self.profile.fields, "")
            blank |= {name: [] for name in self.profile.children}
            self.records[key] = {"id": self._ids, "ref": "", **blank, "version": 0}
            self._put(key, fields)
            return key

    def edit(self, key: str, **fields: Any) -> None:
        """A person edits a record."""
        with self._lock:
            self._put(key, fields)

    def remove(self, key: str) -> None:
        """A person deletes a record."""
        with self._lock:
            del self.records[key]

    def field(self, key: str, name: str) -> Any:
        """What a record holds now."""
        with self._lock:
            return self.records[key][name]

    # --- as a saboteur -----------------------------------------------------------------------

    def fail_next(
        self,
        what: int | Breakage,
        *,
        times: int = 1,
        methods: set[str] | frozenset[str] = frozenset(),
        after: bool = False,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = 0,
    ) -> None:
        """Spoil the next requests (of these methods): a status, or a breakage of the connection.

        ``after`` lets the request take effect first. ``reset`` closes the connection at once,
        ``cut`` in the middle of the answer; ``garbage`` answers with no JSON; ``hang`` waits.
        """
        fault = _Fault(what, times, frozenset(methods), after, headers or {}, body, seconds)
        with self._lock:
            self._faults.append(fault)

    def poison(self, key: str, row: bytes) -> None:
        """Show these bytes instead of the record wherever it is listed."""
        self._poison[key] = row

    def expire_tokens(self) -> None:
        """From now on no token is good that was given out before."""
        with self._lock:
            self._tokens = set()

    # --- as a server -------------------------------------------------------------------------

    def start(self) -> Simulator:
        """Begin to answer on a free port of the loopback address."""
        self._server = Server(self)
        return self

    def stop(self) -> None:
        """Stop, and break what is still connected. The records stay."""
        if self._server is not None:
            self._server.halt()
            self._server = None

    def __enter__(self) -> Simulator:
        return self if self._server else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        assert self._server is not None, "start() the simulator first"
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def connection(self) -> Connection:
        return Connection(self.url, "hub", TOKEN)

    def manifest(self, **params: Any) -> Manifest:
        """The manifest of this system; ``size`` is the number of rows per page."""
        return load_manifest(self.profile.manifest(), params)

    def open(self, clock: Callable[[], datetime] | None = None, **params: Any) -> System:
        """A connector to this system."""
        return open_system(self.manifest(**params), self.connection, clock or self.clock)

    # --- the API -----------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Breakage:
        """One request, with the faults that were asked for."""
        if target == "/login":
            return self._login()
        with self._lock:
            self.calls[method] += 1
            fault = next((f for f in self._faults if not f.methods or method in f.methods), None)
            if fault is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
        reply = None
        if fault is None or fault.after:
            with self._lock:
                reply = self._route(method, target, headers, body)
        if fault is None:
            assert reply is not None
            return reply
        match fault.what:
            case "hang":
                time.sleep(fault.seconds)
                return reply or Reply(503)
            case "garbage":
                return Reply(200, fault.body or b"<html>welcome</html>")
            case "cut":
                return Reply(200, (reply.body if reply else b"") or b'{"items": []}', {"cut": ""})
            case "reset":
                return "reset"
            case status:
                message = b'{"message": "broken on purpose"}'
                return Reply(status, fault.body or message, fault.headers)

    def _login(self) -> Reply:
        """A new token. Neither counted in ``calls`` nor spoilt: tests speak of the data."""
        with self._lock:
            self.logins += 1
            token = f"token-{self.logins}"
            self._tokens.add(token)
        return _json(200, {"token": token})

    def _route(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        parts = urlsplit(target)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if self.profile.auth != "none" and token not in self._tokens:
            return _json(401, {"message": "who are you?"})
        found = re.fullmatch(r"/customers(?:/(\d+))?", parts.path)
        if not found:
            return _json(404, {"message": "no such path"})
        key = found[1]
        if method == "GET":
            return self._one(key) if key else self._list(parse_qs(parts.query))
        data = json.loads(body) if body else {}
        if method == "POST":
            return self._create(data)
        if key not in self.records:
            return _json(404, {"message": "no such record"})
        expected = headers.get("if-match")
        if expected is not None and expected != str(self.records[key]["version"]):
            return _json(412, {"message": "changed meanwhile"})
        if method == "DELETE":
            self._log(method, key, {})
            del self.records[key]
            return Reply(204)
        clash = self._clash(data, key)
        if clash:
            return clash
        self._put(key, data, by_api=True)
        self._log(method, key, data)
        return self._one(key)

    def _create(self, data: Document) -> Reply:
        clash = self._clash(data, None)
        if clash:
            return clash
        key = self.add()
        self._put(key, data, by_api=True)
        self._log("POST", key, data)
        return self._one(key, 201)

    def _clash(self, data: Document, key: str | None) -> Reply | None:
        for name in self.profile.unique:
            value = data.get(name)
            for other, record in self.records.items():
                if value and other != key and record.get(name) == value:
                    return _json(409, {"message": f"{name} exists already"})
        return None

    def _one(self, key: str, status: int = 200) -> Reply:
        if key not in self.records:
            return _json(404, {"message": "no such record"})
        return Reply(status, self._row(key), {"ETag": str(self.records[key]["version"])})

    def _row(self, key: str) -> bytes:
        return self._poison.get(key) or json.dumps(self.records[key]).encode()

    def _list(self, query: Mapping[str, list[str]]) -> Reply:
        chosen = sorted(self.records, key=int)
        if "id" in query:
            chosen = [key for key in chosen if key in query["id"]]
        if "ref" in query:
            chosen = [key for key in chosen if self.records[key]["ref"] == query["ref"][0]]
        if "since" in query:
            since = datetime.fromisoformat(query["since"][0])
            chosen = [
                key
                for key in chosen
                if datetime.fromisoformat(self.records[key]["updated"]) >= since
            ]
        size = int(query.get("size", ["1000"])[0])
        total = len(chosen)
        start = int(query.get("offset", ["0"])[0])
        if "page" in query:
            start = (int(query["page"][0]) - 1) * size
        if "after" in query or "token" in query:
            last = int(query.get("after", query.get("token", ["0"]))[0])
            chosen = [key for key in chosen if int(key) > last]
        page = chosen[start : start + size]
        more = len(chosen) > start + size
        following = json.dumps(page[-1] if more and page else None)
        rows = b",".join(self._row(key) for key in page)
        head = b'{"items":[' + rows + b'],"total":' + str(total).encode()
        return Reply(200, head + b',"next":' + following.encode() + b"}")

    def _put(self, key: str, fields: Mapping[str, Any], *, by_api: bool = False) -> None:
        record = self.records[key]
        for name, value in copy.deepcopy(dict(fields)).items():
            if name in self.profile.children and by_api:
                value = self._children(record[name], value)
            if by_api and name in self.profile.lossy:
                value = self.profile.lossy[name](record.get(name), value)
            record[name] = value
        now = self.clock()
        if self.profile.resolution:
            cut = now.timestamp() // self.profile.resolution * self.profile.resolution
            now = datetime.fromtimestamp(cut, UTC)
        record["updated"] = now.isoformat()
        record["version"] += 1

    def _children(self, held: list[Document], commands: list[list[Any]]) -> list[Document]:
        items = {item["id"]: item for item in copy.deepcopy(held)}
        for verb, *rest in commands:
            if verb == "create":
                self._ids += 1
                items[self._ids] = {**rest[0], "id": self._ids}
            elif verb == "update" and rest[0] in items:
                items[rest[0]] |= rest[1]
            elif verb == "delete":
                items.pop(rest[0], None)
        return list(items.values())

    def _log(self, method: str, key: str, body: Document) -> None:
        self.writes.append(Write(method, key, body, self.clock()))


def _json(status: int, body: Any) -> Reply:
    return Reply(status, json.dumps(body).encode())


__all__ = ["TOKEN", "Breakage", "Simulator", "Write"]

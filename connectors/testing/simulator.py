"""A small system with a REST API over a real socket, for tests: it can be edited, slowed and broken.

with Simulator(Profile(etag=True, deletes="soft")) as shop:
    key = shop.add(name="Ada")
    system = shop.open()
    shop.fail_next("reset", methods={"PATCH"}, after=True)
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar

from connectors.contract import Document
from connectors.registry import System, load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.runtime.manifest import Manifest
from connectors.testing.api import TOKEN, Api
from connectors.testing.faults import READ_TROUBLES, WRITE_TROUBLES, Fault, Faults, Trouble
from connectors.testing.profiles import Profile
from connectors.testing.server import Break, Reply, Server
from connectors.testing.state import State, Write


@dataclass(frozen=True, slots=True)
class Accepted:
    """One request that was answered with success, whether or not the answer arrived."""

    method: str
    target: str
    at: datetime


class Simulator:
    """A simulated system. Its state may be looked at and changed at any time, as a person would.

    ``clock`` gives the true time; the profile says how this system's own clock differs. Safe to share between threads.
    """

    face: ClassVar[type[Api]] = Api
    """What answers its requests."""

    def __init__(
        self, profile: Profile | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.profile = profile or Profile()
        self.clock = clock or (lambda: datetime.now(UTC))
        self.calls: Counter[str] = Counter()
        self.accepted: list[Accepted] = []
        self._state = State(self.profile, self.clock)
        self._api = self.face(self._state)
        self._faults = Faults()
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._server: Server | None = None

    # --- as a person -------------------------------------------------------------------------

    def add(self, **fields: Any) -> str:
        """A person makes a record; its key."""
        with self._lock:
            return self._state.add(fields)

    def edit(self, key: str, **fields: Any) -> str:
        """A person edits a record; its key afterwards (an address that is a key may change)."""
        with self._lock:
            return self._state.put(key, fields)

    def edit_late(self, key: str, **fields: Any) -> Callable[[], None]:
        """A person's edit in a long transaction: it has the time of now, and shows when the result is called."""
        with self._lock:
            stamp = self._state.stamp()

        def commit() -> None:
            with self._lock:
                self._state.put(key, fields, stamp=stamp)

        return commit

    def remove(self, key: str) -> None:
        """A person deletes a record."""
        with self._lock:
            self._state.remove(key)

    def undelete(self, key: str) -> None:
        """A person takes a deleted record back."""
        with self._lock:
            self._state.undelete(key)

    def merge(self, loser: str, survivor: str) -> None:
        """A person merges one record into another: the loser vanishes, the survivor has the children of both."""
        with self._lock:
            self._state.merge(loser, survivor)

    def tick(self) -> int:
        """Time passes: validations put back what they do not like. How many fields."""
        with self._lock:
            return self._state.tick()

    # --- what it holds -----------------------------------------------------------------------

    @property
    def records(self) -> dict[str, Document]:
        """The live records by key, themselves."""
        return self._state.records

    @property
    def trash(self) -> dict[str, Document]:
        """The records that were deleted."""
        return self._state.trash

    def field(self, key: str, name: str) -> Any:
        """What a record holds now; ``None`` where it has no such field."""
        with self._lock:
            return self._state.records[key].get(name)

    def snapshot(self) -> dict[str, Document]:
        """A copy of the live records by key."""
        with self._lock:
            return copy.deepcopy(self._state.records)

    def now(self) -> datetime:
        """The time on this system's own clock."""
        return self._state.now()

    # --- what was done to it -----------------------------------------------------------------

    @property
    def writes(self) -> list[Write]:
        """The writes of the API that took effect, in order."""
        return self._state.writes

    @property
    def creates(self) -> int:
        """How many records the API made."""
        return sum(write.method == "POST" for write in self.writes)

    @property
    def idle(self) -> int:
        """How many writes of the API changed nothing."""
        return sum(not write.changed for write in self.writes)

    def effects(self) -> Counter[str]:
        """How many writes of the API took effect on each record."""
        with self._lock:
            return self._state.effects()

    def duplicates(self, *by: str) -> list[list[str]]:
        """Groups of live records with the same values in these fields (without any: in ``email``)."""
        with self._lock:
            return self._state.duplicates(by or ("email",))

    @property
    def logins(self) -> int:
        return self._api.logins

    @property
    def met(self) -> Counter[str]:
        """The faults that requests have met, by name."""
        return self._faults.met

    # --- as a saboteur -----------------------------------------------------------------------

    def fail_next(
        self,
        what: Trouble,
        *,
        times: int = 1,
        methods: set[str] | frozenset[str] = frozenset(),
        after: bool = False,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = 60,
    ) -> None:
        """Spoil the next requests (of these methods): a status, or a breakage of ``faults.Breakage``.

        ``after`` lets the request take effect first. ``hang`` lasts ``seconds``, or until ``stop``.
        """
        fault = Fault(what, times, frozenset(methods), after, headers or {}, body, seconds)
        with self._lock:
            self._faults.schedule(fault)

    def storm(
        self,
        seed: int,
        *,
        reads: float = 0.1,
        writes: float = 0.2,
        read_troubles: Sequence[tuple[Trouble, bool]] = READ_TROUBLES,
        write_troubles: Sequence[tuple[Trouble, bool]] = WRITE_TROUBLES,
    ) -> None:
        """From now on this share of requests meets one of these troubles, the same ones for the same seed."""
        with self._lock:
            self._faults.storm(seed, reads, writes, read_troubles, write_troubles)

    def calm(self) -> None:
        """The end of all faults, scheduled ones and storms."""
        with self._lock:
            self._faults.calm()

    def poison(self, key: str, row: bytes) -> None:
        """Show these bytes instead of the record wherever it is listed."""
        with self._lock:
            self._api.poisoned[key] = row

    def expire_tokens(self) -> None:
        """From now on no token is good that was given out before."""
        with self._lock:
            self._api.expire()

    # --- as a server -------------------------------------------------------------------------

    def start(self) -> Simulator:
        """Begin to answer on a free port of the loopback address."""
        self._stopped.clear()
        self._server = Server(self)
        return self

    def stop(self) -> None:
        """Stop, and break what is still connected. The records stay."""
        self._stopped.set()
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
        return _loaded(self.profile.manifest(), tuple(sorted(params.items())))

    def open(self, clock: Callable[[], datetime] | None = None, **params: Any) -> System:
        """A connector to this system."""
        return open_system(self.manifest(**params), self.connection, clock or self.clock)

    def date(self) -> datetime | None:
        """What the Date of an answer shows."""
        match self.profile.date:
            case "own":
                return self.now()
            case "true":
                return self.clock()
            case _:
                return None

    # --- the API -----------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break:
        """One request, with the faults that were asked for."""
        with self._lock:
            if target == "/login":
                return self._api.login()  # neither counted nor spoilt: tests speak of the data
            verb = self._api.verb(method, body)
            self.calls[verb] += 1
            fault = self._faults.meet(verb)
            reply = None
            if fault is None or fault.after or fault.what in ("double", "partial"):
                reply = self._route(method, target, headers, body, fault)
            elif fault.what == "expire":
                reply = self._expired(method, target, headers, body)
        return reply if fault is None and reply is not None else self._spoilt(verb, fault, reply)

    def _route(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, fault: Fault | None
    ) -> Reply:
        partly = fault is not None and fault.what == "partial"
        reply = self._api.route(method, target, headers, body, partly=partly)
        if reply.status < 400:
            self.accepted.append(Accepted(method, target, self.clock()))
        return reply

    def _expired(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if self.profile.auth != "session":
            return self._api.refusal(401, "who are you?")
        self._api.expire()
        return self._api.route(method, target, headers, body)

    def _spoilt(self, method: str, fault: Fault | None, reply: Reply | None) -> Reply | Break:
        assert fault is not None
        body = reply.body if reply else b""
        match fault.what:
            case "hang":
                self._stopped.wait(fault.seconds)
                return "reset"
            case "garbage":
                return Reply(200, fault.body or b"<html>welcome</html>")
            case "cut":
                return Reply(200, body or self._api.empty, {"cut": ""})
            case "reset":
                return "reset"
            case "expire":
                assert reply is not None
                return reply
            case "double":
                assert reply is not None
                return self._api.doubled(reply) if reply.status == 200 else reply
            case "partial":
                assert reply is not None
                done = method == "GET" or reply.status >= 400
                return reply if done else self._api.refusal(500, "half of it")
            case status:
                message = b'{"message": "broken on purpose"}'
                return Reply(status, fault.body or message, fault.headers)


@lru_cache(maxsize=64)
def _loaded(text: str, params: tuple[tuple[str, Any], ...]) -> Manifest:
    """A manifest is loaded once, and never changes."""
    return load_manifest(text, dict(params))


__all__ = ["TOKEN", "Accepted", "Simulator", "Write"]

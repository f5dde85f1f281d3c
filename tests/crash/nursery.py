"""Processes of the hub, forked from one that has imported everything: each runs one errand, and may be killed at it.

``python -m tests.crash.nursery`` reads an order from each line of its input, and answers each with a line: whether the
process lived, what it gave, and the points that it passed.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from sqlalchemy import event
from sqlalchemy.util import LRUCache

from connectors.runtime.connection import Connection
from connectors.testing.simulator import TOKEN
from crm_master import entrypoints
from crm_master.bootstrap import App, erasure_key, in_force
from crm_master.deployment import Deployment
from crm_master.engine.ingest import moment
from crm_master.store import Database
from tests.crash.boundaries import Passage, sites_by_file
from tests.hubs import compiled

SECOND = 1_000_000


class Clock:
    """Everybody's clock, in every process. To ask it takes a microsecond; all other time passes in ``sleep``."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("q", 1_700_000_000 * SECOND))
        with path.open("r+b") as file:
            self._now = mmap.mmap(file.fileno(), 8)

    def __call__(self) -> int:
        self.set(self.peek() + 1)
        return self.peek()

    def peek(self) -> int:
        now: int = struct.unpack("q", self._now)[0]
        return now

    def set(self, now: int) -> None:
        self._now[:] = struct.pack("q", now)

    def moment(self) -> datetime:
        return moment(self())

    def sleep(self, seconds: float) -> None:
        self.set(self.peek() + int(seconds * SECOND))


@dataclass(frozen=True)
class Order:
    """One errand: a function of ``tests.crash.errands``, in which deployment, and where its process dies."""

    errand: str
    home: str
    url: str
    addresses: Mapping[str, str]
    notes: Mapping[str, Any] = field(default_factory=dict)
    doomed: int | None = None
    warm_up: bool = False
    """Run by the nursery itself, so that all children have what is made once: statements compiled, modules loaded."""


@dataclass(frozen=True)
class End:
    """What became of a process: killed, or what its errand gave or raised; and the points passed on the way."""

    killed: bool
    given: Any = None
    error: str = ""
    points: tuple[str, ...] = ()
    killed_at: str = ""


@dataclass
class Desk:
    """What an errand has: the hub, the clock, and what its scenario has noted."""

    app: App
    clock: Clock
    notes: Mapping[str, Any]


class Nursery:
    """The forking process, from outside. Close it at the end."""

    def __init__(self) -> None:
        self._process = Popen(
            [sys.executable, "-m", "tests.crash.nursery"], stdin=PIPE, stdout=PIPE, text=True
        )

    def send(self, order: Order) -> End:
        """Have an errand run, and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(order)), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return End(**answer | {"points": tuple(answer["points"])})

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


@cache
def empty_master() -> bytes:
    """A SQLite master that was just made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        return path.read_bytes()


_statements: Any = LRUCache(2000)


@lru_cache(maxsize=16)
def _compiled(home: str) -> Deployment:
    files = json.loads((Path(home) / "files.json").read_text(encoding="utf-8"))
    return compiled(files)


def _forgetful(connection: Any, _record: Any) -> None:
    """What is deleted stays in the file until something is written over it, as in a SQLite that is built so."""
    connection.execute("PRAGMA secure_delete=OFF")


def _run(order: Order, tell: Callable[[Mapping[str, Any]], None]) -> None:
    errands = import_module("tests.crash.errands")
    passage = Passage(order.doomed, lambda point: tell({"killed_at": point}))
    if not order.warm_up:
        passage.watch()
    home = Path(order.home)
    clock = Clock(home / "clock")
    app = App(
        home,
        _compiled(order.home),
        Database(order.url, erasure_key(home, {})),
        lambda name: Connection(order.addresses[name], "hub", TOKEN),
        clock,
    )
    app.store.engine._compiled_cache = _statements
    if app.store.engine.dialect.name == "sqlite":
        event.listen(app.store.engine, "connect", _forgetful)
    end: dict[str, Any] = {}
    try:
        if order.errand != "begin":
            app = in_force(app)
        end["given"] = getattr(errands, order.errand)(Desk(app, clock, order.notes))
    except entrypoints.EXPECTED as error:
        end["error"] = f"{type(error).__name__}: {error}"
    except Exception:
        end["error"] = traceback.format_exc()
    app.store.close()
    tell(end | {"points": passage.points})


def _fork(order: Order) -> Mapping[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            _run(order, lambda told: print(json.dumps(told), file=out, flush=True))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        last = told.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"killed": killed, **(json.loads(last) if last else {})}


def main() -> None:
    """Answer orders until there are no more."""
    out, sys.stdout = sys.stdout, sys.stderr
    import_module("tests.crash.errands")
    sites_by_file()
    empty_master()
    gc.freeze()  # what is shared with the children stays shared
    for line in sys.stdin:
        order = Order(**json.loads(line))
        _compiled(order.home)
        end = {"killed": False, "points": ()}
        if order.warm_up:
            _run(order, end.update)
        else:
            end |= _fork(order)
        print(json.dumps(end), file=out, flush=True)


if __name__ == "__main__":
    main()

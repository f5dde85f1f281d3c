"""Workers in processes of their own, on one master: they do rounds when they are told to, and some are killed over it."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from pathlib import Path
from time import time_ns
from typing import Any

from connectors.errors import ConnectorError
from connectors.runtime.connection import Connection
from connectors.testing.profiles import Profile
from connectors.testing.server import Break, Reply
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.domain.claims import Instant
from crm_master.engine.deliver import Deliverer
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.ingest import moment
from crm_master.engine.reconcile import Reconciler
from crm_master.entrypoints import running
from crm_master.entrypoints.errors import RunFailed, SyncFailed
from crm_master.store import Database
from tests.hubs import compiled

# a fresh process that has read all modules, and forks: quick, and safe beside the threads of the simulators
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.crew"])
PATIENCE = 120  # seconds for one round of a machine that has other things to do


class Told:
    """Everybody's clock: the true time, and what was let pass beyond it."""

    def __init__(self) -> None:
        self._beyond = CONTEXT.Value("q", 0)

    def __call__(self) -> Instant:
        return time_ns() // 1_000 + int(self._beyond.value)

    def moment(self) -> datetime:
        return moment(self())

    def sleep(self, seconds: float) -> None:
        self._beyond.value += int(seconds * 1_000_000)


def work(
    number: int,
    files: Mapping[str, str],
    url: str,
    connections: Mapping[str, Connection],
    clock: Told,
    orders: Pipe,
) -> None:
    """One worker: a round for each order, each time in another order of systems. What failed is left to the next round."""
    # small batches, so that everybody gets some, and two meet in one customer
    for kind in (Reconciler, Deliverer):
        setattr(running, kind.__name__, partial(kind, batch=3))
    app = App(Path(), compiled(files), Database(url), connections.__getitem__, clock)
    chance = random.Random(number)
    with suppress(EOFError, ConnectionError):
        while orders.recv():
            systems = list(connections)
            chance.shuffle(systems)
            error = ""
            try:
                entrypoints.sync(app, systems)
            except (ConnectorError, FuseBlown, RunFailed, SyncFailed):
                pass
            except Exception as other:
                error = f"{type(other).__name__}: {other}"
            orders.send(error)
    app.store.close()


class Target(Simulator):
    """A simulated system in whose requests workers die."""

    def __init__(self, profile: Profile, clock: Told, crew: Crew) -> None:
        super().__init__(profile, clock.moment)
        self._crew = crew

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break:
        self._crew.reached()
        try:
            return super().answer(method, target, headers, body)
        finally:
            self._crew.reached()


class Crew:
    """Some workers side by side. ``doom`` has one of them killed when so many requests have come or were answered."""

    def __init__(self, size: int, clock: Told, seed: int = 1) -> None:
        self.size, self.clock = size, clock
        self.killed = 0
        self._chance = random.Random(seed)
        self._workers: dict[Pipe, Any] = {}
        self._dooms: list[int] = []
        self._requests = 0
        self._numbers = iter(range(10_000))

    def open(
        self, files: Mapping[str, str], url: str, connections: Mapping[str, Connection]
    ) -> None:
        self._what = (dict(files), url, dict(connections), self.clock)

    def doom(self, times: int, within: int) -> None:
        """Kill so many workers at random moments of the next requests."""
        places = self._chance.sample(range(1, within + 1), times)
        self._dooms = sorted((self._requests + place for place in places), reverse=True)

    def reached(self) -> None:
        """A request has come, or was answered: somebody may be at the end of their life."""
        self._requests += 1
        if self._dooms and self._requests >= self._dooms[-1]:
            self._dooms.pop()
            alive = [process for process in list(self._workers.values()) if process.is_alive()]
            if alive:
                self._chance.choice(alive).kill()

    def round(self) -> None:
        """Everybody does a round; whoever is killed is replaced. Raises the errors that no worker should have."""
        while len(self._workers) < self.size:
            self._hire()
        busy = {self._order(orders) for orders in list(self._workers)}
        while busy:
            ready = wait(busy, PATIENCE)
            assert ready, "a worker is stuck"
            for orders in ready:
                assert isinstance(orders, Pipe)
                busy.discard(orders)
                try:
                    error = orders.recv()
                except (EOFError, ConnectionError):
                    busy.add(self._order(self._replace(orders)))
                else:
                    assert not error, error

    def _order(self, orders: Pipe) -> Pipe:
        try:
            orders.send(True)
        except ConnectionError:  # killed when the last round was over for it
            return self._order(self._replace(orders))
        return orders

    def _replace(self, orders: Pipe) -> Pipe:
        self._workers.pop(orders).join()
        self.killed += 1
        return self._hire()

    def _hire(self) -> Pipe:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=work, args=(next(self._numbers), *self._what, theirs))
        process.start()
        theirs.close()
        self._workers[ours] = process
        return ours

    def close(self) -> None:
        for orders, process in self._workers.items():
            orders.close()
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        self._workers.clear()

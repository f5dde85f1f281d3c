"""The systems that are read and written, in a process of their own: ``python -m bench.api``.

The API of ``url`` is what Concord and its yardsticks read, and ``far`` the same at a distance; the ``shop`` is where Concord
delivers to. Prints their addresses; then does what each line says, and answers in a line of JSON: ``rows N`` for the API to
have so many, ``change`` to change one in a hundred of them, ``quota N`` for the shop to take so many requests a second and
no more (0: any number), ``empty`` for nobody to be anywhere.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime

import orjson

from bench.child import answer
from bench.systems import SHOP, Rows, person
from connectors.testing import Simulator
from connectors.testing.server import Break, Reply, Server

CHANGED = 100
"""A change is of one row in so many."""


class Customers(Rows):
    """Rows without poison, of which some change."""

    def __init__(self) -> None:
        super().__init__(0)
        self.changes = 0

    def row(self, number: int) -> bytes:
        found = person(number)
        if self.changes and number % CHANGED == 0:
            found["city"] = f"{found['city']} {self.changes}"
        return orjson.dumps(found)


class Far:
    """A system whose answers are 50 ms on their way."""

    def __init__(self, system: Customers) -> None:
        self.system, self.date = system, system.date

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break:
        time.sleep(0.05)
        return self.system.answer(method, target, headers, body)


class Rationed:
    """A simulated system behind a gateway that answers 429 beyond its quota: so many requests in each second."""

    def __init__(self, system: Simulator) -> None:
        self.system, self.quota = system, 0
        self.taken = self.refused = 0
        self._second, self._used = 0, 0
        self._lock = threading.Lock()

    def date(self) -> datetime | None:
        return self.system.date()

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break:
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._used = second, 0
            self._used += 1
            if self.quota and self._used > self.quota:
                self.refused += 1
                return Reply(429, b"{}", {"Retry-After": "1"})
            self.taken += 1
        return self.system.answer(method, target, headers, body)


def main() -> None:
    customers, shop = Customers(), Rationed(Simulator(SHOP))
    servers = {"url": Server(customers), "far": Server(Far(customers)), "shop": Server(shop)}
    answer({name: f"http://127.0.0.1:{of.server_port}" for name, of in servers.items()})
    for line in sys.stdin:
        match line.split():
            case ["rows", number]:
                customers.count = int(number)
            case ["change"]:
                customers.changes += 1
            case ["empty"]:
                customers.count, shop.system = 0, Simulator(SHOP)
            case ["quota", number]:
                shop.quota = int(number)
        answer(
            {
                "rows": customers.count,
                "writes": len(shop.system.writes),
                "taken": shop.taken,
                "refused": shop.refused,
            }
        )
    for server in servers.values():
        server.halt()


if __name__ == "__main__":
    main()

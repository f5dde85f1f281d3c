"""The systems that ``bench.rows`` reads and writes, in a process of their own: ``python -m bench.systems ROWS``.

The ``erp`` makes its rows up as they are asked for, so that it needs no memory either; every hundredth is poison. The
``shop`` is a simulator that knows a few of the same customers. Prints the addresses of both; then, for each line read, does
what it says, and answers in a line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.child import answer
from connectors.testing import Profile, Simulator
from connectors.testing.server import Reply, Server

FIELDS = ("name", "email", "phone", "street", "city", "segment")
ERP = Profile("erp", fields=FIELDS, page_size=500)
SHOP = Profile("shop", fields=FIELDS, page_size=500)
POISON = 100
"""One row in this many is poison."""
BEYOND = 10**9
"""No row has a key as large as this."""
KNOWN, LEAD = 11, 23
"""Of each hundred, the row that the shop knows already, and the one that is to be created there, in every other hundred."""

_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_GIVEN = (
    "Ada Bram Carla Daan Elif Femke Gust Hanne Ilse Jef Karim Lotte Mila Noor Omar Pieter".split()
)
_FAMILY = (
    "Claes De_Wolf Goossens Hermans Jacobs Lambert Maes Mertens Peeters Willems Wouters".split()
)
_CITIES = "Antwerp Bruges Brussels Charleroi Ghent Hasselt Leuven Liège Mechelen Namur".split()


def poison(number: int) -> str:
    """What is wrong with a row: one field is ``unreadable``, or a codec is ``defective`` on it; empty if nothing is."""
    return "" if number % POISON else ("unreadable", "defective")[number // POISON % 2]


def person(number: int) -> dict[str, Any]:
    """The customer with this number, from 1 on."""
    given, family = _GIVEN[number % 16], _FAMILY[number // 16 % 11].replace("_", " ")
    segment = "lead" if number % (2 * POISON) == LEAD else "active"
    return {
        "id": number,
        "updated": (_EPOCH + timedelta(milliseconds=number)).isoformat(),
        "version": 1,
        "name": f"{given} {family}",
        "email": f"{given.lower()}.{number}@example.org",
        "phone": f"+324{70_000_000 + number % 10_000_000:08d}",
        "street": f"Kerkstraat {number % 300 + 1}",
        "city": _CITIES[number % 10],
        "segment": segment,
    }


def row(number: int) -> dict[str, Any]:
    """The row of this customer, which may be poison."""
    found = person(number)
    match poison(number):
        case "unreadable":
            found["email"] = f"none ({number})"
        case "defective":
            found["street"] = "Kerkstraat"
    return found


def bad_rows(number: int) -> list[bytes]:
    """Rows that are no records at all."""
    kinds = (b'"no record %d"', b'{"id": null, "n": %d}', b'{"id": %d, "name": "\\ud83d"}')
    return [kinds[n % 3] % (BEYOND + n) for n in range(number)]


class Rows:
    """A system of ``count`` rows behind the API of a simulated system; nobody writes there."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.bad: list[bytes] = []
        self.requests = 0
        self.writes = 0

    def date(self) -> datetime:
        return datetime.now(UTC)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """One request; see ``connectors.testing.api`` for what it may ask."""
        self.requests += 1
        if method != "GET":
            self.writes += 1
            return Reply(405)
        query = parse_qs(urlsplit(target).query)
        if "id" in query:
            rows = [self.row(int(key)) for key in query["id"] if 1 <= int(key) <= self.count]
            return self._listing(rows)
        first, size = int(query.get("after", ["0"])[0] or 0) + 1, int(query["size"][0])
        if "page" in query:
            first = (int(query["page"][0]) - 1) * size + 1
        bad: list[bytes] = []
        if "since" in query:
            since = datetime.fromisoformat(query["since"][0])
            bad = self.bad if first == 1 else []
            first = max(first, (since - _EPOCH) // timedelta(milliseconds=1))
        last = min(self.count, first + size - 1)
        return self._listing([*bad, *map(self.row, range(first, last + 1))])

    def row(self, number: int) -> bytes:
        return json.dumps(row(number)).encode()

    def _listing(self, rows: list[bytes]) -> Reply:
        return Reply(200, b'{"items":[' + b",".join(rows) + b'],"total":%d}' % self.count)


def known(count: int) -> Iterator[dict[str, Any]]:
    """What the shop knows at the beginning: a few customers of the ERP, without a phone."""
    for number in range(KNOWN, count + 1, 2 * POISON):
        yield {name: row(number)[name] for name in FIELDS if name != "phone"}


def main(count: int) -> None:
    rows, shop = Rows(count), Simulator(SHOP).start()
    for fields in known(count):
        shop.add(**fields)
    server = Server(rows)
    answer({"erp": f"http://127.0.0.1:{server.server_port}", "shop": shop.url})
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "bad":
            rows.bad = bad_rows(int(numbers[0]))
        writes = rows.writes + len(shop.writes)
        duplicates = len(shop.duplicates())
        answer({"requests": rows.requests, "writes": writes, "duplicates": duplicates})
    server.halt()
    shop.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""What tests of systems with habits share: a time that they move, and the records of a scan."""

from datetime import UTC, datetime, timedelta

import requests

from connectors.contract import Scan
from connectors.testing.simulator import TOKEN

T0 = datetime(2026, 5, 1, 10, 0, 50, 400_000, tzinfo=UTC)


class Clock:
    """The true time, for the hub and for the system: it moves when it is told."""

    def __init__(self):
        self.now = T0

    def __call__(self):
        return self.now

    def at(self, minute, second):
        self.now = T0.replace(minute=minute, second=0) + timedelta(seconds=second)

    def forward(self, seconds):
        self.now += timedelta(seconds=seconds)


def read(connector, cursor=None, scan=Scan.FULL):
    """The records of a scan, in order, and the cursor behind it."""
    pages = list(connector.read("customers", cursor, scan))
    assert pages[-1].complete
    return [record for page in pages for record in page.records], pages[-1].cursor


def delta(connector, cursor):
    records, cursor = read(connector, cursor, Scan.DELTA)
    return {record.key: record for record in records}, cursor


def ask(system, method, path, json=None, token=TOKEN, **headers):
    headers["Authorization"] = f"Bearer {token}"
    url = system.url + path
    return requests.request(
        method, url, json=json, headers=headers, timeout=5, allow_redirects=False
    )


def rows(system, path="/customers"):
    return ask(system, "GET", path).json()["items"]


def ids(system, path="/customers"):
    return [row["id"] for row in rows(system, path)]

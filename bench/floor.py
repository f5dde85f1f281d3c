"""The floor: fetch the pages, parse, upsert one row each, nothing else. ``python -m bench.floor URL DATABASE``."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson
import psycopg
import requests

from bench.child import answer
from bench.measure import measured
from bench.systems import ERP
from connectors.testing.api import TOKEN

TABLE = "CREATE TABLE IF NOT EXISTS customers (id BIGINT PRIMARY KEY, doc TEXT NOT NULL)"
UPSERT = "INSERT INTO customers VALUES ({0}, {0}) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc"

Save = Callable[[list[dict[str, Any]]], None]


def load(url: str, save: Save) -> int:
    """Read to the end, and save page by page. Gives the number of rows."""
    rows, params = 0, {"size": str(ERP.page_size), "after": ""}
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        while True:
            found = orjson.loads(session.get(f"{url}/customers", params=params).content)["items"]
            save(found)
            rows += len(found)
            if len(found) < ERP.page_size:
                return rows
            params["after"] = str(found[-1]["id"])


def into_sqlite(connection: sqlite3.Connection) -> Save:
    """As durable as the hub's own database."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(TABLE)

    def save(rows: list[dict[str, Any]]) -> None:
        with connection:
            connection.executemany(UPSERT.format("?"), map(_row, rows))

    return save


def into_postgres(connection: psycopg.Connection) -> Save:
    connection.execute(TABLE)
    connection.commit()

    def save(rows: list[dict[str, Any]]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(UPSERT.format("%s"), map(_row, rows))
        connection.commit()

    return save


def _row(row: dict[str, Any]) -> tuple[int, str]:
    return row["id"], orjson.dumps(row).decode()


def main(url: str, database: str) -> None:
    kind, _, place = database.partition(":///")
    opened: Any
    if kind == "sqlite":
        with closing(sqlite3.connect(place)) as opened:
            answer(measured(lambda: load(url, into_sqlite(opened))))
    else:
        with closing(psycopg.connect(database)) as opened:
            answer(measured(lambda: load(url, into_postgres(opened))))


if __name__ == "__main__":
    main(*sys.argv[1:])

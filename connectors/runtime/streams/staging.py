"""A side listing on disk while a scan joins it: memory does not grow with its rows."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from connectors.runtime.jsonbody import dump


class Staging:
    """Rows of side listings by name and join key, in a file that goes away with this object."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="concord-join-")
        self._database = sqlite3.connect(
            Path(self._folder.name) / "rows.sqlite", isolation_level=None, check_same_thread=False
        )
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE row (name TEXT, key TEXT, body BLOB);"
            "CREATE INDEX row_key ON row (name, key);"
        )

    def add(self, name: str, rows: Iterable[tuple[str, Any]]) -> None:
        """Keep rows under their join key."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO row VALUES (?, ?, ?)",
            ((name, key, dump(row)) for key, row in rows),
        )
        self._database.execute("COMMIT")

    def clear(self, name: str) -> None:
        """Forget a listing that has to be read again."""
        self._database.execute("DELETE FROM row WHERE name = ?", (name,))

    def find(self, name: str, keys: Sequence[str]) -> dict[str, list[Any]]:
        """The rows of each of these keys."""
        found: dict[str, list[Any]] = {key: [] for key in keys}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ", ".join("?" * len(some))
            for key, body in self._database.execute(
                f"SELECT key, body FROM row WHERE name = ? AND key IN ({marks}) ORDER BY rowid",
                (name, *some),
            ):
                found[key].append(json.loads(body))
        return found

    def close(self) -> None:
        """Remove the file."""
        self._database.close()
        self._folder.cleanup()

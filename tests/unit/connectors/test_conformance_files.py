"""The conformance kit over files that the hub keeps, edited by a person with an editor; there is no network to break."""

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.testing.conformance import ConnectorConformance

COLUMNS = ["id", "name", "email", "note"]


class Folder:
    """A folder whose file somebody edits by hand."""

    def __init__(self, path, form):
        self.path, self.form = path, form
        self.calls: Counter[str] = Counter()
        self.file = path / f"customers.{form}"

    @property
    def records(self):
        if not self.file.exists():
            return {}
        text = self.file.read_text(encoding="utf-8-sig")
        if self.form == "csv":
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        else:
            rows = [json.loads(line) for line in text.splitlines()]
        return {row["id"]: row for row in rows}

    def _save(self, lines):
        content = ",".join(COLUMNS) + "\n" if self.form == "csv" else ""
        draft = self.path / ".draft"
        draft.write_bytes(content.encode() + b"".join(line + b"\n" for line in lines))
        draft.replace(self.file)

    def _line(self, record):
        if self.form == "jsonl":
            return json.dumps(record).encode()
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS, lineterminator="").writerow(record)
        return text.getvalue().encode()

    def add(self, **fields):
        records = self.records
        key = str(len(records) + 1 if not records else max(map(int, records)) + 1)
        records[key] = {**dict.fromkeys(COLUMNS, ""), "id": key, **fields}
        self._save(map(self._line, records.values()))
        return key

    def edit(self, key, **fields):
        records = self.records
        records[key] |= fields
        self._save(map(self._line, records.values()))
        return key

    def remove(self, key):
        self._save(self._line(record) for name, record in self.records.items() if name != key)

    def poison(self, key, row):
        records = self.records.items()
        self._save(row if name == key else self._line(record) for name, record in records)

    def expire_tokens(self):
        """Files have none."""

    def stop(self):
        self.path.rename(self.path.with_name("unmounted"))

    def fail_next(self, *_args, **_options):
        pytest.skip("there is no network between the hub and a file")

    def open(self, clock=None, *, size=500):
        stream = {
            "format": self.form,
            "key": ["id"],
            "page": size,
            "write": {"file": self.file.name, "columns": COLUMNS if self.form == "csv" else []},
        }
        text = {
            "system": "office",
            "kind": "files",
            "title": "Office",
            "streams": {"customers": stream},
        }
        manifest = load_manifest(json.dumps(text))
        connection = Connection(f"file://{self.path}")
        return open_system(manifest, connection, clock or (lambda: datetime.now(UTC)))


class _Files(ConnectorConformance):
    form = ""
    large = "x" + "é" * 500_000

    @pytest.fixture
    def system(self, tmp_path):
        folder = tmp_path / "office"
        folder.mkdir()
        return Folder(folder, self.form)


class TestJsonLines(_Files):
    form = "jsonl"


class TestCsv(_Files):
    form = "csv"

    @pytest.mark.parametrize(
        "row",
        [b",none,,", b"2,too,few", b"2,too,many,of,them", b"2,\xff\xfe,,", b'2,"open"x,,'],
        ids=["no key", "few", "many", "not UTF-8", "quoted badly"],
    )
    def test_a_bad_row_is_kept_and_stops_nobody(self, system, row):
        reject = self.rejected(system, row)
        assert "customers.csv, line 3" in reject.reason
        assert reject.raw == row + b"\n"

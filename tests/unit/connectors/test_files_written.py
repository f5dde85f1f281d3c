"""A folder of files: what the hub writes there."""

import json
import os
import threading

import pytest

from connectors.contract import Gone, Guard, Refused, Retry, Stale, WriteCommand, Written
from tests.unit.connectors.folders import CALLS, opened, put, read

TABLE = {"write": {"file": "customers.csv", "columns": ["id", "name", "phone"]}}


def _write(system, key, before, after, etag=None, correlation="CRM-1"):
    (outcome,) = system.write([WriteCommand("w-1", "calls", key, before, after, correlation, etag)])
    return outcome


def test_a_record_is_made_once_and_found(tmp_path):
    system = opened(tmp_path, **TABLE)
    made = _write(system, None, {}, {"name": "Ada"})
    assert made == Written("CRM-1", made.record)
    assert (tmp_path / "customers.csv").read_bytes() == b"\xef\xbb\xbfid,name,phone\nCRM-1,Ada,\n"
    again = _write(system, None, {}, {"name": "Ada"})
    assert again == Written("CRM-1", made.record, existed=True)
    command = WriteCommand("w", "calls", None, {}, {"name": "Ada"}, "CRM-1")
    assert system.find("calls", command) == [made.record]
    assert system.fetch("calls", ["CRM-1"])["CRM-1"] == made.record


def test_a_write_over_somebodys_edit_is_stale(tmp_path):
    system = opened(tmp_path, **TABLE)
    assert system.capabilities("calls").guard is Guard.ETAG
    record = _write(system, None, {}, {"name": "Ada"}).record
    path = tmp_path / "customers.csv"
    path.write_text(path.read_text().replace("Ada", "Ada by hand"))
    late = {**record.document, "name": "Late"}
    assert _write(system, "CRM-1", record.document, late, record.etag) == Stale()
    assert "Ada by hand" in path.read_text()


def test_rows_that_cannot_be_read_are_kept_byte_by_byte(tmp_path):
    bad = b"7,caf\xe9,1\r\n8,few\n"
    put(tmp_path, "customers.csv", b"id,name,phone\n" + bad + b"9,Eve,2")
    system = opened(tmp_path, **TABLE)
    record = system.fetch("calls", ["9"])["9"]
    outcome = _write(system, "9", record.document, {**record.document, "phone": "3"}, record.etag)
    assert isinstance(outcome, Written)
    assert (
        tmp_path / "customers.csv"
    ).read_bytes() == b"\xef\xbb\xbfid,name,phone\n" + bad + b"9,Eve,3\n"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("+32 2 555 12 12", "+32 2 555 12 12"),
        ("-12.5", "-12.5"),
        ("O'Brien", "O'Brien"),
        ("'tis", "'tis"),
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_is_written_as_text(tmp_path, text, cell):
    system = opened(tmp_path, **TABLE)
    record = _write(system, None, {}, {"name": text}).record
    assert record.document["name"] == text, "the hub reads what it wrote"
    assert system.fetch("calls", ["CRM-1"])["CRM-1"] == record
    assert (tmp_path / "customers.csv").read_text("utf-8-sig") == f"id,name,phone\nCRM-1,{cell},\n"


@pytest.mark.parametrize("text", ['a"b', "a,b", "a\nb", "a\rb", "a\r\nb", " a ", "é€😀", ""])
def test_every_text_comes_back(tmp_path, text):
    system = opened(tmp_path, **TABLE)
    record = _write(system, None, {}, {"name": text}).record
    assert record.document["name"] == text
    assert system.fetch("calls", ["CRM-1"])["CRM-1"] == record


@pytest.mark.parametrize(
    ("after", "why"),
    [({"shoe": "3"}, "no column shoe"), ({"name": ["a"]}, "name is no single value"), ({"name": "日"}, "lacks a character")],
)  # fmt: skip
def test_what_the_file_cannot_hold_is_refused(tmp_path, after, why):
    system = opened(tmp_path, csv={"encoding": "cp1252"}, **TABLE)
    outcome = _write(system, None, {}, after)
    assert isinstance(outcome, Refused)
    assert why in outcome.reason
    assert not (tmp_path / "customers.csv").exists()


def test_a_reader_never_sees_half_a_file(tmp_path):
    system = opened(tmp_path, **TABLE)
    _write(system, None, {}, {"name": "x" * 100_000})
    path, done, seen = tmp_path / "customers.csv", threading.Event(), []

    def look():
        while not done.is_set():
            seen.append(len(path.read_bytes()))

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(20):
        _write(system, None, {}, {"name": "x" * 100_000}, correlation=f"CRM-{number + 2}")
    done.set()
    watcher.join()
    one = 100_000 + len("CRM-1,,\n")
    assert {size // one * one for size in seen} <= {n * one for n in range(1, 22)}
    assert all(path.read_bytes().count(b"\n") == 22 for _ in range(1))


def test_two_writers_lose_nothing(tmp_path):
    threads = [
        threading.Thread(
            target=lambda place=place: [
                _write(
                    opened(tmp_path, **TABLE), None, {}, {"name": "x"}, correlation=f"{place}-{n}"
                )
                for n in range(10)
            ]
        )
        for place in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(opened(tmp_path, **TABLE))[0]) == 40


def test_a_file_that_is_replaced_during_a_rewrite_is_not_overwritten(tmp_path, monkeypatch):
    system = opened(tmp_path, **TABLE)
    _write(system, None, {}, {"name": "Ada"})
    path = tmp_path / "customers.csv"
    fsync = os.fsync

    def meanwhile(descriptor):
        path.write_text("id,name,phone\nCRM-1,By hand,\n")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    assert isinstance(_write(system, None, {}, {"name": "Eve"}, correlation="CRM-2"), Retry)
    assert path.read_text() == "id,name,phone\nCRM-1,By hand,\n"
    assert list(tmp_path.glob(".*.draft")) == []


def test_several_writes_are_one_new_file_and_two_to_one_row_look_at_each_other(tmp_path):
    system = opened(tmp_path, **TABLE)
    record = _write(system, None, {}, {"name": "Ada"}).record
    first = {**record.document, "name": "First"}
    commands = [
        WriteCommand("1", "calls", "CRM-1", record.document, first, "CRM-1", record.etag),
        WriteCommand("2", "calls", None, {}, {"name": "Eve"}, "CRM-2"),
        WriteCommand(
            "3", "calls", "CRM-1", record.document, {"name": "Late"}, "CRM-1", record.etag
        ),
        WriteCommand("4", "calls", "none", {"name": "x"}, {"name": "y"}, "CRM-1"),
        WriteCommand("5", "calls", "CRM-2", {"name": "Eve"}, {}, "CRM-2"),
    ]
    outcomes = system.write(commands)
    assert [type(outcome) for outcome in outcomes] == [Written, Written, Stale, Gone, Written]
    assert list(read(system)[0]) == ["CRM-1"]


def test_every_change_leaves_one_file_of_its_own_however_often_it_is_sent(tmp_path):
    table = {"write": {**TABLE["write"], "outgoing": "changes"}}
    system = opened(tmp_path, **table)
    record = _write(system, None, {}, {"name": "Ada"}).record
    (sent,) = (tmp_path / "changes").iterdir()
    content = json.loads(sent.read_text())
    assert content == {
        "id": "w-1", "change": "create", "key": "CRM-1", "record": {"name": "Ada", "id": "CRM-1"},
    }  # fmt: skip
    (tmp_path / "customers.csv").unlink()  # as if the hub had died between the two
    _write(system, None, {}, {"name": "Ada"})
    assert [path.name for path in (tmp_path / "changes").iterdir()] == [sent.name]
    assert _write(system, "CRM-1", record.document, {}, record.etag) == Written("CRM-1")


def test_what_is_only_read_is_not_written(tmp_path):
    system = opened(tmp_path, **CALLS)
    outcome = _write(system, None, {}, {"name": "Ada"})
    assert isinstance(outcome, Refused)

"""Folders of files: what is read when, what is left alone, and what is written how."""

import gzip
import json
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import Gone, Guard, Refused, Retry, Scan, Stale, WriteCommand, Written
from connectors.errors import BadAnswer, BadConfiguration, Unreachable
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection, connection_from_environment
from connectors.yamlfile import ConfigurationMistakes

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def _manifest(**stream):
    stream = {"key": ["id"], **stream}
    text = {"system": "office", "kind": "files", "title": "Office", "streams": {"calls": stream}}
    return load_manifest(json.dumps(text))


def _open(folder, **stream):
    return open_system(_manifest(**stream), Connection(f"file://{folder}"), lambda: NOW)


def _put(folder, name, content, age=timedelta(hours=1)):
    path = folder / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


def _read(system, cursor=None, scan=Scan.DELTA):
    pages = list(system.read("calls", cursor, scan))
    assert pages[-1].complete
    found = {record.key: record.document for page in pages for record in page.records}
    return found, pages[-1].cursor, {page.scan for page in pages}


CALLS = {"read": {"files": "calls-*.csv"}}


# --- changes


def test_a_new_file_is_read_once(tmp_path):
    system = _open(tmp_path, **CALLS)
    _put(tmp_path, "calls-1.csv", "id,topic\n1,bill\n2,visit\n")
    found, cursor, scans = _read(system)
    assert found == {"1": {"id": "1", "topic": "bill"}, "2": {"id": "2", "topic": "visit"}}
    assert scans == {Scan.FULL}
    assert _read(system, cursor) == ({}, cursor, {Scan.DELTA})
    _put(tmp_path, "calls-2.csv", "id,topic\n3,parcel\n")
    found, later, scans = _read(system, cursor)
    assert list(found) == ["3"]
    assert scans == {Scan.DELTA}
    assert _read(system, later)[0] == {}


def test_a_file_that_grew_is_read_again(tmp_path):
    system = _open(tmp_path, **CALLS)
    path = _put(tmp_path, "calls-1.csv", "id,topic\n1,bill\n")
    cursor = _read(system)[1]
    with path.open("a") as file:
        file.write("2,visit\n")
    os.utime(path, (0, 0))  # a copy may bring its old time along
    assert list(_read(system, cursor)[0]) == ["1", "2"]


@pytest.mark.parametrize("name", [".calls-1.csv", "calls-1.csv.part", "other.csv"])
def test_other_files_are_left_alone(tmp_path, name):
    system = _open(tmp_path, **CALLS)
    _put(tmp_path, name, "id,topic\n1,bill\n")
    assert _read(system)[0] == {}


def test_a_file_that_may_still_be_written_waits(tmp_path):
    system = _open(tmp_path, read={"files": "calls-*.csv", "settle": 60})
    path = _put(tmp_path, "calls-1.csv", "id,topic\n1,bi", age=timedelta(seconds=59))
    found, cursor, _ = _read(system)
    assert found == {}
    _put(tmp_path, path.name, "id,topic\n1,bill\n", age=timedelta(seconds=61))
    assert _read(system, cursor)[0] == {"1": {"id": "1", "topic": "bill"}}


def test_of_two_files_the_last_word_on_a_key_counts_even_if_the_first_is_read_again(tmp_path):
    system = _open(tmp_path, **CALLS)
    first = _put(tmp_path, "calls-1.csv", "id,topic\n1,old\n")
    _put(tmp_path, "calls-2.csv", "id,topic\n1,new\n")
    found, cursor, _ = _read(system)
    assert found["1"]["topic"] == "new"
    _put(tmp_path, first.name, "id,topic\n1,old\n2,other\n")
    assert _read(system, cursor)[0]["1"]["topic"] == "new"
    assert system.fetch("calls", ["1", "2", "3"])["1"].document["topic"] == "new"
    assert system.fetch("calls", ["3"]) == {"3": None}


@pytest.mark.parametrize("form", ["csv", "jsonl", "gz"])
def test_a_read_that_breaks_off_goes_on_at_its_row(tmp_path, form):
    lines = [f'{n},"topic\n{n}"' for n in range(10)]
    text = "id,topic\n" + "\n".join(lines)
    if form == "jsonl":
        text = "\n".join(json.dumps({"id": str(n)}) for n in range(10))
    name = {"csv": "calls-1.csv", "jsonl": "calls-1.jsonl", "gz": "calls-1.csv.gz"}[form]
    _put(tmp_path, name, text)
    shape = {
        "format": "jsonl" if form == "jsonl" else "csv",
        "page": 3,
        "read": {"files": "calls-*"},
    }
    seen = []
    cursor = None
    for _ in range(4):
        page = next(_open(tmp_path, **shape).read("calls", cursor, Scan.DELTA))
        seen += [(record.key, page.complete) for record in page.records]
        cursor = page.cursor
    assert seen == [(str(n), n == 9) for n in range(10)]


def test_a_file_that_changes_between_two_pages_begins_anew(tmp_path):
    system = _open(tmp_path, page=1, **CALLS)
    _put(tmp_path, "calls-1.csv", "id,topic\n1,a\n2,b\n")
    cursor = next(system.read("calls", None, Scan.DELTA)).cursor
    _put(tmp_path, "calls-1.csv", "id,topic\n7,x\n8,y\n9,z\n")
    assert list(_read(system, cursor)[0]) == ["7", "8", "9"]


def test_who_is_missing_from_a_register_is_not_gone(tmp_path):
    assert not _open(tmp_path, **CALLS).capabilities("calls").absence
    shape = {"files": "calls-*.csv", "holds": "snapshot"}
    assert _open(tmp_path, read=shape).capabilities("calls").absence


def test_a_cursor_is_as_long_as_the_files_that_are_there(tmp_path):
    system = _open(tmp_path, **CALLS)
    for number in range(5):
        _put(tmp_path, f"calls-{number}.csv", "id\n" + "".join(f"{n}\n" for n in range(1000)))
    cursor = _read(system)[1]
    for number in range(4):
        (tmp_path / f"calls-{number}.csv").unlink()
    assert len(_read(system, cursor)[1]) < len(cursor)


# --- snapshots

SNAPSHOT = {"read": {"files": "all-*.csv", "holds": "snapshot"}}


def test_the_last_snapshot_is_all_there_is(tmp_path):
    system = _open(tmp_path, **SNAPSHOT)
    _put(tmp_path, "all-1.csv", "id\n1\n2\n")
    found, cursor, scans = _read(system)
    assert (list(found), scans) == (["1", "2"], {Scan.FULL})
    assert _read(system, cursor)[2] == {Scan.DELTA}, "nothing new: nobody is gone"
    _put(tmp_path, "all-2.csv", "id\n2\n3\n")
    found, cursor, scans = _read(system, cursor)
    assert (list(found), scans) == (["2", "3"], {Scan.FULL})
    assert system.fetch("calls", ["1", "2"])["1"] is None


def test_a_snapshot_that_is_missing_empties_nothing(tmp_path):
    system = _open(tmp_path, **SNAPSHOT)
    with pytest.raises(Unreachable, match="no settled file"):
        _read(system)
    with pytest.raises(Unreachable):
        system.fetch("calls", ["1"])


def test_a_share_that_is_not_mounted_is_no_empty_folder(tmp_path):
    system = _open(tmp_path / "share", **CALLS)
    with pytest.raises(Unreachable):
        _read(system)
    assert not system.check("calls").ok


def test_a_packed_file_that_is_cut_off_holds_the_cursor(tmp_path):
    system = _open(tmp_path, read={"files": "calls-*.csv.gz"})
    path = _put(tmp_path, "calls-1.csv.gz", "id\n" + "".join(f"{n}\n" for n in range(9999)))
    path.write_bytes(path.read_bytes()[:-20])
    os.utime(path, (0, 0))
    with pytest.raises(BadAnswer, match=r"calls-1\.csv\.gz"):
        _read(system)


# --- rows


def _rejects(system):
    pages = list(system.read("calls", None, Scan.FULL))
    found = [record.key for page in pages for record in page.records]
    return found, [reject.reason for page in pages for reject in page.rejects]


def test_a_bad_row_is_told_with_its_line(tmp_path):
    text = b'id,topic\n1,"two\nlines"\n2\n3,ok\n4,"open\n5,lost\n'
    _put(tmp_path, "calls-1.csv", text)
    found, reasons = _rejects(_open(tmp_path, **CALLS))
    assert found == ["1", "3"]
    assert reasons == [
        "calls-1.csv, line 4: the row has 1 cells, and the header 2.",
        "calls-1.csv, line 7: the row is not quoted as CSV is.",
    ]


def test_a_line_without_end_takes_no_memory_and_no_neighbour(tmp_path):
    _put(tmp_path, "calls-1.csv", b"id,topic\n1,a\n2," + b"x" * 9_000_000 + b"\n3,c\n")
    system = _open(tmp_path, **CALLS)
    found, reasons = _rejects(system)
    assert found == ["1", "3"]
    assert "longer than a line may be" in reasons[0]


def test_a_file_without_its_key_column_is_refused_whole(tmp_path):
    _put(tmp_path, "calls-1.csv", "number,topic\n1,bill\n")
    with pytest.raises(BadAnswer, match=r"calls-1\.csv: There is no column id"):
        _read(_open(tmp_path, **CALLS))


def test_a_file_of_another_office_is_read_as_it_says(tmp_path):
    shape = {"delimiter": ";", "encoding": "cp1252", "header": ["branch", "no", "name"]}
    _put(tmp_path, "calls-1.csv", "A|b;1;Söhne\nA;1;Zoë\n".encode("cp1252"))
    found, _, _ = _read(_open(tmp_path, key=["branch", "no"], csv=shape, **CALLS))
    assert found == {
        "A\\|b|1": {"branch": "A|b", "no": "1", "name": "Söhne"},
        "A|1": {"branch": "A", "no": "1", "name": "Zoë"},
    }


def test_a_stamp_and_a_mark_of_deletion_are_read(tmp_path):
    _put(tmp_path, "calls-1.csv", "id,at,op\n1,31/01/2026 13:00,D\n2,never,A\n")
    shape = {
        "stamp": {"at": ["at"], "format": "%d/%m/%Y %H:%M", "zone": "Europe/Brussels"},
        "deleted": {"at": "op", "equals": "D"},
    }
    (page,) = _open(tmp_path, **shape, **CALLS).read("calls", None, Scan.FULL)
    gone, there = page.records
    assert (gone.stamp, gone.deleted) == (NOW, True)
    assert (there.stamp, there.deleted) == (None, False)
    assert "at" not in gone.document


# --- what is written

TABLE = {"write": {"file": "customers.csv", "columns": ["id", "name", "phone"]}}


def _write(system, key, before, after, etag=None, correlation="CRM-1"):
    (outcome,) = system.write([WriteCommand("w-1", "calls", key, before, after, correlation, etag)])
    return outcome


def test_a_record_is_made_once_and_found(tmp_path):
    system = _open(tmp_path, **TABLE)
    made = _write(system, None, {}, {"name": "Ada"})
    assert made == Written("CRM-1", made.record)
    assert (tmp_path / "customers.csv").read_bytes() == b"\xef\xbb\xbfid,name,phone\nCRM-1,Ada,\n"
    again = _write(system, None, {}, {"name": "Ada"})
    assert again == Written("CRM-1", made.record, existed=True)
    command = WriteCommand("w", "calls", None, {}, {"name": "Ada"}, "CRM-1")
    assert system.find("calls", command) == [made.record]
    assert system.fetch("calls", ["CRM-1"])["CRM-1"] == made.record


def test_a_write_over_somebodys_edit_is_stale(tmp_path):
    system = _open(tmp_path, **TABLE)
    assert system.capabilities("calls").guard is Guard.ETAG
    record = _write(system, None, {}, {"name": "Ada"}).record
    path = tmp_path / "customers.csv"
    path.write_text(path.read_text().replace("Ada", "Ada by hand"))
    late = {**record.document, "name": "Late"}
    assert _write(system, "CRM-1", record.document, late, record.etag) == Stale()
    assert "Ada by hand" in path.read_text()


def test_rows_that_cannot_be_read_are_kept_byte_by_byte(tmp_path):
    bad = b"7,caf\xe9,1\r\n8,few\n"
    _put(tmp_path, "customers.csv", b"id,name,phone\n" + bad + b"9,Eve,2")
    system = _open(tmp_path, **TABLE)
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
    system = _open(tmp_path, **TABLE)
    record = _write(system, None, {}, {"name": text}).record
    assert record.document["name"] == text, "the hub reads what it wrote"
    assert system.fetch("calls", ["CRM-1"])["CRM-1"] == record
    assert (tmp_path / "customers.csv").read_text("utf-8-sig") == f"id,name,phone\nCRM-1,{cell},\n"


@pytest.mark.parametrize("text", ['a"b', "a,b", "a\nb", "a\rb", "a\r\nb", " a ", "é€😀", ""])
def test_every_text_comes_back(tmp_path, text):
    system = _open(tmp_path, **TABLE)
    record = _write(system, None, {}, {"name": text}).record
    assert record.document["name"] == text
    assert system.fetch("calls", ["CRM-1"])["CRM-1"] == record


@pytest.mark.parametrize(
    ("after", "why"),
    [({"shoe": "3"}, "no column shoe"), ({"name": ["a"]}, "name is no single value"), ({"name": "日"}, "lacks a character")],
)  # fmt: skip
def test_what_the_file_cannot_hold_is_refused(tmp_path, after, why):
    system = _open(tmp_path, csv={"encoding": "cp1252"}, **TABLE)
    outcome = _write(system, None, {}, after)
    assert isinstance(outcome, Refused)
    assert why in outcome.reason
    assert not (tmp_path / "customers.csv").exists()


def test_a_reader_never_sees_half_a_file(tmp_path):
    system = _open(tmp_path, **TABLE)
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
                    _open(tmp_path, **TABLE), None, {}, {"name": "x"}, correlation=f"{place}-{n}"
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
    assert len(_read(_open(tmp_path, **TABLE))[0]) == 40


def test_a_file_that_is_replaced_during_a_rewrite_is_not_overwritten(tmp_path, monkeypatch):
    system = _open(tmp_path, **TABLE)
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
    system = _open(tmp_path, **TABLE)
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
    assert list(_read(system)[0]) == ["CRM-1"]


def test_every_change_leaves_one_file_of_its_own_however_often_it_is_sent(tmp_path):
    table = {"write": {**TABLE["write"], "outgoing": "changes"}}
    system = _open(tmp_path, **table)
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
    system = _open(tmp_path, **CALLS)
    outcome = _write(system, None, {}, {"name": "Ada"})
    assert isinstance(outcome, Refused)


# --- where a folder is


@pytest.mark.parametrize(
    "text",
    [
        "file:///srv/exports",
        "fs://?path=%2Fsrv%2Fexports",
        '{"conn_type": "fs", "extra": {"path": "/srv/exports"}}',
        '{"conn_type": "file", "host": "/srv/exports"}',
    ],
)
def test_a_connection_names_a_folder(text):
    connection = connection_from_environment("exports", {"AIRFLOW_CONN_EXPORTS": text})
    assert str(connection.folder) == "/srv/exports"


@pytest.mark.parametrize("text", ["file://host/srv", '{"conn_type": "fs", "host": "srv"}'])
def test_a_folder_has_an_absolute_path(text):
    with pytest.raises(BadConfiguration, match="AIRFLOW_CONN_EXPORTS"):
        connection_from_environment("exports", {"AIRFLOW_CONN_EXPORTS": text}).folder  # noqa: B018


def test_an_address_is_no_folder_and_a_folder_no_address(tmp_path):
    with pytest.raises(BadConfiguration, match="folder"):
        open_system(_manifest(**CALLS), Connection("http://host"), lambda: NOW)
    rest = "{system: s, kind: rest, title: S, streams: {x: {key: {at: id}, read: {call: GET /x}, fetch: {call: GET /x}}}}"
    with pytest.raises(BadConfiguration, match="HTTP"):
        open_system(load_manifest(rest), Connection(f"file://{tmp_path}"), lambda: NOW)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        ({}, "both or none of `read` and `write`"),
        ({"read": {"files": "../*.csv"}}, "should match pattern"),
        ({"read": {"files": "*.csv"}, "csv": {"encoding": "utf-16"}}, "an encoding that has ASCII"),
        ({"read": {"files": "*.csv"}, "csv": {"encoding": "klingon"}}, "an encoding that has ASCII"),
        ({"write": {"file": "a.csv", "columns": ["name"]}}, "id among them"),
        ({"write": {"file": "a.csv.gz", "columns": ["id"]}}, "a file that is not packed"),
        ({"key": ["a", "b"], "write": {"file": "a.csv", "columns": ["a", "b"]}}, "one, which the hub fills"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(stream, says):
    with pytest.raises(ConfigurationMistakes) as found:
        _manifest(**stream)
    assert says in str(found.value)

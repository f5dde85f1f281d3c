"""Folders of files: what is read when, what is left alone, and what is written how."""

import json
import os
from datetime import timedelta

import pytest

from connectors.contract import Scan
from connectors.errors import BadAnswer, BadConfiguration, Unreachable
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection, connection_from_environment
from connectors.yamlfile import ConfigurationMistakes
from tests.unit.connectors.folders import CALLS, NOW, manifest_of, opened, put, read

# --- changes


def test_a_new_file_is_read_once(tmp_path):
    system = opened(tmp_path, **CALLS)
    put(tmp_path, "calls-1.csv", "id,topic\n1,bill\n2,visit\n")
    found, cursor, scans = read(system)
    assert found == {"1": {"id": "1", "topic": "bill"}, "2": {"id": "2", "topic": "visit"}}
    assert scans == {Scan.FULL}
    assert read(system, cursor) == ({}, cursor, {Scan.DELTA})
    put(tmp_path, "calls-2.csv", "id,topic\n3,parcel\n")
    found, later, scans = read(system, cursor)
    assert list(found) == ["3"]
    assert scans == {Scan.DELTA}
    assert read(system, later)[0] == {}


def test_a_file_that_grew_is_read_again(tmp_path):
    system = opened(tmp_path, **CALLS)
    path = put(tmp_path, "calls-1.csv", "id,topic\n1,bill\n")
    cursor = read(system)[1]
    with path.open("a") as file:
        file.write("2,visit\n")
    os.utime(path, (0, 0))  # a copy may bring its old time along
    assert list(read(system, cursor)[0]) == ["1", "2"]


@pytest.mark.parametrize("name", [".calls-1.csv", "calls-1.csv.part", "other.csv"])
def test_other_files_are_left_alone(tmp_path, name):
    system = opened(tmp_path, **CALLS)
    put(tmp_path, name, "id,topic\n1,bill\n")
    assert read(system)[0] == {}


def test_a_file_that_may_still_be_written_waits(tmp_path):
    system = opened(tmp_path, read={"files": "calls-*.csv", "settle": 60})
    path = put(tmp_path, "calls-1.csv", "id,topic\n1,bi", age=timedelta(seconds=59))
    found, cursor, _ = read(system)
    assert found == {}
    put(tmp_path, path.name, "id,topic\n1,bill\n", age=timedelta(seconds=61))
    assert read(system, cursor)[0] == {"1": {"id": "1", "topic": "bill"}}


def test_of_two_files_the_last_word_on_a_key_counts_even_if_the_first_is_read_again(tmp_path):
    system = opened(tmp_path, **CALLS)
    first = put(tmp_path, "calls-1.csv", "id,topic\n1,old\n")
    put(tmp_path, "calls-2.csv", "id,topic\n1,new\n")
    found, cursor, _ = read(system)
    assert found["1"]["topic"] == "new"
    put(tmp_path, first.name, "id,topic\n1,old\n2,other\n")
    assert read(system, cursor)[0]["1"]["topic"] == "new"
    assert system.fetch("calls", ["1", "2", "3"])["1"].document["topic"] == "new"
    assert system.fetch("calls", ["3"]) == {"3": None}


@pytest.mark.parametrize("form", ["csv", "jsonl", "gz"])
def test_a_read_that_breaks_off_goes_on_at_its_row(tmp_path, form):
    lines = [f'{n},"topic\n{n}"' for n in range(10)]
    text = "id,topic\n" + "\n".join(lines)
    if form == "jsonl":
        text = "\n".join(json.dumps({"id": str(n)}) for n in range(10))
    name = {"csv": "calls-1.csv", "jsonl": "calls-1.jsonl", "gz": "calls-1.csv.gz"}[form]
    put(tmp_path, name, text)
    shape = {
        "format": "jsonl" if form == "jsonl" else "csv",
        "page": 3,
        "read": {"files": "calls-*"},
    }
    seen = []
    cursor = None
    for _ in range(4):
        page = next(opened(tmp_path, **shape).read("calls", cursor, Scan.DELTA))
        seen += [(record.key, page.complete) for record in page.records]
        cursor = page.cursor
    assert seen == [(str(n), n == 9) for n in range(10)]


def test_a_file_that_changes_between_two_pages_begins_anew(tmp_path):
    system = opened(tmp_path, page=1, **CALLS)
    put(tmp_path, "calls-1.csv", "id,topic\n1,a\n2,b\n")
    cursor = next(system.read("calls", None, Scan.DELTA)).cursor
    put(tmp_path, "calls-1.csv", "id,topic\n7,x\n8,y\n9,z\n")
    assert list(read(system, cursor)[0]) == ["7", "8", "9"]


def test_who_is_missing_from_a_register_is_not_gone(tmp_path):
    assert not opened(tmp_path, **CALLS).capabilities("calls").absence
    shape = {"files": "calls-*.csv", "holds": "snapshot"}
    assert opened(tmp_path, read=shape).capabilities("calls").absence


def test_a_cursor_is_as_long_as_the_files_that_are_there(tmp_path):
    system = opened(tmp_path, **CALLS)
    for number in range(5):
        put(tmp_path, f"calls-{number}.csv", "id\n" + "".join(f"{n}\n" for n in range(1000)))
    cursor = read(system)[1]
    for number in range(4):
        (tmp_path / f"calls-{number}.csv").unlink()
    assert len(read(system, cursor)[1]) < len(cursor)


# --- snapshots
SNAPSHOT = {"read": {"files": "all-*.csv", "holds": "snapshot"}}


def test_the_last_snapshot_is_all_there_is(tmp_path):
    system = opened(tmp_path, **SNAPSHOT)
    put(tmp_path, "all-1.csv", "id\n1\n2\n")
    found, cursor, scans = read(system)
    assert (list(found), scans) == (["1", "2"], {Scan.FULL})
    assert read(system, cursor)[2] == {Scan.DELTA}, "nothing new: nobody is gone"
    put(tmp_path, "all-2.csv", "id\n2\n3\n")
    found, cursor, scans = read(system, cursor)
    assert (list(found), scans) == (["2", "3"], {Scan.FULL})
    assert system.fetch("calls", ["1", "2"])["1"] is None


def test_a_snapshot_that_is_missing_empties_nothing(tmp_path):
    system = opened(tmp_path, **SNAPSHOT)
    with pytest.raises(Unreachable, match="no settled file"):
        read(system)
    with pytest.raises(Unreachable):
        system.fetch("calls", ["1"])


def test_a_share_that_is_not_mounted_is_no_empty_folder(tmp_path):
    system = opened(tmp_path / "share", **CALLS)
    with pytest.raises(Unreachable):
        read(system)
    assert not system.check("calls").ok


def test_a_packed_file_that_is_cut_off_holds_the_cursor(tmp_path):
    system = opened(tmp_path, read={"files": "calls-*.csv.gz"})
    path = put(tmp_path, "calls-1.csv.gz", "id\n" + "".join(f"{n}\n" for n in range(9999)))
    path.write_bytes(path.read_bytes()[:-20])
    os.utime(path, (0, 0))
    with pytest.raises(BadAnswer, match=r"calls-1\.csv\.gz"):
        read(system)


# --- rows


def _rejects(system):
    pages = list(system.read("calls", None, Scan.FULL))
    found = [record.key for page in pages for record in page.records]
    return found, [reject.reason for page in pages for reject in page.rejects]


def test_a_bad_row_is_told_with_its_line(tmp_path):
    text = b'id,topic\n1,"two\nlines"\n2\n3,ok\n4,"open\n5,lost\n'
    put(tmp_path, "calls-1.csv", text)
    found, reasons = _rejects(opened(tmp_path, **CALLS))
    assert found == ["1", "3"]
    assert reasons == [
        "calls-1.csv, line 4: the row has 1 cells, and the header 2.",
        "calls-1.csv, line 7: the row is not quoted as CSV is.",
    ]


def test_a_line_without_end_takes_no_memory_and_no_neighbour(tmp_path):
    put(tmp_path, "calls-1.csv", b"id,topic\n1,a\n2," + b"x" * 9_000_000 + b"\n3,c\n")
    system = opened(tmp_path, **CALLS)
    found, reasons = _rejects(system)
    assert found == ["1", "3"]
    assert "longer than a line may be" in reasons[0]


def test_a_file_without_its_key_column_is_refused_whole(tmp_path):
    put(tmp_path, "calls-1.csv", "number,topic\n1,bill\n")
    with pytest.raises(BadAnswer, match=r"calls-1\.csv: There is no column id"):
        read(opened(tmp_path, **CALLS))


def test_a_file_of_another_office_is_read_as_it_says(tmp_path):
    shape = {"delimiter": ";", "encoding": "cp1252", "header": ["branch", "no", "name"]}
    put(tmp_path, "calls-1.csv", "A|b;1;Söhne\nA;1;Zoë\n".encode("cp1252"))
    found, _, _ = read(opened(tmp_path, key=["branch", "no"], csv=shape, **CALLS))
    assert found == {
        "A\\|b|1": {"branch": "A|b", "no": "1", "name": "Söhne"},
        "A|1": {"branch": "A", "no": "1", "name": "Zoë"},
    }


def test_a_stamp_and_a_mark_of_deletion_are_read(tmp_path):
    put(tmp_path, "calls-1.csv", "id,at,op\n1,31/01/2026 13:00,D\n2,never,A\n")
    shape = {
        "stamp": {"at": ["at"], "format": "%d/%m/%Y %H:%M", "zone": "Europe/Brussels"},
        "deleted": {"at": "op", "equals": "D"},
    }
    (page,) = opened(tmp_path, **shape, **CALLS).read("calls", None, Scan.FULL)
    gone, there = page.records
    assert (gone.stamp, gone.deleted) == (NOW, True)
    assert (there.stamp, there.deleted) == (None, False)
    assert "at" not in gone.document


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
        open_system(manifest_of(**CALLS), Connection("http://host"), lambda: NOW)
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
        manifest_of(**stream)
    assert says in str(found.value)

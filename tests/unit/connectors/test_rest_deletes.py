"""What a REST connector tells of deletes and merges, whatever the system makes of them."""

import pytest
import yaml

from connectors.contract import Gone, Scan, WriteCommand
from connectors.registry import load_manifest, open_system
from tests.unit.connectors.habits import delta, read


@pytest.mark.parametrize("batch", [100, 1])
@pytest.mark.parametrize("deletes", ["hard", "soft", "log"])
def test_a_deleted_record_is_gone_when_it_is_asked_for(opened, deletes, batch):
    system, connector = opened(2, deletes=deletes, batch=batch)
    system.remove("1")
    found = connector.fetch("customers", ["1", "2"])
    assert found["1"] is None
    assert found["2"] is not None


@pytest.mark.parametrize(("deletes", "told"), [("hard", False), ("soft", True), ("log", True)])
@pytest.mark.parametrize("scan", [Scan.DELTA, Scan.FULL])
def test_a_deletion_comes_with_the_next_read_where_the_system_tells_it(
    opened, clock, deletes, told, scan
):
    system, connector = opened(5, deletes=deletes)
    _, cursor = read(connector)
    clock.forward(60)
    system.remove("2")
    system.edit("3", name="x")
    records, cursor = read(connector, cursor, scan)
    assert [record.key for record in records if record.deleted] == (["2"] if told else [])
    clock.forward(60)
    system.edit("4", name="x")
    _, cursor = delta(connector, cursor)
    again, _ = delta(connector, cursor)
    assert "2" not in again, "a deletion is told once, and its border"


@pytest.mark.parametrize("deletes", ["soft", "log"])
def test_a_record_that_was_deleted_during_a_scan_is_told_in_the_next(opened, clock, deletes):
    system, connector = opened(5, deletes=deletes)
    pages = iter(connector.read("customers", None, Scan.FULL))
    next(pages)
    clock.forward(1)
    system.remove("1")
    clock.forward(1)
    system.edit("5", name="x")
    *_, last = pages
    found, _ = delta(connector, last.cursor)
    assert found["1"].deleted


@pytest.mark.parametrize("deletes", ["soft", "log"])
def test_a_record_that_was_taken_back_is_no_tombstone(opened, clock, deletes):
    system, connector = opened(3, deletes=deletes)
    _, cursor = read(connector)
    clock.forward(60)
    system.remove("2")
    clock.forward(1)
    system.undelete("2")
    records, _ = read(connector, cursor, Scan.DELTA)
    assert [record.deleted for record in records if record.key == "2"] == [False]


def test_a_long_log_of_deletions_is_read_page_by_page_and_can_be_cut_off(opened, clock):
    system, connector = opened(12, deletes="log")
    _, cursor = read(connector)
    clock.forward(60)
    for number in range(1, 9):
        system.remove(str(number))
    pages = iter(connector.read("customers", cursor, Scan.DELTA))
    seen = [next(pages), next(pages)]
    rest = connector.read("customers", seen[-1].cursor, Scan.DELTA)
    gone = [record.key for page in (*seen, *rest) for record in page.records if record.deleted]
    assert gone == [str(number) for number in range(1, 9)]


def test_deletions_alone_move_on_what_is_asked_for(opened, clock):
    system, connector = opened(5, deletes="log")
    _, cursor = read(connector)
    for key in ("2", "3"):
        clock.forward(60)
        system.remove(key)
        _, cursor = delta(connector, cursor)
    clock.forward(60)
    found, _ = delta(connector, cursor)
    assert "2" not in found


def test_what_the_log_tells_is_not_taken_for_what_the_listing_told(opened, clock):
    """Between the end of the listing and the log an edit is made, and then a deletion that the log shows."""
    system, connector = opened(4, deletes="log")
    _, cursor = read(connector)
    clock.forward(60)
    system.edit("4", name="x")
    pages = iter(connector.read("customers", cursor, Scan.DELTA))
    next(pages)
    clock.forward(60)
    system.edit("1", name="in between")
    clock.forward(60)
    system.remove("2")
    *_, last = pages
    assert [record.key for record in last.records] == ["2"]
    clock.forward(60)
    found, _ = delta(connector, last.cursor)
    assert found["1"].document["name"] == "in between"


@pytest.mark.parametrize("aliases", ["gone", "redirect", "survivor"])
def test_a_record_that_was_merged_away_is_gone_and_never_its_survivor(opened, aliases):
    system, connector = opened(3, batch=1, aliases=aliases)
    loser = connector.fetch("customers", ["1"])["1"]
    system.merge("1", "2")
    found = connector.fetch("customers", ["1", "2"])
    assert found["1"] is None
    assert found["2"].key == "2"
    after = {**loser.document, "name": "x"}
    command = WriteCommand("w", "customers", "1", loser.document, after, "CRM-1")
    assert connector.write([command]) == [Gone()]
    assert not system.writes


def _declaring(opened, closing, change, **habits):
    """A system whose manifest says more than the simulator's own."""
    system, _ = opened(3, batch=1, **habits)
    manifest = yaml.safe_load(system.profile.manifest())
    change(manifest["streams"]["customers"])
    connector = open_system(
        load_manifest(yaml.safe_dump(manifest)), system.connection, system.clock
    )
    closing.append(connector.close)
    return system, connector


@pytest.mark.parametrize("aliases", ["redirect", "survivor"])
def test_an_address_that_answers_with_the_survivor_tells_of_a_merge_where_it_is_declared(
    opened, closing, aliases
):
    def change(stream):
        stream["fetch"]["aliases"] = True

    system, connector = _declaring(opened, closing, change, aliases=aliases)
    system.merge("1", "2")
    found = connector.fetch("customers", ["1", "2", "3"])
    assert (found["1"].deleted, found["1"].merged_into, found["1"].document) == (True, "2", {})
    assert [found[key].merged_into for key in ("2", "3")] == [None, None]


def test_a_row_that_names_its_survivor_is_a_tombstone_that_says_so(opened, closing):
    def change(stream):
        stream["merged"] = "note"

    system, connector = _declaring(opened, closing, change)
    system.edit("1", note="2")
    system.edit("3", note="3")
    (page,) = connector.read("customers", None, Scan.FULL)
    merged = {record.key: (record.deleted, record.merged_into) for record in page.records}
    assert merged == {"1": (True, "2"), "2": (False, None), "3": (False, None)}
    assert connector.fetch("customers", ["1"])["1"].merged_into == "2"


@pytest.mark.parametrize(
    "no_key", ["1\0", "x" * 501, "..", True], ids=["nul", "long", "dots", "truth"]
)
def test_a_survivor_that_can_be_no_key_is_none(opened, closing, no_key):
    """A store that takes no such text would stop the whole stream."""

    def change(stream):
        stream["merged"] = "note"

    system, connector = _declaring(opened, closing, change)
    system.edit("1", note=no_key)
    (page,) = connector.read("customers", None, Scan.FULL)
    (record,) = [record for record in page.records if record.key == "1"]
    assert (record.deleted, record.merged_into, record.document["note"]) == (False, None, no_key)


def test_a_write_that_lands_in_the_bin_did_not_reach_the_customer(opened):
    system, connector = opened(1, deletes="soft")
    record = connector.fetch("customers", ["1"])["1"]
    binned = b'{"id": 1, "name": "x", "deleted": true, "version": 9}'
    system.fail_next(200, methods={"PATCH"}, body=binned)
    after = {**record.document, "name": "x"}
    command = WriteCommand("w", "customers", "1", record.document, after, "CRM-1")
    assert connector.write([command]) == [Gone()]

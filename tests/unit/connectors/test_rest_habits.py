"""What awkward systems do, and what the connector makes of it: no row is missed that could be had."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from connectors.contract import Gone, Scan, WriteCommand, Written
from connectors.registry import load_manifest, open_system
from connectors.testing import Profile, Simulator, lowered

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


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def start(clock):
    """Starts a system of a profile, with some records, and opens it; all end with the test."""
    opened = []

    def begin(count=0, kind=Simulator, **habits):
        system = kind(Profile(**{"longest_wait": 0.0, **habits}), clock).start()
        for number in range(count):
            system.add(name=f"n{number}")
            clock.forward(1)
        connector = system.open(size=3)
        opened.extend([connector.close, system.stop])
        return system, connector

    yield begin
    for end in opened:
        end()


@pytest.fixture
def closing():
    """What is to be called when the test ends."""
    calls: list[Any] = []
    yield calls
    for end in calls:
        end()


def read(connector, cursor=None, scan=Scan.FULL):
    """The records of a scan, in order, and the cursor behind it."""
    pages = list(connector.read("customers", cursor, scan))
    assert pages[-1].complete
    return [record for page in pages for record in page.records], pages[-1].cursor


def delta(connector, cursor):
    records, cursor = read(connector, cursor, Scan.DELTA)
    return {record.key: record for record in records}, cursor


# --- rows that shift ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["key", "oldest", "newest", "none"])
@pytest.mark.parametrize("paging", ["offset", "next"])
def test_no_row_is_missed_while_others_come_and_go(start, paging, order):
    system, connector = start(9, paging=paging, order=order)
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    gone, moved, _ = (record.key for record in first.records)
    system.remove(gone)
    system.edit(moved, name="moved")
    system.add(name="new")
    seen = {record.key for page in (first, *pages) for record in page.records}
    assert seen >= set(map(str, range(1, 10))) - {gone}


def test_a_shift_during_every_page_does_not_keep_the_scan_from_ending(start):
    system, connector = start(9, paging="offset")
    scan = connector.read("customers", None, Scan.FULL)
    for pages, page in enumerate(scan, 1):
        assert pages < 60
        if not page.complete:
            system.remove(min(system.records, key=int))
            system.add(name="new")


def test_page_numbers_can_miss_a_row_until_the_next_full_scan(start):
    """One row goes and another comes between two pages: nothing in the answers tells. (See ``Numbered``.)"""
    system, connector = start(7, paging="page")
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    system.remove("1")
    system.add(name="new")
    seen = {record.key for page in (first, *pages) for record in page.records}
    assert "4" not in seen
    again, _ = read(connector)
    assert {record.key for record in again} == set(system.records)


def test_a_shrunken_listing_is_read_again_by_page_numbers(start):
    system, connector = start(7, paging="page")
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    system.remove("1")
    seen = {record.key for page in (first, *pages) for record in page.records}
    assert seen == {str(number) for number in range(1, 8)}


@pytest.mark.parametrize("paging", ["keyset", "page", "offset", "next"])
def test_rows_that_come_twice_do_not_bring_the_end_forward(start, paging):
    system, connector = start(10, paging=paging)
    system.fail_next("double", times=20)
    records, _ = read(connector)
    assert {record.key for record in records} == set(system.records)


def test_a_system_that_pays_no_heed_to_case_sorts_its_keys_so(start):
    system, connector = start(keys="email")
    names = ["Zoe", "ada", "Bob", "carl", "Dora", "eve", "Finn"]
    wanted = {system.add(email=f"{name}@example.org") for name in names}
    records, _ = read(connector)
    assert {record.key for record in records} == wanted


# --- clocks and borders ------------------------------------------------------------------------


def edit_behind_the_scan(system, connector, clock):
    """A row is edited when the scan has passed it, and later another before the scan gets there."""
    pages = iter(connector.read("customers", None, Scan.FULL))
    next(pages)
    clock.at(0, 55)
    system.edit("1", name="behind")
    clock.at(1, 5)
    system.edit("6", name="ahead")
    *_, last = pages
    clock.at(30, 0)
    found, _ = delta(connector, last.cursor)
    return found


@pytest.mark.parametrize(
    "habits",
    [
        {},
        {"skew": 600},
        {"skew": -600},
        {"resolution": 1},
        {"resolution": 60},
        {"date": "none"},
        {"date": "none", "skew": 45},
        {"date": "none", "skew": -45},
        {"date": "true", "skew": 45},
        {"date": "true", "skew": -45},
        {"exclusive": True, "resolution": 60},
        {"exclusive": True, "by_second": True},
    ],
    ids=str,
)
def test_an_edit_behind_the_scan_comes_whatever_the_clock_is_like(start, clock, habits):
    system, connector = start(6, **habits)
    clock.at(0, 50.4)
    assert edit_behind_the_scan(system, connector, clock)["1"].document["name"] == "behind"


@pytest.mark.parametrize(
    "habits",
    [
        {"exclusive": True},
        {"by_second": True},
        {"exclusive": True, "by_second": True},
        {"exclusive": True, "by_second": True, "date": "none"},
        {"exclusive": True, "resolution": 1},
        {"exclusive": True, "resolution": 60},
        {"exclusive": True, "resolution": 60, "by_second": True},
    ],
    ids=str,
)
def test_an_edit_at_the_very_border_of_a_delta_comes(start, clock, habits):
    system, connector = start(3, **habits)
    system.edit("1", name="first")
    _, cursor = read(connector)
    system.edit("2", name="in the same moment")
    clock.forward(3600)
    found, _ = delta(connector, cursor)
    assert found["2"].document["name"] == "in the same moment"


def test_a_slow_answer_is_as_old_as_its_request(start, clock):
    """Between looking and answering a person edits what was looked up: the answer's Date is later than that."""

    class Slow(Simulator):
        hurried = True

        def date(self):
            if not self.hurried:
                self.hurried = True
                clock.forward(1)
                self.edit("1", name="meanwhile")
                clock.forward(20)
            return super().date()

    system, connector = start(6, kind=Slow)
    system.hurried = False
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    assert first.records[0].document["name"] == "n0"
    system.edit("6", name="later")
    *_, last = pages
    found, _ = delta(connector, last.cursor)
    assert found["1"].document["name"] == "meanwhile"


@pytest.mark.parametrize(("overlap", "shown"), [(30, True), (0, False)])
def test_what_is_committed_late_needs_an_overlap(start, clock, overlap, shown):
    """No system says how long its transactions take: the manifest has to."""
    system, connector = start(2, overlap=overlap)
    commit = system.edit_late("1", name="late")
    clock.forward(10)
    system.edit("2", name="at once")
    _, cursor = read(connector)
    commit()
    found, _ = delta(connector, cursor)
    assert (found["1"].document["name"] == "late" if "1" in found else False) is shown


def test_a_hidden_change_of_a_child_comes_with_a_full_scan_only(start, clock):
    system, connector = start(children=("phones",), hidden_children=True)
    key = system.add(phones=[{"id": 9, "value": "1"}])
    _, cursor = read(connector)
    clock.forward(60)
    system.edit(key, phones=[{"id": 9, "value": "2"}])
    found, cursor = delta(connector, cursor)
    assert found[key].document["phones"] == [{"id": 9, "value": "2"}]  # the border, read again
    clock.forward(60)
    system.edit(system.add(name="other"), name="x")
    _, cursor = delta(connector, cursor)
    system.edit(key, phones=[])
    found, _ = delta(connector, cursor)
    assert key not in found
    ((full, _), _) = read(connector)
    assert full.document["phones"] == []


# --- deletes and merges ------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [100, 1])
@pytest.mark.parametrize("deletes", ["hard", "soft", "log"])
def test_a_deleted_record_is_gone_when_it_is_asked_for(start, deletes, batch):
    system, connector = start(2, deletes=deletes, batch=batch)
    system.remove("1")
    found = connector.fetch("customers", ["1", "2"])
    assert found["1"] is None
    assert found["2"] is not None


@pytest.mark.parametrize(("deletes", "told"), [("hard", False), ("soft", True), ("log", True)])
@pytest.mark.parametrize("scan", [Scan.DELTA, Scan.FULL])
def test_a_deletion_comes_with_the_next_read_where_the_system_tells_it(
    start, clock, deletes, told, scan
):
    system, connector = start(5, deletes=deletes)
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
def test_a_record_that_was_deleted_during_a_scan_is_told_in_the_next(start, clock, deletes):
    system, connector = start(5, deletes=deletes)
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
def test_a_record_that_was_taken_back_is_no_tombstone(start, clock, deletes):
    system, connector = start(3, deletes=deletes)
    _, cursor = read(connector)
    clock.forward(60)
    system.remove("2")
    clock.forward(1)
    system.undelete("2")
    records, _ = read(connector, cursor, Scan.DELTA)
    assert [record.deleted for record in records if record.key == "2"] == [False]


def test_a_long_log_of_deletions_is_read_page_by_page_and_can_be_cut_off(start, clock):
    system, connector = start(12, deletes="log")
    _, cursor = read(connector)
    clock.forward(60)
    for number in range(1, 9):
        system.remove(str(number))
    pages = iter(connector.read("customers", cursor, Scan.DELTA))
    seen = [next(pages), next(pages)]
    rest = connector.read("customers", seen[-1].cursor, Scan.DELTA)
    gone = [record.key for page in (*seen, *rest) for record in page.records if record.deleted]
    assert gone == [str(number) for number in range(1, 9)]


def test_deletions_alone_move_on_what_is_asked_for(start, clock):
    system, connector = start(5, deletes="log")
    _, cursor = read(connector)
    for key in ("2", "3"):
        clock.forward(60)
        system.remove(key)
        _, cursor = delta(connector, cursor)
    clock.forward(60)
    found, _ = delta(connector, cursor)
    assert "2" not in found


def test_what_the_log_tells_is_not_taken_for_what_the_listing_told(start, clock):
    """Between the end of the listing and the log an edit is made, and then a deletion that the log shows."""
    system, connector = start(4, deletes="log")
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
def test_a_record_that_was_merged_away_is_gone_and_never_its_survivor(start, aliases):
    system, connector = start(3, batch=1, aliases=aliases)
    loser = connector.fetch("customers", ["1"])["1"]
    system.merge("1", "2")
    found = connector.fetch("customers", ["1", "2"])
    assert found["1"] is None
    assert found["2"].key == "2"
    after = {**loser.document, "name": "x"}
    command = WriteCommand("w", "customers", "1", loser.document, after, "CRM-1")
    assert connector.write([command]) == [Gone()]
    assert not system.writes


def _declaring(start, closing, change, **habits):
    """A system whose manifest says more than the simulator's own."""
    system, _ = start(3, batch=1, **habits)
    manifest = yaml.safe_load(system.profile.manifest())
    change(manifest["streams"]["customers"])
    connector = open_system(
        load_manifest(yaml.safe_dump(manifest)), system.connection, system.clock
    )
    closing.append(connector.close)
    return system, connector


@pytest.mark.parametrize("aliases", ["redirect", "survivor"])
def test_an_address_that_answers_with_the_survivor_tells_of_a_merge_where_it_is_declared(
    start, closing, aliases
):
    def change(stream):
        stream["fetch"]["aliases"] = True

    system, connector = _declaring(start, closing, change, aliases=aliases)
    system.merge("1", "2")
    found = connector.fetch("customers", ["1", "2", "3"])
    assert (found["1"].deleted, found["1"].merged_into, found["1"].document) == (True, "2", {})
    assert [found[key].merged_into for key in ("2", "3")] == [None, None]


def test_a_row_that_names_its_survivor_is_a_tombstone_that_says_so(start, closing):
    def change(stream):
        stream["merged"] = "note"

    system, connector = _declaring(start, closing, change)
    system.edit("1", note="2")
    system.edit("3", note="3")
    (page,) = connector.read("customers", None, Scan.FULL)
    merged = {record.key: (record.deleted, record.merged_into) for record in page.records}
    assert merged == {"1": (True, "2"), "2": (False, None), "3": (False, None)}
    assert connector.fetch("customers", ["1"])["1"].merged_into == "2"


def test_a_write_that_lands_in_the_bin_did_not_reach_the_customer(start):
    system, connector = start(1, deletes="soft")
    record = connector.fetch("customers", ["1"])["1"]
    binned = b'{"id": 1, "name": "x", "deleted": true, "version": 9}'
    system.fail_next(200, methods={"PATCH"}, body=binned)
    after = {**record.document, "name": "x"}
    command = WriteCommand("w", "customers", "1", record.document, after, "CRM-1")
    assert connector.write([command]) == [Gone()]


# --- keys, and answers in part -----------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
def test_a_create_tells_the_key_that_the_system_made_of_the_address(start, answers):
    _, connector = start(keys="email", lossy={"email": lowered}, answers=answers)
    after = {"name": "Ada", "email": "Ada@Example.org"}
    (made,) = connector.write([WriteCommand("w", "customers", None, {}, after, "CRM-1")])
    assert isinstance(made, Written)
    assert made.key == "ada@example.org"
    assert made.record is not None
    assert made.record.document["name"] == "Ada"
    (again,) = connector.write([WriteCommand("w", "customers", None, {}, after, "CRM-1")])
    assert isinstance(again, Written)
    assert (again.key, again.existed) == (made.key, True)


@pytest.mark.parametrize("answers", [True, False])
def test_where_the_address_is_the_key_an_update_tells_the_new_one(start, answers):
    system, connector = start(keys="email", answers=answers)
    key = system.add(email="ada@example.org", name="Ada")
    record = connector.fetch("customers", [key])[key]
    after = {**record.document, "email": "a.lovelace@example.org"}
    (moved,) = connector.write([WriteCommand("w", "customers", key, record.document, after, "C")])
    assert isinstance(moved, Written)
    assert moved.record is not None
    assert moved.key == moved.record.key == "a.lovelace@example.org"
    assert connector.fetch("customers", [key])[key] is None


def test_an_answer_that_is_cut_to_fewer_rows_makes_nobody_gone(start):
    system, connector = start(20)
    system.fail_next("partial", times=3)
    keys = [str(number) for number in range(1, 22)]
    found = connector.fetch("customers", keys)
    assert [key for key in keys if found[key] is None] == ["21"]


@pytest.mark.parametrize("ref", ["CRM-1", "crm-1"])
def test_a_lookup_that_answers_with_everybody_is_narrowed(ref):
    def manifest(self, **params):
        text = yaml.safe_load(self.profile.manifest())
        text["streams"]["customers"]["find"] = [
            {
                "call": "GET /customers",
                "records": "items",
                "only": {"at": "ref", "equals": "{correlation}"},
            }
        ]
        return load_manifest(yaml.safe_dump(text), params)

    with Simulator() as shop:
        shop.manifest = manifest.__get__(shop)  # type: ignore[method-assign]
        shop.add(name="Another", ref="CRM-2")
        key = shop.add(name="Ada", ref=ref)
        command = WriteCommand("w", "customers", None, {}, {"name": "Ada"}, "CRM-1")
        assert [record.key for record in shop.open().find("customers", command)] == [key]

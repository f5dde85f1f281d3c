"""What awkward systems do, and what the connector makes of it: no row is missed that could be had."""

import pytest
import yaml

from connectors.contract import Scan, WriteCommand, Written
from connectors.registry import load_manifest
from connectors.testing import Simulator, lowered
from tests.unit.connectors.habits import delta, read

# --- rows that shift ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["key", "oldest", "newest", "none"])
@pytest.mark.parametrize("paging", ["offset", "next"])
def test_no_row_is_missed_while_others_come_and_go(opened, paging, order):
    system, connector = opened(9, paging=paging, order=order)
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    gone, moved, _ = (record.key for record in first.records)
    system.remove(gone)
    system.edit(moved, name="moved")
    system.add(name="new")
    seen = {record.key for page in (first, *pages) for record in page.records}
    assert seen >= set(map(str, range(1, 10))) - {gone}


def test_a_shift_during_every_page_does_not_keep_the_scan_from_ending(opened):
    system, connector = opened(9, paging="offset")
    scan = connector.read("customers", None, Scan.FULL)
    for pages, page in enumerate(scan, 1):
        assert pages < 60
        if not page.complete:
            system.remove(min(system.records, key=int))
            system.add(name="new")


def test_page_numbers_can_miss_a_row_until_the_next_full_scan(opened):
    """One row goes and another comes between two pages: nothing in the answers tells. (See ``Numbered``.)"""
    system, connector = opened(7, paging="page")
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    system.remove("1")
    system.add(name="new")
    seen = {record.key for page in (first, *pages) for record in page.records}
    assert "4" not in seen
    again, _ = read(connector)
    assert {record.key for record in again} == set(system.records)


def test_a_shrunken_listing_is_read_again_by_page_numbers(opened):
    system, connector = opened(7, paging="page")
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    system.remove("1")
    seen = {record.key for page in (first, *pages) for record in page.records}
    assert seen == {str(number) for number in range(1, 8)}


@pytest.mark.parametrize("paging", ["keyset", "page", "offset", "next"])
def test_rows_that_come_twice_do_not_bring_the_end_forward(opened, paging):
    system, connector = opened(10, paging=paging)
    system.fail_next("double", times=20)
    records, _ = read(connector)
    assert {record.key for record in records} == set(system.records)


def test_a_system_that_pays_no_heed_to_case_sorts_its_keys_so(opened):
    system, connector = opened(keys="email")
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
def test_an_edit_behind_the_scan_comes_whatever_the_clock_is_like(opened, clock, habits):
    system, connector = opened(6, **habits)
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
def test_an_edit_at_the_very_border_of_a_delta_comes(opened, clock, habits):
    system, connector = opened(3, **habits)
    system.edit("1", name="first")
    _, cursor = read(connector)
    system.edit("2", name="in the same moment")
    clock.forward(3600)
    found, _ = delta(connector, cursor)
    assert found["2"].document["name"] == "in the same moment"


def test_a_slow_answer_is_as_old_as_its_request(opened, clock):
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

    system, connector = opened(6, kind=Slow)
    system.hurried = False
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    assert first.records[0].document["name"] == "n0"
    system.edit("6", name="later")
    *_, last = pages
    found, _ = delta(connector, last.cursor)
    assert found["1"].document["name"] == "meanwhile"


@pytest.mark.parametrize(("overlap", "shown"), [(30, True), (0, False)])
def test_what_is_committed_late_needs_an_overlap(opened, clock, overlap, shown):
    """No system says how long its transactions take: the manifest has to."""
    system, connector = opened(2, overlap=overlap)
    commit = system.edit_late("1", name="late")
    clock.forward(10)
    system.edit("2", name="at once")
    _, cursor = read(connector)
    commit()
    found, _ = delta(connector, cursor)
    assert (found["1"].document["name"] == "late" if "1" in found else False) is shown


def test_a_hidden_change_of_a_child_comes_with_a_full_scan_only(opened, clock):
    system, connector = opened(children=("phones",), hidden_children=True)
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


# --- keys, and answers in part -----------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
def test_a_create_tells_the_key_that_the_system_made_of_the_address(opened, answers):
    _, connector = opened(keys="email", lossy={"email": lowered}, answers=answers)
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
def test_where_the_address_is_the_key_an_update_tells_the_new_one(opened, answers):
    system, connector = opened(keys="email", answers=answers)
    key = system.add(email="ada@example.org", name="Ada")
    record = connector.fetch("customers", [key])[key]
    after = {**record.document, "email": "a.lovelace@example.org"}
    (moved,) = connector.write([WriteCommand("w", "customers", key, record.document, after, "C")])
    assert isinstance(moved, Written)
    assert moved.record is not None
    assert moved.key == moved.record.key == "a.lovelace@example.org"
    assert connector.fetch("customers", [key])[key] is None


def test_an_answer_that_is_cut_to_fewer_rows_makes_nobody_gone(opened):
    system, connector = opened(20)
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

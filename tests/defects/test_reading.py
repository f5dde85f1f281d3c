"""Reading: rows that are skipped, repeated, lost or taken for newer than they are (HARD_PARTS 2: 1 to 8, 17 to 19)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.errors import BadAnswer
from connectors.testing import Profile, Simulator
from connectors.testing.server import Break, Reply
from crm_master import entrypoints
from tests.clock import Clock
from tests.defects.conftest import MakeHub
from tests.defects.hub import Hub
from tests.hubs import FIELDS

pytestmark = pytest.mark.integration


def people(system: Simulator, number: int, **fields: Any) -> list[str]:
    """So many new people in a system, with an address each."""
    return [
        system.add(name=f"Person {n}", email=f"p{n}@example.org", **fields) for n in range(number)
    ]


def cities(hub: Hub, system: str) -> dict[str, str]:
    """Who lives where, as one system holds it."""
    return {
        record["email"].split("@")[0]: record["city"]
        for record in hub.systems[system].records.values()
    }


# --- the cursor ------------------------------------------------------------------------------

CLOCKS: dict[str, dict[str, Any]] = {
    "exact": {},
    "of whole minutes": {"resolution": 60},
    "ten minutes slow": {"skew": -600},
    "that leaves its border out": {"exclusive": True, "by_second": True},
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_defect_01_a_row_committed_behind_the_cursor_is_not_skipped(
    hub: MakeHub, clock: str
) -> None:
    """A long transaction has the time of its beginning, and shows when the cursor is past that."""
    made = hub(shop=Profile(overlap=60, **CLOCKS[clock]))
    slow, quick = people(made.shop, 2)
    made.sync()
    made.sync()

    commit = made.shop.edit_late(slow, city="Bruges")
    made.clock.sleep(20)
    made.shop.edit(quick, city="Ghent")
    made.sync(later=1)
    assert cities(made, "crm") == {"p0": "", "p1": "Ghent"}
    commit()
    made.sync()

    assert cities(made, "crm") == {"p0": "Bruges", "p1": "Ghent"}


@pytest.mark.parametrize("clock", CLOCKS)
def test_defect_01_a_row_edited_in_the_moment_of_the_cursor_is_not_skipped(
    hub: MakeHub, clock: str
) -> None:
    made = hub(shop=Profile(**CLOCKS[clock]))
    one, other = people(made.shop, 2)
    made.sync()

    made.shop.edit(one, city="Ghent")
    made.sync(later=0)
    made.shop.edit(other, city="Bruges")
    made.sync(later=3600)

    assert cities(made, "crm") == {"p0": "Ghent", "p1": "Bruges"}


def test_defect_02_what_an_inclusive_cursor_shows_again_has_no_effect_again(hub: MakeHub) -> None:
    made = hub(shop=Profile(overlap=300, resolution=60), crm=Profile(overlap=300))
    people(made.shop, 5)
    made.sync()
    made.sync()
    landed, written = made.observations(), made.writes()
    version = entrypoints.show(made.app, "shop/customers/1")["version"]

    for _ in range(5):
        ran = made.sync()
        assert ran["ingest shop/customers"]["read"] == 5, "the border is read again"
        assert ran["ingest shop/customers"]["landed"] == 0

    assert (made.observations(), made.writes()) == (landed, written)
    assert entrypoints.show(made.app, "shop/customers/1")["version"] == version


def test_defect_03_the_cursor_is_as_short_behind_many_rows_as_behind_few(hub: MakeHub) -> None:
    """All rows have one change time: whoever keeps the keys seen at the border would keep them all."""
    lengths = []
    for number in (5, 200):
        made = hub(shop=Profile(resolution=86_400), create="nobody")
        people(made.shop, number)
        for _ in range(3):
            made.sync()
        assert made.observations() == number
        lengths.append(len(made.cursor("shop")))
    assert lengths[0] == lengths[1] < 200


def test_defect_04_rows_without_a_change_time_are_not_dropped(hub: MakeHub) -> None:
    made = hub()
    first, stamped, last = people(made.shop, 3)
    for key in (first, last):
        made.shop.records[key]["updated"] = None
    made.sync()
    assert set(cities(made, "crm")) == {"p0", "p1", "p2"}

    made.shop.edit(stamped, city="Ghent")
    made.sync()
    assert cities(made, "crm")["p1"] == "Ghent", "they do not hold up the cursor"

    made.shop.records[last]["city"] = "Bruges"  # and no time is set
    made.sync(full=True)
    assert cities(made, "crm")["p2"] == "Bruges", "no delta can show it; every full scan does"


def test_defect_04_a_system_without_change_times_is_read_whole(hub: MakeHub) -> None:
    made = hub(shop=Profile(stamps=False))
    key, _ = people(made.shop, 2)
    made.sync()
    made.shop.edit(key, city="Ghent")
    made.sync()
    assert cities(made, "crm") == {"p0": "Ghent", "p1": ""}


@pytest.mark.parametrize("order", ["key", "oldest", "newest", "none"])
@pytest.mark.parametrize("scan", ["full", "delta"])
def test_defect_05_a_scan_in_no_order_that_breaks_off_loses_nothing(
    hub: MakeHub, scan: str, order: Any
) -> None:
    """The newest row may come on the first page; the bookmark must not be taken from it."""
    made = hub(shop=Profile(paging="next", order=order), size=3)
    keys = people(made.shop, 10)
    if scan == "delta":
        made.sync()
        for key in keys:
            made.shop.edit(key, city="Ghent")
            made.clock.sleep(1)
    broken = keys[9:] if order == "key" else [keys[0], keys[9]]
    for key in broken:
        made.shop.poison(key, b'{"id": ')
    with pytest.raises(BadAnswer):
        made.sync()

    made.clock.sleep(1)
    made.shop.edit(keys[5], note="behind the scan")
    for key in broken:
        made.shop.poison(key, b"")
        made.clock.sleep(1)
        made.shop.edit(key, note="ahead of it, and later")
    made.sync()
    made.sync()

    assert cities(made, "crm") == {f"p{n}": "Ghent" if scan == "delta" else "" for n in range(10)}
    there = made.crm.records[made.key_of("crm", email="p5@example.org")]
    assert there["note"] == "behind the scan"


class Stuck(Simulator):
    """A system that takes no notice of the page that it is asked for."""

    stuck = False

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply | Break:
        if self.stuck and method == "GET":
            target = target.replace("after=", "ignored=")
        return super().answer(method, target, headers, body)


@pytest.mark.parametrize("paging", ["keyset", "page", "offset", "next"])
def test_defect_08_more_rows_of_one_time_than_a_page_holds_are_read_once(
    hub: MakeHub, paging: Any
) -> None:
    made = hub(shop=Profile(paging=paging, resolution=86_400), create="nobody", size=10)
    keys = people(made.shop, 60)
    made.sync()
    for key in keys:
        made.shop.edit(key, city="Ghent")
    before = made.shop.calls["GET"]

    ran = made.sync()

    assert ran["ingest shop/customers"]["landed"] == 60
    assert made.shop.calls["GET"] - before <= 60 / 10 + 2, "each page once, and then it ends"


def test_defect_08_a_system_that_gives_one_page_for_ever_is_noticed(hub: MakeHub) -> None:
    made = hub(shop=lambda clock: Stuck(None, clock.moment), create="nobody", size=10)
    people(made.shop, 30)
    made.sync()
    before = made.shop.calls["GET"]
    made.shop.stuck = True  # type: ignore[attr-defined]

    with pytest.raises(BadAnswer, match="do not ascend"):
        made.ingest("shop", full=True)

    assert made.shop.calls["GET"] - before <= 3
    made.shop.stuck = False  # type: ignore[attr-defined]
    made.shop.edit("7", city="Ghent")
    made.sync()  # ends the scan that broke off
    made.sync()
    assert made.golden("shop/7")["address"] == {"city": "Ghent"}


# --- deletes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("deletes", ["soft", "log"])
def test_defect_06_an_incremental_read_sees_what_was_deleted(hub: MakeHub, deletes: Any) -> None:
    made = hub(shop=Profile(deletes=deletes))
    gone, *_ = people(made.shop, 3)
    made.sync()
    made.sync()
    made.shop.remove(gone)

    ran = made.sync()

    assert ran["reconcile customer"]["gone"] == 1
    made.sync()
    assert gone not in made.shop.records
    assert made.shop.creates == 0, "and nothing is made anew in its place"


def test_defect_06_what_no_incremental_read_can_see_is_found_by_verify(hub: MakeHub) -> None:
    made = hub(shop=Profile(deletes="hard"))
    gone, *_ = people(made.shop, 3)
    made.sync()
    made.sync()
    made.shop.remove(gone)
    made.sync()

    verdict = entrypoints.verify(made.app)

    assert not verdict.converged
    assert [each.record for each in verdict.differences] == [f"shop/customers/{gone}"]


def _removed(hub: Hub, key: str) -> None:
    hub.shop.remove(key)


def _taken_back(hub: Hub, key: str) -> None:
    hub.shop.remove(key)
    hub.ingest("shop")
    hub.clock.sleep(60)
    hub.shop.undelete(key)


@pytest.mark.parametrize("deletes", ["soft", "log"])
@pytest.mark.parametrize(("last", "live"), [(_removed, False), (_taken_back, True)])
def test_defect_07_of_an_update_and_a_delete_in_one_batch_the_last_word_counts(
    hub: MakeHub, deletes: Any, last: Callable[[Hub, str], None], live: bool
) -> None:
    made = hub(shop=Profile(deletes=deletes))
    key, other = people(made.shop, 2)
    made.sync()
    made.sync()
    made.shop.edit(key, city="Ghent")
    made.ingest("shop")
    made.clock.sleep(60)
    last(made, key)
    made.shop.edit(other, city="Bruges")

    ran = made.sync()  # reads once more, and reconciles all of it together

    assert ran["reconcile customer"]["gone"] == 1
    with made.app.store() as uow:
        assert uow.records.count("shop", "customers")["live"] == (2 if live else 1)
    assert cities(made, "crm")["p1"] == "Bruges"
    made.crm.edit(made.key_of("crm", email="p0@example.org"), note="still here")
    made.sync()
    assert made.shop.creates == 0
    if live:
        assert made.shop.field(key, "note") == "still here"


# --- newer and older -------------------------------------------------------------------------


def test_defect_17_later_states_of_one_key_are_no_duplicates(hub: MakeHub) -> None:
    """One record, one change time, again and again: forward and back."""
    made = hub(shop=Profile(resolution=86_400))
    (key,) = people(made.shop, 1)
    made.sync()
    for city in ("Ghent", "Bruges", "Ghent", "", "Ghent", "Ostend"):
        made.shop.edit(key, city=city)
        made.sync(later=1)
        assert cities(made, "crm")["p0"] in (city, None if city == "" else city)


class Slow(Simulator):
    """A system whose answer is on its way while other things happen."""

    meanwhile: Callable[[], None] | None = None

    def __init__(self, clock: Clock) -> None:
        super().__init__(Profile(), clock.moment)

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply | Break:
        reply = super().answer(method, target, headers, body)
        if self.meanwhile is not None and method == "GET":
            happens, self.meanwhile = self.meanwhile, None
            happens()
        return reply


def test_defect_18_an_older_state_that_arrives_later_does_not_stay(hub: MakeHub) -> None:
    made = hub(shop=Slow)
    (key,) = people(made.shop, 1, city="Ghent")
    made.sync()
    made.sync()
    faster = made.worker()

    def meanwhile() -> None:
        made.clock.sleep(5)
        made.shop.edit(key, city="Bruges")
        made.clock.sleep(5)
        made.ingest("shop", by=faster)

    made.shop.edit(key, note="told by the slow answer")
    made.shop.meanwhile = meanwhile  # type: ignore[attr-defined]
    made.ingest("shop", full=True)
    made.sync()
    made.sync()

    assert made.shop.field(key, "city") == "Bruges"
    assert cities(made, "crm") == {"p0": "Bruges"}
    assert made.golden(f"shop/{key}")["owner"] == "told by the slow answer"


# --- the shape of rows -----------------------------------------------------------------------


def test_defect_19_a_changed_schema_is_announced_with_the_rows_that_show_it(hub: MakeHub) -> None:
    made = hub()
    keys = people(made.shop, 3, phone="02 555 01 01")
    made.sync()
    made.sync()
    for key in keys[:2]:
        made.shop.edit(key, phone={"country": 32, "number": "25550101"}, city="Ghent")
    made.sync()

    letters = {task["subject"]: task for task in made.tasks("dead_letter")}
    assert set(letters) == {f"shop/customers/{key}:phone" for key in keys[:2]}
    for letter in letters.values():
        assert letter["reason"].startswith("phone: an object; allowed: "), letter["reason"]
        row = entrypoints.raw(made.app, letter["id"])
        assert row is not None
        assert b'"number":"25550101"' in row.replace(b" ", b"")
    assert cities(made, "crm") == {"p0": "Ghent", "p1": "Ghent", "p2": ""}, "the rest goes on"
    for record in made.crm.records.values():
        assert record["phone"] == "+3225550101", "what cannot be read clears nothing"


def test_defect_19_a_key_that_is_new_in_the_rows_harms_nothing(hub: MakeHub) -> None:
    made = hub()
    (key,) = people(made.shop, 1)
    made.sync()
    written = made.writes()
    made.shop.edit(key, loyalty={"points": 7})
    made.sync()
    assert (made.writes(), made.tasks()) == (written, [])


def test_defect_19_a_key_that_vanished_from_the_rows_clears_nothing_where_the_mapping_says_so(
    hub: MakeHub,
) -> None:
    phone = {"at": "phone", "as": {"phone": {"region": "BE"}}, "when_absent": "keep"}
    made = hub(mappings={"shop": {**FIELDS, "phone": phone}})
    keys = people(made.shop, 3, phone="02 555 01 01")
    made.sync()
    made.sync()
    for key in keys:
        made.shop.records[key]["telephone"] = made.shop.records[key].pop("phone")
    made.sync(full=True)
    assert [record["phone"] for record in made.crm.records.values()] == ["+3225550101"] * 3

"""Pages that are asked for at the same time: the scan is the one that would be read page by page."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.contract import Page, Scan
from connectors.errors import BadAnswer, ConnectorError, RateLimited
from connectors.registry import load_manifest, open_system
from connectors.runtime.budget import Priority
from connectors.testing import Profile, Simulator
from connectors.testing.server import Reply
from connectors.yamlfile import ConfigurationMistakes

SIZE = 3
SPOILT = ((429, False), (500, False), (503, False), ("reset", False), ("cut", True))


class Watched(Simulator):
    """Tells which pages it was asked for; ``first`` may hold one back, or answer in its place."""

    def __init__(self, **habits):
        super().__init__(Profile(page_size=SIZE, longest_wait=0, **habits))
        self.asked: list[int] = []
        self.answered: set[int] = set()
        self.under_way = self.most = 0
        self.first: Callable[[int], Any] = lambda page: None
        self._news = threading.Condition()

    def answer(self, method, target, headers, body):
        query = parse_qs(urlsplit(target).query)
        if not query:
            return super().answer(method, target, headers, body)  # a login
        page = int(query["page"][0]) if "page" in query else int(query["offset"][0]) // 2 + 1
        with self._news:
            self.asked.append(page)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self._news.notify_all()
        reply = self.first(page) or super().answer(method, target, headers, body)
        with self._news:
            self.answered.add(page)
            self.under_way -= 1
            self._news.notify_all()
        return reply

    def wait(self, *pages, answered=False):
        with self._news:
            there = self._news.wait_for(
                lambda: {*pages} <= (self.answered if answered else {*self.asked}), 20
            )
        assert there, f"of {pages} only {self.asked} were asked for"

    def fill(self, count):
        return [self.add(name=f"number {place}") for place in range(count)]


@pytest.fixture
def watched(request):
    systems = []

    def make(**habits):
        systems.append(Watched(**{"paging": "page", "pages_at_once": 4, **habits}).start())
        return systems[-1]

    yield make
    for system in systems:
        system.stop()
    assert not threads(), "no thread is left"


def threads():
    return [one.name for one in threading.enumerate() if one.name.startswith("page-ahead")]


def seen(pages):
    return [record.key for page in pages for record in page.records]


def into(found, pages):
    """Page by page, so that those before an error are there."""
    for page in pages:
        found.append(page)


def shown(pages):
    return [(tuple(page.records), page.cursor, page.complete) for page in pages]


def test_as_many_pages_are_under_way_as_the_manifest_says_and_no_more(watched):
    system = watched()
    keys = system.fill(10 * SIZE)
    together = threading.Barrier(4)
    system.first = lambda page: together.wait(20) and None if 2 <= page <= 5 else None
    assert seen(system.open().read("customers", None, Scan.FULL)) == keys
    assert system.most == 4
    assert max(system.asked) == 10, "the total says where the end is"
    assert Counter(system.asked) - Counter(range(1, 11)) <= Counter([10])


def test_a_scan_of_one_page_is_one_request(watched):
    system = watched()
    keys = system.fill(SIZE)
    assert seen(system.open().read("customers", None, Scan.FULL)) == keys
    assert system.asked == [1]


@pytest.mark.parametrize(("paging", "total"), [("page", True), ("offset", True), ("offset", False)])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_goes_wrong_the_pages_are_those_of_one_at_a_time(watched, paging, total, seed):
    system = watched(paging=paging, stamps=False, pages_at_once=2 + seed % 4)
    system.fill(8 * SIZE + seed % 3)
    manifest = json.loads(system.profile.manifest().partition("\n")[2])
    read = manifest["streams"]["customers"]["read"]
    if not total:
        del read["paging"]["total"]
    many = open_system(load_manifest(json.dumps(manifest)), system.connection, system.clock)
    del read["pages_at_once"]
    one = open_system(load_manifest(json.dumps(manifest)), system.connection, system.clock)
    wanted = shown(one.read("customers", None, Scan.FULL))
    system.storm(seed, reads=0.4, read_troubles=SPOILT)
    found, cursor = [], None
    for _ in range(200):
        try:
            for page in many.read("customers", cursor, Scan.FULL):
                found.append(page)
                cursor = page.cursor
            break
        except ConnectorError:
            continue  # a run that failed, and the next one
    assert shown(found) == wanted
    assert system.met


@pytest.mark.parametrize("order", ["key", "oldest", "newest", "none"])
def test_no_row_is_missed_while_others_come_and_go(watched, order):
    system = watched(paging="offset", order=order)
    keys = system.fill(8 * SIZE)
    touched: set[str] = set()
    found: list[Page] = []
    for page in system.open().read("customers", None, Scan.FULL):
        found.append(page)
        if len(found) == 4:
            system.add(name="new")
        elif len(found) in (2, 6):
            gone, moved = sorted(set(keys) - touched, key=int)[:2]
            touched |= {gone, moved}
            system.remove(gone)
            system.edit(moved, name="moved")
    assert set(seen(found)) >= set(keys) - touched


def test_a_page_that_was_asked_for_too_early_is_asked_for_again(watched):
    """What comes at the front of the listing before a page is answered is not in the answers that are here already."""
    system = watched(order="newest")
    keys = system.fill(7 * SIZE)

    def come(page):
        if page == 2:
            system.wait(3, 4, 5, answered=True)
            system.add(name="new")

    system.first = come
    found = seen(system.open().read("customers", None, Scan.FULL))
    assert set(found) == set(keys)
    assert system.asked.count(1) == 1, "the scan does not begin again"


def test_a_page_that_cannot_be_read_comes_in_its_place_and_the_scan_goes_on_there(watched):
    system = watched()
    keys = system.fill(8 * SIZE)
    system.first = lambda page: Reply(200, b"<html>") if page == 4 else None
    found: list[Page] = []
    with pytest.raises(BadAnswer):
        into(found, system.open().read("customers", None, Scan.FULL))
    assert seen(found) == keys[: 3 * SIZE]
    assert not threads()
    system.first = lambda page: None
    rest = list(system.open().read("customers", found[-1].cursor, Scan.FULL))
    assert seen(found + rest) == keys


def test_a_long_pause_holds_up_all_pages_and_what_came_before_it_counts(watched):
    system = watched()
    keys = system.fill(8 * SIZE)

    def refuse(page):
        if page != 4:
            return None
        system.wait(2, 3)
        return Reply(429, b"{}", {"Retry-After": "600"})

    system.first = refuse
    found: list[Page] = []
    with pytest.raises(RateLimited) as caught:
        into(found, system.open().read("customers", None, Scan.FULL))
    assert seen(found) == keys[: 3 * SIZE]
    assert caught.value.retry_after is not None
    assert timedelta(seconds=590) < caught.value.retry_after <= timedelta(seconds=600)
    assert system.asked.count(4) == 1, "nobody asks before the time is over"
    assert max(system.asked) <= 4 + 3


class Purse:
    """A budget that has little for whoever does not wait."""

    def __init__(self):
        self.left, self.spent, self.lock = 2, 0, threading.Lock()

    def acquire(self, priority=Priority.NORMAL, *, patient=True):
        with self.lock:
            if not patient and not self.left:
                raise RateLimited("nothing left", retry_after=timedelta(seconds=600))
            self.left -= not patient
            self.spent += 1

    def observe(self, headers, status):
        pass


def test_all_requests_come_out_of_one_budget(watched):
    system, purse = watched(), Purse()
    keys = system.fill(8 * SIZE)
    connector = open_system(system.manifest(), system.connection, system.clock, budget=purse)
    assert seen(connector.read("customers", None, Scan.FULL)) == keys
    assert purse.left == 0
    assert purse.spent == len(system.asked) == 8


def test_one_login_serves_all(watched):
    system = watched(auth="session")
    keys = system.fill(8 * SIZE)
    system.expire_tokens()
    pages = iter(system.open().read("customers", None, Scan.FULL))
    found = [next(pages), next(pages)]
    assert seen([*found, *pages]) == keys
    assert system.logins == 1


@pytest.mark.parametrize("end", ["closed", "interrupted", "forgotten"])
def test_whoever_stops_reading_leaves_no_thread(watched, end):
    system = watched()
    system.fill(10 * SIZE)
    pages = system.open().read("customers", None, Scan.FULL)
    next(pages), next(pages), next(pages)
    assert threads()
    if end == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            pages.throw(KeyboardInterrupt)
    elif end == "closed":
        pages.close()
    del pages
    assert not threads()


@pytest.mark.parametrize(
    ("paging", "allowed"),
    [
        ({"by": "keyset"}, "with paging by page or offset"),
        ({"by": "next", "next": "next"}, "with paging by page or offset"),
        ({"by": "none"}, "with paging by page or offset"),
        ({"by": "page"}, "`paging.total`"),
        ({"by": "offset", "size": 1}, "`paging.total`"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["by"],
)
def test_it_is_refused_where_pages_depend_on_each_other_or_shifts_do_not_show(paging, allowed):
    manifest = json.loads(Profile(paging="page", pages_at_once=2).manifest().partition("\n")[2])
    manifest["streams"]["customers"]["read"]["paging"] = paging
    with pytest.raises(ConfigurationMistakes) as caught:
        load_manifest(json.dumps(manifest, indent=1))
    (mistake,) = caught.value.mistakes
    assert mistake.path == "streams.customers.read.pages_at_once"
    assert f"`pages_at_once` with paging by {paging['by']}" in mistake.found
    assert allowed in mistake.allowed

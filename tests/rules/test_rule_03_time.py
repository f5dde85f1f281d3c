"""RULES 3: time is an interval on the hub's clock, and the newest is found in the whole set."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from crm_master.domain.attribution import attribute
from crm_master.domain.claims import Claim, ClaimKey, Interval, Observed, Shadow, interval
from crm_master.domain.fields import Mapped
from crm_master.domain.weighing import Held, most_recent
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import entity, mapping
from tests.rules.world import Setting

NAME = ClaimKey("name")
SPEC = entity_spec(entity())
READ = Observed(seq=9, watermark=100, started=195, ended=200)
RANK = {"erp": 0, "shop": 1, "list": 2}


class Case(NamedTuple):
    title: str
    observed: Observed
    confirmed_at: int
    expected: Interval


CASES = [
    Case("between the previous read and the end of this one", READ, 0, Interval(100, 200)),
    Case("not before our last settled write", READ, 150, Interval(150, 200)),
    Case("a settled write before the watermark does not matter", READ, 50, Interval(100, 200)),
    Case("a record's stamp narrows the end", replace(READ, stamp=120), 0, Interval(100, 120)),
    Case("a stamp with its skew", replace(READ, stamp=120, skew=15), 0, Interval(100, 135)),
    Case(
        "a stamp narrows the end only: the field may have changed earlier",
        replace(READ, stamp=199),
        0,
        Interval(100, 199),
    ),
    Case(
        "a stamp after the end of the read narrows nothing",
        replace(READ, stamp=500),
        0,
        Interval(100, 200),
    ),
    Case(
        "a stamp before the beginning shows a wrong clock",
        replace(READ, stamp=7),
        0,
        Interval(100, 200),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_rule_03_an_edit_was_made_between_lo_and_hi(case: Case) -> None:
    assert interval(case.observed, Shadow(confirmed_at=case.confirmed_at)) == case.expected


def _first_sight(observed: Observed) -> Claim:
    mapped = mapping().apply({"name": "Ada"}, full_payload=True)
    assert isinstance(mapped, Mapped)
    return attribute(mapped, {}, Shadow(), mapping(), SPEC, observed).claims[NAME]


def test_rule_03_at_first_sight_a_claim_is_as_old_as_the_records_stamp() -> None:
    claim = _first_sight(replace(READ, stamp=42, skew=5))
    assert (claim.lo, claim.hi) == (42, 42)


def test_rule_03_at_first_sight_a_claim_without_a_stamp_is_older_than_everything() -> None:
    claim = _first_sight(READ)
    assert (claim.lo, claim.hi) == (0, 0)


def test_rule_03_at_first_sight_a_stamp_from_the_future_is_no_later_than_the_read() -> None:
    """A clock that runs ahead must not win against every edit until its time has come."""
    claim = _first_sight(replace(READ, stamp=10_000))
    assert (claim.lo, claim.hi) == (200, 200)


def _held(record: str, lo: int, hi: int, system: str = "erp") -> Held:
    return Held(Claim(record, lo, hi, seq=1, born=1), system, record)


class Contest(NamedTuple):
    title: str
    claims: list[Held]
    winner: str


CONTESTS = [
    Contest("the later interval", [_held("a", 1, 2), _held("b", 3, 4)], "b"),
    Contest(
        "a point inside an interval is concurrent: rank decides",
        [_held("a", 5, 5, "list"), _held("b", 1, 9, "shop")],
        "b",
    ),
    Contest(
        "equal rank: the smaller record id",
        [_held("b", 1, 9), _held("a", 5, 6)],
        "a",
    ),
    Contest(
        "touching intervals are concurrent",
        [_held("a", 1, 5, "shop"), _held("b", 5, 9, "list")],
        "a",
    ),
    Contest(
        "what is seen twice at first sight: rank decides",
        [_held("a", 0, 0, "list"), _held("b", 0, 0, "erp")],
        "b",
    ),
    Contest(
        # a overlaps b, b overlaps c, yet a is over before c begins: pairwise, each would beat the next
        "the whole set, not pairwise",
        [_held("a", 1, 4, "erp"), _held("b", 3, 8, "shop"), _held("c", 6, 9, "list")],
        "b",
    ),
]


@pytest.mark.parametrize("case", CONTESTS, ids=lambda case: case.title)
def test_rule_03_most_recent_works_on_the_whole_set_not_pairwise(case: Contest) -> None:
    assert most_recent(case.claims, RANK).record == case.winner
    assert most_recent(case.claims[::-1], RANK).record == case.winner


def test_rule_03_an_edit_beats_what_was_there_at_first_sight(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="From the ERP", mail="ada@example.org")
    hub.shop.add("s1", name="From the shop", mail="ada@example.org")
    hub.settle()
    assert hub.shop["s1"]["name"] == "From the ERP", "concurrent at first sight: rank"

    hub.shop.edit("s1", name="Edited in the shop")
    hub.round()

    assert hub.erp["e1"]["name"] == "Edited in the shop"


@pytest.mark.parametrize("order", [("erp", "shop"), ("shop", "erp")])
def test_rule_03_the_later_of_two_edits_wins_whichever_is_polled_first(
    world: MakeWorld, order: tuple[str, str]
) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", name="First")
    hub.ingest("erp")
    hub.clock.sleep(10)
    hub.ingest("shop")  # nothing yet: what the shop shows next is newer than the ERP's edit
    hub.shop.edit("s1", name="Second")

    hub.round(*order)

    assert hub.golden["name"] == "Second"


def test_rule_03_polling_late_blurs_and_rank_decides(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", name="First")
    hub.clock.sleep(1000)
    hub.shop.edit("s1", name="Second")

    hub.round()

    assert hub.golden["name"] == "First", "both fall between the same two reads"


def test_rule_03_record_stamps_sharpen_what_polling_blurs(world: MakeWorld) -> None:
    """The ERP's stamp ends its claim before the shop's can have begun: a read of the shop lies between."""
    hub = world("erp", "shop", erp=Setting(skew=1_000))
    hub.erp.stamps = True
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", name="First")
    hub.clock.sleep(100)
    hub.ingest("shop")
    hub.shop.edit("s1", name="Second")

    hub.round()

    assert hub.golden["name"] == "Second"


def test_rule_03_an_edit_is_dated_from_the_beginning_of_the_look_before_it(
    world: MakeWorld,
) -> None:
    """The look finds what a lost answer has not told. The edit falls between it and the end of the delivery."""
    hub = world("erp", "shop", erp=Setting(skew=0))
    hub.erp.stamps = True
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s1", phone="2")
    hub.hear("shop")
    hub.erp.losses = ["done"]
    hub.deliver("erp")
    hub.clock.sleep(60)
    hub.erp.meanwhile = lambda: hub.erp.edit("e1", name="First")
    hub.deliver("erp")
    hub.ingest("shop")
    hub.shop.edit("s1", name="Second")

    hub.round()

    assert hub.golden["name"] == "Second"
    assert hub.rebuilt().equal

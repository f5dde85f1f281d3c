"""The benchmark measures what it says: its pieces that need no yardstick, on few rows, and how figures meet goals."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bench import figures
from bench.child import Child
from bench.figures import Figure
from bench.loads import Bench, curve, floor, reading_at_once
from bench.quota import delivering, latency
from bench.stage import databases


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Child("bench.api") as api:
        yield Bench(api, 600, 1, lambda text: None)


def test_the_curve_has_a_point_for_each_size(bench: Bench) -> None:
    found, points = curve(bench, [50, 550, 650], "sqlite")
    assert [point["records"] for point in points] == [50, 550, 650]
    assert all(point["us"] > 0 and 0 < point["peak"] < 400 for point in points)
    assert [figure.met for figure in found if "memory" in figure.name] == [True]


def test_what_is_read_again_is_all_that_there_is_and_costs_no_write(bench: Bench) -> None:
    with databases("sqlite") as new, bench.hub(new()) as hub:
        bench.api.ask("rows 600")
        assert [hub.ask(verb)["records"] for verb in ("load", "reread")] == [600, 600]
        assert hub.ask("deliver")["records"] == 600
        before = bench.api.ask("change")["writes"]
        hub.ask("reread")
        assert hub.ask("deliver")["records"] == 0, "nobody is made twice"
        assert bench.api.ask("quota 0")["writes"] - before == 6, "one in a hundred has changed"


def test_the_floor_saves_every_row_once(bench: Bench) -> None:
    bench.api.ask("rows 600")
    with databases("sqlite") as new:
        place = new()
        assert [floor(bench.url, place)["records"] for _ in range(2)] == [600, 600]


def test_pages_at_once_hold_every_row_as_one_at_a_time_does(bench: Bench) -> None:
    (figure,) = reading_at_once(bench, 1_700, 3)  # which raises if one of them does not
    assert figure.value > 0


def test_a_quota_is_kept_and_an_edit_arrives(bench: Bench) -> None:
    (delivered,) = delivering(bench, quota=20, seconds=2)
    assert delivered.value > 0
    assert delivered.more["refused"] == 0, "no second had more than 20"
    (arrival,) = latency(bench, stored=10, edits=2)
    assert arrival.value > 0


@pytest.mark.parametrize(
    ("ratio", "goals", "met"),
    [
        (2.0, {"at_least": 2}, True),
        (1.9, {"at_least": 2}, False),
        (1.0, {"at_most": 1}, True),
        (1.1, {"at_most": 1}, False),
        (3.0, {}, None),
        (None, {"at_least": 1}, None),
    ],
)
def test_a_figure_meets_its_goal_or_not(ratio, goals, met) -> None:
    assert Figure("load", 1, "records/s", "", ratio, **goals).met is met


def test_the_figures_of_a_part_replace_its_former_ones_and_no_others(tmp_path) -> None:
    path = tmp_path / "results" / "latest.json"
    figures.write("curve", 9, [Figure("cost", 3.0, "µs")], [{"records": 9}], path)
    for value in (7.0, 1.0):
        again = Figure("load", value, "records/s", "dlt 2", 0.5, at_least=1)
        figures.write("sqlite", 9, [again], [], path)
    written = json.loads(path.read_text())
    assert written["curve"] == [{"records": 9}]
    other, kept = written["figures"]
    assert (other["part"], other["value"], kept["value"]) == ("curve", 3.0, 1.0)
    assert kept["goal"] == "at least 1"
    assert kept["met"] is False
    assert kept["yardstick"] == "dlt 2"

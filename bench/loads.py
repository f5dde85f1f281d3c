"""Reading, loading and reading again: Concord beside the floor, dlt and airbyte-cdk, on the same API and database."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.child import Child
from bench.figures import Figure
from bench.shares import shares
from bench.stage import databases, plain

ROOT = Path(__file__).parents[1]
YARDSTICKS = ROOT / "bench" / "yardsticks"
THEIR_PYTHON = ROOT / ".bench" / "bin" / "python"
"""Where dlt and airbyte-cdk are installed."""

Told = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """One measurement: so many rows, each of the short pieces so many times."""

    api: Child
    rows: int
    times: int
    say: Say

    @property
    def url(self) -> str:
        """Of what is read."""
        return str(self.api.hello["url"])

    def hub(self, database: str, quota: int = 0) -> Child:
        """A hub of its own, which has joined its systems while there were no rows."""
        self.api.ask("empty")
        return Child("bench.hub", self.url, self.api.hello["shop"], database, quota)

    def best(self, what: str, work: Callable[[], Told]) -> Told:
        """The quickest of the runs: whatever else the machine did made the others longer."""
        found = min((work() for _ in range(self.times)), key=lambda told: float(told["seconds"]))
        self.say(f"{what}: {rate(found):,.0f} a second, {micros(found):.1f} µs of CPU each")
        return found


def rate(told: Told) -> float:
    """Records a second."""
    return float(told["records"]) / float(told["seconds"])


def micros(told: Told) -> float:
    """Microseconds of CPU a record."""
    return 1e6 * float(told["cpu"]) / max(1, int(told["records"]))


def run(python: Path | str, *arguments: str | Path) -> Told:
    """A process that says in the last line of its output what it did."""
    done = subprocess.run(
        [str(python), *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: Told = json.loads(done.stdout.splitlines()[-1])
    return found


def floor(url: str, database: str) -> Told:
    return run(sys.executable, "-m", "bench.floor", url, plain(database))


def dlt(url: str, database: str) -> Told:
    with tempfile.TemporaryDirectory(prefix="concord-bench-dlt-") as folder:
        place = plain(database)
        return run(THEIR_PYTHON, YARDSTICKS / "dlt_load.py", url, place, folder)


def airbyte(url: str) -> Told:
    return run(THEIR_PYTHON, YARDSTICKS / "airbyte_read.py", url)


def reading(bench: Bench) -> list[Figure]:
    """Through a manifest, and nothing done with it."""
    bench.api.ask(f"rows {bench.rows}")
    ours = bench.best(
        "read, Concord", lambda: run(sys.executable, "-m", "bench.reading", bench.url)
    )
    theirs = bench.best("read, airbyte-cdk", lambda: airbyte(bench.url))
    return [
        Figure(
            "read through a manifest",
            rate(ours),
            "records/s",
            f"airbyte-cdk {rate(theirs):,.0f}",
            rate(ours) / rate(theirs),
            at_least=2,
        )
    ]


def reading_at_once(bench: Bench, rows: int, pages: int) -> list[Figure]:
    """From a system that is far away: so many pages at once, beside one at a time."""
    bench.api.ask(f"rows {rows}")
    url = str(bench.api.hello["far"])

    def read(many: int) -> Told:
        what = f"read from afar, {many} at once"
        return bench.best(what, lambda: run(sys.executable, "-m", "bench.reading", url, str(many)))

    one, several = read(1), read(pages)
    if one["records"] != rows or several["records"] != rows:
        raise RuntimeError(f"{one['records']} and {several['records']} of {rows} rows were read")
    return [
        Figure(
            f"read {pages} pages at once, each 50 ms away",
            rate(several),
            "records/s",
            f"one at a time {rate(one):,.0f}",
            rate(several) / rate(one),
        )
    ]


def loading(bench: Bench, kind: str) -> list[Figure]:
    """A first load, and reading everything again when nothing, and when 1 %, has changed."""
    bench.api.ask(f"rows {bench.rows}")
    with databases(kind) as new:
        kept = new()
        theirs = bench.best(f"load, dlt, {kind}", lambda: dlt(bench.url, new()))
        least = bench.best(f"load, floor, {kind}", lambda: floor(bench.url, new()))
        floor(bench.url, kept)
        again = bench.best(f"again, floor, {kind}", lambda: floor(bench.url, kept))
        with bench.hub(new()) as hub:
            bench.api.ask(f"rows {bench.rows}")
            loaded = hub.ask("load")
            bench.say(
                f"load, Concord, {kind}: {rate(loaded):,.0f} a second, {micros(loaded):.1f} µs of CPU each"
            )
            same = bench.best(f"again, Concord, {kind}", lambda: hub.ask("reread"))

            def changed() -> Told:
                bench.api.ask("change")
                return hub.ask("reread")

            some = bench.best(f"1 % changed, Concord, {kind}", changed)
        # once more, and smaller, to be looked at: the look takes time itself
        with bench.hub(new()) as hub:
            bench.api.ask(f"rows {bench.rows // 10}")
            with shares(THEIR_PYTHON.with_name("py-spy"), hub.pid) as where:
                hub.ask("load")
    return [
        Figure(
            f"first load, {kind}",
            rate(loaded),
            "records/s",
            f"dlt {rate(theirs):,.0f}, floor {rate(least):,.0f}",
            rate(loaded) / rate(theirs),
            at_least=1,
            more={
                "cpu_us": micros(loaded),
                "dlt_cpu_us": micros(theirs),
                "shares": where,
            },
        ),
        Figure(
            f"read again, unchanged, {kind}",
            1e6 / rate(same),
            "µs/record",
            f"floor {1e6 / rate(again):.1f}",
            rate(again) / rate(same),
            at_most=1,
            more={"cpu_us": micros(same), "floor_cpu_us": micros(again)},
        ),
        Figure(
            f"read again, 1 % changed, {kind}",
            1e6 / rate(some),
            "µs/record",
            f"unchanged {1e6 / rate(same):.1f}",
            rate(same) / rate(some),
            at_most=1.3,
            more={"cpu_us": micros(some)},
        ),
        Figure(
            f"peak memory, {kind}",
            max(told["peak"] for told in (loaded, same, some)),
            "MiB",
            "400 MiB",
            max(told["peak"] for told in (loaded, same, some)) / 400,
            at_most=1,
        ),
    ]


def curve(bench: Bench, sizes: list[int], kind: str) -> tuple[list[Figure], list[Told]]:
    """What a record costs when so many are stored already: each step loads up to the next size."""
    points: list[Told] = []
    with databases(kind) as new, bench.hub(new()) as hub:
        stored = 0
        for size in sizes:
            bench.api.ask(f"rows {size}")
            told = hub.ask("load")
            added = size - stored
            point = {
                "records": size,
                "us": 1e6 * told["cpu"] / added,
                "seconds": told["seconds"],
                "peak": told["peak"],
            }
            bench.say(
                f"{size} records stored: {point['us']:.0f} µs of CPU for each new one, {told['peak']} MiB"
            )
            points.append(point)
            stored = size
    costs = [point["us"] for point in points[1:]]
    return [
        Figure(
            f"cost of a record at {sizes[-1]:,}",
            costs[-1],
            "µs of CPU",
            f"at {sizes[1]:,}: {costs[0]:.0f}",
            costs[-1] / costs[0],
            at_most=1.3,
        ),
        Figure(
            f"peak memory at {sizes[-1]:,}",
            max(point["peak"] for point in points),
            "MiB",
            "400 MiB",
            max(point["peak"] for point in points) / 400,
            at_most=1,
        ),
    ], points

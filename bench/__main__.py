"""``make bench``: what Concord costs, beside what a user would pick instead, measured in the same run.

Prints a table and writes ``bench/results/latest.json`` and ``docs/performance.svg``. A goal that is not met is no error:
the table says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.child import Child
from bench.figures import LATEST, Figure, table, write
from bench.loads import (
    THEIR_PYTHON,
    YARDSTICKS,
    Bench,
    Told,
    curve,
    loading,
    reading,
    reading_at_once,
    run,
)
from bench.orchestration import orchestrating
from bench.quota import delivering, latency

PICTURE = Path(__file__).parents[1] / "docs" / "performance.svg"
SIZES = (1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


def main() -> int:
    """Measure all that was asked for. Status 0 unless something could not be measured."""
    parser = argparse.ArgumentParser(description="Measure Concord beside its yardsticks.")
    parser.add_argument("--rows", type=int, default=100_000, help="of a first load")
    parser.add_argument("--times", type=int, default=3, help="how often the short pieces are run")
    parser.add_argument("--curve", type=int, default=100_000, help="how many records it ends at")
    parser.add_argument("--only", nargs="*", default=(), help="some of the parts")
    chosen = parser.parse_args()
    began = time.monotonic()
    points: list[Told] = []
    with Child("bench.api") as api:
        bench = Bench(api, chosen.rows, chosen.times, lambda text: _say(began, text))

        def curved() -> list[Figure]:
            sizes = [size for size in SIZES if size <= max(chosen.curve, SIZES[1])]
            found, measured = curve(bench, sizes, "sqlite")
            points.extend(measured)
            return found

        parts: dict[str, Callable[[], list[Figure]]] = {
            "reading": lambda: reading(bench),
            "pages": lambda: reading_at_once(bench, 20_000, 4),
            "sqlite": lambda: loading(bench, "sqlite"),
            "postgres": lambda: loading(bench, "postgres"),
            "curve": curved,
            "quota": lambda: delivering(bench, 50, 30),
            "latency": lambda: latency(bench, 10_000, 30),
            "airflow": lambda: orchestrating(bench),
        }
        if unknown := set(chosen.only) - parts.keys():
            parser.error(
                f"no such parts: {', '.join(sorted(unknown))}; there are {', '.join(parts)}"
            )
        figures = []
        for name, part in parts.items():
            if name in (chosen.only or parts):
                found = part()
                figures += found
                write(name, bench.rows, found, points)
    table(figures)
    run(THEIR_PYTHON, YARDSTICKS / "plot.py", LATEST, PICTURE)
    return 0


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

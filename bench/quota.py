"""How much of a system's quota deliveries use, and how long an edit takes to arrive."""

from __future__ import annotations

from statistics import median

from bench.figures import Figure
from bench.loads import Bench, rate
from bench.stage import databases


def delivering(bench: Bench, quota: int, seconds: int) -> list[Figure]:
    """Customers created in a shop that takes so many requests a second and answers 429 beyond."""
    with databases("sqlite") as new, bench.hub(new(), quota) as hub:
        bench.api.ask(f"rows {quota * seconds}")
        hub.ask("load")
        before = bench.api.ask(f"quota {quota}")
        told = hub.ask("deliver")
        after = bench.api.ask("quota 0")
    refused = after["refused"] - before["refused"]
    bench.say(f"delivering within {quota} a second: {rate(told):.0f}, {refused} answered 429")
    return [
        Figure(
            f"delivered within a quota of {quota}/s",
            rate(told),
            "records/s",
            f"quota {quota}",
            rate(told) / quota,
            at_least=0.9,
            more={"refused": refused, "cpu_us": 1e6 * told["cpu"] / told["records"]},
        )
    ]


def latency(bench: Bench, stored: int, edits: int) -> list[Figure]:
    """From a customer's appearance in one system to its arrival in the other, by rounds without Airflow."""
    taken = []
    with databases("sqlite") as new, bench.hub(new()) as hub:
        bench.api.ask(f"rows {stored}")
        hub.ask("load")
        hub.ask("deliver")
        for place in range(1, edits + 1):
            bench.api.ask(f"rows {stored + place}")
            told = hub.ask("arrive")
            if told["records"] != 1:
                raise RuntimeError(f"{told['records']} changes arrived, 1 was made")
            taken.append(told["seconds"] * 1000)
    bench.say(f"an edit arrives after {median(taken):.0f} ms")
    return [
        Figure(
            f"from an edit to its arrival, {stored:,} stored",
            median(taken),
            "ms",
            f"longest of {edits}: {max(taken):.0f} ms",
        )
    ]

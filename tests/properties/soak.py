"""Thousands of histories by chance: ``make soak HISTORIES=10000 SEED=7``, of customers or (``KIND=trade``) of their orders.

They run in parts of 25, each with a seed of its own, in two processes that are replaced as they age. A history that fails is
printed step by step, with the command that plays its part again.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import resource
import signal
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NoReturn

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.machine import Histories
from tests.properties.promises import figures
from tests.properties.shelf import tidy
from tests.properties.trading import Trading

PART = 25
STEPS = 30
PARTS_PER_PROCESS = 20
KINDS = {"customers": Histories, "trade": Trading}


@dataclass(frozen=True)
class Part:
    """What became of one part: its figures, the memory of its process in MiB, and what failed, if anything did."""

    seed: int
    figures: Counter[str]
    memory: int
    failure: str = ""


def ready() -> None:
    """Make a process of the pool ready."""
    # The modules stay for good, and a history leaves few cycles: to look through all of that at the default rate takes an
    # eighth of a history's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    signal.signal(signal.SIGTERM, _gone)


def _gone(number: int, _frame: object) -> NoReturn:
    """End at once, and leave no databases behind: nobody catches this as an error of a history."""
    tidy()
    os._exit(128 + number)


def _stopped(number: int, _frame: object) -> NoReturn:
    """End as after an error: so the pool ends its processes."""
    raise SystemExit(128 + number)


def play(part: tuple[str, int, int]) -> Part:
    """Play the histories of one seed. The first that fails ends them; it is not made smaller, which would take minutes."""
    kind, number, histories = part
    figures.clear()
    failure, said = "", io.StringIO()
    how = settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
    )
    try:
        with redirect_stdout(said):
            run_state_machine_as_test(seed(number)(KINDS[kind]), settings=how)
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        failure = f"{type(error).__name__}: {error}\n{notes}\n{said.getvalue()}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Part(number, Counter(figures), memory, failure)


def soak(kind: str, histories: int, first: int, processes: int) -> int:
    """Play ``histories`` of a kind from seed ``first`` on; the number of parts that failed."""
    parts = [
        (kind, first + place, min(PART, histories - place * PART))
        for place in range(-(-histories // PART))
    ]
    total: Counter[str] = Counter()
    failed, memory, began = 0, 0, time.monotonic()
    # not of concurrent.futures, which can wait for ever once it has to replace its processes
    with get_context("spawn").Pool(processes, ready, maxtasksperchild=PARTS_PER_PROCESS) as pool:
        for done, part in enumerate(pool.imap_unordered(play, parts), 1):
            total += part.figures
            memory = max(memory, part.memory)
            if part.failure:
                failed += 1
                again = f"make soak KIND={kind} HISTORIES={PART} SEED={part.seed}"
                print(f"\n{part.failure}\nPlay it again: {again}\n", flush=True)  # noqa: T201
            seconds = time.monotonic() - began
            line = f"{total['histories']} histories in {seconds:.0f} s, seed {part.seed}, {failed} failed"
            end = "\r" if sys.stdout.isatty() and done < len(parts) else "\n"
            if end == "\r" or done == len(parts) or done % 4 == 0:
                print(line, end=end, flush=True)  # noqa: T201
        pool.close()
        pool.join()  # so that they clear up
    rest = ", ".join(
        f"{number} {name}" for name, number in sorted(total.items()) if name != "histories"
    )
    verdict = "all promises held" if not failed else f"{failed} FAILED"
    print(  # noqa: T201
        f"{total['histories']} histories of {kind}, seeds {first} to {first + len(parts) - 1}: {verdict}; {rest}; "
        f"largest process {memory} MiB"
    )
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Play histories by chance.")
    parser.add_argument("--kind", choices=KINDS, default="customers")
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, _stopped)
    return 1 if soak(chosen.kind, chosen.histories, chosen.seed, chosen.processes) else 0


if __name__ == "__main__":
    raise SystemExit(main())

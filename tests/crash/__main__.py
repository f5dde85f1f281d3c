"""Every scenario killed at every one of its points: ``python -m tests.crash [--postgres] [SCENARIO ...]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from examples import peers
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Master, PostgresMaster, Scenario, SqliteMaster
from tests.crash.theatre import Theatre


def main() -> int:
    """Play everything; how many plays did not end as they should."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--postgres", action="store_true", help="with the master on PostgreSQL")
    parser.add_argument("scenarios", nargs="*", help="all, if none is named")
    asked = parser.parse_args()
    named = tuple(s for s in SCENARIOS if s.name in asked.scenarios or not asked.scenarios)
    memory = Path("/dev/shm")
    failed = done = 0
    with ExitStack() as stack:
        url = stack.enter_context(peers.postgres()).url if asked.postgres else ""
        folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        home = Path(stack.enter_context(folder))

        def master(folder: Path, scenario: Scenario) -> Master:
            if url:
                return PostgresMaster(url, f"crash_{scenario.name}")
            return SqliteMaster(folder, made=scenario.made)

        theatre = Theatre(home, master, named)
        stack.callback(theatre.close)
        for name, play in theatre.plays.items():
            for number in range(len(play.points)):
                done += 1
                try:
                    play.die_at(number)
                except AssertionError as error:
                    failed += 1
                    print(f"\n{error}", *getattr(error, "__notes__", ()), sep="\n")  # noqa: T201
            print(f"{name}: killed at {len(play.points)} points")  # noqa: T201
    print(f"{done} deaths, {failed} of them with consequences")  # noqa: T201
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

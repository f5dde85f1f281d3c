"""A worker in a process of its own, to be killed: ``python -m tests.defects.worker HOME SYSTEM TIME``.

It delivers to one system, on a clock that begins at TIME (microseconds since 1970).
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from crm_master import entrypoints


def main(home: str, system: str, time: str) -> None:
    ticks = count(int(time))
    app = entrypoints.open_app(Path(home), clock=lambda: next(ticks))
    entrypoints.deliver(app, system)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Where the time of a piece of work goes: its thread is looked at again and again while it works."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EVERY = 0.005
"""Seconds between two looks."""
PARTS = (
    ("database", ("/sqlalchemy/", "/psycopg/", "/crm_master/store/")),
    ("fetch", ("/requests/", "/urllib3/", "/connectors/")),
    ("codecs", ("/mappings/", "/phonenumbers/", "/email_validator/")),
    ("matching", ("/domain/identity.py", "/engine/matching.py", "/engine/linker.py")),
    ("claims and rules", ("/crm_master/",)),
)
"""A look belongs to the first part that the innermost of its frames is of."""


@contextmanager
def shares() -> Iterator[dict[str, float]]:
    """The share of each part in what this thread does in the block; filled when it ends."""
    found: dict[str, float] = {}
    seen: Counter[str] = Counter()
    mine, over = threading.get_ident(), threading.Event()

    def look() -> None:
        while not over.wait(EVERY):
            seen[_part(sys._current_frames().get(mine))] += 1

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield found
    finally:
        over.set()
        looking.join()
        found.update({name: seen[name] / max(1, seen.total()) for name in sorted(seen)})


def _part(frame: FrameType | None) -> str:
    while frame is not None:
        for name, places in PARTS:
            if any(place in frame.f_code.co_filename for place in places):
                return name
        frame = frame.f_back
    return "other"

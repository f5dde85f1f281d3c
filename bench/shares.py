"""Where the time of a process goes, as py-spy sees it from outside: a thread inside would be let look at calls that wait."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTS = (
    ("database", ("sqlalchemy/", "psycopg", "crm_master/store/")),
    ("fetch", ("requests/", "urllib3/", "connectors/")),
    ("codecs", ("mappings/", "phonenumbers/", "email_validator/")),
    ("matching", ("domain/identity.py", "engine/matching.py", "engine/linker.py")),
    ("claims and rules", ("crm_master/",)),
)
"""A look belongs to the first part that the innermost of its frames is of."""


@contextmanager
def shares(spy: Path, process: int) -> Iterator[dict[str, float]]:
    """The share of each part in what a process does during the block; filled when it ends."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as folder:
        raw = Path(folder) / "stacks"
        command = [str(spy), "record", "--nonblocking", "--full-filenames", "--format", "raw"]
        looking = subprocess.Popen(
            [*command, "--output", str(raw), "--pid", str(process)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield found
        finally:
            looking.send_signal(signal.SIGINT)
            looking.wait()
        found.update(_shares(raw.read_text(encoding="utf-8")))


def _shares(stacks: str) -> dict[str, float]:
    seen: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, looks = line.rpartition(" ")
        seen[_part(stack.split(";"))] += int(looks)
    return {name: round(seen[name] / max(1, seen.total()), 3) for name in sorted(seen)}


def _part(frames: list[str]) -> str:
    for frame in reversed(frames):
        for name, places in PARTS:
            if any(place in frame for place in places):
                return name
    return "other"

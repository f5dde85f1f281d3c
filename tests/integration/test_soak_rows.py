"""``make soak-rows``, small: what it expects of a million rows holds for two thousand, and its memory is below its limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_sync_with_poison_is_right_and_small() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.rows", "--rows", "2000"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dead letters: 25\n" in done.stdout
    assert "golden records: 1990\n" in done.stdout
    assert done.stdout.rstrip().endswith("all right")

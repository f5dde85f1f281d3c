"""The demo, run as a visitor runs it: it ends by itself, says what happened, and the systems have converged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
@pytest.mark.slow
def test_the_demo_converges_and_tells_what_happened(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    told = ran.stdout
    assert ran.returncode == 0, told + ran.stderr
    figures = {
        row[0]: [int(cell) for cell in row[1:]]
        for row in (line.split() for line in told.splitlines())
        if len(row) == 9 and all(cell.isdigit() for cell in row[1:])
    }
    # read, linked, created, updated, unchanged, rejected, conflicts, in review
    assert figures["Tryton"] == [244, 120, 0, 66, 178, 5, 0, 3]
    assert figures["Mailman"] == [200, 120, 51, 98, 102, 0, 124, 0]
    assert re.search(r"Tryton +Mailman .*'Marie-Claire Dubois-Peeters'", told)
    assert re.search(r"Mailman +Tryton, party \d+ .* new\.address@example\.org", told)
    assert "0 differ." in told
    assert "0 came out different." in told
    assert "\nConverged, after " in told
    assert "\x1b" not in told
    # what it goes away with is not to be looked for afterwards
    assert "`concord dlq list` and `concord conflicts` list them;\nthis one goes when" in told
    assert list(tmp_path.iterdir()) == []

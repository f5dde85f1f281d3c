"""The demo, run as a visitor runs it: it ends by itself, tells its story, and all systems have converged."""

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
@pytest.mark.timeout(900)
def test_the_demo_tells_its_story_and_converges(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )

    told = ran.stdout
    assert ran.returncode == 0, told + ran.stderr
    figures = {
        row[0]: [int(cell) for cell in row[1:]]
        for row in (re.split(r"\s{2,}", line.strip()) for line in told.splitlines())
        if len(row) == 8 and all(cell.isdigit() for cell in row[1:])
    }
    # read, linked, created, updated, rejected, conflicts, in review
    assert figures == {
        "Tryton": [43, 34, 14, 27, 2, 15, 1],
        "Vendure": [19, 19, 0, 19, 0, 2, 0],
        "back office": [18, 18, 21, 18, 0, 1, 0],
        "call centre": [0, 0, 32, 0, 0, 0, 0],
        "Mailman": [33, 27, 9, 19, 0, 19, 0],
    }
    chapters = re.split(r"\n\d\. ", told)
    spellings, _, joined, order, complaint, conflict, shown, truth = chapters[1:]
    for spelling in (
        "Marie-Claire Peeters",
        "marie-claire + peeters",
        "PEETERS, Marie",
        "M. Peeters",
    ):
        assert spelling in spellings
    assert "M. Peeters" not in joined.partition("what each system holds of her now")[2]
    assert re.search(r"party (\d+) \(hers is \1\), 1 × G-1, 2 × W-1, 45\.50 net, processing", order)
    assert "her order is 'Shipped' now" in order
    assert re.search(
        r"customer (\d+) \(hers is \1\): complaint by phone, 'The gadget arrived broken'",
        complaint.replace("\n", ""),
    )
    assert "On record, and lost by the rule source_priority: erp/parties/" in conflict
    assert 'phone = "+3225558888"  [source_priority]' in shown
    assert re.search(r'     erp/parties/\d+: "\+3225557777"', shown)
    assert "concord sync   0 new or changed; 0 writes" in truth
    assert "0 differ." in truth
    assert "0 came out different." in truth
    assert "\nConverged, after " in told
    assert "\x1b" not in told
    assert list(tmp_path.iterdir()) == []

"""One measured piece of work, told in a line of JSON by the process that did it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measured(work: Callable[[], int]) -> dict[str, Any]:
    """Do it. Gives the number of records that it told of, its ``seconds``, those of ``cpu``, and the ``peak`` in MiB."""
    reset_peak()
    began, busy = time.perf_counter(), time.process_time()
    records = work()
    return {
        "records": records,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - busy,
        "peak": peak_mib(),
    }


def reset_peak() -> None:
    """Begin the kernel's peak of this process's resident size (``VmHWM``) anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mib() -> int:
    """The peak of this process's resident size since then, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

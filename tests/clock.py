"""The clock of a test in one process: the hub's, and that of the systems around it."""

from __future__ import annotations

import threading
from datetime import datetime

from crm_master.domain.claims import Instant
from crm_master.engine.ingest import moment

SECOND: Instant = 1_000_000
START: Instant = 1_700_000_000 * SECOND


class Clock:
    """To ask it takes a microsecond; all other time passes in ``sleep``. Safe to share between threads."""

    def __init__(self) -> None:
        self.now: Instant = START
        self._lock = threading.Lock()

    def __call__(self) -> Instant:
        with self._lock:
            self.now += 1
            return self.now

    def moment(self) -> datetime:
        return moment(self())

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += int(seconds * SECOND)

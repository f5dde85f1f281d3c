"""The rate budget of one credential."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import Protocol

from connectors.errors import RateLimited
from connectors.runtime.manifest import Limits


class Priority(IntEnum):
    """Who goes first when the budget is short."""

    BULK = 0  # scans
    NORMAL = 1  # deliveries
    URGENT = 2  # deletes, consent, people


class Budget(Protocol):
    """Hands out the right to send a request; shared by everyone who uses one credential."""

    def acquire(self, priority: Priority = Priority.NORMAL, *, patient: bool = True) -> None:
        """Wait for the right to send one request. Raises ``RateLimited`` if the wait would be too long.

        Whoever is not patient does not wait at all.
        """

    def observe(self, headers: Mapping[str, str], status: int) -> None:
        """Learn from an answer: ``Retry-After`` and the system's own rate headers."""


_SLACK = 0.03
"""Seconds by which a second is taken longer than it is: not all requests are under way for the same time."""


class TokenBucket:
    """A budget for one process.

    What was not sent while its process did something else is sent in a burst afterwards, and no second has more than the
    system allows, wherever it begins; a burst larger than that is on top of it. A share of the burst is kept for higher
    priorities. ``Retry-After`` and an exhausted budget close the bucket for everyone until the time that the system named.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        longest_wait: float = 30,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._limits = limits
        self._longest_wait = longest_wait
        self._monotonic, self._sleep, self._now = monotonic, sleep, now
        self._lock = threading.Lock()
        most = max(1, int(limits.per_second or 1))  # in a second, or in the time of one request
        self._burst = float(limits.burst or most)
        self._window = most / (limits.per_second or most) + _SLACK
        self._sent: deque[float] = deque(maxlen=most if self._burst <= most else 0)
        """When the requests of the last second were sent."""
        self._tokens = self._burst
        self._filled = monotonic()
        self._closed_until = 0.0

    def acquire(self, priority: Priority = Priority.NORMAL, *, patient: bool = True) -> None:
        """Wait for a token, leaving the reserve of higher priorities alone."""
        reserve = 0.1 * (Priority.URGENT - priority) * self._burst
        reserve = min(reserve, self._burst - 1)
        waited = 0.0
        while wait := self._take(reserve):
            if not patient or waited + wait > self._longest_wait:
                raise RateLimited(
                    "The rate budget of this system is used up.",
                    retry_after=timedelta(seconds=wait),
                )
            self._sleep(wait)
            waited += wait

    def _take(self, reserve: float) -> float:
        """Nothing to wait for, or the seconds until another look is worth it."""
        with self._lock:
            now = self._monotonic()
            if now < self._closed_until:
                return self._closed_until - now
            rate = self._limits.per_second
            if rate is None:
                return 0.0
            elapsed = max(0.0, now - self._filled)
            self._tokens = min(self._burst, self._tokens + elapsed * rate)
            self._filled = now
            missing = 1 + reserve - self._tokens
            if missing > 1e-9:
                return max(missing / rate, 0.001)
            if (full := self._full_until() - now) > 0:
                return max(full, 0.001)
            self._tokens -= 1
            self._sent.append(now)
            return 0.0

    def _full_until(self) -> float:
        """When the last second has room for another request."""
        if self._sent and len(self._sent) == self._sent.maxlen:
            return self._sent[0] + self._window
        return 0.0

    def observe(self, headers: Mapping[str, str], status: int) -> None:
        """Close the bucket for as long as the system asks."""
        names = self._limits.headers
        wait: float | None = None
        if status in (429, 503):
            wait = retry_after(headers, self._now())
        remaining = headers.get(names.remaining) if names.remaining else None
        if wait is None and remaining is not None and _number(remaining) == 0 and names.reset:
            reset = _number(headers.get(names.reset, ""))
            if reset is not None:
                # A number as large as this is a time, a smaller one a duration.
                wait = reset - self._now().timestamp() if reset > 1_000_000_000 else reset
        if wait is not None and wait > 0:
            with self._lock:
                self._closed_until = max(self._closed_until, self._monotonic() + wait)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that ``Retry-After`` asks for, written as seconds or as an HTTP date."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is None:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - now).total_seconds()
    return max(0.0, seconds)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None

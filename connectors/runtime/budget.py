"""The rate budget of one credential."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import IntEnum
from functools import partial
from typing import Protocol, TypeVar

from connectors.errors import RateLimited
from connectors.runtime.manifest import Limits

T = TypeVar("T")


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
        """A request has come to its end. Learn from its answer: ``Retry-After`` and the system's own rate headers."""


_SLACK = 0.03
"""Seconds by which a second is taken longer than it is: not all requests are under way for the same time."""
_GLANCE = 0.01
"""Seconds until another look, where it is not known when there is room."""
_GRAIN = 0.01
"""Requests of the same hundredth of a second are remembered as one moment."""
_FRESH = 0.03
"""Seconds for which requests may be taken ahead. What is not sent by then counts as sent."""


@dataclass(slots=True)
class Standing:
    """How a budget stands. Times are seconds, on the clock of those who share it."""

    tokens: float | None = None
    """Requests that may follow at once; ``None``: as many as ever."""
    filled: float = 0.0
    """When that was so."""
    closed_until: float = 0.0
    sent: list[tuple[float, int]] = field(default_factory=list)
    """When how many requests of the last second were sent."""


class Keeper(Protocol):
    """Keeps how a budget stands: in a process, or where every process that uses the credential sees it."""

    def __call__(self, change: Callable[[Standing], T]) -> T:
        """Let ``change`` look at it and alter it, one at a time. Gives what that gives."""


class TokenBucket:
    """A budget, of a process or, by another ``keep``, of all that share it.

    What was not sent while its users did something else is sent in a burst afterwards, and no second has more than the
    system allows, wherever it begins: of its own process, a request counts until a second after its answer, because it
    arrived at some time before that. A burst larger than a second's is on top of it. A share of the burst is kept for higher
    priorities. ``Retry-After`` and an exhausted budget close the bucket for everyone until the time that the system named.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        longest_wait: float = 30,
        keep: Keeper | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``clock``: in seconds, of all that share what is kept."""
        self._limits = limits
        self._longest_wait = longest_wait
        self._clock, self._sleep, self._now = clock, sleep, now
        self._lock = threading.Lock()
        most = max(1, int(limits.per_second or 1))  # in a second, or in the time of one request
        self._burst = float(limits.burst or most)
        self._most = most if limits.per_second and self._burst <= most else None
        own = Standing()
        self._keep: Keeper = keep or (lambda change: change(own))
        # to ask others costs more than a request may: whoever sends quickly asks for more at a time
        self._most_ahead = max(1, int(most * _FRESH)) if keep else 1
        self._ahead, self._taken, self._asked = 0, 1, -_FRESH
        late = _FRESH if self._most_ahead > 1 else 0.0
        self._second = most / (limits.per_second or most)
        self._window = self._second + _SLACK + late
        self._under_way = 0
        self._answered: deque[float] = deque()
        """When this process's requests of the last second were answered."""

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
            if full := self._full_for(self._clock()):
                return full
            took = self._clock() - self._asked
            if self._ahead and took < _FRESH:
                self._ahead -= 1
                self._under_way += 1
                return 0.0
            # what is sent in half of that time, as quickly as the last were: hardly any of it is lost
            wanted = int(self._taken * min(2, _FRESH / 2 / max(took, 1e-6)))
            wanted = min(max(1, wanted), self._most_ahead)
            given, wait = self._keep(partial(self._give, reserve, wanted))
            if given:
                self._ahead, self._taken, self._asked = given - 1, given, self._clock()
                self._under_way += 1
            return wait

    def _full_for(self, now: float) -> float:
        """The seconds until this process has room for another request in the last second."""
        # a clock that was put back has nobody wait for it
        while self._answered and not now - self._second < self._answered[0] <= now:
            self._answered.popleft()
        if self._most is None or self._under_way + len(self._answered) < self._most:
            return 0.0
        return max(self._answered[0] + self._second - now, 0.001) if self._answered else _GLANCE

    def _give(self, reserve: float, wanted: int, standing: Standing) -> tuple[int, float]:
        """How many may be sent at once, or how long to wait."""
        now, rate = self._clock(), self._limits.per_second
        if now < standing.closed_until:
            return 0, standing.closed_until - now
        if rate is None:
            return 1, 0.0
        had = self._burst if standing.tokens is None else standing.tokens
        # a clock that was put back has nobody wait for it
        elapsed = max(0.0, now - standing.filled)
        tokens = standing.tokens = min(self._burst, had + elapsed * rate)
        standing.filled = now
        standing.sent = [one for one in standing.sent if now - self._window < one[0] <= now]
        missing = 1 + reserve - tokens
        if missing > 1e-9:
            return 0, max(missing / rate, 0.001)
        room = wanted if self._most is None else self._most - sum(n for _, n in standing.sent)
        if room < 1:
            return 0, max(standing.sent[0][0] + self._window - now, 0.001)
        given = min(wanted, room, int(tokens - reserve + 1e-9))
        standing.tokens = tokens - given
        if self._most is not None:
            near = standing.sent and int(standing.sent[-1][0] / _GRAIN) == int(now / _GRAIN)
            standing.sent.append((now, given + (standing.sent.pop()[1] if near else 0)))
        return given, 0.0

    def observe(self, headers: Mapping[str, str], status: int) -> None:
        """Count the request, and close the bucket for as long as the system asks."""
        if self._most is not None:
            with self._lock:
                self._under_way -= 1
                self._answered.append(self._clock())
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
                self._ahead = 0
                self._keep(partial(self._close, wait))

    def _close(self, seconds: float, standing: Standing) -> None:
        standing.closed_until = max(standing.closed_until, self._clock() + seconds)


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

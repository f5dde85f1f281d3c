"""The rate budget of one process."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.errors import RateLimited
from connectors.runtime.budget import Priority, TokenBucket, retry_after
from connectors.runtime.manifest import Limits, RateHeaders

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Time:
    def __init__(self):
        self.now, self.slept = 100.0, 0.0

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds


def _bucket(time, **limits):
    return TokenBucket(
        Limits(**limits),
        longest_wait=30,
        monotonic=lambda: time.now,
        sleep=time.sleep,
        now=lambda: NOW + timedelta(seconds=time.now - 100),
    )


def test_the_rate_is_kept_after_the_burst():
    time = Time()
    bucket = _bucket(time, per_second=2, burst=5)
    for _ in range(9):
        bucket.acquire(priority=Priority.URGENT)
    assert time.slept == pytest.approx(2, abs=0.05)


def test_a_share_is_kept_for_what_is_urgent():
    time = Time()
    bucket = _bucket(time, per_second=1, burst=10)
    for _ in range(8):
        bucket.acquire(priority=Priority.BULK)
    assert time.slept == 0
    bucket.acquire(priority=Priority.URGENT)
    assert time.slept == 0
    bucket.acquire(priority=Priority.BULK)
    assert time.slept > 1


def test_retry_after_closes_the_bucket_for_everybody():
    time = Time()
    bucket = _bucket(time)
    bucket.observe({"Retry-After": "7"}, 429)
    bucket.acquire()
    assert time.slept == pytest.approx(7)


def test_a_long_wait_is_no_sleep_but_an_error():
    time = Time()
    bucket = _bucket(time)
    bucket.observe({"Retry-After": "600"}, 503)
    with pytest.raises(RateLimited) as caught:
        bucket.acquire()
    assert caught.value.retry_after == timedelta(seconds=600)
    assert time.slept == 0


@pytest.mark.parametrize("reset", ["9", str(int(NOW.timestamp()) + 9)])
def test_an_exhausted_budget_is_learned_from_headers(reset):
    time = Time()
    names = RateHeaders(remaining="X-RateLimit-Remaining", reset="X-RateLimit-Reset")
    bucket = _bucket(time, headers=names)
    bucket.observe({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": reset}, 200)
    bucket.acquire()
    assert time.slept == 0
    bucket.observe({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, 200)
    bucket.acquire()
    assert time.slept == pytest.approx(9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("Fri, 01 May 2026 12:00:30 GMT", 30),
        ("Fri, 01 May 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("", None),
        ("nan", None),
    ],
)
def test_retry_after_as_seconds_or_as_a_date(text, seconds):
    assert retry_after({"Retry-After": text}, NOW) == seconds

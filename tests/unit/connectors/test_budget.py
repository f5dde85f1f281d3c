"""The rate budget of one process."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from connectors.errors import RateLimited
from connectors.runtime.budget import Priority, Standing, TokenBucket, retry_after
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
        clock=lambda: time.now,
        sleep=time.sleep,
        now=lambda: NOW + timedelta(seconds=time.now - 100),
    )


def test_the_rate_is_kept_after_the_burst():
    time = Time()
    bucket = _bucket(time, per_second=2, burst=5)
    for _ in range(9):
        bucket.acquire(priority=Priority.URGENT)
    assert time.slept == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("burst", [None, 1, 7, 20])
def test_no_second_has_more_than_the_system_allows_and_a_pause_is_caught_up(burst):
    time = Time()
    bucket = _bucket(time, per_second=20, burst=burst)
    arrived: list[float] = []
    chance = random.Random(7)
    for place in range(400):
        if place % 20 == 0:
            time.now += chance.uniform(0, 0.6)  # a batch is prepared, and settled
        bucket.acquire()
        before, time.now = time.now, time.now + chance.uniform(0, 0.02)
        arrived.append(chance.uniform(before, time.now))
        bucket.observe({}, 200)
    # of 21 in a row the last arrives a second after the first
    assert min(last - first for first, last in zip(arrived, arrived[20:], strict=False)) > 1
    if burst in (None, 20):
        assert len(arrived) / (arrived[-1] - arrived[0]) > 0.95 * 20


def test_what_is_on_its_way_counts_until_a_second_after_its_answer():
    time = Time()
    bucket = _bucket(time, per_second=2)
    bucket.acquire(priority=Priority.URGENT)
    bucket.acquire(priority=Priority.URGENT)
    time.now += 5  # it takes long, and may arrive at the end of that
    with pytest.raises(RateLimited):
        bucket.acquire(patient=False)
    bucket.observe({}, 200)
    bucket.acquire(priority=Priority.URGENT)
    assert time.slept == pytest.approx(1)


@pytest.mark.parametrize("rate", [3, 20, 500])
def test_several_that_share_a_budget_keep_it_together_and_use_it_up(rate):
    time, standing, chance = Time(), Standing(), random.Random(7)
    buckets = [
        TokenBucket(
            Limits(per_second=rate),
            keep=lambda change: change(standing),
            clock=lambda: time.now,
            sleep=time.sleep,
        )
        for _ in range(3)
    ]
    sent = []
    for _ in range(10 * rate):
        bucket = chance.choice(buckets)
        bucket.acquire(priority=Priority.URGENT)
        sent.append(time.now)
        bucket.observe({}, 200)
        time.now += chance.uniform(0, 1 / rate)
    assert all(last - first > 1 for first, last in zip(sent, sent[rate:], strict=False))
    assert len(sent) / (sent[-1] - sent[0]) > 0.9 * rate


def test_who_shares_a_budget_asks_for_more_at_a_time_when_in_a_hurry_and_keeps_nothing_for_long():
    time, standing, asked = Time(), Standing(), []

    def keep(change):
        asked.append(time.now)
        return change(standing)

    bucket = TokenBucket(Limits(per_second=400), keep=keep, clock=lambda: time.now)
    for _ in range(100):
        bucket.acquire()
    assert len(asked) == 12, "for 1, 2, 4, 8, and then 12 at a time"
    time.now += 0.04
    bucket.acquire()
    assert len(asked) == 13, "what was left is too old"


def test_who_shares_a_budget_hears_of_it_when_another_is_told_to_wait():
    time, standing = Time(), Standing()
    one, two = (
        TokenBucket(
            Limits(per_second=5),
            keep=lambda change: change(standing),
            clock=lambda: time.now,
            sleep=time.sleep,
        )
        for _ in range(2)
    )
    one.observe({"Retry-After": "7"}, 429)
    two.acquire()
    assert time.slept == pytest.approx(7)


def test_a_burst_beyond_a_second_comes_on_top_of_it():
    time = Time()
    bucket = _bucket(time, per_second=2, burst=6)
    for _ in range(6):
        bucket.acquire(priority=Priority.URGENT)
    assert time.slept == 0


@pytest.mark.parametrize(("rate", "seconds"), [(0.5, 2), (1, 1), (2.5, 0.8)])
def test_a_rate_need_not_be_a_whole_number(rate, seconds):
    time = Time()
    bucket = _bucket(time, per_second=rate)
    for _ in range(1 + 10 * int(max(rate, 1))):
        bucket.acquire()
        bucket.observe({}, 200)
    assert time.slept == pytest.approx(10 * seconds, rel=0.05)


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

"""What every source has to hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.contract import BadRow, Scan
from connectors.errors import BadAnswer, BadCredentials, RateLimited, Unreachable
from connectors.testing.steps import Simulated, Steps, by_key
from connectors.testing.steps import keys as keys_of


class ReadConformance(Steps):
    """Reads: complete, resumable, and undisturbed by single faults."""

    def test_an_empty_stream_is_one_complete_page(self, system: Simulated) -> None:
        pages = self.scan(self.connect(system))
        assert [(len(page.records), page.complete) for page in pages] == [(0, True)]

    @pytest.mark.parametrize("surplus", [-1, 0, 1], ids=["short", "full", "over"])
    def test_every_record_comes_once_whatever_the_last_page_holds(
        self, system: Simulated, surplus: int
    ) -> None:
        wanted = self.fill(system, 2 * self.size + surplus)
        pages = self.scan(self.connect(system))
        assert sorted(keys_of(pages)) == sorted(wanted)
        assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
        assert all(len(page.records) <= self.size for page in pages)

    def test_a_cut_off_scan_goes_on_where_it_stood(self, system: Simulated) -> None:
        wanted = self.fill(system, 3 * self.size)
        first = next(iter(self.connect(system).read(self.stream, None, Scan.FULL)))
        rest = list(self.connect(system).read(self.stream, first.cursor, Scan.FULL))
        assert sorted(keys_of([first, *rest])) == sorted(wanted)

    def test_an_unchanged_record_reads_the_same(self, system: Simulated) -> None:
        keys = self.fill(system, 2)
        connector = self.connect(system)
        once, again = by_key(self.scan(connector)), by_key(self.scan(connector))
        assert once == again
        alone = connector.fetch(self.stream, keys)
        # some systems show the version of a record with that record alone
        versions = {key: record.etag for key, record in alone.items() if record}
        assert alone == {
            key: replace(record, etag=record.etag or versions[key]) for key, record in once.items()
        }

    def test_a_fetch_tells_who_is_gone(self, system: Simulated) -> None:
        here, gone = self.fill(system, 2)
        system.remove(gone)
        found = self.connect(system).fetch(self.stream, [here, gone])
        assert found[gone] is None
        record = found[here]
        assert record is not None
        assert record.key == here

    def test_a_page_knows_when_it_was_read(self, system: Simulated) -> None:
        self.fill(system, 2 * self.size)
        pages = self.scan(self.connect(system))
        for page in pages:
            assert page.started <= page.ended
            assert page.started.utcoffset() == timedelta(0)

    def test_a_bad_page_holds_the_cursor(self, system: Simulated) -> None:
        wanted = self.fill(system, 2 * self.size)
        pages = self.connect(system).read(self.stream, None, Scan.FULL)
        first = next(iter(pages))
        # a page that is only asked for ahead may meet it first, and of that nothing follows
        system.fail_next("garbage", times=9)
        with pytest.raises(BadAnswer):
            list(pages)
        system.calm()
        rest = list(self.connect(system).read(self.stream, first.cursor, Scan.FULL))
        assert sorted(keys_of([first, *rest])) == sorted(wanted)

    def test_a_cut_off_answer_is_asked_for_again(self, system: Simulated) -> None:
        wanted = self.fill(system, self.size)
        system.fail_next("cut", after=True)
        assert sorted(keys_of(self.scan(self.connect(system)))) == sorted(wanted)

    def test_rows_that_come_twice_hide_nobody(self, system: Simulated) -> None:
        wanted = self.fill(system, 4 * self.size)
        system.fail_next("double", times=2)
        assert set(keys_of(self.scan(self.connect(system)))) == set(wanted)

    def test_an_answer_in_part_makes_nobody_gone(self, system: Simulated) -> None:
        keys = self.fill(system, 3 * self.size)
        system.fail_next("partial", times=2)
        found = self.connect(system).fetch(self.stream, keys)
        assert [key for key in keys if found[key] is None] == []

    def test_a_row_that_leaves_during_the_scan_hides_no_other(self, system: Simulated) -> None:
        keys = self.fill(system, 3 * self.size)
        if not self.steady:
            pytest.skip("this listing shifts unnoticed while it is read")
        pages = iter(self.connect(system).read(self.stream, None, Scan.FULL))
        first = next(pages)
        gone = first.records[0].key
        system.remove(gone)
        self.fill(system, 1)  # so that the total stays what it was
        seen = set(keys_of([first, *pages]))
        assert seen >= set(keys) - {gone}

    @pytest.mark.parametrize(
        "row",
        [b'{"id": null}', b'"no record"', b'{"id": 2, "name": "\xff\xfe"}', b'{"id": 2, "n": NaN}'],
        ids=["no key", "no object", "not UTF-8", "not a number"],
    )
    def test_a_bad_row_is_kept_and_stops_nobody(self, system: Simulated, row: bytes) -> None:
        reject = self.rejected(system, row)
        marks = (b"null", b"no record", b"\xff\xfe", b"NaN")
        assert any(mark in reject.raw and mark in row for mark in marks)

    def rejected(self, system: Simulated, row: bytes) -> BadRow:
        """What becomes of ``row`` among good ones, which must all be read. ``row`` takes a record's place."""
        keys = self.fill(system, self.size)
        system.poison(keys[1], row)
        pages = self.scan(self.connect(system))
        assert sorted(keys_of(pages)) == sorted(key for key in keys if key != keys[1])
        (reject,) = [reject for page in pages for reject in page.rejects]
        assert isinstance(reject, BadRow)
        assert reject.reason
        assert reject.raw
        return reject

    def test_a_large_field_comes_whole(self, system: Simulated) -> None:
        key = system.add(**{self.field: self.large})
        assert by_key(self.scan(self.connect(system)))[key].document[self.field] == self.large

    def test_a_short_pause_is_kept(self, system: Simulated) -> None:
        wanted = self.fill(system, self.size)
        before = sum(system.calls.values())
        system.fail_next(429, headers={"Retry-After": "0"})
        pages = self.scan(self.connect(system))
        assert sorted(keys_of(pages)) == sorted(wanted)
        assert sum(system.calls.values()) == before + len(pages) + 1

    def test_a_long_pause_is_left_to_the_caller(self, system: Simulated) -> None:
        self.fill(system, 1)
        system.fail_next(429, headers={"Retry-After": "600"})
        with pytest.raises(RateLimited) as caught:
            self.scan(self.connect(system))
        assert caught.value.retry_after == timedelta(seconds=600)

    def test_a_system_that_is_down_is_unreachable(self, system: Simulated) -> None:
        connector = self.connect(system)
        system.stop()
        with pytest.raises(Unreachable):
            connector.fetch(self.stream, ["1"])
        assert not connector.check(self.stream).ok

    def test_an_expired_token_is_renewed_once(self, system: Simulated) -> None:
        keys = self.fill(system, 1)
        connector = self.connect(system)
        connector.fetch(self.stream, keys)
        system.expire_tokens()
        try:
            found = connector.fetch(self.stream, keys)
        except BadCredentials:
            health = connector.check(self.stream)
            assert not health.ok
            assert "connection" in health.detail
        else:
            assert found[keys[0]] is not None

    def test_a_check_shows_a_working_system(self, system: Simulated) -> None:
        health = self.connect(system).check(self.stream)
        assert health.ok, health.detail

    def test_a_delta_brings_what_changed(self, system: Simulated) -> None:
        keys = self.fill(system, 2 * self.size)
        connector = self.with_delta(system)
        cursor = self.scan(connector)[-1].cursor
        system.edit(keys[0], **{self.field: "changed"})
        pages = self.scan(connector, cursor, Scan.DELTA)
        assert keys[0] in keys_of(pages)
        assert {page.scan for page in pages} == {Scan.DELTA}
        again = self.scan(connector, pages[-1].cursor, Scan.DELTA)
        assert keys[0] in keys_of(again), "the border belongs to both reads"

    def test_an_edit_behind_the_scan_comes_in_the_next_delta(self, system: Simulated) -> None:
        keys = self.fill(system, 3 * self.size)
        connector = self.with_delta(system)
        pages = iter(connector.read(self.stream, None, Scan.FULL))
        first = next(pages)
        passed = first.records[0].key
        system.edit(passed, **{self.field: "behind"})
        for key in keys:
            if key not in {record.key for record in first.records}:
                system.edit(key, **{self.field: "later"})
        *_, last = pages
        found = by_key(self.scan(connector, last.cursor, Scan.DELTA))
        assert found[passed].document[self.field] == "behind"

    def test_more_records_of_one_time_than_a_page_holds(self, system: Simulated) -> None:
        keys = self.fill(system, 3 * self.size)
        self.stamp(system, keys, "2030-01-01T00:00:00+00:00")
        connector = self.with_delta(system)
        cursor = self.scan(connector)[-1].cursor
        pages = self.scan(connector, cursor, Scan.DELTA, most=10)
        assert pages[-1].complete
        assert sorted(keys_of(pages)) == sorted(keys)

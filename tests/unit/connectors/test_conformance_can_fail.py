"""Every conformance test, against a connector that breaks just that promise: it has to fail."""

import copy
import inspect
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import Gone, Refused, Retry, Scan, Stale, Unknown, WriteCommand, Written
from connectors.errors import ConnectorError, Unreachable
from connectors.testing import Profile, Simulator
from connectors.testing.conformance import ConnectorConformance


class Spoilt:
    """A connector with one bad habit."""

    def __init__(self, inner, simulator):
        self.inner, self.simulator = inner, simulator

    def __getattr__(self, name):
        return getattr(self.inner, name)


class NoPageForNothing(Spoilt):
    def read(self, stream, cursor, scan):
        return (page for page in self.inner.read(stream, cursor, scan) if page.records)


class LosesTheLastPage(Spoilt):
    def read(self, stream, cursor, scan):
        return (page for page in self.inner.read(stream, cursor, scan) if not page.complete)


class StartsAnew(Spoilt):
    def read(self, stream, cursor, scan):
        return self.inner.read(stream, None, scan)


class NeverTheSame(Spoilt):
    count = 0

    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            NeverTheSame.count += 1
            for record in page.records:
                record.document["read"] = self.count
            yield page


class SeesGhosts(Spoilt):
    def fetch(self, stream, keys):
        found = dict(self.inner.fetch(stream, keys))
        ghost = next((record for record in found.values() if record), None)
        return {key: record or ghost for key, record in found.items()}


class TimesBackwards(Spoilt):
    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            yield replace(page, started=page.ended + timedelta(seconds=1))


class SwallowsErrors(Spoilt):
    def read(self, stream, cursor, scan):
        try:
            yield from self.inner.read(stream, cursor, scan)
        except ConnectorError:
            return


class GivesUp(Spoilt):
    """A read that fails at the first fault, whatever it is."""

    def read(self, stream, cursor, scan):
        calls = sum(self.simulator.calls.values())
        for pages, page in enumerate(self.inner.read(stream, cursor, scan), 1):
            if sum(self.simulator.calls.values()) - calls > pages:
                raise Unreachable("one fault and no more")
            yield page


class DropsBadRows(Spoilt):
    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            yield replace(page, rejects=())


class CutsFields(Spoilt):
    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            for record in page.records:
                record.document["name"] = record.document["name"][:1000]
            yield page


class HidesThatItIsDown(Spoilt):
    def fetch(self, stream, keys):
        try:
            return self.inner.fetch(stream, keys)
        except ConnectorError:
            return dict.fromkeys(keys)


class NeverWell(Spoilt):
    def check(self, stream):
        return replace(self.inner.check(stream), ok=False)


class AlwaysFull(Spoilt):
    def read(self, stream, cursor, scan):
        return self.inner.read(stream, None, Scan.FULL)


class BaseIsNow(Spoilt):
    """A watermark set to the end of the scan."""

    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            if page.complete:
                now = datetime.now(UTC).isoformat()
                yield replace(page, cursor=f'{{"v": 1, "base": "{now}"}}')
            else:
                yield page


class FirstPageOfADelta(Spoilt):
    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            yield replace(page, complete=True)
            return


class LosesDoubledPages(Spoilt):
    """De-duplication that throws the page away."""

    def read(self, stream, cursor, scan):
        for page in self.inner.read(stream, cursor, scan):
            keys = [record.key for record in page.records]
            yield page if len(keys) == len(set(keys)) else replace(page, records=())


class BelievesShortAnswers(Spoilt):
    def fetch(self, stream, keys):
        return {**self.inner.fetch(stream, keys), keys[-1]: None}


class SkipsARowOfEveryOtherPage(Spoilt):
    def read(self, stream, cursor, scan):
        for number, page in enumerate(self.inner.read(stream, cursor, scan)):
            yield replace(page, records=page.records[1:]) if number else page


class _Answers(Spoilt):
    """A connector that reports something else than what happened."""

    def change(self, outcome):
        return outcome

    def write(self, commands):
        return [self.change(outcome) for outcome in self.inner.write(commands)]


class SaysWhatItSent(_Answers):
    def change(self, outcome):
        if isinstance(outcome, Written) and outcome.record:
            document = {"name": outcome.record.document["name"]}
            return replace(outcome, record=replace(outcome.record, document=document))
        return outcome


class CallsEverythingNew(_Answers):
    def change(self, outcome):
        return replace(outcome, existed=False) if isinstance(outcome, Written) else outcome


class CallsGoneWritten(_Answers):
    def change(self, outcome):
        return Written("1") if isinstance(outcome, Gone) else outcome


class CallsUnknownRetry(_Answers):
    def change(self, outcome):
        return Retry(outcome.reason) if isinstance(outcome, Unknown) else outcome


class ForgetsThePause(_Answers):
    def change(self, outcome):
        return Retry(outcome.reason) if isinstance(outcome, Retry) else outcome


class CallsRetryUnknown(_Answers):
    def change(self, outcome):
        return Unknown(outcome.reason) if isinstance(outcome, Retry) else outcome


class Gossips(_Answers):
    def change(self, outcome):
        if isinstance(outcome, Refused):
            return Refused("400: Ada Lovelace is not welcome here")
        return outcome


class CallsStaleWritten(_Answers):
    def change(self, outcome):
        return Written("1") if isinstance(outcome, Stale) else outcome


class SendsEverything(Spoilt):
    """Writes the whole document back: fields that nobody changed are overwritten."""

    def write(self, commands):
        spoilt = []
        for command in commands:
            after = copy.deepcopy(command.after)
            if command.key and after:
                after["note"] = "sent as well"
            spoilt.append(replace(command, after=after))
        return self.inner.write(spoilt)


class KeepsDeleted(Spoilt):
    def write(self, commands):
        return [Written(command.key or "") for command in commands]


class FindsNothing(Spoilt):
    def find(self, stream, command):
        return ()


class Backwards(Spoilt):
    def write(self, commands: list[WriteCommand]):
        return list(reversed(self.inner.write(commands)))


BREAKS = {
    "test_an_empty_stream_is_one_complete_page": NoPageForNothing,
    "test_every_record_comes_once_whatever_the_last_page_holds": LosesTheLastPage,
    "test_a_cut_off_scan_goes_on_where_it_stood": StartsAnew,
    "test_an_unchanged_record_reads_the_same": NeverTheSame,
    "test_a_fetch_tells_who_is_gone": SeesGhosts,
    "test_a_page_knows_when_it_was_read": TimesBackwards,
    "test_a_bad_page_holds_the_cursor": SwallowsErrors,
    "test_a_cut_off_answer_is_asked_for_again": GivesUp,
    "test_rows_that_come_twice_hide_nobody": LosesDoubledPages,
    "test_an_answer_in_part_makes_nobody_gone": BelievesShortAnswers,
    "test_a_row_that_leaves_during_the_scan_hides_no_other": SkipsARowOfEveryOtherPage,
    "test_a_bad_row_is_kept_and_stops_nobody": DropsBadRows,
    "test_a_large_field_comes_whole": CutsFields,
    "test_a_short_pause_is_kept": GivesUp,
    "test_a_long_pause_is_left_to_the_caller": SwallowsErrors,
    "test_a_system_that_is_down_is_unreachable": HidesThatItIsDown,
    "test_an_expired_token_is_renewed_once": HidesThatItIsDown,
    "test_a_check_shows_a_working_system": NeverWell,
    "test_a_delta_brings_what_changed": AlwaysFull,
    "test_an_edit_behind_the_scan_comes_in_the_next_delta": BaseIsNow,
    "test_more_records_of_one_time_than_a_page_holds": FirstPageOfADelta,
    "test_a_create_says_what_the_system_holds": SaysWhatItSent,
    "test_a_create_that_comes_twice_makes_one_record": CallsEverythingNew,
    "test_an_update_sends_what_changed_only": SendsEverything,
    "test_a_delete_takes_the_record_away": KeepsDeleted,
    "test_a_write_to_a_record_that_is_gone_says_so": CallsGoneWritten,
    "test_a_stale_write_is_not_made": CallsStaleWritten,
    "test_a_lost_answer_is_unknown_and_sent_once": CallsUnknownRetry,
    "test_a_create_whose_answer_was_lost_is_found": FindsNothing,
    "test_a_busy_system_gets_the_write_later": ForgetsThePause,
    "test_a_write_that_never_left_may_be_tried_again": CallsRetryUnknown,
    "test_a_server_error_leaves_a_write_unknown": CallsUnknownRetry,
    "test_an_expired_token_spoils_no_write": CallsRetryUnknown,
    "test_a_refusal_names_no_values": Gossips,
    "test_outcomes_come_in_the_order_of_their_commands": Backwards,
}
ARGUMENTS = {
    "surplus": 0,
    "row": b'{"id": null}',
    "after": True,
    "how": "reset",
    "status": 503,
}
FAILURES = (
    AssertionError,
    pytest.fail.Exception,
    ConnectorError,
    LookupError,
    ValueError,
    StopIteration,
)
NAMES = [name for name in dir(ConnectorConformance) if name.startswith("test_")]


def _run(name, habit):
    class Kit(ConnectorConformance):
        def connect(self, system):
            connector = system.open(size=self.size)
            return habit(connector, system)

    with Simulator(Profile(etag=True)) as simulator:
        test = getattr(Kit(), name)
        wanted = set(inspect.signature(test).parameters) - {"system"}
        test(simulator, **{argument: ARGUMENTS[argument] for argument in wanted})


def test_every_conformance_test_is_broken_once():
    assert set(BREAKS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_promise_is_seen_to_be_broken(name):
    _run(name, Spoilt)  # a connector with no bad habit passes
    with pytest.raises(FAILURES):
        _run(name, BREAKS[name])

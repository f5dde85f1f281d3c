"""Reads one stream: page by page, resumable, and single records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import BadRow, Page, RawRecord, Scan, WriteCommand
from connectors.errors import BadAnswer, BadConfiguration
from connectors.runtime import jsonbody, redact
from connectors.runtime.budget import Priority
from connectors.runtime.http import Answer, Clock, Transport
from connectors.runtime.manifest import Verdict
from connectors.runtime.paths import get
from connectors.runtime.streams.calls import Lookup
from connectors.runtime.streams.deletions import DeletionLog
from connectors.runtime.streams.listing import Found, Listing
from connectors.runtime.streams.models import Include, Stream
from connectors.runtime.streams.paging import Turn, pager
from connectors.runtime.streams.position import Position
from connectors.runtime.streams.records import Composer, Row, attach, for_request, key_of
from connectors.runtime.streams.staging import Staging
from connectors.runtime.streams.wire import Wire, rows
from connectors.runtime.templates import Absent, render

_BAD_PART = {"": "unreadable"}
"""Stands for a listed row that is no document: the record it belongs to is kept for repair."""


@dataclass(frozen=True, slots=True)
class _Side:
    """Side listings that were read for this scan, and when that began."""

    staging: Staging
    started: datetime


class Reader:
    """The reading half of one stream of one system."""

    def __init__(
        self,
        name: str,
        stream: Stream,
        transport: Transport,
        wire: Wire,
        clock: Clock,
    ) -> None:
        self._name, self._stream = name, stream
        self._transport, self._wire = transport, wire
        self._clock = clock
        self._composer = Composer(stream, wire.decode)
        self._pager = pager(stream.read.paging)
        self._log: DeletionLog | None = None
        if stream.deletions and stream.read.delta and self._composer.clockwork:
            overlap = timedelta(seconds=stream.read.delta.overlap)
            self._log = DeletionLog(stream.deletions, self._composer.clockwork, overlap)

    def pages(self, cursor: str | None, scan: Scan) -> Iterator[Page]:
        """The pages behind ``cursor``. A page that cannot be read raises: the cursor stays."""
        position = Position.parse(cursor).begin(scan, self._stream.read.delta is not None)
        with ExitStack() as stack:
            side = self._stage(stack) if position.scan is Scan.FULL else None
            listing = Listing(
                self._stream.read,
                position,
                self._pager,
                self._composer,
                self._ask,
                self._transport,
                self._clock,
            )
            stack.callback(listing.close)
            while True:
                if self._log is not None and self._log.running(position):
                    page, position = self._deleted(self._log, position)
                else:
                    state = position.paging or self._pager.init_request()
                    page, position = self._page(position, listing.page(state), side)
                yield page
                if page.complete:
                    return

    def _page(self, position: Position, found: Found, side: _Side | None) -> tuple[Page, Position]:
        """What was found, as a page, and the position behind it."""
        answer, asked, following = found.asked.answer, found.asked.at, found.following
        read = self._stream.read
        # What a page says is as old as the oldest answer that it is made of.
        started = side.started if side else asked
        rejects = [row for row in found.rows if isinstance(row, BadRow)]
        good = [row for row in found.rows if not isinstance(row, BadRow)]
        records = self._complete(good, answer.headers, side, rejects)
        seen = max((record.stamp for record in records if record.stamp), default=None)
        scan = position.scan or Scan.FULL
        if following is None and self._log is not None and position.base is not None:
            following = self._log.begin()
        position = position.after(following, seen, self._begun(asked, answer))
        if following is None:
            # pages that are asked for at once are not answered in the order of their rows
            ordered = read.delta is None or (read.delta.ordered and read.pages_at_once == 1)
            position = position.finished(ordered)
        page = Page(
            records=tuple(records),
            cursor=position.text(),
            complete=following is None,
            scan=scan,
            started=started,
            ended=self._clock(),
            rejects=tuple(rejects),
        )
        return page, position

    def _begun(self, asked: datetime, answer: Answer) -> datetime | None:
        """A time on the system's clock before which every change is in this answer.

        The answer shows the clock at its end; what it holds may have been looked up at its beginning. A system that shows
        no clock is taken at the hub's: its times may be off by the declared skew in either case.
        """
        if self._stream.stamp is None:
            return None
        clock = asked if answer.date is None else answer.date - (self._clock() - asked)
        return clock - timedelta(seconds=self._stream.stamp.skew)

    def _deleted(self, log: DeletionLog, position: Position) -> tuple[Page, Position]:
        """One page of the log of deletions, behind the last page of the listing."""
        started = self._clock()
        call, scope = log.request(position)
        answer = self._ask(call, scope, Priority.BULK)
        page = log.answer(position, answer, rows(answer, call))
        alive = self.fetch(list(page.named))
        records = [
            RawRecord(key, {}, stamp, deleted=True, merged_into=now.merged_into if now else None)
            for key, stamp in page.named.items()
            if (now := alive[key]) is None or now.merged_into is not None
        ]
        scan = position.scan or Scan.FULL
        position = position.after(page.following, page.seen, None)
        if page.following is None:
            # the log may be newer than the listing: only what was known at the beginning is known of both
            position = position.finished(ordered=False)
        complete = page.following is None
        ended = self._clock()
        cursor = position.text()
        return (
            Page(tuple(records), cursor, complete, scan, started, ended, page.rejects),
            position,
        )

    def fetch(self, keys: Sequence[str]) -> dict[str, RawRecord | None]:
        """The present state of single records; ``None`` for one that is gone, a tombstone for one that was merged."""
        found: dict[str, RawRecord | None] = dict.fromkeys(keys)
        wanted: dict[str | int, str] = {}
        for key in found:
            try:
                wanted[for_request(key, self._stream.key)] = key
            except ValueError:
                continue  # such a key this system never gave
        call, size = self._stream.fetch, self._stream.fetch.batch
        asked = list(wanted)
        for start in range(0, len(asked), size):
            some = asked[start : start + size]
            while some:
                scope = {"key": some[0], "keys": some} if size == 1 else {"keys": some}
                answered = {record.key: record for record in self._lookup(call, scope)}
                if call.aliases and (alias := wanted[some[0]]) not in answered:
                    # what is there was merged into what answers
                    for key in answered:
                        found[alias] = RawRecord(alias, {}, deleted=True, merged_into=key)
                for key, record in answered.items():
                    if key in found and (not record.deleted or record.merged_into is not None):
                        found[key] = record
                # an answer may be cut to fewer rows than were asked for: who is missing is asked for again
                rest = [key for key in some if wanted[key] not in answered]
                some = rest if 0 < len(rest) < len(some) else []
        return found

    def find(self, command: WriteCommand) -> Sequence[RawRecord]:
        """The records that a create may have made."""
        scope = {"correlation": command.correlation, "after": command.after}
        for find in self._stream.find:
            try:
                if find.whole:
                    found: Sequence[RawRecord] = self._lookup(find, scope, strict=True)
                    if find.only is not None:
                        wanted = str(render(find.only.equals, scope, strict=True)).casefold()
                        at = find.only.at
                        found = [one for one in found if _text(one, at) == wanted]
                else:
                    found = self._by_keys(find, scope)
            except Absent:
                continue
            if found:
                return found
        return ()

    def whole(self, answer: Answer, lookup: Lookup) -> RawRecord | None:
        """The record that an answer to a write holds, completed."""
        decoded = [self._composer.decode(row, answer.clean) for row in rows(answer, lookup)]
        rejects: list[BadRow] = []
        good = [row for row in decoded if not isinstance(row, BadRow)]
        records = self._complete(good, answer.headers, None, rejects)
        return records[0] if len(records) == 1 else None

    def first(self, lookup: Lookup | None) -> Answer:
        """One cheap answer, for a connectivity check."""
        if lookup is not None:
            return self._transport.read(self._request(lookup, {}, Priority.URGENT), attempts=1)
        scope = {**self._pager.update_request(self._pager.init_request()), "size": 1}
        request = self._request(self._stream.read, scope, Priority.URGENT)
        answer = self._transport.read(request, attempts=1)
        if answer.verdict is Verdict.OK:
            rows(answer, self._stream.read)
        return answer

    def rows_of(self, lookup: Lookup, scope: Mapping[str, Any]) -> list[Any]:
        """The decoded rows of a lookup; none where it answers that there is nothing."""
        return self._rows_of(lookup, scope)[0]

    def present(self, key: str | int) -> tuple[Any, str | None]:
        """One record's row at this moment (``None`` where it is gone), and its version."""
        fetch, shape = self._stream.fetch, self._stream.key
        found, headers = self._rows_of(fetch, {"key": key, "keys": [key]})
        row = next((row for row in found if key_of(row, shape) == key), None)
        return row, self._composer.etag(row, headers)

    def _rows_of(
        self, lookup: Lookup, scope: Mapping[str, Any]
    ) -> tuple[list[Any], Mapping[str, str]]:
        answer = self._transport.read(self._request(lookup, scope, Priority.NORMAL, strict=True))
        if answer.verdict is Verdict.GONE:
            return [], answer.headers
        self._accept(answer)
        return [self._wire.decode(row) for row in rows(answer, lookup)], answer.headers

    def _by_keys(self, find: Lookup, scope: Mapping[str, Any]) -> Sequence[RawRecord]:
        keys = [key_of(row, self._stream.key) for row in self.rows_of(find, scope)]
        fetched = self.fetch([str(key) for key in keys if key is not None])
        return [record for record in fetched.values() if record is not None]

    def _lookup(
        self, lookup: Lookup, scope: Mapping[str, Any], *, strict: bool = False
    ) -> list[RawRecord]:
        request = self._request(lookup, scope, Priority.NORMAL, strict=strict)
        answer = self._transport.read(request)
        if answer.verdict is Verdict.GONE:
            return []
        self._accept(answer)
        good = []
        for row in rows(answer, lookup):
            decoded = self._composer.decode(row, answer.clean)
            if isinstance(decoded, BadRow):
                raise BadAnswer(f"{request.name}: {decoded.reason}")
            good.append(decoded)
        rejects: list[BadRow] = []
        records = self._complete(good, answer.headers, None, rejects)
        if rejects:
            raise BadAnswer(f"{request.name}: {rejects[0].reason}")
        return records

    def _complete(
        self,
        found: list[Row],
        headers: Mapping[str, str],
        side: _Side | None,
        rejects: list[BadRow],
    ) -> list[RawRecord]:
        """Records with everything that the system lists elsewhere."""
        for name, include in self._stream.include.items():
            if side is not None and include.match is not None:
                ours = [str(get(row.document, include.match.ours)) for row in found]
                listed = side.staging.find(name, list(dict.fromkeys(ours)))
                parts: list[list[Any] | None] = [list(listed[key]) for key in ours]
            else:
                parts = [self._parts(include, row) for row in found]
            kept = []
            for row, listed_for_it in zip(found, parts, strict=True):
                if listed_for_it is None:
                    continue  # it went away while the page was read
                if _BAD_PART in listed_for_it:
                    reason = f"The record's {name} cannot be read."
                    rejects.append(BadRow(jsonbody.raw(row.document), reason, str(row.key)))
                    continue
                attach(row.document, name, include, listed_for_it)
                kept.append(row)
            found = kept
        return [self._composer.record(row, headers) for row in found]

    def _parts(self, include: Include, row: Row) -> list[Any] | None:
        """The listed parts of one record, asked for one record; ``None`` if the record is gone."""
        fetch = include.fetch
        scope = {"record": row.document, "key": row.key}
        items: Sequence[Any] = [None]
        if fetch.over is not None:
            items = get(row.document, fetch.over) or []
        found: list[Any] = []
        for item in items:
            request = self._request(fetch, {**scope, "item": item}, Priority.NORMAL)
            answer = self._transport.read(request)
            if answer.verdict is Verdict.GONE:
                if fetch.over is None:
                    return None
                continue
            self._accept(answer)
            for part in rows(answer, fetch):
                good = answer.clean or jsonbody.fault(part) is None
                found.append(self._wire.decode(part) if good else _BAD_PART)
        return found

    def _stage(self, stack: ExitStack) -> _Side | None:
        joined = {
            name: include for name, include in self._stream.include.items() if include.listing
        }
        if not joined:
            return None
        started = self._clock()
        staging = Staging()
        stack.callback(staging.close)
        for name, include in joined.items():
            self._stage_one(staging, name, include)
        return _Side(staging, started)

    def _stage_one(self, staging: Staging, name: str, include: Include) -> None:
        assert include.listing is not None
        assert include.match is not None
        listing, theirs = include.listing, include.match.theirs
        paging = pager(listing.paging)
        state: dict[str, Any] | None = paging.init_request()
        while state is not None:
            answer = self._ask(listing, paging.update_request(state), Priority.BULK)
            found = rows(answer, listing)
            keys = tuple(jsonbody.raw(row) for row in found)
            turn = Turn(len(found), keys, answer.json, answer.headers)
            following = paging.update_state(state, turn)
            staged = []
            for row in found[paging.repeated(state, turn) :]:
                key = get(row, theirs) if isinstance(row, dict) else None
                if isinstance(key, str | int):
                    good = answer.clean or jsonbody.fault(row) is None
                    staged.append((str(key), self._wire.decode(row) if good else _BAD_PART))
            staging.add(name, staged)
            if following is not None and following.get("restarts") != state.get("restarts"):
                staging.clear(name)
            state = following

    def _request(
        self, call: Lookup, scope: Mapping[str, Any], priority: Priority, *, strict: bool = False
    ) -> Any:
        try:
            return self._wire.request(call, scope, strict=strict, priority=priority)
        except ValueError as error:
            raise BadConfiguration(f"{call.call} cannot be asked: {error}") from None

    def _ask(
        self,
        call: Lookup,
        scope: Mapping[str, Any],
        priority: Priority,
        transport: Transport | None = None,
    ) -> Answer:
        """The answer to a listing."""
        answer = (transport or self._transport).read(self._request(call, scope, priority))
        if answer.verdict is Verdict.GONE:
            raise BadConfiguration(
                f"{answer.request.name} answered {answer.status}: there is no such listing. Check "
                f"the connection's address, the params and the path of stream {self._name!r}."
            )
        self._accept(answer)
        return answer

    def _accept(self, answer: Answer) -> None:
        if answer.verdict is not Verdict.OK:
            name = redact.request(answer.request.method, answer.request.template, answer.status)
            raise BadConfiguration(f"{name}: {redact.reason(answer.message)}")


def _text(record: RawRecord, at: str) -> str | None:
    value = None if record.deleted else get(record.document, at)
    return None if value is None else str(value).casefold()

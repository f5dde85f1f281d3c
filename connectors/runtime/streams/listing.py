"""The pages of a stream's listing in one scan, each in its turn."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from connectors.contract import BadRow, Scan
from connectors.errors import BadAnswer
from connectors.runtime.budget import Priority
from connectors.runtime.http import Answer, Clock, Transport
from connectors.runtime.streams.ahead import Ahead, Asked
from connectors.runtime.streams.calls import Lookup
from connectors.runtime.streams.models import Read
from connectors.runtime.streams.paging import Pager, State, Turn
from connectors.runtime.streams.position import Position
from connectors.runtime.streams.records import Composer, Row
from connectors.runtime.streams.wire import rows


class Ask(Protocol):
    """The answer to a call, by this transport. Raises the classes of ``connectors.errors``."""

    def __call__(
        self, call: Lookup, scope: Mapping[str, Any], priority: Priority, transport: Transport
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a page was answered, and how the listing goes on: ``None`` behind the last page."""

    asked: Asked
    rows: list[Row | BadRow]
    following: State | None


class Listing:
    """Reads a listing page by page. To be closed. Not safe to share between threads."""

    def __init__(
        self,
        read: Read,
        position: Position,
        pager: Pager,
        composer: Composer,
        ask: Ask,
        transport: Transport,
        clock: Clock,
    ) -> None:
        self._pager, self._composer = pager, composer
        self._call, shared = _call(read, position, composer)

        def asked(line: Transport, slots: Mapping[str, Any]) -> Answer:
            return ask(self._call, {**slots, **shared}, Priority.BULK, line)

        self._ahead = Ahead(pager, transport, read.pages_at_once, asked, clock)

    def close(self) -> None:
        """See ``Ahead.close``."""
        self._ahead.close()

    def page(self, state: State) -> Found:
        """The page of this state. What was answered before its turn counts if the listing plainly goes on behind it."""
        early = self._ahead.take(state)
        if early is not None:
            with suppress(BadAnswer):
                found = self._found(state, early)
                if found.following is not None and found.following["page"] > state["page"]:
                    return found
        return self._found(state, self._ahead.ask(state))

    def _found(self, state: State, asked: Asked) -> Found:
        answer = asked.answer
        found = rows(answer, self._call)
        decoded = [self._composer.decode(row, answer.clean) for row in found]
        keys = tuple(None if isinstance(row, BadRow) else row.key for row in decoded)
        turn = Turn(len(found), keys, answer.json, answer.headers)
        following = self._pager.update_state(state, turn)
        return Found(asked, decoded[self._pager.repeated(state, turn) :], following)


def _call(read: Read, position: Position, composer: Composer) -> tuple[Lookup, dict[str, Any]]:
    """The call that asks for the pages of a scan, and the slots that they share."""
    delta = read.delta
    if position.scan is not Scan.DELTA or delta is None or not composer.clockwork:
        return read, {}
    changes: dict[str, Any] = {
        "query": {**read.query, **delta.query},
        "headers": {**read.headers, **delta.headers},
    }
    if delta.body is not None:
        changes["body"] = delta.body
    since = position.since(timedelta(seconds=delta.overlap))
    return read.model_copy(update=changes), {"since": composer.clockwork.write(since)}


__all__ = ["Found", "Listing"]

"""The log of deletions of a stream: which keys it names, from when on. A page of it ends as its pager says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import BadRow
from connectors.runtime import jsonbody
from connectors.runtime.http import Answer
from connectors.runtime.paths import get
from connectors.runtime.streams.models import Deletions
from connectors.runtime.streams.paging import State, Turn, pager
from connectors.runtime.streams.position import Position
from connectors.runtime.streams.records import Clockwork, key_of

_STATE = "deletions"


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page: who was deleted when, the greatest of these times, and the paging state behind it."""

    named: Mapping[str, datetime | None]
    rejects: tuple[BadRow, ...]
    seen: datetime | None
    following: State | None


class DeletionLog:
    """Asks for the log from the same time on as a delta; its place is kept in the stream's cursor."""

    def __init__(self, log: Deletions, clockwork: Clockwork, overlap: timedelta) -> None:
        self._log, self._clockwork, self._overlap = log, clockwork, overlap
        self._pager = pager(log.paging)

    def begin(self) -> State:
        """The paging state of a scan that has read its listing to the end."""
        return {_STATE: self._pager.init_request()}

    def running(self, position: Position) -> bool:
        """Whether a scan stands in the log."""
        return position.paging is not None and _STATE in position.paging

    def request(self, position: Position) -> tuple[Deletions, dict[str, Any]]:
        """The call, and its slots."""
        scope = self._pager.update_request(self._state(position))
        return self._log, {**scope, "since": self._clockwork.write(position.since(self._overlap))}

    def answer(self, position: Position, answer: Answer, rows: list[Any]) -> LogPage:
        """What an answer says. A row that names nobody is kept for repair."""
        state = self._state(position)
        keys = tuple(key_of(row, self._log.key) for row in rows)
        turn = Turn(len(rows), keys, answer.json, answer.headers)
        following = self._pager.update_state(state, turn)
        named: dict[str, datetime | None] = {}
        rejects: list[BadRow] = []
        for key, row in zip(keys, rows, strict=True):
            if key is None:
                rejects.append(BadRow(jsonbody.raw(row), "The row names no deleted record."))
            else:
                named[str(key)] = self._clockwork.parse(get(row, self._log.at))
        seen = max((time for time in named.values() if time), default=None)
        return LogPage(
            named, tuple(rejects), seen, None if following is None else {_STATE: following}
        )

    def _state(self, position: Position) -> State:
        assert position.paging is not None  # ``begin`` made it
        state: State = position.paging[_STATE]
        return state


__all__ = ["DeletionLog", "LogPage"]

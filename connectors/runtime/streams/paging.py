"""Styles of paging, as small classes with few verbs. Their state is plain JSON, kept in a cursor.

``init_request`` gives the state before the first page, ``update_request`` the slots of the next
request, ``repeated`` the rows of its answer that the page before had, and ``update_state`` the state
after it, or ``None`` behind the last page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from connectors.errors import BadAnswer
from connectors.runtime.paths import get
from connectors.runtime.streams.models import Paging

State: TypeAlias = dict[str, Any]
_LINK = re.compile(r"<([^>]*)>[^,]*?;\s*rel=\"?next\"?")
_MOST_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered page, as a pager needs it. ``keys`` are those of its rows, in order; ``None`` for a bad row."""

    rows: int
    keys: tuple[Any, ...]
    body: Any
    headers: Mapping[str, str]


class Pager(Protocol):
    """One style of paging."""

    def init_request(self) -> State: ...

    def update_request(self, state: State) -> dict[str, Any]: ...

    def repeated(self, state: State, turn: Turn) -> int: ...

    def update_state(self, state: State, turn: Turn) -> State | None: ...


class _Forward:
    """Every page begins behind the one before it."""

    def repeated(self, state: State, turn: Turn) -> int:
        return 0


class OneAnswer(_Forward):
    """No paging."""

    def __init__(self, paging: Paging) -> None:
        self._size = paging.size

    def init_request(self) -> State:
        return {}

    def update_request(self, state: State) -> dict[str, Any]:
        return {"size": self._size}

    def update_state(self, state: State, turn: Turn) -> State | None:
        return None


class Numbered:
    """Page numbers or offsets.

    Rows that go, or move to the end, shift others across a page's border, where they would be missed. Where that is
    noticed, the scan begins again (a bounded number of times). With offsets it always is: each page is asked for with the
    last row of the page before. With page numbers it is where the total shrinks; if one row goes and another comes
    meanwhile, a row is missed until the next scan.
    """

    def __init__(self, paging: Paging) -> None:
        self._paging = paging

    def init_request(self) -> State:
        return {"page": self._paging.first, "offset": 0}

    def update_request(self, state: State) -> dict[str, Any]:
        offset = state["offset"] - (1 if "last" in state else 0)
        return {"page": state["page"], "offset": offset, "size": self._paging.size}

    def repeated(self, state: State, turn: Turn) -> int:
        same = "last" in state and turn.keys and str(turn.keys[0]) == state["last"]
        return 1 if same else 0

    def update_state(self, state: State, turn: Turn) -> State | None:
        total = get(turn.body, self._paging.total) if self._paging.total else None
        again = self.repeated(state, turn)
        edges = self._edges(turn)
        if not again:
            # all rows may have moved by a page
            same = edges is not None and edges == state.get("edges")
            shrunk = isinstance(total, int) and total < state.get("total", 0)
            restarts = state.get("restarts", 0)
            if (same or shrunk or "last" in state) and restarts < _MOST_RESTARTS:
                return {**self.init_request(), "restarts": restarts + 1}
            if same:
                raise BadAnswer(
                    "The same page came twice: this system ignores the page it is asked."
                )
        # a row that comes twice in a page stands for one, or the end would seem to come early
        known = [key for key in turn.keys if key is not None]
        twice = len(known) - len(set(known))
        fresh = turn.rows - again - twice or turn.rows - again
        offset = self.update_request(state)["offset"] + again + fresh
        if fresh == 0 or (isinstance(total, int) and offset >= total):
            return None
        if self._paging.short_page_ends and turn.rows < self._paging.size:
            return None
        if _says_no_more(self._paging, turn):
            return None
        after = {
            "page": state["page"] + 1,
            "offset": offset,
            "edges": edges,
            "restarts": state.get("restarts"),
            "total": total if isinstance(total, int) else None,
        }
        if self._paging.by == "offset" and self._paging.size > 1 and turn.keys[-1:] != (None,):
            after["last"] = str(turn.keys[-1]) if turn.keys else None
        return {name: value for name, value in after.items() if value is not None}

    def _edges(self, turn: Turn) -> list[str] | None:
        known = [key for key in turn.keys if key is not None]
        return [str(known[0]), str(known[-1])] if known else None


class Keyset(_Forward):
    """The next page begins behind the last key: nothing is missed while rows come and go.

    Numbers have to ascend. In which order a system sorts texts is its own affair (many ignore case).
    """

    def __init__(self, paging: Paging) -> None:
        self._paging = paging

    def init_request(self) -> State:
        return {"last": self._paging.start}

    def update_request(self, state: State) -> dict[str, Any]:
        return {"last": state["last"], "size": self._paging.size}

    def update_state(self, state: State, turn: Turn) -> State | None:
        keys = [key for key in turn.keys if key is not None]
        short = turn.rows < self._paging.size
        if turn.rows == 0 or (short and (self._paging.short_page_ends or not keys)):
            return None
        if not keys:
            raise BadAnswer("A page without a usable key: the scan cannot go on behind it.")
        last = keys[-1]
        moved = type(last) is type(state["last"]) and last != state["last"]
        if moved and isinstance(last, int):
            moved = last > state["last"] and keys == sorted(keys)
        if not moved:
            raise BadAnswer("The keys do not ascend: this system ignores order or condition.")
        return None if _says_no_more(self._paging, turn) else {"last": last}


class Next(_Forward):
    """A token, or a whole address, that the answer gives for the next page."""

    def __init__(self, paging: Paging) -> None:
        self._paging = paging

    def init_request(self) -> State:
        return {}

    def update_request(self, state: State) -> dict[str, Any]:
        slots: dict[str, Any] = {"size": self._paging.size}
        following = state.get("next")
        if isinstance(following, str) and following.startswith(("http://", "https://", "/")):
            slots["address"] = following
        elif following is not None:
            slots["next"] = following
        return slots

    def update_state(self, state: State, turn: Turn) -> State | None:
        if self._paging.next is not None:
            following = get(turn.body, self._paging.next)
        else:
            link = _LINK.search(turn.headers.get("Link", ""))
            following = link[1] if link else None
        if following in (None, "", False) or _says_no_more(self._paging, turn):
            return None
        if following == state.get("next"):
            raise BadAnswer("The next page is this page again: the scan would not end.")
        return {"next": following}


def _says_no_more(paging: Paging, turn: Turn) -> bool:
    return paging.more is not None and get(turn.body, paging.more) is False


_STYLES: dict[str, type[OneAnswer] | type[Numbered] | type[Keyset] | type[Next]] = {
    "none": OneAnswer,
    "page": Numbered,
    "offset": Numbered,
    "keyset": Keyset,
    "next": Next,
}


def pager(paging: Paging) -> Pager:
    """The pager that a manifest asks for."""
    return _STYLES[paging.by](paging)

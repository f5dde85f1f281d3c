"""Styles of paging, as small classes with three verbs. Their state is plain JSON, kept in a cursor.

``init_request`` gives the state before the first page, ``update_request`` the slots of the next
request, ``update_state`` the state after an answer, or ``None`` behind the last page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from connectors.errors import BadAnswer
from connectors.rest.manifest import Paging
from connectors.runtime.paths import get

State: TypeAlias = dict[str, Any]
_LINK = re.compile(r"<([^>]*)>[^,]*?;\s*rel=\"?next\"?")
_MOST_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered page, as a pager needs it. ``keys`` are those of its rows, in order."""

    rows: int
    keys: tuple[Any, ...]
    body: Any
    headers: Mapping[str, str]


class Pager(Protocol):
    """One style of paging."""

    def init_request(self) -> State: ...

    def update_request(self, state: State) -> dict[str, Any]: ...

    def update_state(self, state: State, turn: Turn) -> State | None: ...


class OneAnswer:
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

    Rows that vanish meanwhile shift others across a page's border, where they would be missed: when
    the total shrinks, the scan begins again (a bounded number of times).
    """

    def __init__(self, paging: Paging) -> None:
        self._paging = paging

    def init_request(self) -> State:
        return {"page": self._paging.first, "offset": 0}

    def update_request(self, state: State) -> dict[str, Any]:
        return {"page": state["page"], "offset": state["offset"], "size": self._paging.size}

    def update_state(self, state: State, turn: Turn) -> State | None:
        total = get(turn.body, self._paging.total) if self._paging.total else None
        if isinstance(total, int) and total < state.get("total", 0):
            restarts = state.get("restarts", 0)
            if restarts < _MOST_RESTARTS:
                return {**self.init_request(), "restarts": restarts + 1}
        edges = [str(turn.keys[0]), str(turn.keys[-1])] if turn.keys else None
        if edges is not None and edges == state.get("edges"):
            raise BadAnswer("The same page came twice: this system ignores the page it is asked.")
        offset = state["offset"] + turn.rows
        if turn.rows == 0 or (isinstance(total, int) and offset >= total):
            return None
        if self._paging.short_page_ends and turn.rows < self._paging.size:
            return None
        if _says_no_more(self._paging, turn):
            return None
        after = {**state, "page": state["page"] + 1, "offset": offset, "edges": edges}
        return {**after, "total": total} if isinstance(total, int) else after


class Keyset:
    """The next page begins behind the last key: nothing is missed while rows come and go."""

    def __init__(self, paging: Paging) -> None:
        self._paging = paging

    def init_request(self) -> State:
        return {"last": self._paging.start}

    def update_request(self, state: State) -> dict[str, Any]:
        return {"last": state["last"], "size": self._paging.size}

    def update_state(self, state: State, turn: Turn) -> State | None:
        short = turn.rows < self._paging.size
        if turn.rows == 0 or (short and (self._paging.short_page_ends or not turn.keys)):
            return None
        if not turn.keys:
            raise BadAnswer("A page without a usable key: the scan cannot go on behind it.")
        last = turn.keys[-1]
        moved = type(last) is type(state["last"]) and last > state["last"]
        if list(turn.keys) != sorted(turn.keys) or not moved:
            raise BadAnswer("The keys do not ascend: this system ignores order or condition.")
        return None if _says_no_more(self._paging, turn) else {"last": last}


class Next:
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

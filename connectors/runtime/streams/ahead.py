"""Pages of a listing that are asked for before their turn, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from connectors.runtime.http import Answer, Clock, Transport
from connectors.runtime.streams.paging import Pager, State

Slots = dict[str, Any]
Ask = Callable[[Transport, Slots], Answer]
"""Asks for the page with these slots. Raises the classes of ``connectors.errors``."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer, and a time on the hub's clock before which it was not asked for."""

    answer: Answer
    at: datetime


@dataclass(frozen=True, slots=True)
class _Guess:
    slots: Slots
    at: datetime
    answer: Future[Answer]


class Ahead:
    """Asks for the pages of one scan that are likely to come next, while the page whose turn it is is read and landed.

    Where pages go by numbers, the next ones go on as the last two did. That is a guess, and so is every answer to it: it may
    be older than that of the page before, the listing may have moved or ended. Nothing follows from a guess that failed; the
    page is asked for in its turn then, as if there had been none. The first page is always asked for alone: most reads of
    changes have but one.

    At most ``many`` answers are in hand or on their way, each over connections of its own and within the one budget, for
    which a guess does not wait. Not safe to share between threads.
    """

    def __init__(
        self, pager: Pager, transport: Transport, many: int, ask: Ask, clock: Clock
    ) -> None:
        self._pager, self._transport, self._ask, self._clock = pager, transport, ask, clock
        self._most = many - 1
        self._pool: ThreadPoolExecutor | None = None
        self._free: deque[Transport] = deque()
        self._guesses: deque[_Guess] = deque()
        self._before: Slots | None = None

    def close(self) -> None:
        """Wait for what is on its way: no thread is left."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for transport in self._free:
            transport.close()

    def take(self, state: State) -> Asked | None:
        """What the page of this state was answered before its turn, if it was; asks for the pages behind it."""
        if not self._most:
            return None
        slots = self._pager.update_request(state)
        guess = self._guesses.popleft() if self._guesses else None
        if guess is not None and guess.slots != slots:
            for other in (guess, *self._guesses):
                other.answer.cancel()
            self._guesses.clear()
            guess = None
        for ahead in self._next(state, slots):
            self._guesses.append(_Guess(ahead, self._clock(), self._begin(ahead)))
        self._before = slots
        if guess is None or guess.answer.exception() is not None:
            return None
        return Asked(guess.answer.result(), guess.at)

    def ask(self, state: State) -> Asked:
        """What the page of this state is answered in its turn."""
        at = self._clock()
        return Asked(self._ask(self._transport, self._pager.update_request(state)), at)

    def _next(self, state: State, slots: Slots) -> Iterator[Slots]:
        """The slots of the pages to come that were not asked for yet, up to the end, where that is known."""
        if self._before is None:
            return
        page, offset = (slots[name] - self._before[name] for name in ("page", "offset"))
        if page != 1 or offset < 1:
            return
        overlap = state["offset"] - slots["offset"]
        for place in range(len(self._guesses) + 1, self._most + 1):
            ahead = slots["offset"] + place * offset
            if ahead + overlap >= state.get("total", ahead + overlap + 1):
                return
            yield {**slots, "page": slots["page"] + place, "offset": ahead}

    def _begin(self, slots: Slots) -> Future[Answer]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, "page-ahead")
            self._free.extend(self._transport.beside() for _ in range(self._most))
        return self._pool.submit(partial(self._answer, slots))

    def _answer(self, slots: Slots) -> Answer:
        transport = self._free.pop()  # there are as many as threads
        try:
            return self._ask(transport, slots)
        finally:
            self._free.append(transport)


__all__ = ["Ahead", "Asked"]

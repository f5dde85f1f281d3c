"""What the hub may believe of one field of one record: what is there, and what a person last said (rules 2, 3, 21)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tests.properties.facts import (
    NEVER,
    Claim,
    Line,
    Look,
    Record,
    State,
    System,
    Turn,
    plain,
    shows,
)

UNSEEN = State(None, None)


def believed(
    system: System, record: Record, name: str, reconciled: Sequence[int]
) -> frozenset[State]:
    """All that it may be by now. ``reconciled``: when the hub had worked through all that it had kept."""
    return frozenset(_Belief(system, record, name, reconciled)())


def unseen_since(
    line: Line, system: System, record: Record, name: str, reconciled: Sequence[int]
) -> bool:
    """Whether the hub may not have known what a field showed when it was mapped again: then it is yet to be seen."""
    return UNSEEN in _Belief(system, record, name, reconciled)._back(line)


class _Belief:
    def __init__(
        self, system: System, record: Record, name: str, reconciled: Sequence[int]
    ) -> None:
        self.system, self.record, self.name = system, record, name
        self.reconciled = reconciled
        self.turns = record.turns.get(name, ())
        self.looks = [look for look in system.looks if shows(look, record)]

    def __call__(self) -> set[State]:
        record = self.record
        # an answer to a write shows what the system has made of it
        written = [turn for turn in self.turns if turn.sent is not None]
        lines = [line for line in self.system.lines.get(self.name, ()) if line.at > record.born]
        states = {UNSEEN}
        if record.ours and self.system.maps(self.name, record.born):
            # it may be taken for somebody else's, if a person says so
            doubtful = {UNSEEN} if not record.writes[0][1] else set()
            states = {State("", None), *doubtful}
        looks = [look for look in self.looks if self.system.maps(self.name, look.at)]
        return self._after(states, [*looks, *written, *lines])

    def _after(self, states: set[State], events: Iterable[Look | Turn | Line]) -> set[State]:
        name = self.name
        # what it was to a record that a change of mappings has perhaps not come to, when the next one did
        spared: set[State] = set()
        for event in sorted(events, key=lambda event: event.at):
            if isinstance(event, Line):
                before = states - {UNSEEN}
                states = self._back(event) | spared if event.mapped else {UNSEEN}
                spared = set() if event.mapped or event.sure else before
                continue
            if isinstance(event, Turn):
                after = {State(plain(name, event.value), state.claim) for state in states}
            else:
                after = {new for state in states for new in self._seen(state, event)}
            states = after if event.sure else states | after
        return states

    def _back(self, line: Line) -> set[State]:
        """What the hub may believe of a field that is mapped again.

        It is seen for the first time, in the row that was worked through last, and then in those that waited; but where the
        hub has written to the record since, or the row went with a history that was erased, in a full read. That a row
        shows what it had written there itself is no news.
        """
        looks = [look for look in self.looks if look.at < line.at]
        writes = [(at, sure) for at, sure in self.record.writes if at < line.at]
        done = max((at for at in self.reconciled if at < line.at), default=0)
        sure = [look.at for look in looks if look.sure and look.keys is None and look.at < done]
        base = max(sure, default=0)
        after = max((at for at, sure in writes if sure), default=0)
        erased = 0 < self.record.anew < line.at
        states = {UNSEEN} if writes or erased or not base or not line.sure else set()
        for place, look in enumerate(looks):
            if look.at >= base and look.at > after:
                states |= self._after(set(self._seen(UNSEEN, look)), looks[place + 1 :])
        return states

    def _seen(self, state: State, look: Look) -> Iterator[State]:
        """What the hub may believe after a look."""
        before = [turn for turn in self.turns if turn.at <= look.at]
        value = plain(self.name, before[-1].value if before else "")
        if state.seen is None:
            if not value:
                yield State(value, None)
            for claim in self._at_first_sight(value, look) if value else ():
                yield State(value, claim)
            return
        if value == state.seen:
            yield state
            return
        last = before[-1]
        edit = State(value, self._edit(last.at, value, look))
        if last.sent is not None:
            yield State(value, state.claim)
            if not last.sure and plain(self.name, last.sent) != value:
                yield edit  # what a lossy system made of a write whose answer was lost may be taken for an edit
            return
        yield edit
        ours = {plain(self.name, turn.sent) for turn in before if turn.sent is not None}
        ours |= {
            plain(name, meant)
            for at, name, meant in self.record.meant
            if name == self.name and at < look.at
        }
        if value in ours:
            yield State(value, state.claim)  # the hub's own value, typed by a person

    def _at_first_sight(self, value: str, look: Look) -> Iterator[Claim]:
        """A row that shows the same as the one before, but for its time, is not kept again: it may have been seen before."""
        for earlier in self.looks:
            if earlier.at <= look.at and self._shows_the_same(earlier, look):
                when = min(self.record.stamp(earlier.at) or 0, earlier.at)
                yield Claim(value, (when,), when, when)

    def _shows_the_same(self, earlier: Look, look: Look) -> bool:
        value = self.record.value
        return all(value(name, earlier.at) == value(name, look.at) for name in self.record.turns)

    def _edit(self, made: int, value: str, look: Look) -> Claim:
        """An edit was made after the last complete read and after the hub's last write to the record, and was not yet
        there in either: so those before it count, and where it is open whether the hub knows of one, it is open here.
        A look that may have shown what had become of a write counts as its answer would have."""
        record, system = self.record, self.system
        whole = [(look.at, look.sure) for look in system.looks if look.keys is None]
        doubtful = min((at for at, sure in record.writes if not sure), default=NEVER)
        answers = [(look.at, False) for look in self.looks if look.at > doubtful]
        before = [(at, sure) for at, sure in (*whole, *record.writes, *answers) if at < made]
        lo = max((at for at, sure in before if sure), default=0)
        begins = (lo, *(at for at, _ in before if at > lo))
        hi, stamp = look.at, record.stamp(look.at)
        if stamp is not None and lo <= stamp + system.skew < hi:
            hi = stamp + system.skew
        return Claim(value, begins, hi, look.at)

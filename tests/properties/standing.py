"""How a field of a record stands: whether it shows what is golden, or was given up, or keeps what is somebody else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.properties.facts import NEVER, UNDONE_LIMIT, Record, System, Turn, plain, shows


class Standing:
    """The part of the model that looks at one field of one record."""

    systems: Mapping[str, System]
    records: Sequence[Record]

    def given_up(self, record: Record, name: str, until: int = NEVER) -> bool:
        """Whether a field may be in quarantine: the hub wrote over one value of others that often, and it came back."""
        came: Counter[str] = Counter()
        typed: set[str] | None = None  # nothing was written yet
        for turn in record.turns.get(name, ()):
            if turn.at >= until:
                break
            if turn.sent is not None:
                typed = set()
            elif typed is not None and turn.value not in typed:
                # what stood there in between, the hub may never have seen
                typed.add(turn.value)
                came[turn.value] += 1
        return any(times >= UNDONE_LIMIT for times in came.values())

    def _undone(self, record: Record, name: str) -> int:
        """How often, one after the other, a person has put the same value back and the hub has surely written over it."""
        turns, times = record.turns.get(name, []), 0
        turns = [turn for turn in turns if not self._read_anew(record, name, turn)]
        for before, turn in zip(turns[-2::-2], turns[::-2], strict=False):
            same = turn.sent is None and turn.value == turns[-1].value
            if not same or before.sent is None or not before.sure:
                break
            times += 1
        return times

    def unsettled(self, record: Record, name: str, golden: str) -> bool:
        """Whether a field neither holds what is golden nor what the system made of it when it was last sent."""
        mapped = self.systems[record.system].maps(name)
        if not mapped or plain(name, record.value(name)) == plain(name, golden):
            return False
        written = [turn for turn in record.turns.get(name, ()) if turn.sent is not None]
        # of one whose answer was lost nobody can tell whether it was ever made
        since = max((turn.at for turn in written if turn.sure), default=0)
        return not any(
            turn.at >= since
            and plain(name, turn.sent) == golden
            and self._left_alone(record, name, turn)
            for turn in written
        )

    def _left_alone(self, record: Record, name: str, turn: Turn) -> bool:
        """Whether a field holds what it held then, and the hub was never shown anything else."""
        every = self.systems[record.system].looks
        looks = [look.at for look in every if look.sure and shows(look, record)]
        seen = {record.value(name, at) for at in looks if at > turn.at}
        return (seen | {record.value(name)}) == {turn.value}

    def keeps(self, record: Record, name: str) -> bool:
        """Whether the hub has left a value in a field that only people of other customers have ever typed (rule 10)."""
        turns = record.turns.get(name, [])
        if not turns or not turns[-1].sent or not turns[-1].value:
            return False
        if self._read_anew(record, name, turns[-1]):
            return False
        held, sent = plain(name, turns[-1].value), plain(name, turns[-1].sent)
        typed = [
            (other.customer, plain(name, turn.value))
            for other in self.records
            for turn in other.turns.get(name, ())
            if turn.sent is None or self._read_anew(other, name, turn)
        ]
        ours = {value for customer, value in typed if customer == record.customer}
        return sent in {value for _, value in typed} and not {held, sent} & ours

    def _read_anew(self, record: Record, name: str, turn: Turn) -> bool:
        """Whether a field was not mapped in between: when it is, the hub takes what it shows for its system's word."""
        return not self.systems[record.system].has_mapped(name, turn.at)

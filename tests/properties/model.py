"""What should be true of several systems with a hub between them, worked out from what happened in the systems alone.

Written from the rules, for reading and not for speed, and without a line of the engine. It is told what people did and what
requests the systems answered, with true times. From that it derives what the hub can have seen of every field, which claims
that leaves (rules 2 and 3), which of them may win (3 and 4), and what every system should then hold (1 and 7). Where a fault
or a crash leaves open what the hub has kept, it follows every possibility.

Times are microseconds on the hub's clock. Values are the systems' own; empty is ``""``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any, NamedTuple

_NEVER = 1 << 62

UNDONE_LIMIT = 3
"""How often the hub writes over the same value of a person before it may give the field up (rule 7)."""


class Turn(NamedTuple):
    """From ``at`` on a field holds ``value``. The hub had ``sent`` something; ``None``: a person's doing.

    ``sure``: the hub has heard of it at once.
    """

    at: int
    value: str
    sent: str | None = None
    sure: bool = True


class Look(NamedTuple):
    """The hub was shown some records (``None``: all). ``sure``: and has kept what it was shown."""

    at: int
    keys: frozenset[int] | None
    sure: bool


class Claim(NamedTuple):
    """What a person asserted, and when: somewhere between ``lo`` and ``hi``; ``late`` is the greatest that ``lo`` can be."""

    value: str
    lo: int
    late: int
    hi: int


class State(NamedTuple):
    """What the hub may believe of one field of one record: what is there, and what a person last said."""

    seen: str | None
    claim: Claim | None


@dataclass
class Record:
    """One record of one system, under all the keys that it has had."""

    number: int
    born: int
    system: str
    customer: str
    ours: bool
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    stamps: list[tuple[int, int | None]] = field(default_factory=list)
    writes: list[tuple[int, bool]] = field(default_factory=list)

    def value(self, name: str, at: int | None = None) -> str:
        turns = [turn for turn in self.turns.get(name, ()) if at is None or turn.at <= at]
        return turns[-1].value if turns else ""

    def stamp(self, at: int) -> int | None:
        return next((stamp for when, stamp in reversed(self.stamps) if when <= at), None)


@dataclass
class System:
    """One system: how its times may be wrong, and what it makes of what it is sent."""

    name: str
    skew: int = 0
    lossy: Mapping[str, Callable[[str, str], str]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)


class Trouble(AssertionError):
    """Something that should not be. The text says where."""


class Model:
    """``policies``: field to ``(rule, systems)``. ``rank``: the systems, first the one that wins a tie."""

    def __init__(
        self,
        systems: Iterable[System],
        policies: Mapping[str, tuple[str, Sequence[str]]],
        fields: Sequence[str],
    ) -> None:
        self.systems = {system.name: system for system in systems}
        self.rank = {name: place for place, name in enumerate(self.systems)}
        self.policies = policies
        self.fields = fields
        self.records: list[Record] = []
        self.reconciled: list[int] = []
        """When the hub has worked through all that it had kept."""
        self.people: dict[str, str] = {}
        """Every address that a customer ever had, to the first one."""

    # --- what happened -----------------------------------------------------------------------

    def made(self, at: int, system: str, values: Mapping[str, str], *, ours: bool) -> Record:
        """A record came to be. Customers are told apart by their addresses."""
        email = values.get("email", "")
        customer = self.people.setdefault(email, email)
        record = Record(len(self.records), at, system, customer, ours)
        self.records.append(record)
        return record

    def typed(self, at: int, record: Record, name: str, value: str) -> None:
        """A person changed a field."""
        if name == "email":
            self.people.setdefault(value, record.customer)
        if value != record.value(name):
            record.turns.setdefault(name, []).append(Turn(at, value))

    def sent(self, at: int, record: Record, values: Mapping[str, str], *, sure: bool) -> list[str]:
        """The hub wrote to a record. Gives the fields that held the very same before."""
        system = self.systems[record.system]
        record.writes.append((at, sure))
        idle = []
        for name, value in values.items():
            held = record.value(name)
            kept = system.lossy.get(name, lambda _old, new: new)(held, value)
            if plain(name, held) == plain(name, value):
                idle.append(name)
            record.turns.setdefault(name, []).append(Turn(at, kept, value, sure))
        return idle

    def read(self, at: int, system: str, *, sure: bool) -> None:
        """A whole stream was read, or may have been."""
        self.systems[system].looks.append(Look(at, None, sure))

    def fetched(self, at: int, system: str, records: Iterable[Record], *, sure: bool) -> None:
        """Single records were read."""
        keys = frozenset(record.number for record in records)
        self.systems[system].looks.append(Look(at, keys, sure))

    # --- what follows ------------------------------------------------------------------------

    def disputed(self, customer: str) -> str | None:
        """The field of a customer that a person has changed last."""
        last = [
            (turns[-1].at, name)
            for record in self.records
            if record.customer == customer
            for name, turns in record.turns.items()
            if turns[-1].sent is None and name != "email"
        ]
        return max(last)[1] if last else None

    def known(self, customer: str) -> bool:
        """Whether the hub has seen for sure, and worked through, every record of a customer, under its address."""
        last = max(self.reconciled, default=0)
        return all(
            all(turn.sent is None or turn.sure for turn in record.turns.get("email", [])[-1:])
            and any(
                look.sure and record.born <= look.at < last and _shows(look, record)
                for look in self.systems[record.system].looks
            )
            for record in self.records
            if record.customer == customer
        )

    def states(self, record: Record, name: str) -> frozenset[State]:
        """All that the hub may believe of a field by now."""
        system = self.systems[record.system]
        looks = [look for look in system.looks if look.at >= record.born and _shows(look, record)]
        # an answer to a write shows what the system has made of it
        written = [turn for turn in record.turns.get(name, ()) if turn.sent is not None]
        states = {State("" if record.ours else None, None)}
        if record.ours and not record.writes[0][1]:
            states.add(
                State(None, None)
            )  # it may be taken for somebody else's, if a person says so
        events: list[Look | Turn] = [*looks, *written]
        for event in sorted(events, key=lambda event: event.at):
            if isinstance(event, Turn):
                after = {State(plain(name, event.value), state.claim) for state in states}
            else:
                after = {new for state in states for new in self._seen(record, name, state, event)}
            states = after if event.sure else states | after
        return frozenset(states)

    def _seen(self, record: Record, name: str, state: State, look: Look) -> Iterator[State]:
        """What the hub may believe after a look."""
        before = [turn for turn in record.turns.get(name, ()) if turn.at <= look.at]
        value = plain(name, before[-1].value if before else "")
        if state.seen is None:
            yield State(value, self._at_first_sight(record, value, look) if value else None)
            return
        if value == state.seen:
            yield state
            return
        last = before[-1]
        edit = State(value, self._edit(record, last.at, value, look))
        if last.sent is not None:
            yield State(value, state.claim)
            if not last.sure and plain(name, last.sent) != value:
                yield edit  # what a lossy system made of a write whose answer was lost may be taken for an edit
            return
        yield edit
        if value in {plain(name, turn.sent) for turn in before if turn.sent is not None}:
            yield State(value, state.claim)  # the hub's own value, typed by a person

    def _at_first_sight(self, record: Record, value: str, look: Look) -> Claim:
        when = min(record.stamp(look.at) or 0, look.at)
        return Claim(value, when, when, when)

    def _edit(self, record: Record, made: int, value: str, look: Look) -> Claim:
        """An edit was made after the last complete read and after the hub's last write to the record, and was not yet
        there in either: so those before it count, and where it is open whether the hub knows of one, it is open here."""
        whole = [(at, sure) for at, keys, sure in self.systems[record.system].looks if keys is None]
        before = [(at, sure) for at, sure in (*whole, *record.writes) if at < made]
        lo = max((at for at, sure in before if sure), default=0)
        late = max((at for at, _ in before), default=0)
        hi, stamp = look.at, record.stamp(look.at)
        if stamp is not None and lo <= stamp + self.systems[record.system].skew < hi:
            hi = stamp + self.systems[record.system].skew
        return Claim(value, lo, late, hi)

    def winners(self, customer: str, name: str) -> set[str | None]:
        """The values that may be golden; ``None``: nobody speaks of the field."""
        of = [record for record in self.records if record.customer == customer]
        possible = [
            [(record.system, state.claim) for state in self.states(record, name)] for record in of
        ]
        found: set[str | None] = set()
        for chosen in product(*(list(dict.fromkeys(options)) for options in possible)):
            claims = [(system, claim) for system, claim in chosen if claim is not None]
            found |= self._decided(name, claims)
        return found

    def _decided(self, name: str, claims: Sequence[tuple[str, Claim]]) -> set[str | None]:
        rule, order = self.policies.get(name, ("most_recent", ()))
        if rule == "owner":
            claims = [(system, claim) for system, claim in claims if system in order]
        if not claims:
            return {None}
        if rule == "source_priority":
            places = {system: place for place, system in enumerate(order)}
            best = min(places.get(system, len(self.rank)) for system, _ in claims)
            claims = [
                (system, claim)
                for system, claim in claims
                if places.get(system, len(self.rank)) == best
            ]
        found: set[str | None] = set()
        for begins in product(*({claim.lo, claim.late} for _, claim in claims)):
            latest = max(begins)
            standing = [(system, claim) for system, claim in claims if claim.hi >= latest]
            found.add(min(standing, key=lambda entry: self.rank[entry[0]])[1].value)
        return found

    # --- what should be ----------------------------------------------------------------------

    def given_up(self, record: Record, name: str) -> bool:
        """Whether a field may be in quarantine: the hub wrote over one value of others that often, and it came back."""
        came: dict[str, int] = {}
        turns = record.turns.get(name, [])
        for before, turn in pairwise(turns):
            if turn.sent is None and before.sent is not None:
                came[turn.value] = came.get(turn.value, 0) + 1
        return any(times >= UNDONE_LIMIT for times in came.values())

    def unsettled(self, record: Record, name: str, golden: str) -> bool:
        """Whether a field neither holds what is golden nor what the system made of it when it was last sent."""
        if plain(name, record.value(name)) == plain(name, golden):
            return False
        turns = record.turns.get(name, [])
        return not turns or turns[-1].sent is None or plain(name, turns[-1].sent) != golden

    def edits(self) -> Iterator[tuple[Record, str, str]]:
        """Every edit of a person that the hub has worked through for sure, or has written over: record, field, value.

        Of several edits that it was shown before it worked through any of them, the last counts.
        """
        for record in self.records:
            looks = [
                look.at
                for look in self.systems[record.system].looks
                if look.sure and look.at >= record.born and _shows(look, record)
            ]
            for name, turns in record.turns.items():
                for turn, following in zip(turns, [*turns[1:], None], strict=True):
                    until = _NEVER if following is None else following.at
                    covered = following is not None and following.sent is not None
                    known = record.ours or any(at < turn.at for at in looks)
                    seen = min((at for at in looks if turn.at <= at < until), default=_NEVER)
                    outdone = min((at for at in looks if at >= until), default=_NEVER)
                    kept = any(seen < at < outdone for at in self.reconciled)
                    if turn.sent is None and turn.value and known and (kept or covered):
                        yield record, name, plain(name, turn.value)


def _shows(look: Look, record: Record) -> bool:
    return look.keys is None or record.number in look.keys


def plain(name: str, value: Any) -> str:
    """A value without what no mapping keeps: the blanks of a telephone number, case in an address."""
    text = "" if value is None else str(value)
    if name == "phone":
        return text.replace(" ", "")
    return text.casefold() if name == "email" else text

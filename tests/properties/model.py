"""What should be true of several systems with a hub between them, worked out from what happened in the systems alone.

Written from the rules, for reading and not for speed, and without a line of the engine. It is told what people did and what
requests the systems answered, with true times. From that it derives what the hub can have seen of every field, which claims
that leaves (rules 2 and 3), which of them may win (3 and 4), and what every system should then hold (1 and 7). Where a fault
or a crash leaves open what the hub has kept, it follows every possibility.

Times are microseconds on the hub's clock. Values are the systems' own; empty is ``""``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from tests.properties.belief import believed, unseen_since
from tests.properties.facts import (
    NEVER,
    RETIRED,
    UNDONE_LIMIT,
    Line,
    Look,
    Record,
    Said,
    State,
    System,
    Trouble,
    Turn,
    plain,
    shows,
)
from tests.properties.standing import Standing
from tests.properties.winning import decided


class Model(Standing):
    """``policies``: field to ``(rule, systems)``. ``rank``: the systems, first the one that wins a tie."""

    def __init__(
        self,
        systems: Iterable[System],
        policies: Mapping[str, tuple[str, Sequence[str]]],
        fields: Sequence[str],
        deletes: str,
    ) -> None:
        self.deletes = deletes
        self.systems = {system.name: system for system in systems}
        self.rank = {name: place for place, name in enumerate(self.systems)}
        self.policies = policies
        self.fields = fields
        self.records: list[Record] = []
        self.changed = 0
        """When policies or mappings were changed last."""
        self.reconciled: list[int] = []
        """When the hub has worked through all that it had kept."""
        self.decided_on = 0
        """When an operator has changed rules or links last."""
        self.people: dict[str, str] = {}
        """Every address that a customer ever had, to the first one."""
        self.erased: set[str] = set()
        self.parted: set[str] = set()
        """Customers who show the same address as somebody else, because they were split."""

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

    def deleted(self, at: int, record: Record, *, at_once: bool) -> None:
        """A person deleted a record."""
        if self.deletes != "ignore" and at_once:
            record.unaware = list(self._unaware(record))
        record.died, record.at_once = at, at_once

    def taken_away(self, at: int, record: Record, *, sure: bool) -> None:
        """The hub deleted a record. It may not have heard yet that those who were deleted by people are taken back."""
        said = self.may_be_over(record.customer) or any(
            self.speaks(of) and not self._met(of.again)
            for of in self.records
            if of.customer == record.customer and of.again
        )
        if self.deletes != "propagate" or not said:
            raise Trouble(f"{record.system}: {record.customer} is deleted, and nobody said so")
        record.died, record.at_once, record.deleted_by_us = at, sure, True

    def joined(self, at: int, loser: Record, survivor: Record, *, at_once: bool) -> None:
        """A person merged a record of their system into another (rule 13)."""
        self.deleted(at, loser, at_once=at_once)
        loser.into = survivor

    def restored(self, at: int, record: Record) -> Record:
        """A person took back a record that the hub knows to be gone: to the hub a new one."""
        record.again = Record(len(self.records), at, record.system, record.customer, ours=False)
        self.records.append(record.again)
        return record.again

    def merged(self, survivor: str, absorbed: str) -> None:
        """A person says that two customers are one (rule 14)."""
        self.people = {
            address: survivor if of == absorbed else of for address, of in self.people.items()
        }
        for record in [of for of in self.records if of.customer in (survivor, absorbed)]:
            record.once.add(record.customer)
            record.customer, record.shared = survivor, True
        if absorbed in self.parted:
            self.parted.add(survivor)

    def address_is_shared(self, *customers: str) -> bool:
        """Whether these, made one, would get an address that somebody shares who is not one of them: systems refuse it."""
        alive = [record for record in self.of(*customers) if record.alive]
        addresses = {plain("email", record.value("email")) for record in alive}
        return len(addresses) > 1 and bool(self.parted.intersection(customers))

    def split(self, record: Record) -> None:
        """A person says that a record is another customer's (rule 15)."""
        for other in self.of(record.customer):
            other.shared = True
            other.once.add(record.customer)
        self.parted.add(record.customer)
        record.customer = f"{record.customer} without {record.number}"
        self.parted.add(record.customer)

    def erase(self, at: int, customer: str) -> None:
        """A person asks to be forgotten. Whoever was once one with them begins anew (rule 25)."""
        self.erased.add(customer)
        kin = {customer}.union(*(of.once for of in self.records if of.customer == customer))
        for record in self.records:
            if kin & (record.once | {record.customer}):
                record.anew = at

    def of(self, *customers: str) -> list[Record]:
        """The records of these customers, without those that have made place for new ones."""
        return [of for of in self.records if of.customer in customers and not of.again]

    def sent(self, at: int, record: Record, values: Mapping[str, str], *, sure: bool) -> list[str]:
        """The hub wrote to a record. Gives the fields that held the same before, or to which it had just sent the same."""
        system = self.systems[record.system]
        record.writes.append((at, sure))
        idle = []
        for name, value in values.items():
            if not system.maps(name):
                raise Trouble(f"{record.system}: {name} is not mapped, and is written")
            held = record.value(name)
            kept = system.lossy.get(name, lambda _old, new: new)(held, value)
            last = record.turns.get(name, [])[-1:]
            again = any(
                turn.sure and turn.sent == value and not self._wavered(record, name, turn.at)
                for turn in last
            )
            lossy = name in system.lossy
            if again or (not lossy and plain(name, held) == plain(name, value)):
                idle.append(name)
            if self._undone(record, name) >= UNDONE_LIMIT:
                raise Trouble(f"{system.name}: {name} is written over once more")
            record.turns.setdefault(name, []).append(Turn(at, kept, value, sure))
        return idle

    def _wavered(self, record: Record, name: str, since: int) -> bool:
        """Whether what is golden may have been another value meanwhile: a reason to try again (rule 7)."""
        return (
            self.changed > since
            or record.shared
            or any(
                not other.alive
                or any(
                    turn.sent is None
                    and not any(
                        look.sure and turn.at <= look.at < since
                        for look in self.systems[other.system].looks
                        if shows(look, other)
                    )
                    for turn in other.turns.get(name, ())
                )
                for other in self.records
                if other.customer == record.customer
            )
        )

    def read(self, at: int, system: str, *, sure: bool, tells: bool) -> None:
        """A whole stream was read, or may have been."""
        self.systems[system].looks.append(Look(at, None, sure, tells))

    def mapped(self, at: int, system: str, name: str, *, mapped: bool, sure: bool) -> None:
        """A field was taken out of a system's mapping, or put in again (rule 21)."""
        line = Line(at, mapped, sure)
        self.systems[system].lines.setdefault(name, []).append(line)

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
        return all(
            all(turn.sent is None or turn.sure for turn in record.turns.get("email", [])[-1:])
            and self._met(record)
            for record in self.records
            if record.customer == customer and record.alive
        )

    def _met(self, record: Record) -> bool:
        """Whether the hub has surely seen a record, and worked through that."""
        last = max(self.reconciled, default=0)
        return any(
            look.sure and look.at < last and shows(look, record)
            for look in self.systems[record.system].looks
        )

    def addressed(self, record: Record) -> bool:
        """Whether the hub surely knows the address that a record shows."""
        shown = plain("email", record.value("email"))
        return all(state.seen == shown for state in self.states(record, "email"))

    def states(self, record: Record, name: str) -> frozenset[State]:
        """All that the hub may believe of a field by now."""
        return believed(self.systems[record.system], record, name, self.reconciled)

    def winners(self, customer: str, name: str) -> set[str | None]:
        """The values that may be golden; ``None``: nobody speaks of the field."""
        possible = [
            {
                (record.system, state.claim, gone)
                for state in self.states(record, name)
                for gone in self.gone(record)
            }
            for record in self.of(customer)
        ]
        found: set[str | None] = set()
        for chosen in product(*possible):
            said = [
                Said(system, claim, gone)
                for system, claim, gone in chosen
                if claim and gone != RETIRED
            ]
            for begins in product(*(one.claim.begins for one in said)):
                found.add(decided(self.policies.get(name), self.rank, said, begins))
        return found

    def _unaware(self, record: Record) -> Iterator[tuple[Record, str]]:
        """The winning words of others that have just come in, and that a record surely has never shown.

        What wins only because rules, links or others' words have changed since it came in, the record may have known.
        """
        last = max(self.reconciled, default=0)
        before = max((at for at in self.reconciled if at < last), default=0)
        others = [of for of in self.of(record.customer) if of.alive and of is not record]
        for name in self.fields:
            turns = record.turns.get(name, ())
            shown = {plain(name, value) for turn in turns for value in (turn.value, turn.sent)}
            if not self.systems[record.system].maps(name) or self.given_up(record, name):
                continue
            for other in others:
                said = {state.claim for state in self.states(other, name)}
                if len(said) != 1 or (claim := said.pop()) is None:
                    continue
                if not max(before, self.decided_on) < claim.seen < last:
                    continue
                if claim.value not in shown and self.winners(record.customer, name) == {
                    claim.value
                }:
                    yield other, name

    def speaks(self, record: Record) -> bool:
        """Whether the deletion of a record by people may speak for its customer (rule 12).

        It does not where the hub knew of something newer that the record did not show; as long as that is still said.
        """
        still = (
            other.customer == record.customer
            and other.into is None
            and not other.again
            and self.systems[other.system].has_mapped(name, record.died)
            for other, name in record.unaware
        )
        return not record.alive and not record.deleted_by_us and not any(still)

    def may_be_over(self, customer: str) -> bool:
        """Whether policy and people may have said that there is nothing to be done for a customer any more."""
        obeyed = self.deletes in ("archive", "propagate")
        return obeyed and any(self.speaks(record) for record in self.of(customer))

    def gone(self, record: Record) -> set[int | None]:
        """When a record was gone at the latest, by what the hub may know of it; ``None``: it may be there for all that.

        Whoever names the survivor of a merge when asked for the other makes its claims retire; who merely shows it deleted,
        or shows nothing any more, leaves its last words.
        """
        system = self.systems[record.system]
        found: set[int | None] = {None}
        if record.unlinked:
            return {RETIRED}
        if record.deleted_by_us and record.at_once:
            return {record.died}
        if record.deleted_by_us:
            found.add(record.died)
        if self.deletes == "unlink" and self.speaks(record):
            found.add(RETIRED)  # where somebody else is left to speak
        merged = system.tells_merges if record.into else ""
        for look in system.looks:
            told = look.tells and (look.keys is None or record.number in look.keys)
            if look.at < record.died or not told:
                continue
            if merged:
                found.add(RETIRED)
            stamp = (record.stamp(look.at) or look.at) + system.skew
            found |= {
                look.at,
                min(look.at, stamp),
            }  # a stamp that shows the wrong time counts for nothing
            if look.sure:
                found.discard(None)
                if record.at_once:
                    break
        certain = merged == "always" and None not in found
        return {RETIRED} if certain and record.into and record.into.alive else found

    def _to_be_seen(self, record: Record, name: str, before: int) -> int:
        """Since when a field was yet to be seen, because it was mapped again then; 0 if it was not."""
        system = self.systems[record.system]
        lines = [of for of in system.lines.get(name, ()) if record.born < of.at < before]
        if not lines or not lines[-1].mapped:
            return 0
        anew = unseen_since(lines[-1], system, record, name, self.reconciled)
        return lines[-1].at if anew else 0

    # --- what should be ----------------------------------------------------------------------

    def edits(self) -> Iterator[tuple[Record, str, str]]:
        """Every edit of a person that the hub has worked through for sure, or has written over: record, field, value.

        Of several edits that it was shown before it worked through any of them, the last counts. Of a field in quarantine
        none does (rule 7), those of a field that was not mapped meanwhile are withdrawn (21), a past may be erased (25), and
        what a deleted record said may be taken back as soon as it is heard (12). What was typed before the hub has seen the
        record, or the field since it was mapped again, is no edit to the hub, but what was there at first sight (3).
        """
        for record in self.records:
            if record.customer in self.erased:
                continue
            every = self.systems[record.system].looks
            shown = [look for look in every if shows(look, record)]
            looks = [look.at for look in shown if look.sure]
            for name, turns in record.turns.items():
                for turn, following in zip(turns, [*turns[1:], None], strict=True):
                    until = NEVER if following is None else following.at
                    covered = following is not None and following.sent is not None
                    anew = self._to_be_seen(record, name, turn.at)
                    known = (record.ours and not anew) or any(anew < at < turn.at for at in looks)
                    seen = min((at for at in looks if turn.at <= at < until), default=NEVER)
                    # a look that was broken off may have been kept: both edits are worked through at once, then
                    outdone = min((look.at for look in shown if look.at >= until), default=NEVER)
                    if self.deletes == "unlink":
                        outdone = min(outdone, record.died)
                    kept = any(max(seen, record.told) < at < outdone for at in self.reconciled)
                    said = turn.sent is None and turn.value and turn.at > record.anew
                    said = (
                        said
                        and not self.given_up(record, name, turn.at)
                        and not self._read_anew(record, name, turn)
                    )
                    if said and known and (kept or covered):
                        yield record, name, plain(name, turn.value)

"""Histories by chance: people work, the hub works, faults and deaths come between, and at the end all promises hold.

What happens is drawn step by step; ``World`` does it and keeps the record, ``Model`` says what should have come of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, repeat

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from connectors.testing import WRITE_TROUBLES
from connectors.testing.faults import WRITES
from connectors.testing.faults import Trouble as Fault
from tests.properties.facts import UNDONE_LIMIT, Record, Trouble, plain
from tests.properties.model import Model
from tests.properties.setting import EDITED, FIELDS, NAMES, drawn_setting, redrawn
from tests.properties.undoing import a_run_is_undone
from tests.properties.world import World, value_of

figures: Counter[str] = Counter()
"""What the histories of this process held, for the last line of a soak."""

POINTS = ("before commit", "after commit", "before write", "after write")

PLANNED = 0.25
"""The share of histories at whose end a plan is compared with what is done."""

UNDONE = 0.25
"""The share of histories that end with an undo: what an operator has decided is beyond the model."""

numbers = st.integers(0, 255)


class Histories(RuleBasedStateMachine):
    """What is left to others: several live records of one customer in one system, and so merges of such (``test_links``);
    fields that are read from other places, or otherwise (``test_plan_and_apply``); what deletions do elsewhere where policy
    does not ignore them (the tests of rule 12); undo of a run (``test_undo``). Each would be a rule more here, a line in
    ``World`` that puts it on record, and a line in ``Model`` that says what follows."""

    wild = True

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.tokens = count(1)
        self.failed = True

    @initialize(seed=st.integers(0, 2**20))
    def begin(self, seed: int) -> None:
        chance = random.Random(seed)
        setting = drawn_setting(seed, wild=self.wild)
        names = [profile.name for profile in setting.profiles]
        people = [chance.sample(names, chance.randint(1, len(names))) for _ in range(3)]
        self.chance = chance
        self.world = World(setting, people)
        self.failed = False
        for name in chance.sample(names, chance.choice((0, 1, 2))):
            self.world.systems[name].storm(seed, reads=0.1, writes=0.3)

    # --- people ------------------------------------------------------------------------------

    @rule(which=numbers, name=st.sampled_from(EDITED), form=st.sampled_from("sslluz"))
    def edit(self, which: int, name: str, form: str) -> None:
        """A person types something new, or (``z``) what may have been there before."""
        world = self._world()
        record = self._record(which)
        world.clock.sleep(1)
        if world.edit(record, name, self._text(name, form)):
            figures["edits"] += 1

    def _text(self, name: str, form: str) -> str:
        token = next(self.tokens)
        if name == "phone":
            return f"+322555{token % 3 if form == 'z' else token:04}"
        match form:
            case "z":
                return f"again {token % 2}"
            case "l":
                return f"w{token} of the long and winding road"
            case "u":
                return f"W{token} McBride"
            case _:
                return f"w{token}"

    @rule(which=numbers)
    def move(self, which: int) -> None:
        """A customer has another e-mail address.

        Not before the hub knows whose the records are, because it goes by addresses; nor while the answer to a write of an
        address is lost. And where the address is the key, only the hub writes it: when a person does, it has no way to know
        the record again.
        """
        world = self._world()
        record = self._record(which)
        own = world.systems[record.system].profile.keys == "own"
        if own and world.model.known(record.customer):
            world.clock.sleep(1)
            world.edit(record, "email", f"m{next(self.tokens)}@example.org")
            figures["addresses changed"] += 1

    @rule(which=numbers)
    def tick(self, which: int) -> None:
        """A system's validations put back what they do not like."""
        self._world().tick(self._system(which))

    @rule(which=numbers, form=st.sampled_from("sluz"))
    def meanwhile(self, which: int, form: str) -> None:
        """A person is faster than the hub's next write, and slower than its reading: and edits what it is about to write."""
        world = self._world()

        def edit(shown: Sequence[Record]) -> None:
            record = shown[which % len(shown)]
            name = world.model.disputed(record.customer)
            if name is not None and world.edit(record, name, self._text(name, form)):
                figures["edits under the hub's hands"] += 1

        world.meanwhile.append(edit)

    @rule(which=numbers)
    def overtake(self, which: int) -> None:
        """While the next page of a system is on its way, another worker writes there."""
        self._world().overtaken.add(self._system(which))

    @rule(which=numbers, also=numbers)
    def shift(self, which: int, also: int) -> None:
        """One row goes and another comes while a system's pages are read: where they go by number, one is missed.

        Only when everything was seen before: what somebody changes in a missed row would seem to be changed after the read.
        """
        world, system = self._world(), self._system(which)
        if world.systems[system].profile.page_size < len(world.of(system)) and world.round():
            here = [record for _, record in world.of(system)]

            def act() -> None:
                self.remove(here[also % len(here)])
                token = next(self.tokens)
                world.add(system, f"n{token}@example.org", name=f"w{token}")
                figures["shifted pages"] += 1

            world.between = act
            world.ingest(system, full=True)
            world.between = None

    @rule(which=numbers, name=st.sampled_from(EDITED))
    def clear(self, which: int, name: str) -> None:
        world = self._world()
        record = self._record(which)
        world.clock.sleep(1)
        if world.edit(record, name, ""):
            figures["clears"] += 1

    @rule(which=numbers)
    def delete(self, which: int) -> None:
        """A person deletes a record that the hub knows: of one that it may just have made, nobody could tell it."""
        self.remove(self._record(which))

    def remove(self, record: Record) -> None:
        world = self._world()
        alone = sum(other.alive for other in world.model.records) == 1
        if world.model.known(record.customer) and not alone:
            world.clock.sleep(1)
            world.delete(record)
            figures["deletions"] += 1

    @rule(
        which=numbers,
        also=numbers,
        name=st.sampled_from(("", "", *EDITED)),
        order=st.permutations(range(len(NAMES))),
    )
    def depart(self, which: int, also: int, name: str, order: list[int]) -> None:
        """All is quiet; then perhaps somebody edits a record, and before others are told somebody deletes theirs."""
        world, model = self._world(), self._world().model
        if model.deletes == "ignore":
            return
        world.settle(repeat(self._named(order)))
        record = self._record(which)
        customer = record.customer
        others = [of for of in model.of(customer) if of.alive and of is not record]
        if not others or not model.known(customer) or customer in model.erased | model.parted:
            return
        other = others[also % len(others)]
        if name and world.edit(other, name, self._text(name, "s")):
            world.ingest(other.system)
            world.reconcile()
        elif name or world.golden()[customer].archived:
            return
        world.delete(record)
        for _ in range(2):
            world.round(self._named(order), full=True)
        rests = world.golden()[customer].archived
        if not model.speaks(record):
            figures["deletions that do not count"] += 1
        elif not name and model.deletes == "unlink":
            record.unlinked = True
            figures["deletions that count"] += 1
        elif not name:
            figures["deletions that count"] += 1
            if not rests:
                raise Trouble(f"{customer} was deleted, and does not rest")

    @rule(which=numbers, also=numbers)
    def join(self, which: int, also: int) -> None:
        """People merge two records of their system, of two customers whom the hub knows.

        Not the only word of a customer: what is said of whom nobody speaks of any more is nobody's concern.
        """
        world, model = self._world(), self._world().model
        loser = self._record(which)
        others = [of for _, of in world.of(loser.system) if of.customer != loser.customer]
        if not others or not self._speaks_without(loser):
            return
        survivor = others[also % len(others)]
        customers = {loser.customer, survivor.customer}
        # who shows the address of two customers is a question to a person
        if all(map(model.known, customers)) and not customers & (model.parted | model.erased):
            world.clock.sleep(1)
            world.join(loser, survivor)
            figures["merges in systems"] += 1

    def _speaks_without(self, record: Record) -> bool:
        """Whether a customer has another record whose word counts."""
        others = self._world().model.of(record.customer)
        return any(other is not record and other.into is None for other in others)

    @rule(which=numbers)
    def restore(self, which: int) -> None:
        """A record that was deleted is there again, under its key."""
        world = self._world()
        parted = (
            world.model.parted
        )  # who shows the address of two customers is a question to a person
        gone = [record for record in world.dead.values() if record.customer not in parted]
        world.clock.sleep(1)
        if gone and world.restore(gone[which % len(gone)]):
            figures["reappearances"] += 1

    @rule(which=numbers, also=numbers)
    def add(self, which: int, also: int) -> None:
        """A new customer, in one system, or at once in two."""
        world = self._world()
        token = next(self.tokens)
        email = f"n{token}@example.org"
        world.clock.sleep(1)
        first, second = self._system(which), self._system(also)
        world.add(first, email, name=f"w{token}", city=f"w{token} town")
        # where the hub makes everybody, it may be faster than the second person: that is their own duplicate
        if second != first and not {first, second} & world.setting.creating:
            world.add(second, email, name=f"W{token}x", note=f"w{token}")
        figures["people added"] += 1

    # --- the hub -----------------------------------------------------------------------------

    @rule(which=numbers, full=st.booleans())
    def poll(self, which: int, full: bool) -> None:
        world = self._world()
        world.clock.sleep(5)
        world.ingest(self._system(which), full=full)

    @rule()
    def reconcile(self) -> None:
        self._world().reconcile()

    @rule(which=numbers)
    def deliver(self, which: int) -> None:
        world = self._world()
        world.clock.sleep(2)
        world.deliver(self._system(which))

    @rule(order=st.permutations(range(len(NAMES))))
    def round(self, order: list[int]) -> None:
        self._world().round(self._named(order))

    def _named(self, order: list[int]) -> list[str]:
        names = list(self._world().systems)
        return [names[place] for place in order if place < len(names)]

    @rule(seed=numbers)
    def change(self, seed: int) -> None:
        """Other policies and mappings, planned and applied."""
        world = self._world()
        before = world.setting
        world.propose(redrawn(random.Random(seed), before))
        world.apply()
        figures["changes of policy"] += world.setting.policies != before.policies
        figures["fields mapped or not"] += world.setting.unmapped != before.unmapped
        figures["changes of codec"] += world.setting.coded != before.coded

    @rule(which=numbers, also=numbers)
    def merge(self, which: int, also: int) -> None:
        """An operator makes two customers one.

        Not where both are in one system: what becomes of the second record there is another suite's (``test_links``).
        """
        self._merged(self._record(which), self._record(also))

    def _merged(self, one: Record, two: Record) -> bool:
        world, model = self._world(), self._world().model
        both = [record.system for record in model.of(one.customer, two.customer)]
        if one.customer == two.customer or len(set(both)) < len(both):
            return False
        if {one.customer, two.customer} & model.erased:
            return False
        known = model.known(one.customer) and model.known(two.customer)
        merged = known and world.merge(one, two)
        figures["merges"] += merged
        return merged

    @rule(which=numbers)
    def split(self, which: int) -> None:
        """An operator makes a record a customer of its own.

        Both go on with one address; so not where the hub would have to make somebody with an address that is taken.
        """
        world, model = self._world(), self._world().model
        record = self._record(which)
        if world.setting.creating or record.ours or record.customer in model.erased:
            return
        # what was merged into a record goes with it, if the hub knows of that
        if any(other.into is record for other in model.records) or not self._speaks_without(record):
            return
        if model.known(record.customer) and world.split(record):
            figures["splits"] += 1

    @rule(which=numbers)
    def erase(self, which: int) -> None:
        """A customer asks to be forgotten; the systems go on showing them."""
        world = self._world()
        record = self._record(which)
        if world.model.known(record.customer) and world.erase(record):
            figures["erasures"] += 1

    @rule(
        which=numbers,
        name=st.sampled_from(EDITED),
        form=st.sampled_from("sslluz"),
        order=st.permutations(range(len(NAMES))),
    )
    def day(self, which: int, name: str, form: str, order: list[int]) -> None:
        """Somebody works, and then the hub does."""
        self.edit(which, name, form)
        self.round(order)

    @rule(
        which=numbers,
        name=st.sampled_from(EDITED),
        form=st.sampled_from("slu"),
        order=st.permutations(range(len(NAMES))),
    )
    def insist(self, which: int, name: str, form: str, order: list[int]) -> None:
        """Somebody puts the same value back as often as the hub writes over it."""
        world, record = self._world(), self._record(which)
        value = self._text(name, form)
        for _ in range(UNDONE_LIMIT + 1):
            world.clock.sleep(1)
            if not record.alive or record.value(name) == value:
                break
            if not world.edit(record, name, value):
                break
            self.round(order)
            figures["edits insisted on"] += 1

    @rule(
        which=numbers,
        name=st.sampled_from(EDITED),
        form=st.sampled_from("slu"),
        point=st.sampled_from(POINTS),
        order=st.permutations(range(len(NAMES))),
    )
    def interrupt(self, which: int, name: str, form: str, point: str, order: list[int]) -> None:
        """The hub dies over what it makes of an edit; what it leaves is read before another goes on; then others edit."""
        world, record = self._world(), self._record(which)
        self.edit(which, name, form)
        world.fate.doom(point, 4)
        self.round(order)
        world.fate.spare()
        for system in world.systems:
            world.ingest(system)
        world.reconcile()
        others = [of for of in world.model.of(record.customer) if of.alive and of is not record]
        any(world.edit(other, name, self._text(name, form)) for other in others)
        world.clock.sleep(700)
        self.round(order)

    @rule(which=numbers, also=numbers, order=st.permutations(range(len(NAMES))))
    def mistake(self, which: int, also: int, order: list[int]) -> None:
        """An operator makes two customers one, and sees the mistake when the systems show it already."""
        world, absorbed = self._world(), self._record(also)
        if world.setting.creating or not self._merged(self._record(which), absorbed):
            return
        self.round(order)
        if world.model.known(absorbed.customer) and world.split(absorbed):
            figures["mistakes undone"] += 1

    # --- what goes wrong ---------------------------------------------------------------------

    @rule(which=numbers, seed=numbers, worst=st.booleans())
    def storm(self, which: int, seed: int, worst: bool) -> None:
        """From now on a share of a system's answers is spoilt."""
        reads, writes = (0.4, 0.7) if worst else (0.1, 0.3)
        self._world().systems[self._system(which)].storm(seed, reads=reads, writes=writes)
        figures["storms"] += 1

    @rule(which=numbers)
    def calm(self, which: int) -> None:
        self._world().systems[self._system(which)].calm()

    @rule(which=numbers, trouble=st.sampled_from(WRITE_TROUBLES))
    def spoil(self, which: int, trouble: tuple[Fault, bool]) -> None:
        """The next write meets just this trouble."""
        what, after = trouble
        system = self._world().systems[self._system(which)]
        system.fail_next(what, methods=WRITES, after=after)
        figures["spoilt writes"] += 1

    @rule(point=st.sampled_from(POINTS), times=st.integers(1, 8))
    def doom(self, point: str, times: int) -> None:
        """The hub's process is going to die."""
        self._world().fate.doom(point, times)

    @rule(seconds=st.sampled_from((60, 700, 4000)))
    def rest(self, seconds: int) -> None:
        """Time passes: leases run out, what waited is due."""
        self._world().clock.sleep(seconds)

    # --- the end -----------------------------------------------------------------------------

    def teardown(self) -> None:
        world = self.world
        if world is None:
            return
        try:
            if not self.failed:
                check(world, self.chance)
                figures["histories"] += 1
                figures["records"] += len(world.model.records)
                figures["writes"] += world.writes()
                figures["deaths"] += world.fate.deaths
                figures["faults"] += world.faults()
        finally:
            world.close()

    def _world(self) -> World:
        assert self.world is not None
        return self.world

    def _record(self, which: int) -> Record:
        """A record that is there."""
        records = self._world().model.records
        alive = [record for record in records if record.alive]
        if not alive:
            email = f"n{next(self.tokens)}@example.org"
            alive = [self._world().add(self._system(which), email, name="the first again")]
        return alive[which % len(alive)]

    def _system(self, which: int) -> str:
        names = list(self._world().systems)
        return names[which % len(names)]


def orders(names: Sequence[str], chance: random.Random) -> Iterator[list[str]]:
    while True:
        yield chance.sample(names, len(names))


def check(world: World, chance: random.Random) -> None:
    """All promises, at the end of a history."""
    polling = orders(list(world.systems), chance)
    world.settle(polling)
    _nothing_is_written_any_more(world, polling)
    _systems_are_as_recorded(world)
    _nobody_is_there_twice(world)
    _golden_records_follow(world)
    _no_edit_is_lost(world)
    _nobody_is_given_up(world)
    if world.idle:
        raise Trouble(f"written although nothing differed: {world.idle}")
    if not world.rebuilt():
        raise Trouble("the journal does not give the same golden records again")
    if chance.random() < PLANNED:
        _a_plan_is_what_is_done(world, chance, polling)
    if chance.random() < UNDONE:
        a_run_is_undone(world, chance, polling, figures)


def _nothing_is_written_any_more(world: World, polling: Iterator[Sequence[str]]) -> None:
    """Promises 1 and 5: the last of the rounds until now has written nothing, and so does one that looks at everything."""
    before = world.writes()
    world.clock.sleep(7200)
    world.round(next(polling), full=True)
    if world.writes() != before:
        raise Trouble(f"{world.writes() - before} writes after all was quiet")


def _systems_are_as_recorded(world: World) -> None:
    """The suite's own books."""
    for name in world.systems:
        for key, record in world.of(name):
            for part in FIELDS:
                held = plain(part, world.systems[name].field(key, part))
                assert held == plain(part, record.value(part)), (name, key, part)


def _a_plan_is_what_is_done(
    world: World, chance: random.Random, polling: Iterator[Sequence[str]]
) -> None:
    """Rule 21: when all is quiet, other policies and mappings are planned; applied, what was planned is what is written."""
    world.propose(redrawn(chance, world.setting))
    planned = world.planned()
    world.sent.clear()
    if not world.apply():
        return
    for name in world.systems:
        world.deliver(name)
    if planned is not None and world.sent != planned:
        raise Trouble(f"planned was {sorted(planned)}, and done {sorted(world.sent)}")
    figures["planned writes"] += len(planned or ())
    world.settle(polling)
    _golden_records_follow(world)


def _nobody_is_there_twice(world: World) -> None:
    """Promise 4."""
    made: Counter[tuple[str, str]] = Counter()
    for record in world.model.records:
        # of customers who were merged each may have been made
        made[record.system, record.customer] += record.ours and not record.shared
    twice = [place for place, times in made.items() if times > 1]
    if twice:
        raise Trouble(f"created more than once: {twice}")


def _golden_records_follow(world: World) -> None:
    """Promises 1 and 2: the values that the edits' times and the policies allow, and every system shows them."""
    model, golden = world.model, world.golden()
    of: dict[str, list[Record]] = {}
    for record in model.records:
        of.setdefault(record.customer, []).append(record)
    for customer, found in golden.items():
        if found.archived:
            _rests(model, customer)
        for name in FIELDS:
            if any(model.given_up(record, name) for record in of[customer]):
                figures["given up"] += 1
                continue
            value = value_of(found, name)
            allowed = model.winners(customer, name)
            figures["values exact" if len(allowed) == 1 else "values open"] += 1
            if value not in allowed:
                raise Trouble(f"{customer}: {name} is {value!r}, and should be {allowed}")
            for record in of[customer]:
                if not record.alive:
                    continue
                if found.archived:
                    continue
                if model.keeps(record, name):
                    raise Trouble(f"{record.system} {customer}: {name} is left of somebody else")
                if value is not None and model.unsettled(record, name, value):
                    held = record.value(name)
                    raise Trouble(f"{record.system} {customer}: {name} is {held!r}, not {value!r}")


def _rests(model: Model, customer: str) -> None:
    """Rule 12: whom policy lets rest was deleted by people who could know better; where it says so, in all systems."""
    if not model.may_be_over(customer):
        raise Trouble(f"{customer} rests, and nobody said so")
    there = [record.system for record in model.of(customer) if record.alive]
    if there and model.deletes == "propagate":
        raise Trouble(f"{customer} rests, and is still there in {there}")


def _nobody_is_given_up(world: World) -> None:
    """Rule 12: who was said to be gone was deleted."""
    for subject in world.said_to_be_gone():
        if subject not in world.buried:
            raise Trouble(f"{subject} is said to be gone, and was not")


def _no_edit_is_lost(world: World) -> None:
    """Promise 3."""
    golden = world.golden()
    text = cache(lambda customer: world.recorded(golden[customer]))
    questions = world.questions()
    for record, name, value in world.model.edits():
        figures["edits to account for"] += 1
        if record.shared and value in world.histories():
            continue
        if value not in text(record.customer) and value not in questions:
            raise Trouble(f"{record.system} {record.customer}: {name} {value!r} is nowhere")

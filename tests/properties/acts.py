"""What people do in their systems, as a history draws it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.properties.facts import Record
from tests.properties.promises import figures
from tests.properties.setting import EDITED, drawn_setting
from tests.properties.world import World

numbers = st.integers(0, 255)


class Acts(RuleBasedStateMachine):
    """A history in which people work."""

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
        """A record that was deleted is there again, under its key.

        Not with an address that it had got just before, and that nobody has seen: that is somebody else's.
        """
        world, model = self._world(), self._world().model
        gone = [
            record
            for record in world.dead.values()
            # who shows the address of two customers is a question to a person
            if record.customer not in model.parted and model.addressed(record)
        ]
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

    # --- which of them -----------------------------------------------------------------------

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

    def _named(self, order: list[int]) -> list[str]:
        names = list(self._world().systems)
        return [names[place] for place in order if place < len(names)]

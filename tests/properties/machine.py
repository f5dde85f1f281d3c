"""Histories by chance: people work, the hub works, faults and deaths come between, and at the end all promises hold.

What happens is drawn step by step; ``World`` does it and keeps the record, ``Model`` says what should have come of it.
"""

from __future__ import annotations

import random
from itertools import repeat

from hypothesis import strategies as st
from hypothesis.stateful import rule

from connectors.testing import WRITE_TROUBLES
from connectors.testing.faults import WRITES
from connectors.testing.faults import Trouble as Fault
from tests.properties.acts import Acts, numbers
from tests.properties.facts import UNDONE_LIMIT, Record, Trouble
from tests.properties.promises import check, figures
from tests.properties.setting import EDITED, NAMES, redrawn

POINTS = ("before commit", "after commit", "before write", "after write")


class Histories(Acts):
    """What is left to others: several live records of one customer in one system, pins, and merges of such records
    (``test_links``); fields that are read from other places, or otherwise (``test_plan_and_apply``). Each would be a rule
    more here, a line in ``World`` that puts it on record, and a line in ``Model`` that says what follows."""

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

        Not where both are in one system: what becomes of the second record there is another suite's (``test_links``). Nor
        where one would get the other's address, and shares that with a third: a system refuses it, and somebody is asked.
        """
        self._merged(self._record(which), self._record(also))

    def _merged(self, one: Record, two: Record) -> bool:
        world, model = self._world(), self._world().model
        both = [record.system for record in model.of(one.customer, two.customer)]
        if model.address_is_shared(one.customer, two.customer):
            return False
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

"""All promises, at the end of a history, measured by the model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from tests.properties.facts import Record, Trouble, plain
from tests.properties.model import Model
from tests.properties.setting import FIELDS, redrawn
from tests.properties.undoing import a_run_is_undone
from tests.properties.world import World, value_of

figures: Counter[str] = Counter()
"""What the histories of this process held, for the last line of a soak."""

PLANNED = 0.25
"""The share of histories at whose end a plan is compared with what is done."""

UNDONE = 0.25
"""The share of histories that end with an undo: what an operator has decided is beyond the model."""


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

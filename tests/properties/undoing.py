"""Promise 7: a run is undone, and everything is as it was before."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.properties.facts import Trouble
from tests.properties.setting import CANONICAL, EDITED
from tests.properties.world import World, value_of

Place = tuple[str, str]
"""The hub's id of a customer, and a canonical field."""


def a_run_is_undone(
    world: World,
    chance: random.Random,
    polling: Iterator[Sequence[str]],
    figures: Counter[str],
) -> None:
    """All is quiet; people edit, a run takes that in, perhaps it is delivered, and then it is undone.

    Left as they are may be only fields that the undo names, with the reason, and those that nobody owned before.
    """
    before = _golden(world)
    archived = {of for of, found in world.golden().items() if found.archived}
    there = [
        record
        for record in world.model.records
        if record.alive and record.customer not in world.model.erased | archived
    ]
    for number in range(chance.randint(1, 4)):
        name = chance.choice(EDITED)
        text = f"+3225559{number:03}" if name == "phone" else f"undone {number}"
        if there and world.edit(chance.choice(there), name, text):
            figures["edits to undo"] += 1
    run = world.take_in()
    if chance.random() < 0.5:
        for system in world.systems:
            world.deliver(system)
    unowned = {of for of in _golden(world).keys() - before.keys() if _rule(world, of[1]) == "owner"}
    kept = world.undo(run) | unowned
    figures["runs undone"] += 1
    _as_before(world, before, kept)
    world.settle(polling)
    _as_before(world, before, kept)
    for customer, found in world.golden().items():
        if not found.archived:
            for name in EDITED:
                _is_shown(world, customer, name, value_of(found, name))
    if not world.rebuilt():
        raise Trouble("the journal does not give the same golden records again after an undo")


def _golden(world: World) -> dict[Place, Any]:
    """What the golden records say; an empty field says as little as none."""
    return {
        (found.id, name): value
        for found in world.golden().values()
        for name, value in found.golden.items()
        if value not in (None, {})
    }


def _rule(world: World, field: str) -> str:
    native = next(name for name, canonical in CANONICAL.items() if canonical == field)
    return world.model.policies.get(native, ("most_recent", ()))[0]


def _as_before(world: World, before: dict[Place, Any], kept: set[Place]) -> None:
    now = _golden(world)
    for of in sorted(now.keys() | before.keys()):
        if now.get(of) != before.get(of) and of not in kept:
            raise Trouble(f"{of[1]} is {now.get(of)!r} after an undo, and was {before.get(of)!r}")


def _is_shown(world: World, customer: str, name: str, value: str | None) -> None:
    if value is None:
        return
    for record in world.model.of(customer):
        held = record.alive and not world.model.given_up(record, name)
        if held and world.model.unsettled(record, name, value):
            raise Trouble(f"{record.system} {customer}: {name} was not taken back")

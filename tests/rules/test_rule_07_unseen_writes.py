"""Rule 7: a system took a write, and nothing has shown what it made of it: its answer does not, and then it is down."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.contract import Document
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.losing import cut, pair
from tests.rules.world import World

OWNED = {"name": FieldPolicy(Rule.OWNER, {"erp": 0})}


def _same(document: Document) -> Document:
    return document


def _without_effect(document: Document) -> Document:
    return {**document, "name": "Ada"}


def _unseen(hub: World, makes: Any = _same, **changes: object) -> None:
    """The ERP's changes are written to the shop, which is down when it is asked what it made of them."""

    def fall_silent(document: Document) -> Document:
        hub.shop.down = True
        return makes(document)

    hub.shop.answers_with_record, hub.shop.makes = False, fall_silent
    hub.erp.edit("e1", **changes)
    hub.round("erp")
    hub.deliver("shop")
    assert hub.shop.down
    hub.shop.down, hub.shop.makes = False, makes


def _settled(hub: World) -> None:
    for _ in range(3):
        hub.clock.sleep(5)
        hub.round()
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_07_a_write_that_was_not_read_back_is_not_reported_as_ineffective(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    _unseen(hub, name="Countess")
    assert hub.tasks(TaskKind.INEFFECTIVE) == []
    writes = len(hub.shop.writes)
    _settled(hub)

    assert hub.golden["name"] == hub.shop["s1"]["name"] == "Countess"
    assert len(hub.shop.writes) == writes, "it had arrived"


def test_rule_07_whoever_takes_an_unseen_write_back_makes_an_edit(world: MakeWorld) -> None:
    """The next read shows what the last one did, as if the write had had no effect."""
    hub = pair(world)
    _unseen(hub, name="Countess")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Ada")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada"
    assert hub.tasks(TaskKind.INEFFECTIVE) == []


def test_rule_07_whoever_takes_an_unseen_write_back_against_policy_is_reverted(
    world: MakeWorld,
) -> None:
    hub = pair(world, policies=OWNED)
    _unseen(hub, name="Countess")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Ada")
    _settled(hub)

    assert hub.golden["name"] == hub.shop["s1"]["name"] == "Countess"


def test_rule_07_an_unseen_write_that_a_person_took_back_is_an_edit_though_another_write_came_first(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    _unseen(hub, name="Countess")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Ada")
    hub.erp.edit("e1", phone="9")
    hub.round("erp")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada"
    assert hub.shop["s1"]["phone"] == "9"


def test_rule_07_an_unseen_write_without_effect_is_made_once_more_and_reported(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    _unseen(hub, _without_effect, name="Countess")
    writes = len(hub.shop.writes)
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Countess"
    assert len(hub.shop.writes) == writes + 1
    assert hub.task(TaskKind.INEFFECTIVE).subject == "shop/people/s1:name"


def test_rule_07_what_a_system_made_of_an_unseen_write_is_no_edit(world: MakeWorld) -> None:
    hub = pair(world)
    _unseen(hub, cut, name="Ada Lovelace")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.shop["s1"]["name"] == "Ada Love"
    assert hub.tasks(TaskKind.INEFFECTIVE) == []


@pytest.mark.parametrize("makes", [_without_effect, cut])
def test_rule_07_what_is_never_seen_is_written_twice_and_no_more(
    world: MakeWorld, makes: Any
) -> None:
    """Nothing ever shows at once what the shop made of a write: only the next read does."""
    hub = pair(world)
    hub.shop.answers_with_record = False
    fetch = hub.shop.fetch
    writes = len(hub.shop.writes)

    def fetched(stream: str, keys: Any) -> Any:
        found = fetch(stream, keys)
        return {} if len(hub.shop.writes) > asked[-1] else found

    asked = [writes]
    hub.shop.fetch = fetched  # type: ignore[method-assign]
    hub.shop.makes = makes
    hub.erp.edit("e1", name="Ada Lovelace")
    for _ in range(5):
        asked.append(len(hub.shop.writes))
        hub.clock.sleep(5)
        hub.round()

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Lovelace"
    assert len(hub.shop.writes) == writes + 2
    assert hub.rebuilt().equal


def test_rule_07_an_unseen_write_that_arrived_the_second_time_tells_that_the_first_was_taken_back(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    _unseen(hub, name="Countess")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Ada")
    hub.ingest("shop")
    hub.reconcile()
    _unseen(hub, phone="9")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada"

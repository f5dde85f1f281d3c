"""Rule 7: a system took a write, and nothing has shown what it made of it: its answer does not, and then it is down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.contract import Document
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.losing import cut, pair
from tests.rules.world import Setting, World

OWNED = {"name": FieldPolicy(Rule.OWNER, {"erp": 0})}


def _first(world: MakeWorld, **more: Any) -> World:
    """The shop outranks the ERP: an edit that is none would win."""
    hub = world("shop", "erp", **more)
    for system, key in ((hub.erp, "e1"), (hub.shop, "s1")):
        system.add(key, name="Ada", mail="ada@example.org")
    return hub.settle()


def _same(document: Document) -> Document:
    return document


def _without_effect(document: Document) -> Document:
    return {**document, "name": "Ada"}


def _unseen(hub: World, makes: Any = _same, **changes: object) -> None:
    """The ERP's changes are written to the shop, which is down when it is asked what it made of them."""
    hub.erp.edit("e1", **changes)
    hub.round("erp")
    _blind(hub, makes)


def _blind(hub: World, makes: Any = _same, then: Callable[[], object] | None = None) -> None:
    """Deliver to the shop what waits; ``then`` happens while it does."""

    def fall_silent(document: Document) -> Document:
        hub.shop.down = True
        return makes(document)

    hub.shop.answers_with_record, hub.shop.makes = False, fall_silent
    if then is None:
        hub.deliver("shop")
    else:
        hub.deliver_meanwhile("shop", then)
    assert hub.shop.down
    hub.shop.down, hub.shop.makes = False, makes


def _taken_back(hub: World) -> None:
    """An unseen write, and then a person who puts back what was there."""
    _unseen(hub, name="Countess")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Ada")


def _in_doubt(hub: World) -> None:
    hub.clock.sleep(5)
    hub.ingest("shop")
    hub.reconcile()
    assert hub.shadow("shop", "s1").fields["name"].doubt is not None


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
    _taken_back(hub)
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada"
    assert hub.tasks(TaskKind.INEFFECTIVE) == []


def test_rule_07_whoever_takes_an_unseen_write_back_against_policy_is_reverted(
    world: MakeWorld,
) -> None:
    hub = pair(world, policies=OWNED)
    _taken_back(hub)
    _settled(hub)

    assert hub.golden["name"] == hub.shop["s1"]["name"] == "Countess"


def test_rule_07_an_unseen_write_that_a_person_took_back_is_an_edit_though_another_write_came_first(
    world: MakeWorld,
) -> None:
    hub = pair(world)
    _taken_back(hub)
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
    _taken_back(hub)
    hub.ingest("shop")
    hub.reconcile()
    _unseen(hub, phone="9")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada"


@pytest.mark.parametrize(("name", "makes"), [("Countess", _without_effect), ("Ada Lovelace", cut)])
def test_rule_07_a_doubt_is_not_believed_before_the_second_write_is_seen(
    world: MakeWorld, name: str, makes: Any
) -> None:
    hub = _first(world)
    _unseen(hub, makes, name=name)
    _in_doubt(hub)
    _blind(hub, makes)
    hub.clock.sleep(5)
    hub.erp.edit("e1", phone="9")
    hub.ingest("erp")
    hub.reconcile()
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == name


@pytest.mark.parametrize(("name", "makes"), [("Countess", _without_effect), ("Ada Lovelace", cut)])
def test_rule_07_a_system_whose_answers_never_show_a_field_makes_no_edit_of_it(
    world: MakeWorld, name: str, makes: Any
) -> None:
    hub = _first(world, shop=Setting(full_payload=False))
    write = hub.shop.write

    def without_name(commands: Any) -> Any:
        answers: Any = write(commands)
        return [
            replace(done, record=replace(done.record, document=_nameless(done.record.document)))
            for done in answers
        ]

    hub.shop.write, hub.shop.makes = without_name, makes  # type: ignore[method-assign]
    hub.erp.edit("e1", name=name)
    for number in range(4):
        hub.clock.sleep(5)
        hub.erp.edit("e1", phone=str(number))
        hub.round("erp")
        hub.round()
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == name


def _nameless(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "name"}


def test_rule_07_a_field_that_an_unseen_create_left_out_was_emptied_by_nobody(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.settle()
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.round("erp")
    _blind(hub, lambda document: {**document, "phone": None})
    hub.shop.makes = _same
    _settled(hub)

    assert hub.golden["phone"] == hub.erp["e1"]["phone"] == "1"


@pytest.mark.parametrize("clear", ["ignore", "review"])
def test_rule_07_whoever_empties_what_was_written_unseen_has_no_more_say_than_else(
    world: MakeWorld, clear: str
) -> None:
    lines = FULL_MAPPING.replace("phone: phone", f"phone: {{at: phone, clear: {clear}}}")
    hub = pair(world, shop=Setting(lines=lines))
    _unseen(hub, phone="1")
    hub.clock.sleep(5)
    hub.shop.edit("s1", phone=None)
    _settled(hub)

    assert hub.golden["phone"] == hub.erp["e1"]["phone"] == "1"


def test_rule_07_a_second_edit_after_a_second_unseen_write_counts(world: MakeWorld) -> None:
    """Both are beginnings of what was written; the system keeps all of it."""
    hub = _first(world)
    _unseen(hub, name="Bob Ada Lovelace Byron")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Bob Ada Lovelace")
    _in_doubt(hub)
    _blind(hub)
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Bob Ada")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Bob Ada"


def test_rule_07_a_withdrawal_without_effect_brings_nothing_back(world: MakeWorld) -> None:
    """The phone of somebody who was parted from them stays in the shop; it is no word of theirs."""
    hub = world("erp", "crm", "shop", same=(("email",),))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.crm.add("c1", name="Ada", mail="bda@example.org")
    hub.shop.add("s1", name="Ada", mail="bda@example.org")
    hub.settle()
    hub.merge("crm/c1", "erp/e1")
    hub.round()
    hub.round()
    assert hub.shop["s1"]["phone"] == hub.crm["c1"]["phone"] == "1"
    hub.clock.sleep(5)
    hub.split("crm/c1", "erp/e1")
    hub.reconcile()
    hub.deliver("crm")
    _blind(hub, lambda document: {**document, "phone": "1"})
    _settled(hub)

    assert hub.owner("shop/s1").golden.get("phone") is None
    assert hub.crm["c1"].get("phone") is None


def test_rule_07_what_a_look_shows_of_an_unseen_write_is_replayed(world: MakeWorld) -> None:
    hub = pair(world)
    _unseen(hub, _without_effect, name="Countess")
    _in_doubt(hub)

    def edited() -> None:
        hub.erp.edit("e1", phone="9")
        hub.clock.sleep(5)
        hub.ingest("erp")

    _blind(hub, _without_effect, edited)
    hub.shop.answers_with_record = True
    hub.clock.sleep(100)
    hub.deliver("shop")
    for note in "xyz":
        hub.erp.edit("e1", note=note)
        _settled(hub)

    assert hub.golden["name"] == "Countess"


def test_rule_07_a_doubt_that_was_written_over_unseen_gives_way_to_the_next(
    world: MakeWorld,
) -> None:
    hub = _first(world)
    _unseen(hub, name="Bob Ada Lovelace")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Bob Ada")
    _in_doubt(hub)
    _unseen(hub, name="Grace Brewster Hopper")
    hub.clock.sleep(5)
    hub.shop.edit("s1", name="Grace Brewster")
    _settled(hub)

    for name in (hub.golden["name"], hub.erp["e1"]["name"], hub.shop["s1"]["name"]):
        assert name == "Grace Brewster"

"""RULES 19: an element of a list is known by the key that its system gives it, else by its content; never by its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from connectors.contract import Document
from crm_master.domain.lifecycle import TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FakeSystem
from tests.rules.world import Setting, World, lose

LINES = """
  name: name
  email: {at: mail, as: email}
  places: {at: places, each: {street: street, city: city}}
"""


KEYED = Setting(LINES, ("places",))


HOME, WORK = {"street": "Kerkstraat 1", "city": "Gent"}, {"street": "Rue Haute 2", "city": "Namur"}


MOVED = {**HOME, "street": "Kerkstraat 11"}


AGAIN = {**HOME, "street": "Kerkstraat 111"}


ELSEWHERE = {**HOME, "street": "Veldstraat 4"}


def _numbers(start: int) -> Callable[[Document], Document]:
    """A system that gives every child a key of its own when it is made."""
    ids: Iterator[int] = count(start)

    def make(document: Document) -> Document:
        places = document.get("places") or []
        return {**document, "places": [{"id": next(ids), **place} for place in places]}

    return make


def _hub(world: MakeWorld, *places: Document, **settings: Setting) -> World:
    """Ada in three systems with the same places, each with ids and notes of the system's own."""
    names = ("erp", "shop", "list")
    hub = world(*names, **(dict.fromkeys(names, KEYED) | settings))
    for start, (name, key) in enumerate(zip(names, ("e1", "s1", "l1"), strict=True), 1):
        system = hub.systems[name]
        system.makes = _numbers(start * 100 + 50)
        held = [
            {"id": start * 100 + at, **place, "note": f"{name} {at}"}
            for at, place in enumerate(places)
        ]
        system.add(key, name="Ada", mail="ada@example.org", places=held)
    return hub.settle()


def _places(system: FakeSystem) -> dict[int, tuple[str, str | None]]:
    """By the system's own keys: the street, and what else the system keeps there."""
    return {one["id"]: (one["street"], one.get("note")) for one in system.only()["places"]}


def _edit(system: FakeSystem, child: int, **changes: Any) -> None:
    """A person edits one place; its place in the list says nothing."""
    (key,) = system.kept
    held = system[key]["places"]
    edited = [{**one, **changes} if one["id"] == child else one for one in held]
    system.edit(key, places=edited[::-1])


def _quiet(hub: World) -> None:
    hub.round()
    hub.round()
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_19_an_edited_element_is_rewritten_where_it_stands(world: MakeWorld) -> None:
    hub = _hub(world, HOME, WORK)

    _edit(hub.erp, 100, **MOVED)
    _quiet(hub)

    assert _places(hub.shop) == {
        200: ("Kerkstraat 11", "shop 0"),
        201: ("Rue Haute 2", "shop 1"),
    }
    assert _places(hub.list)[300] == ("Kerkstraat 11", "list 0")
    assert len(hub.golden["places"]) == 2

    _edit(hub.shop, 200, **AGAIN)
    _quiet(hub)
    assert _places(hub.erp)[100] == ("Kerkstraat 111", "erp 0")
    assert _places(hub.list)[300] == ("Kerkstraat 111", "list 0")

    _edit(hub.list, 300, **HOME)
    _quiet(hub)
    assert _places(hub.erp)[100] == ("Kerkstraat 1", "erp 0"), "back to what it was"
    assert _places(hub.shop)[200] == ("Kerkstraat 1", "shop 0")


def test_rule_19_a_system_that_has_missed_edits_keeps_its_key(world: MakeWorld) -> None:
    hub = _hub(world, HOME, WORK)
    hub.list.down = True
    for system, child, content in ((hub.erp, 100, MOVED), (hub.shop, 200, AGAIN)):
        _edit(system, child, **content)
        for _ in range(2):
            hub.ingest(system.name)
            hub.reconcile()
            hub.deliver("erp")
            hub.deliver("shop")
    assert _places(hub.list)[300] == ("Kerkstraat 1", "list 0")

    hub.list.down = False
    hub.clock.sleep(7200)
    _quiet(hub)
    assert _places(hub.list) == {
        300: ("Kerkstraat 111", "list 0"),
        301: ("Rue Haute 2", "list 1"),
    }


@pytest.mark.parametrize("fate", ["done", "undone", "killed", "half lost"])
def test_rule_19_an_edit_after_a_lost_answer_is_one_of_the_same_element(
    world: MakeWorld, fate: str
) -> None:
    hub = _hub(world, HOME)
    _edit(hub.erp, 100, **MOVED)
    hub.hear("erp")
    lose(hub, fate)
    hub.clock.sleep(7200)

    _edit(hub.shop, 200, **AGAIN)
    _quiet(hub)

    assert _places(hub.shop) == {200: (hub.erp.only()["places"][0]["street"], "shop 0")}
    assert _places(hub.erp).keys() == {100}
    assert _places(hub.list).keys() == {300}
    assert len(hub.golden["places"]) == 1


@pytest.mark.parametrize("fates", [["done"], ["half lost", "done"], ["half lost", "half lost"]])
def test_rule_19_an_edit_of_what_a_lost_write_has_made_of_an_element_follows_on_it(
    world: MakeWorld, fates: list[str]
) -> None:
    """Also before the read that shows it is reconciled: there it was, for whoever edits it."""
    hub = _hub(world, HOME)
    hub.shop.losses = fates.copy()
    _edit(hub.erp, 100, **MOVED)
    hub.erp.edit("e1", mail="ada@example.com")
    hub.hear("erp")
    hub.deliver("list")
    while hub.shop.losses:
        hub.deliver("shop")
        hub.reconcile()
        hub.clock.sleep(7200)
    hub.ingest("shop")
    _edit(hub.shop, 200, **AGAIN)
    hub.clock.sleep(10)
    hub.reconcile()
    hub.clock.sleep(7200)
    _quiet(hub)

    assert _places(hub.shop) == {200: ("Kerkstraat 111", "shop 0")}
    assert _places(hub.erp) == {100: ("Kerkstraat 111", "erp 0")}
    assert _places(hub.list) == {300: ("Kerkstraat 111", "list 0")}


@pytest.mark.parametrize("told", [True, False])
def test_rule_19_what_the_hub_has_made_or_rewritten_is_known_by_its_key(
    world: MakeWorld, told: bool
) -> None:
    """Though the answer does not show the record: whoever edits it edits what was written."""
    hub = _hub(world, HOME)
    _edit(hub.erp, 100, **MOVED)
    hub.hear("erp")
    number = hub.shop.makes
    if not told:

        def unseen(document: Document) -> Document:
            hub.shop.garbled.add("s1")
            return number(document)

        hub.shop.answers_with_record, hub.shop.makes = False, unseen
    assert hub.deliver("shop")["updated"] == 1
    hub.shop.garbled.clear()
    hub.shop.makes = number

    _edit(hub.shop, 200, **AGAIN)
    _quiet(hub)
    assert _places(hub.erp) == {100: ("Kerkstraat 111", "erp 0")}

    (key,) = hub.erp.kept
    hub.erp.edit(key, places=[*hub.erp[key]["places"], {"id": 109, **WORK}])
    _quiet(hub)
    (made,) = _places(hub.shop).keys() - {200}
    _edit(hub.shop, made, street="Rue Basse 3")
    _quiet(hub)
    assert _places(hub.erp) == {100: ("Kerkstraat 111", "erp 0"), 109: ("Rue Basse 3", None)}


def test_rule_19_what_was_removed_goes_and_what_was_added_comes(world: MakeWorld) -> None:
    hub = _hub(world, HOME, WORK)
    hub.erp.edit("e1", places=[hub.erp["e1"]["places"][1], {"id": 109, **ELSEWHERE}])
    _quiet(hub)
    streets = {child: street for child, (street, _) in _places(hub.shop).items()}
    assert streets.pop(201) == "Rue Haute 2"
    assert list(streets.values()) == ["Veldstraat 4"]
    assert 200 not in streets, "another child is another element"


def test_rule_19_contents_that_change_places_are_no_edit(world: MakeWorld) -> None:
    hub = _hub(world, HOME, WORK)
    one, two = hub.erp["e1"]["places"]
    hub.erp.edit("e1", places=[{**one, **WORK}, {**two, **HOME}])
    assert hub.round() == 0
    assert _places(hub.shop) == {200: ("Kerkstraat 1", "shop 0"), 201: ("Rue Haute 2", "shop 1")}


@pytest.mark.parametrize("other", [HOME, MOVED], ids=["had it before", "has it now"])
def test_rule_19_children_of_the_same_content_are_not_told_apart(
    world: MakeWorld, other: Document
) -> None:
    hub = _hub(world, HOME, other)
    _edit(hub.erp, 100, **MOVED)
    _quiet(hub)
    kept = {place["street"] for place in hub.shop.only()["places"]}
    assert kept == {HOME["street"], MOVED["street"]} - ({HOME["street"]} - {other["street"]})
    assert {place["street"] for place in hub.golden["places"].values()} == kept


def test_rule_19_without_keys_elements_are_known_by_content(world: MakeWorld) -> None:
    hub = _hub(world, HOME, erp=Setting(LINES))
    _edit(hub.erp, 100, **MOVED)
    _quiet(hub)
    ((child, made),) = _places(hub.shop).items()
    assert child != 200
    assert made == ("Kerkstraat 11", None), "one is gone, another was made"


def test_rule_19_a_target_without_keys_is_rewritten_in_place(world: MakeWorld) -> None:
    hub = _hub(world, HOME, WORK, shop=Setting(LINES))
    _edit(hub.erp, 100, **MOVED)
    _quiet(hub)
    assert _places(hub.shop)[200] == ("Kerkstraat 11", "shop 0")


def test_rule_19_an_edit_is_not_a_loss_that_a_person_is_asked_about(world: MakeWorld) -> None:
    asking = Setting(LINES.replace("places: {", "places: {clear: review, "), ("places",))
    hub = _hub(world, HOME, WORK, erp=asking)
    _edit(hub.erp, 100, **MOVED)
    _quiet(hub)
    assert hub.tasks(TaskKind.CLEAR) == []
    assert _places(hub.shop)[200] == ("Kerkstraat 11", "shop 0")


def _both_edit(hub: World, first: str = "erp") -> None:
    """Two people edit the same place, and neither has seen what the other made of it."""
    edits = {"erp": (hub.erp, 100, MOVED), "shop": (hub.shop, 200, ELSEWHERE)}
    for name in (first, *(edits.keys() - {first})):
        system, child, content = edits[name]
        _edit(system, child, **content)
    hub.clock.sleep(10)
    for name in (first, *(edits.keys() - {first})):
        hub.ingest(name)
        hub.reconcile()


@pytest.mark.parametrize("first", ["erp", "shop"])
def test_rule_19_of_two_edits_of_one_element_one_counts(world: MakeWorld, first: str) -> None:
    hub = _hub(world, HOME, WORK)
    _both_edit(hub, first)
    _quiet(hub)

    for system, child, note in (
        (hub.erp, 100, "erp 0"),
        (hub.shop, 200, "shop 0"),
        (hub.list, 300, "list 0"),
    ):
        assert _places(system)[child] == ("Kerkstraat 11", note), "the higher rank"
        assert len(_places(system)) == 2
    if first == "erp":
        lost = hub.task(TaskKind.REVERTED).payload
        assert (lost["lost"]["street"], lost["rule"]) == ("Veldstraat 4", "union")
        assert lost["winner"] == hub.record("erp", "e1").rec_id

    _edit(hub.list, 300, **AGAIN)
    _quiet(hub)
    assert {place["street"] for place in hub.golden["places"].values()} == {
        "Kerkstraat 111",
        "Rue Haute 2",
    }
    assert _places(hub.shop)[200] == ("Kerkstraat 111", "shop 0")

    hub.shop.edit("s1", places=hub.shop["s1"]["places"][1:])
    _quiet(hub)
    hub.list.edit("l1", places=[])
    _quiet(hub)
    assert hub.golden["places"] == {}, "what lost does not come back when what won is taken away"


def test_rule_19_the_later_of_two_edits_counts(world: MakeWorld) -> None:
    hub = _hub(world, HOME)
    hub.erp.down = hub.shop.down = False
    _edit(hub.erp, 100, **MOVED)
    hub.clock.sleep(10)
    hub.ingest("erp")
    hub.ingest("shop")
    hub.clock.sleep(10)
    _edit(hub.shop, 200, **ELSEWHERE)
    hub.hear("shop")
    _quiet(hub)
    assert _places(hub.erp) == {100: ("Veldstraat 4", "erp 0")}
    assert _places(hub.list) == {300: ("Veldstraat 4", "list 0")}


def test_rule_19_what_lost_returns_when_what_won_leaves(world: MakeWorld) -> None:
    hub = _hub(world, HOME)
    _both_edit(hub)
    _quiet(hub)
    hub.split("erp/e1", "erp/e1")
    for _ in range(3):
        hub.round()
    mine = hub.owner("shop/s1").golden["places"]
    assert {place["street"] for place in mine.values()} == {"Veldstraat 4"}
    assert hub.rebuilt().equal


def test_rule_19_who_takes_up_what_lost_says_it_anew(world: MakeWorld) -> None:
    hub = _hub(world, HOME)
    _both_edit(hub)
    _quiet(hub)
    _edit(hub.shop, 200, **ELSEWHERE)
    _quiet(hub)
    assert _places(hub.erp) == {100: ("Veldstraat 4", "erp 0")}


def test_rule_19_an_undone_edit_goes_back_where_it_stands(world: MakeWorld) -> None:
    hub = _hub(world, HOME)
    _edit(hub.erp, 100, **MOVED)
    hub.hear("erp")
    run = hub.ran["reconcile"]
    _quiet(hub)
    hub.undo(run)
    _quiet(hub)
    assert _places(hub.shop) == {200: ("Kerkstraat 1", "shop 0")}
    assert _places(hub.erp) == {100: ("Kerkstraat 1", "erp 0")}


def test_rule_19_keys_that_a_manifest_comes_to_name_are_known_at_once(world: MakeWorld) -> None:
    hub = _hub(world, HOME, erp=Setting(LINES))
    assert hub.shadow("erp", "e1").fields["places"].children is None
    hub.apply(hub.proposed(erp=LINES, keyed={"erp": ("places",)}))
    _quiet(hub)
    _edit(hub.erp, 100, **MOVED)
    _quiet(hub)
    assert _places(hub.shop) == {200: ("Kerkstraat 11", "shop 0")}

"""Rule 6: what a look before a write has shown, and what was landed last, keep together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from connectors.contract import Page, RawRecord, Scan
from crm_master.domain.lifecycle import TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.losing import pair
from tests.rules.world import World, lose


def _sent(hub: World, fate: str, **changes: object) -> None:
    """The ERP's changes are on their way to the shop, whose answer is lost."""
    hub.erp.edit("e1", **changes)
    hub.ingest("erp")
    hub.reconcile()
    lose(hub, fate)


def _looked(hub: World) -> None:
    hub.clock.sleep(700)
    hub.deliver("shop")


def _settled(hub: World) -> None:
    hub.round()
    hub.round()
    assert hub.round() == 0
    assert hub.rebuilt().equal


@pytest.mark.parametrize("fate", ["done", "killed"])
def test_rule_06_whoever_takes_a_lost_write_back_makes_an_edit(world: MakeWorld, fate: str) -> None:
    """The record shows again what was landed last. That is news: a look has shown since that the write had arrived."""
    hub = pair(world)
    _sent(hub, fate, name="Ada Lovelace")
    _looked(hub)
    hub.shop.edit("s1", name="Ada")
    _settled(hub)

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada"


def test_rule_06_whoever_takes_back_the_half_that_arrived_makes_an_edit(world: MakeWorld) -> None:
    """The other half is not to be written any more, so no write tells what became of the first."""
    hub = pair(world)
    _sent(hub, "half lost", name="Ada Lovelace", street="New St")
    hub.clock.sleep(5)
    hub.erp.edit("e1", street="Main St 1")
    hub.ingest("erp")
    hub.reconcile()
    _looked(hub)
    hub.shop.edit("s1", name="Ada")
    _settled(hub)

    assert hub.golden["name"] == hub.shop["s1"]["name"] == "Ada"


def test_rule_06_a_reformatted_write_that_a_look_has_found_is_replayed(world: MakeWorld) -> None:
    hub = pair(world)
    hub.shop.makes = lambda document: {**document, "mail": str(document["mail"]).upper()}
    _sent(hub, "done", mail="lovelace@example.org")
    _looked(hub)
    hub.shop.edit("s1", mail="third@example.org")
    hub.round()
    hub.round()

    assert hub.golden["email"] == "third@example.org"
    assert hub.rebuilt().equal


def test_rule_06_a_page_that_was_read_before_the_look_was_over_is_no_edit(world: MakeWorld) -> None:
    """It was read after the look had begun, the write arrived late, and then the look saw it."""
    hub = pair(world)
    _sent(hub, "undone", name="Ada Lovelace")
    hub.clock.sleep(700)
    read, fetch = hub.shop.read, hub.shop.fetch
    pages: list[Page] = []

    def late(stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        hub.shop.fetch = fetch  # type: ignore[method-assign]
        hub.clock.sleep(1)
        pages.extend(read(stream, None, Scan.FULL))
        hub.clock.sleep(1)
        hub.shop.edit("s1", name="Ada Lovelace")
        return fetch(stream, keys)

    hub.shop.fetch = late  # type: ignore[method-assign]
    hub.deliver("shop")
    hub.shop.read = lambda *_: iter(pages)  # type: ignore[method-assign]
    hub.ingest("shop", full=True)
    hub.shop.read = read  # type: ignore[method-assign]
    hub.reconcile()

    assert hub.golden["name"] == "Ada Lovelace"


@pytest.mark.parametrize(
    ("field", "value", "before"), [("name", "Ada Lovelace", "Ada"), ("tags", ["a", "b"], ["a"])]
)
def test_rule_06_whoever_takes_a_lost_write_back_and_enters_it_again_makes_two_edits(
    world: MakeWorld, field: str, value: object, before: object
) -> None:
    """Each is read. What was on its way had arrived by the first read, so it cannot arrive a second time."""
    hub = pair(world)
    _sent(hub, "done", **{field: value})
    for shown in (value, before, value):
        if hub.shop["s1"][field] != shown:
            hub.shop.edit("s1", **{field: shown})
        hub.clock.sleep(1)
        hub.ingest("shop")
        hub.reconcile()
    hub.clock.sleep(700)
    _settled(hub)

    assert hub.erp["e1"][field] == hub.shop["s1"][field] == value


def test_rule_06_what_a_system_has_made_unreadable_of_a_write_is_told(world: MakeWorld) -> None:
    hub = pair(world)
    hub.shop.makes = lambda document: {**document, "name": [document["name"]]}
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    hub.shop.makes = lambda document: document
    hub.erp.edit("e1", phone="3")
    hub.round()
    hub.clock.sleep(700)
    hub.round()

    assert hub.task(TaskKind.DEAD_LETTER).subject == "shop/people/s1:name"
    assert hub.shop["s1"]["phone"] == "3", "the other fields go on"


def test_rule_06_what_a_write_has_made_readable_is_told(world: MakeWorld) -> None:
    hub = pair(world)
    hub.shop.edit("s1", name=["Ada"])
    hub.round()
    assert hub.tasks(TaskKind.DEAD_LETTER) != []
    hub.shop.makes = lambda document: {**document, "name": "Ada"}
    hub.erp.edit("e1", phone="2")
    hub.round()
    hub.erp.edit("e1", phone="3")
    hub.round()

    assert hub.tasks(TaskKind.DEAD_LETTER) == []
    assert hub.shop["s1"]["phone"] == "3", "and nothing stands in the way"


def test_rule_06_what_is_unreadable_again_stops_nothing_else(world: MakeWorld) -> None:
    """Only a look has seen it readable in between."""
    hub = pair(world)
    hub.shop.edit("s1", name=["garbled"])
    hub.round()
    _sent(hub, "undone", phone="2")
    hub.erp.edit("e1", phone=None)
    hub.ingest("erp")
    hub.reconcile()
    hub.shop.edit("s1", name="Ada")
    _looked(hub)
    hub.reconcile()
    assert hub.tasks(TaskKind.DEAD_LETTER) == [], "it can be read"
    hub.shop.edit("s1", name=["garbled"])
    hub.erp.edit("e1", phone="3")
    for _ in range(2):
        hub.clock.sleep(4000)
        hub.round()

    assert hub.task(TaskKind.DEAD_LETTER).subject == "shop/people/s1:name"
    assert hub.shop["s1"]["phone"] == "3"

"""RULES 23: a worker creates nobody in a system of which another has yet to say who is there."""

from __future__ import annotations

from tests.rules.conftest import MakeWorld
from tests.rules.lost_answers import hub_with_shop
from tests.rules.world import World, dying


def _stops_reading(hub: World) -> None:
    """Of what is new in the shop a worker lands the first record; then it is killed, or is slow."""
    hub.shop.page_size, hub.shop.dies_after = 1, 1
    with dying():
        hub.ingest("shop")
    hub.reconcile()


def _reads_on(hub: World) -> None:
    hub.ingest("shop")
    hub.reconcile()
    hub.clock.sleep(100)
    hub.deliver("shop")


def test_rule_23_nobody_is_created_where_another_worker_is_reading(world: MakeWorld) -> None:
    hub = hub_with_shop(world)
    hub.shop.add("s1", name="Bob", mail="bob@example.org")
    hub.shop.add("s2", name="Ada", mail="ada@example.org")
    _stops_reading(hub)

    assert hub.deliver("shop") == {"waiting": 1}

    _reads_on(hub)
    assert hub.shop.writes == []
    assert hub.record("shop", "s2").entity_id == hub.record("erp", "e1").entity_id


def test_rule_23_nobody_is_created_where_what_was_read_is_not_reconciled(world: MakeWorld) -> None:
    hub = hub_with_shop(world)
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.ingest("shop")

    assert hub.deliver("shop") == {"waiting": 1}

    _reads_on(hub)
    assert hub.shop.writes == []
    assert hub.record("shop", "s1").entity_id == hub.customer().id


def test_rule_23_who_was_not_there_is_created_once_that_was_read(world: MakeWorld) -> None:
    hub = hub_with_shop(world)
    hub.shop.add("s1", name="Bob", mail="bob@example.org")
    hub.shop.add("s2", name="Cyd", mail="cyd@example.org")
    _stops_reading(hub)
    hub.deliver("shop")

    _reads_on(hub)

    assert len(hub.shop.writes) == 1
    assert hub.queued() == {}


def test_rule_23_a_create_in_doubt_stays_so_while_another_worker_is_reading(
    world: MakeWorld,
) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.shop.add("s2", name="Bob", mail="bob@example.org")
    hub.shop.add("s3", name="Cyd", mail="cyd@example.org")
    _stops_reading(hub)
    hub.clock.sleep(100)

    assert hub.deliver("shop") == {"waiting": 1}
    assert hub.queued() == {"unknown": 1}

    _reads_on(hub)
    assert len(hub.shop.writes) == 1
    assert hub.record("shop", "shop-1").entity_id == hub.record("erp", "e1").entity_id

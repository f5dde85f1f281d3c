"""RULES 12: deletes of which the hub hears nothing, and records that go and come back while something is open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.contract import Page, Scan
from crm_master.domain.lifecycle import DeletePolicy, RecordStatus, TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.losing import deleting, pair
from tests.rules.world import World, lose


def _revived(hub: World, fate: str) -> None:
    """The hub was to delete the record in the shop, heard nothing of it, and then the ERP has its record again."""
    document = dict(hub.erp["e1"])
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    lose(hub, fate)
    hub.clock.sleep(5)
    hub.erp.add("e1", **document)
    hub.ingest("erp")
    hub.reconcile()
    assert not hub.customer().archived


@pytest.mark.parametrize("fate", ["done", "killed"])
@pytest.mark.parametrize("polled", [True, False])
def test_rule_12_what_the_hub_has_perhaps_deleted_speaks_for_nobody(
    world: MakeWorld, fate: str, polled: bool
) -> None:
    """Its customer lives again before anybody knows what became of the delete."""
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.round()
    _revived(hub, fate)
    hub.clock.sleep(700)
    if polled:
        hub.ingest("shop", full=True)
        hub.reconcile()
    hub.round()
    hub.round()

    assert not hub.customer().archived
    assert hub.erp["e1"]["name"] == "Ada"
    assert hub.record("shop", "shop-1").status is RecordStatus.DELETED
    assert [task.subject for task in hub.tasks(TaskKind.GONE)] == []
    assert hub.rebuilt().equal


@pytest.mark.parametrize("fate", ["undone", "refused", "retry"])
def test_rule_12_whoever_deletes_what_the_hub_has_not_deleted_speaks(
    world: MakeWorld, fate: str
) -> None:
    """The answer has told, or a look: whoever deletes the record after that is a person."""
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.round()
    _revived(hub, fate)
    hub.clock.sleep(700)
    hub.deliver("shop")
    hub.shop.remove("shop-1")
    hub.round()

    assert hub.customer().archived
    assert hub.rebuilt().equal


def test_rule_12_what_the_look_before_a_delete_has_shown_comes_in_first(world: MakeWorld) -> None:
    """A write whose answer was lost had arrived. The delete after it is refused, and then a person takes the write back."""
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.round()
    hub.erp.edit("e1", phone="2")
    hub.ingest("erp")
    hub.reconcile()
    hub.shop.losses = ["done", "refused"]
    hub.deliver("shop")
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    for _ in range(2):
        hub.clock.sleep(700)
        hub.deliver("shop")
        hub.reconcile()
    assert hub.tasks(TaskKind.REFUSED) != []
    assert hub.customer().archived
    hub.shop.edit("shop-1", phone="1")
    hub.ingest("shop")
    hub.reconcile()

    assert not hub.customer().archived
    assert hub.golden["phone"] == "1"
    assert hub.rebuilt().equal


def test_rule_12_who_comes_back_as_they_went_is_there(world: MakeWorld) -> None:
    """A page that was read before the hub deleted the record is landed after that, and the record is restored as it was."""
    hub = deleting(world, DeletePolicy.PROPAGATE)
    hub.round()
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    document, read = dict(hub.shop.only()), hub.shop.read

    def slow(stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        pages = list(read(stream, cursor, scan))
        hub.shop.read = read  # type: ignore[method-assign]
        hub.deliver("shop")
        yield from pages

    hub.shop.read = slow  # type: ignore[method-assign]
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert hub.record("shop", "shop-1").status is RecordStatus.DELETED
    hub.clock.sleep(100)
    hub.shop.add("shop-1", **document)
    hub.ingest("shop", full=True)
    hub.reconcile()

    assert hub.record("shop", "shop-1").status is RecordStatus.LIVE


def test_rule_12_a_record_that_goes_a_second_time_is_gone(world: MakeWorld) -> None:
    """It was restored before anybody had found out what had become of the write that was on its way when it went."""
    hub = pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.ingest("erp")
    hub.reconcile()
    hub.shop.losses = ["undone"]
    hub.deliver("shop")
    kept = hub.shop.kept["s1"]
    hub.clock.sleep(5)
    hub.shop.remove("s1")
    hub.ingest("shop")
    hub.reconcile()
    hub.erp.edit("e1", name="Ada")
    hub.ingest("erp")
    hub.reconcile()
    hub.shop.kept["s1"] = kept
    del hub.shop.gone["s1"]
    hub.clock.sleep(700)
    hub.deliver("shop")
    hub.shop.remove("s1")
    hub.round()
    hub.ingest("shop", full=True)
    hub.reconcile()

    assert hub.record("shop", "s1").status is RecordStatus.DELETED

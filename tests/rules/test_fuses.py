"""Fuses: a run that is about to do more of something than policy allows stops before it, and asks (DESIGN section 6)."""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import TaskKind
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.reconcile import Reconciler
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World


def _people(world: MakeWorld, number: int = 4) -> World:
    """Customers whom the ERP alone knows; the shop has joined, and is empty."""
    hub = world("erp", "shop", shop=Setting())
    for n in range(number):
        hub.erp.add(f"e{n}", name=f"P{n}", mail=f"p{n}@example.org")
    return hub.settle()


def _known_to_the_shop(hub: World, *numbers: int) -> None:
    for n in numbers:
        hub.shop.add(f"s{n}", name=f"P{n}", mail=f"p{n}@example.org")
    hub.clock.sleep(10)
    hub.ingest("shop")


def _linked(hub: World) -> int:
    with hub.store() as uow:
        return uow.records.count("shop", "people")["linked"]


# links


def test_links_at_once_blow_the_fuse_before_the_first(world: MakeWorld) -> None:
    """A mailing list in which everybody has one address: no run links half of the customers to it unasked."""
    hub = _people(world)
    hub.set_fuses(links=0.25)
    _known_to_the_shop(hub, 0, 1, 2)
    before = hub.written()

    with pytest.raises(FuseBlown, match="3 links of 4 in customer; allowed: 1"):
        hub.reconcile()

    assert _linked(hub) == 0
    assert hub.inbox() == 3
    asked = hub.task(TaskKind.FUSE).payload
    assert (asked["fuse"], asked["found"], asked["most"]) == ("links", 3, 6)
    assert hub.reconcile() == {}, "nobody has answered"
    hub.deliver("shop")
    assert (_linked(hub), hub.written()) == (0, before)


def test_an_approval_of_links_lets_that_many_pass_once(world: MakeWorld) -> None:
    hub = _people(world, 6)
    hub.set_fuses(links=0.2)
    _known_to_the_shop(hub, 0, 1, 2)
    with pytest.raises(FuseBlown):
        hub.reconcile()

    assert hub.approve_run() == ["links customer"]
    hub.reconcile()

    assert (_linked(hub), hub.inbox(), hub.tasks(TaskKind.FUSE)) == (3, 0, [])
    _known_to_the_shop(hub, 3, 4)
    with pytest.raises(FuseBlown, match="2 links of 6 in customer; allowed: 1"):
        hub.reconcile()


def test_links_are_counted_over_all_batches_of_a_run(world: MakeWorld) -> None:
    hub = _people(world)
    hub.set_fuses(links=0.5)
    _known_to_the_shop(hub, 0, 1, 2)
    run = hub.run("reconcile")
    with pytest.raises(FuseBlown, match="3 links of 4"):
        Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, run, batch=1)()
    assert _linked(hub) == 2, "what policy allows was done"


def test_runs_that_share_the_work_divide_what_a_fuse_allows(world: MakeWorld) -> None:
    """Else each of four tasks would link as many as one run may."""
    hub = _people(world)
    hub.set_fuses(links=0.5)
    _known_to_the_shop(hub, 0, 1, 2)
    run = hub.run("reconcile")
    share = Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, run, 1, shares=2)
    with pytest.raises(FuseBlown, match="2 links of 4 in customer; allowed: 1"):
        share()
    assert _linked(hub) == 1


def test_the_floor_is_that_of_each_share(world: MakeWorld) -> None:
    """Else the share that takes the only batch there is stops at what policy lets pass."""
    hub = _people(world)
    hub.set_fuses(links=0.0, floor=3)
    _known_to_the_shop(hub, 0, 1, 2)
    run = hub.run("reconcile")
    Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, run, shares=4)()
    assert _linked(hub) == 3


def test_what_a_fuse_has_stopped_counts_against_no_record(world: MakeWorld) -> None:
    """Stopped again and again, they would otherwise be taken for poison (RULES 22)."""
    hub = _people(world)
    hub.set_fuses(links=0.25)
    _known_to_the_shop(hub, 0, 1, 2)
    for _ in range(4):
        with pytest.raises(FuseBlown):
            hub.reconcile()
        with hub.store() as uow:
            uow.tasks.close([(TaskKind.FUSE, "links customer")], hub.clock())
            uow.commit()
    hub.set_fuses(links=1.0)
    hub.reconcile()
    assert _linked(hub) == 3
    assert hub.tasks(TaskKind.DEAD_LETTER) == []


def test_links_up_to_the_floor_pass_in_a_small_hub(world: MakeWorld) -> None:
    hub = _people(world)
    hub.set_fuses(links=0.0, floor=3)
    _known_to_the_shop(hub, 0, 1, 2)
    hub.reconcile()
    assert _linked(hub) == 3


def test_the_links_of_a_system_that_joins_are_approved_with_it(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    for n in range(4):
        hub.erp.add(f"e{n}", name=f"P{n}", mail=f"p{n}@example.org")
    hub.ingest("erp", full=True)
    hub.reconcile()
    hub.approve("erp")
    hub.set_fuses(links=0.0)
    _known_to_the_shop(hub, 0, 1, 2)
    hub.reconcile()
    assert _linked(hub) == 3


# writes


def _edited(hub: World, *numbers: int, name: str = "Q") -> None:
    for n in numbers:
        hub.erp.edit(f"e{n}", name=f"{name}{n}")
    hub.hear("erp")


def test_writes_at_once_blow_the_fuse_before_the_first(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    for n in range(4):
        hub.erp.add(f"e{n}", name=f"P{n}", mail=f"p{n}@example.org")
    hub.settle()
    hub.set_fuses(writes=0.5)
    before = hub.written()
    _edited(hub, 0, 1, 2)

    with pytest.raises(FuseBlown, match="3 writes of 4 in shop/people; allowed: 2"):
        hub.deliver("shop")
    hub.deliver("shop")

    assert hub.written() == before, "nobody has answered"
    assert hub.approve_run() == ["writes shop/people"]
    hub.deliver("shop")
    assert hub.written() - before == 3
    _edited(hub, 0, 1, 2, name="R")
    with pytest.raises(FuseBlown):  # the approval was for once
        hub.deliver("shop")


def test_a_fuse_of_one_stream_stops_no_other(world: MakeWorld) -> None:
    hub = world("erp", "shop", "list", shop=Setting(creates=()))
    hub.erp.add("e0", name="P0", mail="p0@example.org")
    hub.list.add("l0", name="P0", mail="p0@example.org")
    for n in range(1, 4):
        hub.erp.add(f"e{n}", name=f"P{n}", mail=f"p{n}@example.org")
    hub.settle()
    hub.set_fuses(writes=0.5)
    _edited(hub, 0, 1, 2)
    with pytest.raises(FuseBlown, match="shop/people"):
        hub.deliver("shop")
    hub.deliver("list")
    assert hub.list["l0"]["name"] == "Q0"


def test_a_fuse_that_would_not_blow_any_more_takes_its_question_back(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    for n in range(4):
        hub.erp.add(f"e{n}", name=f"P{n}", mail=f"p{n}@example.org")
    hub.settle()
    hub.set_fuses(writes=0.5)
    _edited(hub, 0, 1, 2)
    with pytest.raises(FuseBlown):
        hub.deliver("shop")
    _edited(hub, 0, 1, name="P")
    hub.deliver("shop")
    assert hub.tasks(TaskKind.FUSE) == []
    assert hub.shop["shop-3"]["name"] == "Q2"

"""RULES 24: a create whose answer was lost makes no second customer, in the hub or in the system."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crm_master.domain.lifecycle import TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.lost_answers import hub_with_shop
from tests.rules.world import Setting, dying, lose


def test_rule_24_a_lost_answer_is_looked_up_and_bound(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    assert hub.queued() == {"unknown": 1}

    hub.clock.sleep(100)
    hub.deliver("shop")

    assert len(hub.shop.kept) == 1
    assert "find" in hub.shop.requests
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id
    assert hub.round() == 0


def test_rule_24_a_field_that_was_sent_and_is_mapped_no_more_is_not_looked_for(
    world: MakeWorld,
) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.apply(hub.proposed(shop=FULL_MAPPING.replace("  name: name\n", "")))

    hub.clock.sleep(100)
    hub.deliver("shop")

    assert hub.tasks(TaskKind.UNKNOWN, TaskKind.REFUSED) == []
    assert len(hub.shop.kept) == 1
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_24_what_a_search_shows_twice_is_one_record(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    found = hub.shop.find
    hub.shop.find = lambda *asked: [*found(*asked)] * 2  # type: ignore[method-assign]

    hub.clock.sleep(100)
    hub.deliver("shop")

    assert hub.tasks(TaskKind.UNKNOWN) == []
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id


def test_rule_24_a_create_that_never_arrived_is_made_once(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "undone")
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.deliver("shop")
    assert len(hub.shop.kept) == 1
    assert len(hub.shop.writes) == 1
    assert hub.round() == 0


def test_rule_24_a_process_killed_after_the_create_makes_no_second_one(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "killed")
    with dying():
        hub.deliver("shop")
    hub.clock.sleep(600)
    hub.round()
    assert len(hub.shop.kept) == 1
    assert len(hub.customers()) == 1


def test_rule_24_a_second_death_before_the_look_changes_nothing(world: MakeWorld) -> None:
    """The worker that should have looked dies too: the next one still knows that there is something to look for."""
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.clock.sleep(100)
    with hub.store() as uow:  # a worker takes the delivery, and dies
        assert uow.outbox.claim("shop", 10, hub.clock(), 1_000_000, 2)
        uow.commit()
    hub.clock.sleep(600)

    hub.deliver("shop")

    assert len(hub.shop.kept) == 1
    assert len(hub.shop.writes) == 1


def test_rule_24_a_look_that_fails_changes_nothing(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.shop.down = True
    hub.deliver("shop")
    hub.shop.down = False
    hub.clock.sleep(10_000)
    hub.deliver("shop")
    assert len(hub.shop.writes) == 1


def test_rule_24_what_is_looked_for_is_what_was_sent(world: MakeWorld) -> None:
    """Searched by content: the golden record has moved on since, and what was made is found nevertheless."""
    hub = hub_with_shop(world, "done")
    hub.shop.find_by_content = True
    hub.deliver("shop")
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.clock.sleep(100)
    hub.deliver("shop")

    assert len(hub.shop.kept) == 1


def test_rule_24_what_is_bound_is_brought_up_to_date(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.clock.sleep(100)
    hub.deliver("shop")
    hub.round()

    assert hub.shop.only()["name"] == "Ada Lovelace"
    assert hub.golden["name"] == "Ada Lovelace"


def test_rule_24_a_record_of_another_customer_is_not_taken_for_ours(world: MakeWorld) -> None:
    """Two people of one name; the search by content finds the other one's record too."""
    hub = world("erp", "shop", shop=Setting(creates=(), lines="  name: name"), same=(("email",),))
    hub.shop.find_by_content = True
    hub.shop.add("s1", name="Ada")
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve()
    hub.round()
    other = hub.record("shop", "s1").entity_id
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.round("erp")
    hub.shop.losses = ["undone"]
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.deliver("shop")

    assert hub.record("shop", "s1").entity_id == other
    assert hub.task(TaskKind.UNKNOWN).open, "whether hers was made cannot be known"
    assert len(hub.shop.kept) == 1


def test_rule_24_a_create_that_a_system_merges_into_another_customers_record_takes_nothing(
    world: MakeWorld,
) -> None:
    """The shop keeps one record for each name, and answers a create with the record that it has."""
    hub = world("erp", "shop", shop=Setting(creates=(), lines="  name: name\n  phone: phone"))
    hub.shop.merges_on = "name"
    hub.shop.add("s1", name="Ada", phone="1")
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve()
    hub.round()
    before = hub.record("shop", "s1")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.round()

    after = hub.record("shop", "s1")
    assert (after.entity_id, after.claims) == (before.entity_id, before.claims)
    assert hub.task(TaskKind.UNKNOWN).open


def test_rule_24_several_that_fit_are_a_question_to_a_person(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "done")
    hub.shop.find_by_content = True
    hub.deliver("shop")
    hub.shop.add("s9", name="Ada", mail="ada@example.org", tags=[])
    hub.clock.sleep(100)
    hub.deliver("shop")
    assert hub.task(TaskKind.UNKNOWN).open
    assert hub.queued() == {"held": 1}
    assert len(hub.shop.writes) == 1


def test_rule_24_without_search_it_is_a_question_to_a_person_never_a_blind_retry(
    world: MakeWorld,
) -> None:
    hub = hub_with_shop(world, "done", find=False)
    hub.deliver("shop")
    for _ in range(3):
        hub.clock.sleep(10_000)
        hub.deliver("shop")
    assert len(hub.shop.writes) == 1
    assert hub.queued() == {"held": 1}
    assert hub.task(TaskKind.UNKNOWN).payload["target"] == "shop/people"


def test_rule_24_a_person_may_have_it_sent_again(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "undone", find=False)
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.deliver("shop")
    hub.decide(hub.task(TaskKind.UNKNOWN), "retry")
    hub.clock.sleep(100)
    hub.deliver("shop")
    assert len(hub.shop.kept) == 1
    assert hub.queued() == {}


def test_rule_24_what_a_person_has_sent_again_is_looked_up_first_where_that_is_possible(
    world: MakeWorld,
) -> None:
    hub = hub_with_shop(world, "done")
    hub.shop.find_by_content = True
    hub.deliver("shop")
    hub.shop.add("s9", name="Ada", mail="ada@example.org", tags=[])
    hub.clock.sleep(100)
    hub.deliver("shop")
    hub.shop.remove("s9")
    hub.decide(hub.task(TaskKind.UNKNOWN), "retry")
    hub.clock.sleep(100)
    hub.deliver("shop")
    assert len(hub.shop.writes) == 1
    assert hub.record("shop", "shop-1").entity_id == hub.customer().id


@pytest.mark.parametrize("find_by", ["", "mail"])
@pytest.mark.parametrize("fate", ["done", "killed"])
def test_rule_24_what_a_lossy_system_made_of_a_create_is_no_edit(
    world: MakeWorld, fate: str, find_by: str
) -> None:
    hub = hub_with_shop(world)
    hub.shop.find_by = find_by
    hub.shop.makes = lambda document: document | {"name": str(document.get("name"))[:8].upper()}
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    lose(hub, fate)
    hub.clock.sleep(700)
    hub.round()
    hub.round()

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.shop.only()["name"] == "ADA LOVE"
    assert hub.round() == 0
    assert hub.rebuilt().equal


@pytest.mark.parametrize("after", ["claim", "look"])
def test_rule_24_two_workers_make_one_record(world: MakeWorld, after: str) -> None:
    """The first is slow: its lease runs out before it begins, and the second has done the work by then."""
    hub = hub_with_shop(world, *(["done"] if after == "look" else []))
    if after == "look":
        hub.deliver("shop")
        hub.clock.sleep(100)
    slow = hub.slow_deliverer("shop")
    messages = slow._claim()
    hub.clock.sleep(600)
    hub.deliver("shop")
    assert len(hub.shop.kept) == 1

    slow._deliver(messages)

    assert len(hub.shop.kept) == 1
    assert len(hub.shop.writes) == 1


def test_rule_24_a_customer_who_has_come_to_be_there_is_not_created(world: MakeWorld) -> None:
    """Ada enters herself in the shop after a worker has taken her delivery, and is linked before it begins."""
    hub = hub_with_shop(world)
    slow = hub.slow_deliverer("shop")
    messages = slow._claim()
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.ingest("shop")
    hub.reconcile()

    slow._deliver(messages)

    assert hub.shop.writes == []
    assert hub.queued() == {}


def test_rule_24_a_worker_whose_lease_ran_out_does_not_begin(world: MakeWorld) -> None:
    """The second worker is in the middle of its create when the first wakes up."""
    hub = hub_with_shop(world)
    slow = hub.slow_deliverer("shop")
    messages = slow._claim()
    hub.clock.sleep(600)
    hub.shop.losses = ["killed"]
    with dying():
        hub.deliver("shop")

    slow._deliver(messages)

    assert len(hub.shop.writes) == 1


@pytest.mark.parametrize("seconds", [0, 10**9])
def test_rule_24_what_a_system_asks_for_is_neither_a_hot_loop_nor_for_ever(
    world: MakeWorld, seconds: int
) -> None:
    """``Retry-After: 0``, or a date that is over on our clock; and one in the year 2058."""
    hub = hub_with_shop(world, *["retry"] * 50)
    hub.shop.retry_after = timedelta(seconds=seconds)
    hub.deliver("shop")
    assert hub.shop.requests.count("write") == 1
    hub.shop.losses = []
    hub.clock.sleep(90_000)
    hub.deliver("shop")
    assert len(hub.shop.kept) == 1


@pytest.mark.parametrize("creates", [True, False], ids=["a create", "an update"])
def test_rule_24_what_was_refused_and_then_done_unheard_is_no_question_any_more(
    world: MakeWorld, creates: bool
) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    if creates:
        hub.erp.add("e2", name="Bob", mail="bob@example.org")
    else:
        hub.erp.edit("e1", phone="1")
    hub.shop.losses = ["refused"]
    hub.round()
    task = hub.task(TaskKind.REFUSED)
    with hub.store() as uow:
        uow.outbox.retry([task.subject])
        uow.commit()
    hub.shop.losses = ["killed"]
    with dying():
        hub.deliver("shop")
    hub.clock.sleep(4000)
    hub.round()
    assert hub.written() == 2
    assert hub.tasks(TaskKind.REFUSED) == []


def test_rule_24_what_was_refused_and_is_not_needed_any_more_is_no_question(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", phone="1")
    hub.shop.losses = ["refused"]
    hub.round()
    assert len(hub.tasks(TaskKind.REFUSED)) == 1
    hub.erp.edit("e1", phone="")
    hub.round()
    assert hub.tasks(TaskKind.REFUSED) == []

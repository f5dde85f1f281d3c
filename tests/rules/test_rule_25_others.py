"""Rule 25: everybody else keeps what is theirs, and an erasure that is interrupted is finished."""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import InboxState, SystemState, TaskKind
from crm_master.engine import erasure
from crm_master.engine.erasure import NotErasable
from crm_master.engine.explain import NotFound, find_customer
from crm_master.engine.joining import rejoin
from tests.rules.conftest import MakeWorld
from tests.rules.erased import MAIL, PERSON, WORDS, grace_in, held, hub_of, live
from tests.rules.fakes import Killed
from tests.rules.lost_answers import hub_with_shop
from tests.rules.world import World, dying


def test_rule_25_the_journal_gives_everybody_else_again(world: MakeWorld) -> None:
    hub = hub_of(world)
    live(hub)
    hub.erp.add("e9", name="Bo", mail="bo@example.org")
    hub.round()
    before = hub.rebuilt()
    assert (before.equal, before.compared) == (True, 3)
    hub.erase(grace_in(hub))
    hub.erp.edit("e2", city="Bruges")
    hub.round()

    after = hub.rebuilt()

    assert (after.equal, after.compared) == (True, 2)


def test_rule_25_what_an_undo_did_for_others_is_replayed(world: MakeWorld) -> None:
    """One undo brought back values of both of them; hers go, the others are set again."""
    hub = hub_of(world)
    hub.erp.edit("erp-key-of-grace", name="Grace Brewster")
    hub.erp.edit("e2", name="Ada L.")
    hub.ingest("erp")
    hub.reconcile()
    assert hub.undo(hub.ran["reconcile"]).fields == 2
    hub.round()
    hub.erase(grace_in(hub))
    assert held(hub.store, WORDS) == []
    assert hub.golden["name"] == "Ada"
    assert hub.rebuilt().equal


def test_rule_25_somebody_else_whom_a_person_told_apart_stays(world: MakeWorld) -> None:
    """Their decision names both; it is replayed, and so is the record that it was about."""
    hub = hub_of(world)
    hub.shop.add("s3", name="Vincent", mail=MAIL)
    hub.round()
    with pytest.raises(NotErasable, match="concord conflicts"):
        hub.erase(grace_in(hub))
    hub.decide(hub.task(TaskKind.MATCH), "new")
    hub.round()
    hub.erase(grace_in(hub))
    assert sorted(customer.golden["name"] for customer in hub.customers()) == ["Ada", "Vincent"]
    assert hub.rebuilt().equal
    hub.shop.edit("s3", city="Lier")
    assert hub.ingest("shop")["landed"] == 1


def test_rule_25_a_record_that_was_found_to_be_theirs_goes_too(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.shop.add("s3", **PERSON)
    hub.round()
    hub.decide(hub.task(TaskKind.MATCH), grace_in(hub))
    receipt = hub.erase(grace_in(hub))
    assert receipt.systems[1]["records"] == 2
    assert held(hub.store, WORDS) == []
    assert hub.rebuilt().equal


def _parted(world: MakeWorld) -> World:
    """Vincent's record was taken for Grace's, by their mailbox, and was parted from hers."""
    hub = world("erp", "shop")
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.shop.add("s3", name="Vincent", mail=MAIL)
    hub.shop.add("s4", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s3", name="Vincent T.")
    hub.round()
    hub.split("erp/erp-key-of-grace", "shop/s3")
    hub.shop.edit("s3", mail="vincent@example.org")
    hub.round()
    hub.round()
    return hub


def test_rule_25_who_was_once_one_with_the_person_begins_anew(world: MakeWorld) -> None:
    """What was said and sent while they were one cannot be told apart: his past goes with hers, and he stays as he is."""
    hub = _parted(world)
    before = hub.owner("shop/s3")
    rec_id = hub.record("erp", "erp-key-of-grace").rec_id

    receipt = hub.erase(grace_in(hub))

    assert hub.owner("shop/s3") == before
    assert receipt.shared == [before.id]
    hers = [word for word in WORDS if word not in MAIL]  # the mailbox was his as well
    assert held(hub.store, [*hers, rec_id]) == []
    rebuilt = hub.rebuilt()
    assert (rebuilt.equal, rebuilt.compared) == (True, 2)


def test_rule_25_who_began_anew_goes_on_and_can_be_erased_too(world: MakeWorld) -> None:
    hub = _parted(world)
    hub.erase(grace_in(hub))
    # what was read of him went with his past
    assert hub.ingest("shop")["reread"] == 1
    hub.shop.edit("s3", name="Vincent de T.")
    hub.round()
    rebuilt = hub.rebuilt()
    assert (rebuilt.equal, rebuilt.compared) == (True, 2)
    assert hub.owner("shop/s3").golden["name"] == "Vincent de T."

    for customer in hub.customers():
        hub.erase(customer.id)
    for task in hub.tasks(TaskKind.ERASE):
        hub.decide(task, "done")

    assert held(hub.store, ["Vincent", "ada@"]) == []
    assert hub.rebuilt().equal


def test_rule_25_who_was_merged_into_the_person_is_erased_with_her(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.shop.add("s3", name="Amazing Gracekobold", mail="gnome@example.org")
    hub.round()
    absorbed = hub.owner("shop/s3").id
    hub.merge("erp/erp-key-of-grace", "shop/s3")
    hub.round()
    receipt = hub.erase("shop/people/s3")
    assert absorbed in receipt.customers
    assert held(hub.store, WORDS) == []
    assert hub.ingest("shop", full=True)["suppressed"] == 2
    assert hub.rebuilt().equal


def test_rule_25_who_may_have_been_merged_elsewhere_is_decided_first(world: MakeWorld) -> None:
    """A record that went away while one like it is there: the same person, or another one?"""
    hub = world("erp", "shop", within_system="new")
    hub.erp.add("e1", name="Grace", mail=MAIL)
    hub.erp.add("e2", name="Vincent", mail=MAIL)
    hub.settle()
    grace = hub.owner("erp/e1").id
    hub.erp.remove("e2")
    hub.round()
    with pytest.raises(NotErasable, match="wait for a decision"):
        hub.erase(grace)
    hub.decide(hub.task(TaskKind.MERGE), "apart")
    hub.erase(grace)
    assert [customer.golden["name"] for customer in hub.customers()] == ["Vincent"]
    assert hub.rebuilt().equal


def test_rule_25_who_has_a_record_of_an_open_merge_by_now_is_decided_about_first(
    world: MakeWorld,
) -> None:
    """It was another customer's when the question was asked."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Grace", mail=MAIL)
    hub.erp.add("e2", name="Vincent", mail="vincent@example.org")
    hub.shop.add("s1", name="Grace", mail=MAIL)
    hub.shop.add("s3", name="Annie", mail="annie@example.org")
    hub.settle()
    hub.erp.merge("e2", "e1")
    hub.round()
    hub.move("erp/e1", "shop/s3")
    with pytest.raises(NotErasable, match="wait for a decision"):
        hub.erase(hub.owner("shop/s3").id)
    assert hub.task(TaskKind.MERGE).payload["into"] == [str(hub.record("erp", "e1").ref)]


def test_rule_25_what_an_open_create_has_made_does_not_bring_the_person_back(
    world: MakeWorld,
) -> None:
    """It waits as what it was sent as, and the customer has another name and address by now."""
    hub = hub_with_shop(world, "done")
    hub.deliver("shop")
    hub.erp.edit("e1", name="Ada King", mail="king@example.org")
    hub.round("erp")
    hub.ingest("shop")
    hub.reconcile()
    assert hub.inbox(InboxState.PARKED) == 1
    hub.erase(hub.customer().id)
    hub.reconcile()
    assert hub.inbox(InboxState.PARKED) == 0
    assert hub.customers() == []
    assert hub.inbox(InboxState.PENDING) == 0


def test_rule_25_a_cursor_that_quotes_the_person_is_read_anew(world: MakeWorld) -> None:
    hub = hub_of(world)
    with hub.store() as uow:
        state = uow.states.stream("shop", "people")
        state.cursor = f"after={MAIL}"
        uow.states.save_stream(state)
        uow.commit()
    hub.erase(grace_in(hub))
    with hub.store() as uow:
        assert uow.states.stream("shop", "people").cursor is None
        assert uow.states.stream("erp", "people").cursor is not None


def test_rule_25_an_interrupted_erasure_is_finished_by_another(world: MakeWorld) -> None:
    hub = hub_of(world)
    customer = grace_in(hub)
    # the process dies before the files are cleaned
    began = erasure.erase(hub.hub, customer, "ada", "", hub.store, hub.clock, hub.new_id, "erase")
    assert began.state == "erased"
    assert held(hub.store, WORDS) == []
    for name in (customer, "shop/people/shop-key-of-grace"):
        again = hub.erase(name)
        assert (again.id, again.state) == (began.id, "done")
    assert len(hub.tasks(TaskKind.ERASE)) == 2


def test_rule_25_an_erasure_that_dies_halfway_has_done_nothing(world: MakeWorld) -> None:
    hub = hub_of(world)
    before = hub.customers()

    def dies() -> int:
        raise Killed

    with dying():
        erasure.erase(hub.hub, grace_in(hub), "ada", "", hub.store, dies, hub.new_id, "erase")
    assert hub.customers() == before
    with hub.store() as uow:
        assert uow.suppressions.watched("customer") == frozenset()


def test_rule_25_the_erased_are_named_by_their_receipt_only(world: MakeWorld) -> None:
    hub = hub_of(world)
    customer = grace_in(hub)
    receipt = hub.erase(customer)
    with hub.store() as uow, pytest.raises(NotFound, match=receipt.id):
        find_customer(customer, uow)
    with pytest.raises(NotFound):
        hub.erase("erp/people/never-seen")


def test_rule_25_joining_and_rejoining_keep_the_person_out(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    rejoin(hub.hub, hub.store, hub.clock, "rejoin")
    with hub.store() as uow:
        assert uow.states.systems()["erp"] is SystemState.JOINING
    hub.settle()
    assert [customer.golden["name"] for customer in hub.customers()] == ["Ada"]
    assert held(hub.store, WORDS) == []

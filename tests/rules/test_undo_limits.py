"""Undo: more than once, and what cannot be taken back and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine.reconcile import Reconciler
from crm_master.ports import HistoryEntry
from tests.rules.conftest import MakeWorld
from tests.rules.undoing import SYSTEMS, change, delivered, held, reconciled, three
from tests.rules.world import Setting, World


def test_undo_twice_does_nothing_the_second_time(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "erp", phone="2")
    delivered(hub)
    hub.undo(run)
    hub.round()
    version = hub.customer().version

    again = hub.undo(run)

    assert (again.fields, again.already, again.not_undone) == (0, 1, 0)
    assert hub.customer().version == version
    assert hub.round() == 0


def test_an_undo_can_be_undone_and_then_not_the_first_run_again(world: MakeWorld) -> None:
    hub = three(world)
    before = held(hub)
    run = change(hub, "erp", phone="2", tags=["vip"])
    delivered(hub)
    after = held(hub)
    hub.undo(run)
    undone = hub.ran["undo"]
    hub.round()
    assert held(hub) == before

    hub.undo(undone)
    redone = hub.ran["undo"]
    hub.round()

    assert held(hub) == after
    kept = hub.undo(run).kept
    assert {item["field"] for item in kept} == {"phone", "tags"}, "a decision stands: undo that"
    hub.undo(redone)
    hub.round()
    assert held(hub) == before
    assert hub.rebuilt().equal


def test_undo_of_a_run_whose_deliveries_are_partly_queued_still(world: MakeWorld) -> None:
    hub = three(world)
    before = held(hub)
    run = change(hub, "erp", phone="2", name="Ada Byron")
    hub.deliver("shop")
    assert hub.queued() == {"pending": 1}, "the list has not heard of it"
    writes = len(hub.list.writes)

    hub.undo(run)

    assert {message.system for message in hub.outbox()} == {"erp", "shop"}
    hub.round()
    assert held(hub) == before
    assert len(hub.list.writes) == writes, "the list never hears of it"
    assert hub.round() == 0


def test_undo_goes_page_by_page(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_master.engine.undo.PAGE", 2)
    hub = world("erp", "shop")
    for number in range(5):
        for system in (hub.erp, hub.shop):
            system.add(f"{number}", name=f"Person {number}", mail=f"p{number}@example.org")
    hub.settle()
    before = held(hub)
    for number in range(5):
        hub.erp.edit(f"{number}", name=f"Somebody {number}")
    hub.ingest("erp")
    hub.reconcile()
    run = hub.ran["reconcile"]
    hub.round()
    assert hub.undo_plan(run).fields == hub.undo(run).fields == 5
    hub.round()
    assert held(hub) == before


def test_erasure_takes_the_values_of_an_undo_and_leaves_those_of_others(world: MakeWorld) -> None:
    hub = three(world)
    for name, key in (("erp", "e2"), ("shop", "s2")):
        hub.systems[name].add(key, name="Bob", mail="bob@example.org", phone="0042-of-bob")
    hub.round()
    hub.erp.edit("e2", phone="2")
    hub.shop.edit("s1", phone="3")
    run = reconciled(hub)
    hub.undo(run)
    bob = hub.record("erp", "e2")

    hub.erase(bob.entity_id or "")

    with hub.store() as uow:
        [undone] = [commit for commit in uow.journal.commits() if commit.kind == "undo"]
    assert [step["value"] for step in undone.detail["steps"]] == ["1"]
    assert bob.rec_id not in str(undone.detail)
    assert hub.rebuilt().equal
    assert hub.golden["phone"] == "1"


def test_the_history_of_others_forgets_whose_a_value_was(world: MakeWorld) -> None:
    hub = three(world)
    hub.erp.add("e2", name="Bob", mail="bob@example.org")
    hub.round()
    bob, ada = hub.record("erp", "e2"), hub.record("erp", "e1").entity_id or ""
    old = {"name": ["A", {"": [bob.rec_id, 1, "most_recent"]}], "note": [], "phone": ["1", None]}
    with hub.store() as uow:
        for version in (90, 91):
            uow.customers.add_history([HistoryEntry(ada, version, 1, old, (), "run")])
        uow.commit()
    hub.erase(bob.entity_id or "")
    with hub.store() as uow:
        kept = [entry.superseded for entry in uow.customers.history(ada) if entry.version >= 90]
    assert kept == [{"name": ["A", {}], "note": [], "phone": ["1", None]}] * 2


# what cannot be taken back, and why


def _why(hub: World, run: str) -> str:
    done = hub.undo_plan(run)
    return " ".join([*done.notes, *(item["why"] for item in done.kept)])


def test_what_cannot_be_undone_is_listed(world: MakeWorld) -> None:
    hub = world("erp", "shop", "list", list=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Bob", mail="bob@example.org")
    hub.settle()
    hub.erp.remove("e1")
    hub.shop.add("s2", name="Cy", mail="cy@example.org", phone="5")
    hub.erp.add("e2", name="Bob", mail="bob@example.org", phone="7")
    hub.clock.sleep(10)
    hub.ingest("erp")
    hub.ingest("shop")
    hub.reconcile()
    run = hub.ran["reconcile"]
    hub.round()

    why = _why(hub, run)

    assert "erp/people/e1 is gone from its system" in why
    assert "1 customers were made by it" in why
    assert "1 links were made by it (link)" in why


def test_a_customer_that_the_run_made_has_nothing_to_go_back_to(world: MakeWorld) -> None:
    hub = three(world)
    hub.erp.add("e2", name="Bob", mail="bob@example.org")
    hub.shop.add("s2", name="Bob", mail="bob@example.org", phone="2")
    hub.clock.sleep(10)
    for name in SYSTEMS:
        hub.ingest(name)
    run = hub.run("reconcile")
    # each record in a batch of its own: the second makes the first's golden record a past one
    Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, run, batch=1)()
    assert "the run made this customer: there is nothing before" in _why(hub, run.id)
    assert hub.undo(run.id).fields == 0


def test_a_record_that_was_made_since_stays(world: MakeWorld) -> None:
    hub = world("erp", "list", list=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    for name in hub.systems:
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve()
    hub.reconcile()
    hub.erp.edit("e1", phone="2")
    hub.hear("erp")
    run = hub.ran["reconcile"]
    hub.round()
    assert "list/people/list-1 was made or bound for this customer since" in _why(hub, run)


@pytest.mark.parametrize(
    ("verb", "said"),
    [("ingest", "it only read; what it read was reconciled in: run-"), ("deliver", "it only del")],
)
def test_a_run_without_golden_records_says_which_to_undo(
    world: MakeWorld, verb: str, said: str
) -> None:
    hub = three(world)
    hub.erp.edit("e1", phone="2")
    hub.hear("erp")
    hub.deliver("shop")
    assert said in _why(hub, hub.ran[verb])


def test_a_field_that_is_configured_no_more_stays(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "erp", phone="2")
    plan = hub.hub.entities["customer"]
    fields = {name: spec for name, spec in plan.spec.fields.items() if name != "phone"}
    policy = replace(plan.policy, entity=replace(plan.spec, fields=fields))
    hub.hub = replace(hub.hub, entities={"customer": replace(plan, policy=policy)})
    assert "no such field is configured" in _why(hub, run)


def test_nobody_is_left_who_may_say_it(world: MakeWorld) -> None:
    hub = three(world, phone=FieldPolicy(Rule.OWNER, {"erp": 0}))
    run = change(hub, "erp", phone="2")
    delivered(hub)
    hub.erp.remove("e1")
    hub.round()
    assert "no record that owner listens to can say it" in _why(hub, run)

"""RULES 13: a system merges two of its own records. Nobody is deleted, nothing is written twice, and a person is asked
before two customers become one."""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import RecordStatus, TaskKind
from crm_master.engine import explain, linking
from crm_master.engine.plan import Test as Condition
from crm_master.engine.stewardship import Undecidable
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World

ADA, ALSO_ADA = "ada@example.org", "countess@example.org"


def duplicates(world: MakeWorld, **options: object) -> World:
    """Ada is in the ERP twice, and known to be: one customer."""
    hub = world("erp", "shop", **options)
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ALSO_ADA, phone="2", note="VIP")
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.settle()
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    return hub


def strangers(world: MakeWorld, **options: object) -> World:
    """The same, and nobody has told the hub: two customers."""
    hub = world("erp", "shop", **options)
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="A. Lovelace", mail=ALSO_ADA, phone="2", note="VIP")
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.shop.add("s2", name="A. Lovelace", mail=ALSO_ADA)
    return hub.settle()


# --- the system tells


def test_rule_13_the_loser_becomes_an_alias_and_nothing_is_deleted(world: MakeWorld) -> None:
    hub = duplicates(world)
    hub.erp.merge("e2", "e1", phone="2")
    hub.round()
    assert hub.record("erp", "e2").status is RecordStatus.ALIAS
    assert hub.record("erp", "e2").alias_of == hub.record("erp", "e1").rec_id
    assert hub.golden["phone"] == "2"
    assert hub.shop["s1"]["phone"] == "2"
    assert hub.tasks(TaskKind.GONE, TaskKind.MERGE) == []
    assert len(hub.shop.kept) == 1
    assert hub.round() == 0
    assert hub.verify().converged
    assert hub.rebuilt().equal


def test_rule_13_what_the_survivor_shows_of_it_is_its_own_word_from_then_on(
    world: MakeWorld,
) -> None:
    """The hub had put it there: that it stands there after the merge is no edit, and yet somebody says it."""
    hub = duplicates(world)
    assert hub.erp["e1"]["note"] == "VIP"
    hub.erp.merge("e2", "e1")
    hub.round()
    assert hub.golden["note"] == "VIP"
    hub.erp.edit("e1", note="Countess")
    hub.round()
    assert hub.shop["s1"]["note"] == "Countess"
    assert hub.rebuilt().equal


def _unwritten(world: MakeWorld) -> World:
    """The loser is the one that was written to; the survivor never got what it said."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ALSO_ADA, phone="2", note="VIP")
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.settle()
    hub.merge("erp/e1", "erp/e2")
    hub.pin("erp/e2")
    hub.round()
    assert not hub.erp["e1"].get("note")
    return hub


def test_rule_13_an_aliases_claims_retire(world: MakeWorld) -> None:
    """What the survivor does not show is said by nobody. It is left where it was spread to: nothing is deleted."""
    hub = _unwritten(world)
    assert hub.golden["note"] == "VIP"
    hub.erp.merge("e2", "e1")
    hub.round()
    assert "note" not in hub.golden
    assert hub.shop["s1"]["note"] == "VIP"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_13_what_was_typed_just_before_a_merge_is_not_nowhere(world: MakeWorld) -> None:
    """One run hears of both, so that the edit takes part in no decision: it is shown beside those that count."""
    hub = strangers(world)
    hub.erp.edit("e2", phone="3")
    hub.ingest("erp")
    hub.erp.merge("e2", "e1")
    hub.round()
    told = explain.explain(hub.hub, str(hub.record("erp", "e2").ref), hub.store)["fields"]["phone"][
        "claims"
    ]
    assert [(claim["value"], claim["counts"], claim["wins"]) for claim in told] == [
        ("3", False, False)
    ]


def test_rule_13_what_was_spread_from_an_alias_leaves_with_its_customer(world: MakeWorld) -> None:
    hub = _unwritten(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    hub.split("erp/e1", "erp/e2")
    hub.round()
    assert not hub.shop["s1"].get("note")


def test_rule_13_an_alias_goes_where_its_survivor_goes(world: MakeWorld) -> None:
    """What it said was spread to others: that is withdrawn from them, as what the survivor said is."""
    hub = _unwritten(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    assert hub.shop["s1"]["note"] == "VIP"
    hub.split("shop/s1", "erp/e1")
    hub.round()
    assert hub.owner("erp/e2").id == hub.owner("erp/e1").id
    assert not hub.shop["s1"].get("note")
    assert hub.rebuilt().equal


def test_rule_13_the_survivor_is_written_from_then_on(world: MakeWorld) -> None:
    hub = duplicates(world)
    hub.erp.merge("e1", "e2")
    hub.round()
    assert hub.record("erp", "e2").primary
    hub.shop.edit("s1", name="Ada Lovelace")
    hub.round()
    assert hub.erp["e2"]["name"] == "Ada Lovelace"
    assert hub.verify().converged
    assert hub.rebuilt().equal


def test_rule_13_the_history_of_links_names_the_survivor(world: MakeWorld) -> None:
    hub = duplicates(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    entry = linking.log("erp/people/e1", hub.store)["links"][-1]
    assert (entry["verb"], entry["record"]) == ("alias", "erp/people/e2")
    assert entry["evidence"] == {"into": "erp/people/e1"}


def test_rule_13_a_merge_of_two_customers_records_is_a_question(world: MakeWorld) -> None:
    hub = strangers(world)
    ids = hub.owner("erp/e1").id, hub.owner("erp/e2").id
    hub.erp.merge("e2", "e1")
    hub.round()
    task = hub.task(TaskKind.MERGE)
    assert (task.payload["entities"], task.payload["entity"]) == ([ids[0]], ids[1])
    assert task.payload["into"] == ["erp/people/e1"]
    assert len(hub.customers()) == 2, "nobody merges customers but a person"
    assert sorted(hub.shop.kept) == ["s1", "s2"]
    assert len(hub.erp.kept) == 1, "and the loser is not made again"
    assert hub.round() == 0


def test_rule_13_a_person_says_that_the_customers_are_one(world: MakeWorld) -> None:
    hub = strangers(world)
    kept = hub.owner("erp/e1").id
    hub.erp.merge("e2", "e1")
    hub.round()
    hub.decide(hub.task(TaskKind.MERGE), "erp/people/e1")
    hub.round()
    assert hub.customer().id == kept
    assert (hub.record("shop", "s1").primary, hub.record("shop", "s2").primary) == (True, False)
    assert hub.tasks(TaskKind.MERGE) == []
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_13_a_person_says_that_they_are_two(world: MakeWorld) -> None:
    hub = strangers(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    task = hub.task(TaskKind.MERGE)
    with pytest.raises(Undecidable, match="a merge takes the answers: apart, erp/people/e1"):
        hub.decide(task, "yes")
    hub.decide(task, "apart")
    hub.round()
    assert len(hub.customers()) == 2
    assert hub.owner("shop/s2").golden["name"] == "A. Lovelace"
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_that_nobody_knew_is_the_losers_customers(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.settle()
    hub.erp.add("e2", name="Ada", mail="another@example.org")
    hub.erp.merge("e1", "e2")
    hub.round()
    assert hub.owner("erp/e2").id == hub.owner("shop/s1").id
    assert len(hub.customers()) == 1
    assert hub.golden["email"] == "another@example.org"
    assert hub.rebuilt().equal


def test_rule_13_a_survivor_that_was_merged_in_turn(world: MakeWorld) -> None:
    hub = strangers(world)
    hub.erp.add("e3", name="Ada", mail=ADA)
    hub.round()
    [match] = hub.tasks(TaskKind.MATCH)
    hub.decide(match, hub.owner("erp/e1").id)
    hub.round()
    hub.erp.merge("e1", "e3")
    hub.erp.merge("e2", "e1") if "e1" in hub.erp.kept else hub.erp.merged.update(e2="e1")
    hub.erp.kept.pop("e2")
    hub.erp.gone["e2"] = next(hub.erp._versions)
    hub.round()
    assert hub.task(TaskKind.MERGE).payload["into"] == ["erp/people/e3"]


def test_rule_13_a_merge_that_a_delivery_finds(world: MakeWorld) -> None:
    """The loser's address answers with the survivor: that is no edit of the loser, and no reason to write to it."""
    hub = duplicates(world)
    hub.pin("erp/e2")
    hub.round()
    hub.shop.edit("s1", name="Ada Lovelace")
    hub.hear("shop")
    hub.erp.merge("e2", "e1")
    hub.deliver("erp")
    hub.reconcile()
    assert hub.record("erp", "e2").status is RecordStatus.ALIAS
    hub.clock.sleep(60)
    hub.round()
    assert hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.queued() == {}
    assert hub.rebuilt().equal


def test_rule_13_a_merge_that_only_the_old_address_tells(world: MakeWorld) -> None:
    """No listing names it: a full read finds the record absent, asks for it, and is answered with the survivor."""
    hub = duplicates(world)
    hub.erp.merge("e2", "e1")
    hub.erp.gone.clear()
    hub.ingest("erp", full=True)
    hub.reconcile()
    assert hub.record("erp", "e2").status is RecordStatus.ALIAS
    assert hub.tasks(TaskKind.GONE, TaskKind.MERGE, TaskKind.FUSE) == []
    hub.round()
    assert hub.verify().converged
    assert hub.rebuilt().equal


def test_rule_13_who_is_taken_out_of_a_merge_speaks_again(world: MakeWorld) -> None:
    hub = duplicates(world)
    hub.erp.merge("e2", "e1")
    hub.round()
    del hub.erp.gone["e2"], hub.erp.merged["e2"]
    hub.erp.add("e2", name="Ada", mail=ALSO_ADA, phone="2", note="VIP")
    hub.round()
    assert hub.record("erp", "e2").status is RecordStatus.LIVE
    assert hub.golden["note"] == "VIP"
    assert hub.rebuilt().equal


# --- the system does not tell


def test_rule_13_a_deletion_that_leaves_a_twin_is_a_suspected_merge(world: MakeWorld) -> None:
    hub = world("erp", "shop", within_system="new")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ADA, note="VIP")
    hub.settle()
    hub.erp.merge("e2", "e1", told=False)
    hub.round()
    task = hub.task(TaskKind.MERGE)
    assert task.payload["into"] == ["erp/people/e1"]
    assert hub.tasks(TaskKind.GONE) == [], "one question, not two"
    assert hub.record("erp", "e2").status is RecordStatus.DELETED
    hub.decide(task, "erp/people/e1")
    hub.round()
    assert len(hub.customers()) == 1
    assert hub.record("erp", "e2").status is RecordStatus.ALIAS
    assert "note" not in hub.golden
    assert hub.rebuilt().equal


def test_rule_13_a_deletion_of_a_secondary_is_suspected_too(world: MakeWorld) -> None:
    """The keys that the hub itself has put into both count: nobody has to have typed them twice."""
    hub = world("erp", "shop", within_system="link")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ADA, note="VIP")
    hub.settle()
    assert len(hub.customers()) == 1
    hub.erp.remove("e2")
    hub.round()
    task = hub.task(TaskKind.MERGE)
    assert hub.golden["note"] == "VIP", "last words, until somebody knows"
    hub.decide(task, "erp/people/e1")
    hub.round()
    assert "note" not in hub.golden
    assert hub.rebuilt().equal


def test_rule_13_a_deletion_without_a_twin_is_a_deletion(world: MakeWorld) -> None:
    hub = strangers(world)
    hub.erp.remove("e2")
    hub.round()
    assert hub.tasks(TaskKind.MERGE) == []
    assert hub.task(TaskKind.GONE).subject == "erp/people/e2"


def test_rule_13_a_suspicion_that_is_wrong(world: MakeWorld) -> None:
    hub = world("erp", "shop", within_system="link")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ADA, note="VIP")
    hub.settle()
    hub.erp.remove("e2")
    hub.round()
    hub.decide(hub.task(TaskKind.MERGE), "apart")
    hub.round()
    assert hub.record("erp", "e2").status is RecordStatus.DELETED
    assert hub.golden["note"] == "VIP"
    assert hub.rebuilt().equal


def test_rule_13_an_answer_waits_for_what_is_open(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(Condition("phone"),)))
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ALSO_ADA)
    hub.settle()
    hub.erp.edit("e2", phone="2")
    hub.hear("erp")
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    hub.erp.merge("e2", "e1")
    hub.clock.sleep(1)
    hub.ingest("erp")
    hub.reconcile()
    task = hub.task(TaskKind.MERGE)
    with pytest.raises(linking.NotLinkable, match="may have been created in shop/people"):
        hub.decide(task, "erp/people/e1")
    hub.clock.sleep(60)
    hub.deliver("shop")
    hub.decide(task, "erp/people/e1")
    hub.round()
    hub.round()
    assert len(hub.customers()) == 1
    assert hub.rebuilt().equal

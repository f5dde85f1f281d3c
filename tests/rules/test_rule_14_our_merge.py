"""RULES 14: two customers become one: one record of each stream is written to, and the other id leads on."""

from __future__ import annotations

from typing import Any

import pytest

from crm_master.domain.claims import Claim, ClaimKey, FieldShadow, Seen, Shadow
from crm_master.domain.lifecycle import DeliveryState, TaskKind
from crm_master.domain.membership import carried, transferred
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.domain.weighing import Held, unreplaced
from crm_master.engine.linking import NotLinkable
from crm_master.engine.plan import Test as Condition
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World, dying

ADA, ALSO_ADA = "ada@example.org", "countess@example.org"


def two_adas(world: MakeWorld, **options: Any) -> World:
    """The same person under two addresses, in both systems: two customers."""
    hub = world("erp", "shop", **options)
    hub.erp.add("e1", name="Ada", mail=ADA, phone="1")
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="A. Lovelace", mail=ALSO_ADA, note="VIP")
    hub.shop.add("s2", name="A. Lovelace", mail=ALSO_ADA)
    hub.settle()
    assert len(hub.customers()) == 2
    return hub


def test_rule_14_a_merge_makes_one_customer_with_the_claims_of_both(world: MakeWorld) -> None:
    hub = two_adas(world)
    kept = hub.owner("erp/e1").id
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    assert hub.customer().id == kept
    assert (hub.golden["phone"], hub.golden["note"]) == ("1", "VIP")
    assert hub.erp["e1"]["note"] == hub.shop["s1"]["note"] == "VIP"
    assert hub.round() == 0
    assert hub.rebuilt().equal
    assert hub.verify().converged


def test_rule_14_secondaries_contribute_claims_and_receive_no_writes(world: MakeWorld) -> None:
    hub = two_adas(world)
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    before = hub.erp["e2"], hub.shop["s2"]
    assert (hub.record("erp", "e1").primary, hub.record("erp", "e2").primary) == (True, False)
    hub.shop.edit("s2", note="Countess")
    hub.round()
    assert hub.golden["note"] == "Countess", "what is edited there counts"
    hub.shop.edit("s1", phone="2")
    hub.round()
    assert hub.erp["e1"] | {"phone": "2", "note": "Countess"} == hub.erp["e1"]
    assert hub.erp["e2"] == before[0]
    assert hub.shop["s2"] == before[1] | {"note": "Countess"}
    assert hub.verify().converged
    assert hub.rebuilt().equal


def test_rule_14_what_is_edited_in_a_secondary_replaces_only_what_it_shows(
    world: MakeWorld,
) -> None:
    """It never showed the tag of the other record: to remove its own says nothing of that one."""
    hub = world("erp")
    hub.erp.add("e1", name="Ada", mail=ADA, tags=["vip", "both"])
    hub.erp.add("e2", name="Ada", mail=ALSO_ADA, tags=["both", "own"])
    hub.settle()
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    hub.round()
    assert hub.golden["tags"].keys() == {"vip", "both", "own"}
    hub.erp.edit("e2", tags=[])
    hub.round()
    assert hub.golden["tags"].keys() == {"vip", "both"}
    hub.erp.edit("e1", tags=["vip"])
    hub.round()
    assert hub.golden["tags"].keys() == {"vip"}


def test_rule_14_the_oldest_is_primary_until_a_person_pins_another(world: MakeWorld) -> None:
    hub = two_adas(world)
    hub.merge("erp/e2", "erp/e1")
    hub.round()
    assert hub.record("shop", "s1").primary, "known before, whoever survived"
    hub.pin("shop/s2")
    hub.round()
    assert (hub.record("shop", "s1").primary, hub.record("shop", "s2").primary) == (False, True)
    hub.erp.edit("e1", phone="7")
    hub.round()
    assert (hub.shop["s1"]["phone"], hub.shop["s2"]["phone"]) == ("1", "7")
    assert hub.rebuilt().equal


def test_rule_14_the_next_oldest_takes_over_from_one_that_is_gone(world: MakeWorld) -> None:
    hub = two_adas(world)
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    hub.shop.remove("s1")
    hub.round()
    assert hub.record("shop", "s2").primary
    hub.erp.edit("e1", phone="7")
    hub.round()
    assert hub.shop["s2"]["phone"] == "7"


def test_rule_14_an_unsent_delivery_to_a_secondary_is_taken_back(world: MakeWorld) -> None:
    hub = two_adas(world)
    hub.shop.down = True
    hub.erp.edit("e2", phone="5")
    hub.round("erp")
    hub.merge("erp/e1", "erp/e2")
    hub.reconcile()
    hub.shop.down = False
    hub.clock.sleep(60)
    hub.round()
    assert hub.shop["s2"].get("phone") is None
    assert hub.queued() == {}


def test_rule_14_old_ids_resolve(world: MakeWorld) -> None:
    hub = two_adas(world)
    kept, gone = hub.owner("erp/e1").id, hub.owner("erp/e2").id
    hub.merge("erp/e1", "erp/e2", reason="she married")
    assert hub.owner(gone).id == kept, "at once"
    hub.erp.add("e3", name="Ada", mail="third@example.org")
    hub.round()
    hub.merge("erp/e3", kept)
    assert hub.owner(gone).id == hub.owner("erp/e3").id, "over others too"
    hub.round()
    assert len(hub.customers()) == 1
    assert hub.rebuilt().equal


def test_rule_14_a_question_that_names_the_old_id_can_still_be_answered(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.hub = (
        hub.hub
    )  # the fake hub matches by e-mail; two customers with one address are made by hand
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ADA)
    hub.ingest("erp", full=True)
    hub.reconcile()
    [first] = hub.tasks(TaskKind.MATCH)
    hub.decide(first, "new")
    hub.settle()
    hub.shop.add("s1", name="Ada", mail=ADA)
    hub.round()
    task = hub.task(TaskKind.MATCH)
    ids = {hub.owner("erp/e1").id, hub.owner("erp/e2").id}
    assert set(task.payload["entities"]) == ids
    gone = hub.owner("erp/e2").id
    hub.merge("erp/e1", "erp/e2")
    hub.decide(task, gone)
    hub.round()
    assert hub.owner("shop/s1").id == hub.owner("erp/e1").id
    assert hub.rebuilt().equal


def test_rule_14_a_conflict_of_the_absorbed_customer_is_asked_of_the_survivor(
    world: MakeWorld,
) -> None:
    hub = two_adas(world, policies={"note": FieldPolicy(Rule.MANUAL)})
    hub.erp.edit("e2", note="a")
    hub.shop.edit("s2", note="b")
    hub.round()
    assert hub.task(TaskKind.CONFLICT).payload["entity"] == hub.owner("erp/e2").id
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    task = hub.task(TaskKind.CONFLICT)
    assert task.payload["entity"] == hub.owner("erp/e1").id
    hub.decide(task, "shop/people/s2")
    hub.round()
    assert hub.golden["note"] == "b"
    assert hub.tasks(TaskKind.CONFLICT) == []
    assert hub.rebuilt().equal


# --- creates


def _creating(world: MakeWorld, **can: Any) -> World:
    """Whoever is in the ERP and has a phone is made in the shop. Only one Ada is there so far."""
    hub = world("erp", "shop", shop=Setting(creates=(Condition("phone"),), can=can))
    hub.erp.add("e1", name="Ada", mail=ADA, phone="1")
    hub.erp.add("e2", name="A. Lovelace", mail=ALSO_ADA)
    hub.settle()
    assert len(hub.shop.kept) == 1
    hub.erp.edit("e2", phone="2")
    hub.hear("erp")
    assert hub.queued() == {"pending": 1}
    return hub


def test_rule_14_an_unsent_create_of_the_absorbed_customer_is_cancelled(world: MakeWorld) -> None:
    hub = _creating(world)
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    hub.round()
    assert len(hub.shop.kept) == 1
    assert hub.queued() == {}
    assert hub.rebuilt().equal


def test_rule_14_a_create_of_unknown_outcome_is_settled_first(world: MakeWorld) -> None:
    hub = _creating(world)
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    with pytest.raises(NotLinkable, match=r"may have been created in shop/people.*concord deliver"):
        hub.merge("erp/e1", "erp/e2")
    assert len(hub.customers()) == 2, "nothing of it is done"
    hub.clock.sleep(60)
    hub.deliver("shop")
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    assert len(hub.shop.kept) == 2, "it was made, and is known"
    assert hub.owner("shop/shop-2").id == hub.owner("shop/shop-1").id
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_14_a_create_that_a_person_must_look_at_is_answered_first(world: MakeWorld) -> None:
    hub = _creating(world, find=False)
    hub.shop.losses = ["undone"]
    hub.deliver("shop")
    hub.clock.sleep(60)
    hub.deliver("shop")
    task = hub.task(TaskKind.UNKNOWN)
    with pytest.raises(NotLinkable, match=f"conflicts decide {task.id} drop"):
        hub.merge("erp/e1", "erp/e2")
    hub.decide(task, "retry")
    with pytest.raises(NotLinkable, match="may have been created"):
        hub.merge("erp/e1", "erp/e2")


def test_rule_14_a_merge_waits_for_the_worker_that_is_making_the_record(world: MakeWorld) -> None:
    hub = _creating(world)
    worker = hub.slow_deliverer("shop")
    [message] = worker._claim()
    assert message.state in (DeliveryState.PENDING, DeliveryState.LEASED)
    with pytest.raises(NotLinkable, match="concord deliver shop"):
        hub.merge("erp/e1", "erp/e2")
    worker._deliver([message])
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    assert hub.round() == 0


def test_rule_14_an_update_under_way_is_settled_first(world: MakeWorld) -> None:
    hub = two_adas(world)
    hub.erp.edit("e2", phone="5")
    hub.hear("erp")
    hub.shop.losses = ["killed"]
    with dying():
        hub.deliver("shop")
    with pytest.raises(NotLinkable, match="a delivery to a record in shop/people is under way"):
        hub.merge("erp/e1", "erp/e2")
    hub.clock.sleep(3600)
    hub.deliver("shop")
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_14_a_merge_of_the_same_or_of_nobody_says_so(world: MakeWorld) -> None:
    hub = two_adas(world)
    with pytest.raises(NotLinkable, match="the same customer already"):
        hub.merge("erp/e1", "shop/s1")


# --- what was seen before they were one


def test_rule_14_a_removed_tag_does_not_come_back_by_a_merge(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="Ada", mail=ALSO_ADA, tags=["vip"])
    hub.shop.add("s2", name="Ada", mail=ALSO_ADA)
    hub.settle()
    hub.shop.edit("s2", tags=[])
    hub.round()
    assert hub.owner("erp/e2").golden["tags"] == {}
    hub.merge("erp/e1", "erp/e2")
    hub.round()
    assert hub.golden["tags"] == {}
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_14_what_one_customer_saw_replaces_nothing_of_the_other() -> None:
    """Versions of two customers do not compare: version 9 of one has not seen version 1 of the other."""
    key = ClaimKey("tags", "vip")
    mine = {"r1": {key: Claim("vip", 1, 2, 1, born=1)}}
    theirs = {
        "r2": {key: Claim("vip", 1, 2, 2, born=3)},
        "r3": {key: Claim(None, 5, 6, 3, born=9, saw=8, base="vip")},
    }
    moved = {record: carried(record, theirs) for record in theirs}
    assert moved["r2"][key].past == ("r3",)
    held = [Held(claims[key], "erp", record) for record, claims in sorted((mine | moved).items())]
    assert [each.record for each in unreplaced(held)] == ["r1", "r3"]
    without = [each for each in held if each.record != "r3"]
    assert [each.record for each in unreplaced(without)] == ["r1", "r2"], "who leaves takes it back"


def test_rule_14_a_record_has_shown_no_version_of_its_new_customer() -> None:
    shadow = Shadow({"name": FieldShadow("Ada", withheld_at=2)}, (Seen(7, 10),), 10)
    after = transferred(shadow)
    assert after.saw("name", 99) == 0
    assert after.fields["name"] == FieldShadow("Ada")

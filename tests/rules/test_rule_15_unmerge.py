"""RULES 15: records take their claims and decisions with them; what a person has parted, no rule of matching joins again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crm_master.domain.lifecycle import Origin, RecordStatus, TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine import explain, linking
from crm_master.engine.linking import NotLinkable
from crm_master.engine.matching import BatchMatcher
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World

ADA = "ada@example.org"


def _couple(world: MakeWorld, **options: Any) -> World:
    """Ada and William share an address; the shop's record of William was taken for hers."""
    hub = world("erp", "shop", **options)
    hub.erp.add("e1", name="Ada", mail=ADA, phone="1")
    hub.shop.add("s1", name="William", mail=ADA, note="Earl")
    return hub.settle()


def test_rule_15_a_split_makes_two_customers_of_one(world: MakeWorld) -> None:
    hub = _couple(world)
    kept = hub.owner("erp/e1").id
    done = hub.split("erp/e1", "shop/s1", reason="her husband")
    hub.round()
    assert hub.owner("erp/e1").id == kept
    assert hub.owner("shop/s1").id == done["to"] != kept
    assert hub.owner("erp/e1").golden == {"name": "Ada", "email": ADA, "phone": "1"}
    assert hub.owner("shop/s1").golden == {"name": "William", "email": ADA, "note": "Earl"}
    assert (hub.erp["e1"]["name"], hub.shop["s1"]["name"]) == ("Ada", "William")
    assert not hub.erp["e1"].get("note")
    assert not hub.shop["s1"].get("phone")
    assert hub.round() == 0
    assert hub.rebuilt().equal
    assert hub.verify().converged


def test_rule_15_merge_then_split_gives_back_what_each_system_had(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    for key, mail in (("1", ADA), ("2", "grace@example.org")):
        for name in ("erp", "shop"):
            hub.systems[name].add(
                key, name=f"{name}{key}", mail=mail, note=f"{name}{key}", tags=[f"{name}{key}"]
            )
    hub.settle()
    before = {name: {key: hub.systems[name][key] for key in "12"} for name in ("erp", "shop")}
    golden = {key: hub.owner(f"erp/{key}").golden for key in "12"}
    hub.merge("erp/1", "erp/2")
    hub.round()
    hub.round()
    hub.split("erp/1", "erp/2", "shop/2")
    hub.round()
    for key in "12":
        assert hub.owner(f"erp/{key}").golden == golden[key]
        for name in ("erp", "shop"):
            assert hub.systems[name][key] == before[name][key]
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_15_decisions_go_with_the_record_that_they_are_about(world: MakeWorld) -> None:
    hub = _couple(world, policies={"name": FieldPolicy(Rule.MANUAL)})
    hub.decide(hub.task(TaskKind.CONFLICT), "shop/people/s1")
    hub.round()
    assert hub.golden["name"] == "William"
    hub.split("erp/e1", "shop/s1")
    hub.round()
    claims = hub.record("shop", "s1").claims
    assert [claim.author for key, claim in claims.items() if key.field == "name"] == ["ada"]
    assert hub.owner("shop/s1").golden["name"] == "William"
    assert hub.owner("erp/e1").golden["name"] == "Ada", "and what it had decided is open no more"
    assert hub.tasks(TaskKind.CONFLICT) == []
    assert hub.rebuilt().equal


def test_rule_15_what_one_removed_comes_back_where_she_is_no_more(world: MakeWorld) -> None:
    """Her word on the other's tag was no word on it: it was about somebody else."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail=ADA, tags=["vip"])
    hub.shop.add("s1", name="William", mail=ADA)
    hub.settle()
    hub.shop.edit("s1", tags=[])
    hub.round()
    assert hub.erp["e1"]["tags"] == []
    hub.split("erp/e1", "shop/s1")
    hub.round()
    assert hub.erp["e1"]["tags"] == ["vip"]
    assert not hub.shop["s1"].get("tags")


def test_rule_15_records_that_the_hub_made_stay_with_the_surviving_id(world: MakeWorld) -> None:
    hub = world("erp", "shop", "list", list=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail=ADA, phone="1")
    hub.shop.add("s1", name="William", mail=ADA, note="Earl")
    hub.settle()
    [made] = hub.list.kept
    assert hub.record("list", made).origin is Origin.HUB
    with pytest.raises(NotLinkable, match="was made by Concord"):
        hub.split("erp/e1", "shop/s1", f"list/{made}")
    hub.split("erp/e1", "shop/s1")
    hub.round()
    hub.round()
    assert hub.owner(f"list/{made}").id == hub.owner("erp/e1").id
    assert hub.list[made]["name"] == "Ada"
    assert not hub.list[made].get("note")
    others = [kept.document for key, kept in hub.list.kept.items() if key != made]
    assert [other["name"] for other in others] == ["William"], "whoever is left gets one of his own"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_15_not_everything_can_be_split_off(world: MakeWorld) -> None:
    hub = world("erp", "shop", "list", list=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.shop.add("s1", name="William", mail=ADA)
    hub.settle()
    with pytest.raises(NotLinkable, match="nothing that anybody said would remain"):
        hub.split("erp/e1", "erp/e1", "shop/s1")
    hub.erp.add("e2", name="Grace", mail="grace@example.org")
    hub.round()
    with pytest.raises(NotLinkable, match="no record of"):
        hub.split("shop/s1", "erp/e2")


def test_rule_15_a_record_can_be_moved_to_whom_it_belongs(world: MakeWorld) -> None:
    hub = _couple(world)
    hub.erp.add("e2", name="William", mail="william@example.org", phone="2")
    hub.round()
    hub.move("shop/s1", "erp/e2")
    hub.round()
    assert hub.owner("shop/s1").id == hub.owner("erp/e2").id
    assert hub.owner("erp/e1").golden == {"name": "Ada", "email": ADA, "phone": "1"}
    assert (hub.shop["s1"]["phone"], hub.erp["e2"]["note"]) == ("2", "Earl")
    assert not hub.erp["e1"].get("note")
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_15_a_record_can_be_moved_to_a_customer_of_its_own(world: MakeWorld) -> None:
    hub = _couple(world)
    hub.move("shop/s1", "new")
    hub.round()
    assert hub.owner("shop/s1").golden == {"name": "William", "email": ADA, "note": "Earl"}
    assert hub.rebuilt().equal


def test_rule_15_whose_last_record_is_moved_is_who_it_was_moved_to(world: MakeWorld) -> None:
    hub = _couple(world)
    hub.erp.add("e2", name="William", mail="william@example.org")
    hub.round()
    gone = hub.owner("erp/e2").id
    hub.move("erp/e2", "erp/e1")
    hub.round()
    assert hub.owner(gone).id == hub.owner("erp/e1").id
    assert len(hub.customers()) == 1
    assert hub.rebuilt().equal


def test_rule_15_edits_go_to_their_own_from_then_on(world: MakeWorld) -> None:
    hub = _couple(world)
    hub.split("erp/e1", "shop/s1")
    hub.round()
    hub.erp.edit("e1", phone="9")
    hub.shop.edit("s1", note="Baron")
    hub.round()
    hub.round()
    assert not hub.shop["s1"].get("phone")
    assert not hub.erp["e1"].get("note")
    assert hub.rebuilt().equal


# --- what a person has said stands


def _decided(hub: World, name: str, key: str, **but: Any) -> Any:
    """What matching would say of a record if it had to be matched anew."""
    record = replace(hub.record(name, key), entity_id=None, **but)
    with hub.store() as uow:
        matcher = BatchMatcher(hub.hub.entities["customer"], uow, [record], {record.rec_id: record})
        return matcher(record)


def test_rule_15_a_manual_link_stays_whatever_the_keys_say(world: MakeWorld) -> None:
    hub = _couple(world)
    hub.split("erp/e1", "shop/s1")
    hub.round()
    decision = _decided(hub, "shop", "s1")
    assert decision.entity == hub.owner("shop/s1").id
    assert decision.because == ("a person's decision",)


@pytest.mark.parametrize(("name", "key"), [("shop", "s1"), ("erp", "e1")])
def test_rule_15_not_the_same_holds_in_both_directions(
    world: MakeWorld, name: str, key: str
) -> None:
    hub = _couple(world)
    hub.split("erp/e1", "shop/s1")
    hub.round()
    decision = _decided(hub, name, key, placed=None)
    other = hub.owner("erp/e1" if name == "shop" else "shop/s1").id
    assert getattr(decision, "apart", None) == (other,), "and the evidence says so"


def test_rule_15_of_two_records_whom_a_person_has_joined_again_the_newest_word_counts(
    world: MakeWorld,
) -> None:
    hub = _couple(world)
    hub.split("erp/e1", "shop/s1")
    hub.merge("erp/e1", "shop/s1")
    one = hub.record("shop", "s1").rec_id
    with hub.store() as uow:
        assert uow.customers.apart([one]) == {}
    hub.round()
    assert hub.rebuilt().equal


def test_rule_15_new_at_a_question_means_not_the_same(world: MakeWorld) -> None:
    hub = world("erp")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.erp.add("e2", name="William", mail=ADA)
    hub.ingest("erp", full=True)
    hub.reconcile()
    hub.decide(hub.task(TaskKind.MATCH), "new")
    one, two = (hub.record("erp", key).rec_id for key in ("e1", "e2"))
    with hub.store() as uow:
        assert uow.customers.apart([one, two]) == {one: {two}, two: {one}}
    hub.settle()
    assert len(hub.customers()) == 2
    assert hub.rebuilt().equal


def test_rule_15_a_later_read_of_what_was_parted_joins_nothing(world: MakeWorld) -> None:
    hub = _couple(world)
    hub.split("erp/e1", "shop/s1")
    hub.round()
    hub.shop.edit("s1", note="Baron")
    hub.erp.edit("e1", phone="3")
    hub.round()
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert hub.owner("shop/s1").id != hub.owner("erp/e1").id


# --- who did what, and why


def test_rule_15_the_history_of_links_tells_who_did_what_and_why(world: MakeWorld) -> None:
    hub = _couple(world)
    kept = hub.owner("erp/e1").id
    new = hub.split("erp/e1", "shop/s1", reason="her husband")["to"]
    hub.round()
    entries = linking.log(kept, hub.store)["links"]
    [left] = [entry for entry in entries if entry["verb"] == "unlink"]
    assert (left["record"], left["by"]) == ("shop/people/s1", "ada")
    assert left["evidence"] == {"to": new, "reason": "her husband", "apart": ["erp/people/e1"]}
    [joined] = linking.log("shop/people/s1", hub.store)["links"]
    assert (joined["verb"], joined["customer"], joined["evidence"]["from"]) == ("split", new, kept)
    assert joined["at"].endswith("Z")
    hub.merge("erp/e1", "shop/s1", reason="one person after all")
    told = explain.explain(hub.hub, new, hub.store)
    assert told["customer"] == kept
    assert told["absorbed"] == [new]
    assert [link["verb"] for link in told["links_by_hand"]] == [
        "unlink",
        "split",
        "unlink",
        "merge",
    ]


def test_rule_15_a_preview_shows_both_sides_and_changes_nothing(world: MakeWorld) -> None:
    hub = _couple(world)
    made = hub.new_id()
    propose = linking.split("erp/people/e1", ["shop/people/s1"], lambda: made)
    shown = linking.preview(hub.hub, propose, hub.store, hub.clock())
    kept = hub.owner("erp/e1").id
    assert shown["customers"][kept]["golden"] == {"name": "Ada", "email": ADA, "phone": "1"}
    assert shown["customers"][made]["golden"]["name"] == "William"
    assert shown["customers"][kept]["would_update"] == ["erp/people/e1"]
    assert hub.owner("shop/s1").id == kept
    assert hub.round() == 0


def test_rule_15_before_anybody_has_joined_links_can_be_mended_too(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail=ADA)
    hub.shop.add("s1", name="William", mail=ADA)
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.split("erp/e1", "shop/s1")
    hub.settle()
    assert (hub.erp["e1"]["name"], hub.shop["s1"]["name"]) == ("Ada", "William")
    assert hub.record("shop", "s1").status is RecordStatus.LIVE
    assert hub.rebuilt().equal

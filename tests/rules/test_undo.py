"""Promise 7: what a run did can be taken back, in every system, and what people did since stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import CONSENT
from tests.rules.undoing import ADA, KEYS, SYSTEMS, change, delivered, held, reconciled, three
from tests.rules.world import Setting

# a run is taken back everywhere


def test_undo_of_a_run_across_three_systems_restores_them(world: MakeWorld) -> None:
    hub = three(world)
    before, golden = held(hub), hub.golden
    hub.erp.edit("e1", name="Ada Byron", phone="2", street="Low St 2")
    hub.shop.edit("s1", tags=["vip", "new"], note=None)
    hub.list.edit("l1", consent="no")
    run = reconciled(hub)
    delivered(hub)
    assert hub.erp["e1"]["tags"] == hub.list["l1"]["tags"] != ADA["tags"]
    assert hub.shop["s1"]["consent"] == "no"

    planned = hub.undo_plan(run)
    assert held(hub) != before, "a plan changes nothing"
    done = hub.undo(run)

    assert (done.fields, done.not_undone, done.customers) == (6, 0, 1)
    assert done.as_dict() == planned.as_dict()
    assert hub.round() > 0
    assert held(hub) == before
    assert hub.golden == golden
    assert hub.round() == 0
    assert hub.verify().converged
    assert hub.rebuilt().equal


POLICIES = {
    "the newest claim": FieldPolicy(Rule.MOST_RECENT),
    "standing authority": FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 1, "list": 2}),
    "authority shared by two": FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 0, "list": 1}),
    "an owner": FieldPolicy(Rule.OWNER, {"erp": 0, "shop": 0, "list": 0}),
    "by hand": FieldPolicy(Rule.MANUAL),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize("editor", SYSTEMS)
def test_undo_restores_under_every_policy_and_later_edits_win_again(
    world: MakeWorld, policy: FieldPolicy, editor: str
) -> None:
    hub = three(world, phone=policy)
    before = held(hub)
    run = change(hub, editor, phone="2")
    delivered(hub)

    hub.undo(run)
    hub.round()

    assert hub.golden["phone"] == "1"
    assert held(hub) == before
    assert hub.rebuilt().equal

    hub.round()
    hub.systems[editor].edit(KEYS[editor], phone="3")
    hub.round()
    rules = policy.rule is Rule.SOURCE_PRIORITY and policy.standing[editor] > 0
    assert hub.golden["phone"] == ("1" if rules else "3")
    assert {document["phone"] for document in held(hub).values()} == {hub.golden["phone"]}


def test_undo_gives_the_floor_back_to_whom_the_run_had_silenced(world: MakeWorld) -> None:
    """The ERP speaks of the phone for the first time, over the shop, which had been free to speak."""
    policy = FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 1})
    hub = world(*SYSTEMS, policies={"phone": policy}, erp=Setting(writes=False))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.list.add("l1", name="Ada", mail="ada@example.org")
    hub.settle()
    run = change(hub, "erp", phone="9")
    delivered(hub)
    assert hub.shop["s1"]["phone"] == "9"

    done = hub.undo(run)

    assert done.restored[0]["withdrawn_from"] == ["erp/people/e1"]
    hub.round()
    assert hub.shop["s1"]["phone"] == "1"
    assert ClaimKey("phone") not in hub.record("erp", "e1").claims
    hub.shop.edit("s1", phone="3")
    hub.round()
    assert hub.golden["phone"] == hub.list["l1"]["phone"] == "3", "the shop may speak again"
    assert hub.rebuilt().equal


def test_what_nobody_had_spoken_of_is_cleared_again_and_silences_nobody(world: MakeWorld) -> None:
    policy = FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 1, "list": 2})
    hub = world(*SYSTEMS, policies={"phone": policy})
    for name, key in KEYS.items():
        hub.systems[name].add(key, name="Ada", mail="ada@example.org")
    hub.settle()
    run = change(hub, "erp", phone="9")
    delivered(hub)
    assert hub.list["l1"]["phone"] == "9"

    hub.undo(run)
    hub.round()

    assert {document.get("phone") for document in held(hub).values()} == {None}
    assert hub.round() == 0
    hub.shop.edit("s1", phone="3")
    hub.round()
    assert hub.erp["e1"]["phone"] == "3"


def test_undo_lets_a_person_opt_in_again_and_out_again(world: MakeWorld) -> None:
    hub = three(world, consent=CONSENT)
    run = change(hub, "list", consent="no")
    delivered(hub)
    consent = hub.golden["consent"]

    done = hub.undo(run)

    assert done.restored[0]["withdrawn_from"] == [], "who said no is replaced, not forgotten"
    hub.round()
    assert {document["consent"] for document in held(hub).values()} == {"yes"}
    hub.round()
    change(hub, "shop", consent="no")
    delivered(hub)
    assert hub.golden["consent"]["status"] == consent["status"] == "denied"


def test_a_member_of_a_group_that_the_run_brought_goes_again(world: MakeWorld) -> None:
    hub = world(*SYSTEMS)
    for name, key in KEYS.items():
        hub.systems[name].add(key, name="Ada", mail="ada@example.org", street="High St 1")
    hub.settle()
    run = change(hub, "shop", city="Bath")
    delivered(hub)
    assert hub.golden["address"] == {"street": "High St 1", "city": "Bath"}

    done = hub.undo(run)

    assert done.restored[0]["withdrawn_from"] == [], "what the shop said stays on record"
    hub.round()
    assert hub.golden["address"] == {"street": "High St 1"}
    assert [document.get("city") for document in held(hub).values()] == [None] * 3


def test_of_a_list_only_what_the_run_changed_goes_back(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "shop", tags=["vip", "new"])  # without "old"
    delivered(hub)
    change(hub, "list", tags=["vip", "new", "later"])
    delivered(hub)

    hub.undo(run)
    hub.round()

    assert set(hub.golden["tags"]) == {"vip", "old", "later"}
    assert all(set(document["tags"]) == {"vip", "old", "later"} for document in held(hub).values())
    assert hub.rebuilt().equal


def test_an_undo_is_a_claim_with_an_author(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "shop", phone="2")
    hub.undo(run)
    claim = hub.record("erp", "e1").claims[ClaimKey("phone")]
    assert (claim.value, claim.author) == ("1", f"ada, undoing {run}")
    assert hub.claims("shop", "s1")[ClaimKey("phone")] == "2", "what the shop said stays on record"


# what people did since


def test_a_field_that_a_person_edited_since_is_refused_and_named(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "erp", phone="2", name="Ada Byron")
    delivered(hub)
    change(hub, "shop", phone="3")
    delivered(hub)

    done = hub.undo(run)

    [kept] = done.kept
    assert (kept["customer"], kept["field"]) == (hub.customer().id, "phone")
    assert "changed since, by shop/people/s1, read in run run-" in kept["why"]
    hub.round()
    assert (hub.golden["phone"], hub.golden["name"]) == ("3", "Ada")


def test_an_edit_that_lost_is_newer_too(world: MakeWorld) -> None:
    hub = three(world, phone=FieldPolicy(Rule.OWNER, {"erp": 0}))
    run = change(hub, "erp", phone="2")
    delivered(hub)
    change(hub, "shop", phone="3")

    [kept] = hub.undo(run).kept

    assert "shop/people/s1" in kept["why"]
    assert hub.golden["phone"] == "2"


def test_what_a_change_of_policy_has_made_of_a_field_since_is_left(world: MakeWorld) -> None:
    hub = world(*SYSTEMS)
    for name, phone in (("erp", "1"), ("shop", "1"), ("list", "5")):
        hub.systems[name].add(KEYS[name], name="Ada", mail="ada@example.org", phone=phone)
    hub.settle()
    run = change(hub, "shop", phone="2")
    delivered(hub)
    plan = hub.hub.entities["customer"]
    fields = {**plan.policy.fields, "phone": FieldPolicy(Rule.OWNER, {"list": 0})}
    plan = replace(plan, policy=replace(plan.policy, fields=fields))
    hub.hub = replace(hub.hub, entities={"customer": plan})
    change(hub, "erp", note="another thing")
    assert hub.golden["phone"] == "5"

    [kept] = hub.undo(run).kept

    assert (kept["field"], kept["why"]) == (
        "phone",
        f"changed since, in run {hub.ran['reconcile']}",
    )


def test_what_was_read_and_waits_is_not_overrun(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "erp", phone="2")
    delivered(hub)
    hub.shop.edit("s1", phone="3")
    hub.ingest("shop")

    [kept] = hub.undo(run).kept

    assert "concord reconcile" in kept["why"]
    hub.reconcile()
    assert hub.golden["phone"] == "3"


def test_an_edit_that_nobody_has_read_yet_is_not_lost(world: MakeWorld) -> None:
    hub = three(world)
    run = change(hub, "erp", phone="2")
    delivered(hub)
    hub.list.edit("l1", phone="3")
    hub.undo(run)
    hub.round()
    hub.round()
    lost = [task.payload["lost"] for task in hub.tasks(TaskKind.REVERTED)]
    assert hub.golden["phone"] == "3" or lost == ["3"]
    assert hub.round() == 0


def test_a_contested_field_is_left_to_the_decision(world: MakeWorld) -> None:
    hub = three(world, name=FieldPolicy(Rule.MANUAL))
    run = change(hub, "erp", name="Ada Byron")
    hub.shop.edit("s1", name="Ada King")  # who has not seen the other's
    reconciled(hub)
    [kept] = hub.undo(run).kept
    assert (kept["field"], "contested" in kept["why"]) == ("name", True)


def test_what_was_contested_before_the_run_is_not_decided_by_an_undo(world: MakeWorld) -> None:
    hub = three(world, name=FieldPolicy(Rule.MANUAL))
    hub.erp.edit("e1", name="Ada Byron")
    hub.shop.edit("s1", name="Ada King")
    hub.round()
    run = change(hub, "shop", name="Ada Byron")
    delivered(hub)
    [kept] = hub.undo(run).kept
    assert (kept["field"], kept["why"]) == ("name", "it was contested before the run")


def test_where_no_value_counted_before_none_is_overwritten(world: MakeWorld) -> None:
    """At first sight the systems contradict each other: each keeps its own until somebody gives way."""
    hub = world(*SYSTEMS, policies={"name": FieldPolicy(Rule.MANUAL)})
    for name, key in KEYS.items():
        hub.systems[name].add(key, name=f"Ada {name}", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s1", name="Ada erp")
    hub.list.edit("l1", name="Ada erp")
    run = reconciled(hub)
    delivered(hub)
    [kept] = hub.undo(run).kept
    assert "before the run no value counted, and erp/people/e1 had one of its own" in kept["why"]
    assert hub.golden["name"] == "Ada erp"

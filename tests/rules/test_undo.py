"""Promise 7: what a run did can be taken back, in every system, and what people did since stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine.reconcile import Reconciler
from crm_master.ports import HistoryEntry
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import CONSENT
from tests.rules.world import Setting, World

SYSTEMS = ("erp", "shop", "list")
KEYS = {"erp": "e1", "shop": "s1", "list": "l1"}
ADA = {
    "name": "Ada",
    "mail": "ada@example.org",
    "phone": "1",
    "note": "likes tea",
    "tags": ["vip", "old"],
    "address": {},
    "street": "High St 1",
    "city": "Bath",
    "consent": "yes",
}


def _three(world: MakeWorld, **policies: FieldPolicy) -> World:
    hub = world(*SYSTEMS, policies=policies)
    for name, key in KEYS.items():
        hub.systems[name].add(key, **ADA)
    return hub.settle()


def _held(hub: World) -> dict[str, dict[str, Any]]:
    return {
        f"{name}/{key}": {field: value for field, value in kept.document.items() if value}
        for name, system in hub.systems.items()
        for key, kept in system.kept.items()
    }


def _said(golden: dict[str, Any]) -> dict[str, Any]:
    """A golden record without what is empty: that says as little as what nobody spoke of."""
    return {name: value for name, value in golden.items() if value not in (None, {}, "")}


def _reconciled(hub: World) -> str:
    """Poll and reconcile. Gives the run that changed the golden records."""
    hub.clock.sleep(10)
    for name in SYSTEMS:
        hub.ingest(name)
    hub.reconcile()
    return hub.ran["reconcile"]


def _change(hub: World, system: str, /, **changes: Any) -> str:
    hub.systems[system].edit(KEYS[system], **changes)
    return _reconciled(hub)


def _delivered(hub: World) -> None:
    for name in SYSTEMS:
        hub.deliver(name)
    hub.round()


# a run is taken back everywhere


def test_undo_of_a_run_across_three_systems_restores_them(world: MakeWorld) -> None:
    hub = _three(world)
    before, golden = _held(hub), hub.golden
    hub.erp.edit("e1", name="Ada Byron", phone="2", street="Low St 2")
    hub.shop.edit("s1", tags=["vip", "new"], note=None)
    hub.list.edit("l1", consent="no")
    run = _reconciled(hub)
    _delivered(hub)
    assert hub.erp["e1"]["tags"] == hub.list["l1"]["tags"] != ADA["tags"]
    assert hub.shop["s1"]["consent"] == "no"

    planned = hub.undo_plan(run)
    assert _held(hub) != before, "a plan changes nothing"
    done = hub.undo(run)

    assert (done.fields, done.not_undone, done.customers) == (6, 0, 1)
    assert done.as_dict() == planned.as_dict()
    assert hub.round() > 0
    assert _held(hub) == before
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
    hub = _three(world, phone=policy)
    before = _held(hub)
    run = _change(hub, editor, phone="2")
    _delivered(hub)

    hub.undo(run)
    hub.round()

    assert hub.golden["phone"] == "1"
    assert _held(hub) == before
    assert hub.rebuilt().equal

    hub.round()
    hub.systems[editor].edit(KEYS[editor], phone="3")
    hub.round()
    rules = policy.rule is Rule.SOURCE_PRIORITY and policy.standing[editor] > 0
    assert hub.golden["phone"] == ("1" if rules else "3")
    assert {document["phone"] for document in _held(hub).values()} == {hub.golden["phone"]}


def test_undo_gives_the_floor_back_to_whom_the_run_had_silenced(world: MakeWorld) -> None:
    """The ERP speaks of the phone for the first time, over the shop, which had been free to speak."""
    policy = FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 1})
    hub = world(*SYSTEMS, policies={"phone": policy}, erp=Setting(writes=False))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.list.add("l1", name="Ada", mail="ada@example.org")
    hub.settle()
    run = _change(hub, "erp", phone="9")
    _delivered(hub)
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
    run = _change(hub, "erp", phone="9")
    _delivered(hub)
    assert hub.list["l1"]["phone"] == "9"

    hub.undo(run)
    hub.round()

    assert {document.get("phone") for document in _held(hub).values()} == {None}
    assert hub.round() == 0
    hub.shop.edit("s1", phone="3")
    hub.round()
    assert hub.erp["e1"]["phone"] == "3"


def test_undo_lets_a_person_opt_in_again_and_out_again(world: MakeWorld) -> None:
    hub = _three(world, consent=CONSENT)
    run = _change(hub, "list", consent="no")
    _delivered(hub)
    consent = hub.golden["consent"]

    done = hub.undo(run)

    assert done.restored[0]["withdrawn_from"] == [], "who said no is replaced, not forgotten"
    hub.round()
    assert {document["consent"] for document in _held(hub).values()} == {"yes"}
    hub.round()
    _change(hub, "shop", consent="no")
    _delivered(hub)
    assert hub.golden["consent"]["status"] == consent["status"] == "denied"


def test_a_member_of_a_group_that_the_run_brought_goes_again(world: MakeWorld) -> None:
    hub = world(*SYSTEMS)
    for name, key in KEYS.items():
        hub.systems[name].add(key, name="Ada", mail="ada@example.org", street="High St 1")
    hub.settle()
    run = _change(hub, "shop", city="Bath")
    _delivered(hub)
    assert hub.golden["address"] == {"street": "High St 1", "city": "Bath"}

    done = hub.undo(run)

    assert done.restored[0]["withdrawn_from"] == [], "what the shop said stays on record"
    hub.round()
    assert hub.golden["address"] == {"street": "High St 1"}
    assert [document.get("city") for document in _held(hub).values()] == [None] * 3


def test_of_a_list_only_what_the_run_changed_goes_back(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "shop", tags=["vip", "new"])  # without "old"
    _delivered(hub)
    _change(hub, "list", tags=["vip", "new", "later"])
    _delivered(hub)

    hub.undo(run)
    hub.round()

    assert set(hub.golden["tags"]) == {"vip", "old", "later"}
    assert all(set(document["tags"]) == {"vip", "old", "later"} for document in _held(hub).values())
    assert hub.rebuilt().equal


def test_an_undo_is_a_claim_with_an_author(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "shop", phone="2")
    hub.undo(run)
    claim = hub.record("erp", "e1").claims[ClaimKey("phone")]
    assert (claim.value, claim.author) == ("1", f"ada, undoing {run}")
    assert hub.claims("shop", "s1")[ClaimKey("phone")] == "2", "what the shop said stays on record"


# what people did since


def test_a_field_that_a_person_edited_since_is_refused_and_named(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "erp", phone="2", name="Ada Byron")
    _delivered(hub)
    _change(hub, "shop", phone="3")
    _delivered(hub)

    done = hub.undo(run)

    [kept] = done.kept
    assert (kept["customer"], kept["field"]) == (hub.customer().id, "phone")
    assert "changed since, by shop/people/s1, read in run run-" in kept["why"]
    hub.round()
    assert (hub.golden["phone"], hub.golden["name"]) == ("3", "Ada")


def test_an_edit_that_lost_is_newer_too(world: MakeWorld) -> None:
    hub = _three(world, phone=FieldPolicy(Rule.OWNER, {"erp": 0}))
    run = _change(hub, "erp", phone="2")
    _delivered(hub)
    _change(hub, "shop", phone="3")

    [kept] = hub.undo(run).kept

    assert "shop/people/s1" in kept["why"]
    assert hub.golden["phone"] == "2"


def test_what_a_change_of_policy_has_made_of_a_field_since_is_left(world: MakeWorld) -> None:
    hub = world(*SYSTEMS)
    for name, phone in (("erp", "1"), ("shop", "1"), ("list", "5")):
        hub.systems[name].add(KEYS[name], name="Ada", mail="ada@example.org", phone=phone)
    hub.settle()
    run = _change(hub, "shop", phone="2")
    _delivered(hub)
    plan = hub.hub.entities["customer"]
    fields = {**plan.policy.fields, "phone": FieldPolicy(Rule.OWNER, {"list": 0})}
    plan = replace(plan, policy=replace(plan.policy, fields=fields))
    hub.hub = replace(hub.hub, entities={"customer": plan})
    _change(hub, "erp", note="another thing")
    assert hub.golden["phone"] == "5"

    [kept] = hub.undo(run).kept

    assert (kept["field"], kept["why"]) == (
        "phone",
        f"changed since, in run {hub.ran['reconcile']}",
    )


def test_what_was_read_and_waits_is_not_overrun(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "erp", phone="2")
    _delivered(hub)
    hub.shop.edit("s1", phone="3")
    hub.ingest("shop")

    [kept] = hub.undo(run).kept

    assert "concord reconcile" in kept["why"]
    hub.reconcile()
    assert hub.golden["phone"] == "3"


def test_an_edit_that_nobody_has_read_yet_is_not_lost(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "erp", phone="2")
    _delivered(hub)
    hub.list.edit("l1", phone="3")
    hub.undo(run)
    hub.round()
    hub.round()
    lost = [task.payload["lost"] for task in hub.tasks(TaskKind.REVERTED)]
    assert hub.golden["phone"] == "3" or lost == ["3"]
    assert hub.round() == 0


def test_a_contested_field_is_left_to_the_decision(world: MakeWorld) -> None:
    hub = _three(world, name=FieldPolicy(Rule.MANUAL))
    run = _change(hub, "erp", name="Ada Byron")
    hub.shop.edit("s1", name="Ada King")  # who has not seen the other's
    _reconciled(hub)
    [kept] = hub.undo(run).kept
    assert (kept["field"], "contested" in kept["why"]) == ("name", True)


def test_what_was_contested_before_the_run_is_not_decided_by_an_undo(world: MakeWorld) -> None:
    hub = _three(world, name=FieldPolicy(Rule.MANUAL))
    hub.erp.edit("e1", name="Ada Byron")
    hub.shop.edit("s1", name="Ada King")
    hub.round()
    run = _change(hub, "shop", name="Ada Byron")
    _delivered(hub)
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
    run = _reconciled(hub)
    _delivered(hub)
    [kept] = hub.undo(run).kept
    assert "before the run no value counted, and erp/people/e1 had one of its own" in kept["why"]
    assert hub.golden["name"] == "Ada erp"


# more than once


def test_undo_twice_does_nothing_the_second_time(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "erp", phone="2")
    _delivered(hub)
    hub.undo(run)
    hub.round()
    version = hub.customer().version

    again = hub.undo(run)

    assert (again.fields, again.already, again.not_undone) == (0, 1, 0)
    assert hub.customer().version == version
    assert hub.round() == 0


def test_an_undo_can_be_undone_and_then_not_the_first_run_again(world: MakeWorld) -> None:
    hub = _three(world)
    before = _held(hub)
    run = _change(hub, "erp", phone="2", tags=["vip"])
    _delivered(hub)
    after = _held(hub)
    hub.undo(run)
    undone = hub.ran["undo"]
    hub.round()
    assert _held(hub) == before

    hub.undo(undone)
    redone = hub.ran["undo"]
    hub.round()

    assert _held(hub) == after
    kept = hub.undo(run).kept
    assert {item["field"] for item in kept} == {"phone", "tags"}, "a decision stands: undo that"
    hub.undo(redone)
    hub.round()
    assert _held(hub) == before
    assert hub.rebuilt().equal


def test_undo_of_a_run_whose_deliveries_are_partly_queued_still(world: MakeWorld) -> None:
    hub = _three(world)
    before = _held(hub)
    run = _change(hub, "erp", phone="2", name="Ada Byron")
    hub.deliver("shop")
    assert hub.queued() == {"pending": 1}, "the list has not heard of it"
    writes = len(hub.list.writes)

    hub.undo(run)

    assert {message.system for message in hub.outbox()} == {"erp", "shop"}
    hub.round()
    assert _held(hub) == before
    assert len(hub.list.writes) == writes, "the list never hears of it"
    assert hub.round() == 0


def test_undo_goes_page_by_page(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_master.engine.undo.PAGE", 2)
    hub = world("erp", "shop")
    for number in range(5):
        for system in (hub.erp, hub.shop):
            system.add(f"{number}", name=f"Person {number}", mail=f"p{number}@example.org")
    hub.settle()
    before = _held(hub)
    for number in range(5):
        hub.erp.edit(f"{number}", name=f"Somebody {number}")
    hub.ingest("erp")
    hub.reconcile()
    run = hub.ran["reconcile"]
    hub.round()
    assert hub.undo_plan(run).fields == hub.undo(run).fields == 5
    hub.round()
    assert _held(hub) == before


def test_erasure_takes_the_values_of_an_undo_and_leaves_those_of_others(world: MakeWorld) -> None:
    hub = _three(world)
    for name, key in (("erp", "e2"), ("shop", "s2")):
        hub.systems[name].add(key, name="Bob", mail="bob@example.org", phone="0042-of-bob")
    hub.round()
    hub.erp.edit("e2", phone="2")
    hub.shop.edit("s1", phone="3")
    run = _reconciled(hub)
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
    hub = _three(world)
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
    hub = _three(world)
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
    hub.clock.sleep(10)
    hub.ingest("erp")
    hub.reconcile()
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
    hub = _three(world)
    hub.erp.edit("e1", phone="2")
    hub.clock.sleep(10)
    hub.ingest("erp")
    hub.reconcile()
    hub.deliver("shop")
    assert said in _why(hub, hub.ran[verb])


def test_a_field_that_is_configured_no_more_stays(world: MakeWorld) -> None:
    hub = _three(world)
    run = _change(hub, "erp", phone="2")
    plan = hub.hub.entities["customer"]
    fields = {name: spec for name, spec in plan.spec.fields.items() if name != "phone"}
    policy = replace(plan.policy, entity=replace(plan.spec, fields=fields))
    hub.hub = replace(hub.hub, entities={"customer": replace(plan, policy=policy)})
    assert "no such field is configured" in _why(hub, run)


def test_nobody_is_left_who_may_say_it(world: MakeWorld) -> None:
    hub = _three(world, phone=FieldPolicy(Rule.OWNER, {"erp": 0}))
    run = _change(hub, "erp", phone="2")
    _delivered(hub)
    hub.erp.remove("e1")
    hub.round()
    assert "no record that owner listens to can say it" in _why(hub, run)

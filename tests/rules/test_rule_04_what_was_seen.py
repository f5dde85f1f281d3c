"""RULES 4: a claim replaces what its author saw. What a record showed when, the hub knows by its reads and writes."""

from __future__ import annotations

import pytest

from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World, lose

NO_DENIAL = """
  name: name
  email: {at: mail, as: email}
  note: note
  consent.status: {at: consent, as: {enum: {granted: "yes"}}}
"""
"""Of a system that cannot say that somebody refuses."""
SOME_TAGS = '  tags: {at: tags, many: all, as: {enum: {a: "a", b: "b"}}}'
"""Of a system that cannot hold any other tag."""


def _hub(world: MakeWorld, *names: str, **settings: Setting) -> World:
    """Ada agrees, in each of the systems."""
    hub = world(*names, **settings)
    for name in names:
        hub.systems[name].add("1", name="Ada", mail="ada@example.org", consent="yes")
    return hub.settle()


def test_rule_04_what_a_record_did_not_show_was_not_seen_in_it(world: MakeWorld) -> None:
    """The list only reads consent: a denial elsewhere never reached it, so its yes does not overrule that."""
    lines = "  name: name\n  email: {at: mail, as: email}\n  note: note\n" + (
        '  consent.status: {at: consent, as: {enum: {granted: "yes", denied: "no"}}, direction: read}'
    )
    hub = world("erp", "list", list=Setting(lines))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", consent="yes")
    hub.list.add("l1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", consent="no")
    hub.round()
    hub.round()
    assert hub.golden["consent"]["status"] == "denied"

    hub.list.edit("l1", consent="yes")
    hub.round()
    hub.round()

    assert hub.golden["consent"]["status"] == "denied"


@pytest.mark.parametrize("fate", ["done", "killed"])
def test_rule_04_what_a_lost_write_did_is_seen_from_the_read_on_that_shows_it(
    world: MakeWorld, fate: str
) -> None:
    """Whoever opts in between that read and its reconciliation has the denial before their eyes."""
    hub = _hub(world, "erp", "shop")
    hub.erp.edit("1", consent="no")
    hub.hear("erp")
    lose(hub, fate)
    assert hub.shop["1"]["consent"] == "no"

    hub.clock.sleep(10)
    hub.ingest("shop")
    hub.clock.sleep(10)
    hub.shop.edit("1", consent="yes")
    hub.clock.sleep(10)
    hub.reconcile()
    hub.clock.sleep(7200)
    hub.round()
    hub.round()

    assert hub.shop["1"]["consent"] == hub.erp["1"]["consent"] == "yes"
    assert hub.rebuilt().equal


@pytest.mark.parametrize("fate", ["", "done", "not needed"])
def test_rule_04_what_was_never_shown_was_not_seen_however_late_the_rest_arrives(
    world: MakeWorld, fate: str
) -> None:
    """The shop cannot say "denied": two versions later it has the name, and whoever edits the consent saw the old one."""
    name = "Ada" if fate == "not needed" else "Ada C."
    hub = _hub(world, "erp", "shop", shop=Setting(NO_DENIAL))
    hub.erp.edit("1", consent="no", name="Ada B.")
    hub.hear("erp")
    hub.erp.edit("1", name=name)
    hub.hear("erp")
    hub.shop.losses = [fate] if fate == "done" else []
    hub.deliver("shop")
    assert (hub.shop["1"]["name"], hub.shop["1"]["consent"]) == (name, "yes")

    hub.clock.sleep(10)
    hub.ingest("shop")
    hub.clock.sleep(10)
    hub.shop.edit("1", consent=None)
    hub.clock.sleep(10)
    hub.reconcile()
    hub.clock.sleep(7200)
    hub.round()
    hub.shop.edit("1", consent="yes")
    hub.round()
    hub.round()

    assert hub.golden["consent"]["status"] == "denied"
    assert hub.rebuilt().equal


def test_rule_04_a_record_shows_a_version_when_all_that_was_under_way_is_there_and_part_of_it(
    world: MakeWorld,
) -> None:
    """A refusal that was taken back meanwhile arrives late, together with a name: that is no version of the customer."""
    hub = _hub(world, "erp", "shop")
    hub.erp.edit("1", consent="no")
    hub.hear("erp")
    hub.shop.losses = ["undone", "done"]
    hub.deliver("shop")
    hub.erp.edit("1", consent="yes", name="Ada B.")
    hub.hear("erp")
    shown = hub.shadow("shop", "1").seen
    hub.clock.sleep(7200)
    hub.deliver("shop")
    assert hub.shop["1"]["name"] == "Ada B."

    hub.shop.edit("1", consent="no")
    hub.hear("shop")

    assert hub.shadow("shop", "1").seen == shown
    hub.clock.sleep(7200)
    hub.round()
    assert hub.shop["1"]["consent"] == "yes"
    assert max(hub.shadow("shop", "1").seen).version == hub.customer().version


def test_rule_04_what_was_never_shown_is_not_seen_when_an_older_version_is_settled(
    world: MakeWorld,
) -> None:
    """While tags are on their way to the shop somebody refuses, which the shop cannot say."""
    hub = _hub(world, "erp", "shop", "list", shop=Setting(NO_DENIAL + SOME_TAGS))
    hub.erp.edit("1", tags=["a"])
    hub.hear("erp")
    hub.deliver("list")
    hub.list.edit("1", consent="no", tags=["a", "c"])
    hub.clock.sleep(10)
    hub.ingest("list")
    hub.deliver_meanwhile("shop", hub.reconcile)
    hub.round()

    hub.shop.edit("1", consent=None)
    hub.hear("shop")
    hub.shop.edit("1", consent="yes")
    hub.round()
    hub.round()

    assert hub.golden["consent"]["status"] == "denied"
    assert hub.rebuilt().equal


@pytest.mark.parametrize("hidden_before", [False, True])
@pytest.mark.parametrize("also", [{}, {"name": "Ada B."}])
@pytest.mark.parametrize("lost", [True, False])
def test_rule_04_what_a_write_did_was_seen_also_when_more_came_that_cannot_be_shown(
    world: MakeWorld, also: dict[str, str], hidden_before: bool, lost: bool
) -> None:
    hub = world("erp", "list", "shop", shop=Setting(NO_DENIAL + SOME_TAGS))
    for system in (hub.erp, hub.list, hub.shop):
        system.add("1", name="Ada", mail="ada@example.org", tags=["a"])
    hub.settle()
    if hidden_before:
        hub.erp.edit("1", tags=["a", "c"])
        hub.round()
        hub.round()
    hub.erp.edit("1", tags=["a", "b"], **also)
    hub.hear("erp")
    hub.deliver("list")
    if lost:
        hub.shop.losses = ["done"]
        hub.deliver("shop")
    hub.list.edit("1", tags=["a", "b", "c"])
    hub.clock.sleep(10)
    hub.ingest("list")
    hub.reconcile() if lost else hub.deliver_meanwhile("shop", hub.reconcile)
    hub.clock.sleep(7200)
    hub.deliver("shop")
    hub.deliver("erp")
    hub.round()

    hub.shop.edit("1", tags=["a"])
    hub.round()
    hub.round()

    assert sorted(hub.golden["tags"]) == ["a", "c"]
    assert hub.rebuilt().equal


def test_rule_04_who_edits_what_a_decision_has_put_there_has_seen_it(world: MakeWorld) -> None:
    """The field was withheld while it was contested; the answer to the write of what was decided was lost."""
    policies = {"note": FieldPolicy(Rule.MANUAL)}
    hub = world("erp", "shop", "list", policies=policies)
    for system in (hub.erp, hub.shop, hub.list):
        system.add("1", name="Ada", mail="ada@example.org", note="A")
    hub.settle()
    hub.erp.edit("1", note="B")
    hub.list.edit("1", note="C")
    hub.round()
    hub.decide(hub.task(TaskKind.CONFLICT), "erp/people/1")
    hub.reconcile()
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    hub.deliver("list")
    assert hub.shop["1"]["note"] == "B"

    hub.clock.sleep(10)
    hub.ingest("shop")
    hub.clock.sleep(10)
    hub.shop.edit("1", note="D")
    hub.clock.sleep(10)
    hub.reconcile()
    hub.clock.sleep(7200)
    hub.round()
    hub.round()

    assert hub.tasks(TaskKind.CONFLICT) == []
    assert hub.erp["1"]["note"] == hub.list["1"]["note"] == "D"


def test_rule_04_what_is_on_its_way_is_no_version_of_another_customer(world: MakeWorld) -> None:
    """Ada's record is found to be Bea's; what arrives there late is of a version that Bea has not reached yet."""
    hub = _hub(world, "erp", "shop")
    hub.erp.add("2", name="Bea", mail="bea@example.org", consent="yes")
    for note in ("1", "2", "3", "4"):
        hub.erp.edit("1", note=note)
        hub.round()
    hub.erp.edit("1", note="5")
    hub.hear("erp")
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    hub.move("shop/1", "erp/2")
    hub.reconcile()
    hub.hear("shop")

    hub.shop.edit("1", consent="no")
    hub.clock.sleep(7200)
    hub.round()
    hub.round()

    assert hub.owner("erp/2").golden["consent"]["status"] == "denied"
    assert hub.erp["2"]["consent"] == "no"


def test_rule_04_a_field_that_comes_to_be_mapped_has_shown_nothing_yet(world: MakeWorld) -> None:
    lines = "  name: name\n  email: {at: mail, as: email}\n"
    consent = '  consent.status: {at: consent, as: {enum: {granted: "yes", denied: "no"}}}\n'
    hub = _hub(world, "erp", "shop", shop=Setting(lines))
    hub.erp.edit("1", consent="no", name="Ada B.")
    hub.hear("erp")
    hub.deliver("shop")
    hub.apply(hub.proposed(shop=lines + consent))
    hub.reconcile()
    hub.hear("shop")

    hub.shop.edit("1", consent=None)
    hub.hear("shop")
    hub.shop.edit("1", consent="yes")
    hub.hear("shop")

    assert hub.golden["consent"]["status"] == "denied"


@pytest.mark.parametrize("losses", [[], ["done", "done"]])
def test_rule_04_a_secondary_record_shows_no_version_by_what_is_withdrawn_from_it(
    world: MakeWorld, losses: list[str]
) -> None:
    """A refusal goes to the primary record; then the other one is rid of what somebody said who has left."""
    hub = world("erp", "shop", "list", within_system="link")
    for system, key in ((hub.erp, "1"), (hub.shop, "1"), (hub.shop, "2"), (hub.list, "1")):
        system.add(key, name="Ada", mail="ada@example.org", consent="yes")
    hub.settle()
    hub.list.edit("1", note="of the list")
    hub.round()
    hub.pin("shop/2")
    hub.round()
    hub.erp.edit("1", consent="no")
    hub.round()
    hub.split("erp/1", "list/1")
    hub.reconcile()
    hub.shop.losses = losses
    hub.deliver("shop")
    assert (hub.shop["1"]["note"], hub.shop["1"]["consent"]) == (None, "yes")
    hub.hear("shop")
    hub.hear("shop")

    hub.shop.edit("1", consent=None)
    hub.hear("shop")
    hub.shop.edit("1", consent="yes")
    hub.round()
    hub.clock.sleep(7200)
    hub.round()

    assert hub.owner("erp/1").golden["consent"]["status"] == "denied"
    assert hub.rebuilt().equal


def test_rule_04_a_field_that_was_mapped_and_is_empty_can_be_filled_in(world: MakeWorld) -> None:
    """Nobody said anything at its first sight; whoever fills it in sees that it is empty, as everybody says."""
    lines, policies = (
        "  name: name\n  email: {at: mail, as: email}\n",
        {"note": FieldPolicy(Rule.MANUAL)},
    )
    hub = world("erp", "shop", shop=Setting(lines), policies=policies)
    for system in (hub.erp, hub.shop):
        system.add("1", name="Ada", mail="ada@example.org")
    hub.erp.edit("1", note="A")
    hub.settle()
    hub.erp.edit("1", note=None)
    hub.round()
    hub.apply(hub.proposed(policies, shop=lines + "  note: note\n"))
    hub.clock.sleep(10)
    hub.ingest("shop", full=True)
    hub.reconcile()
    hub.round()

    hub.shop.edit("1", note="x")
    hub.round()
    hub.round()

    assert hub.erp["1"]["note"] == "x"
    assert hub.tasks(TaskKind.CONFLICT) == []


def test_rule_04_a_version_that_was_never_delivered_was_not_seen(world: MakeWorld) -> None:
    """B is queued for the shop and not written when C contests it: the shop shows A all the time."""
    hub = world("erp", "shop", "list", policies={"note": FieldPolicy(Rule.MANUAL)})
    for system in (hub.erp, hub.shop, hub.list):
        system.add("1", name="Ada", mail="ada@example.org", note="A")
    hub.settle()
    hub.erp.edit("1", note="B")
    hub.hear("erp")
    hub.list.edit("1", note="C")
    hub.hear("list")
    hub.hear("shop")

    hub.shop.edit("1", note="D")
    hub.hear("shop")

    contenders = hub.task(TaskKind.CONFLICT).payload["contenders"]
    assert {one["value"] for one in contenders} == {"B", "C", "D"}


def test_rule_04_a_key_that_is_in_use_again_has_shown_nothing_of_its_new_customer(
    world: MakeWorld,
) -> None:
    """The record of that key was merged into another one; now it is Bea's, who refuses."""
    hub = world("erp", "shop", within_system="link")
    for system, key in ((hub.erp, "1"), (hub.shop, "1"), (hub.shop, "2")):
        system.add(key, name="Ada", mail="ada@example.org", consent="yes")
    hub.settle()
    for note in ("1", "2", "3", "4", "5"):
        hub.erp.edit("1", note=note)
        hub.round()
    hub.shop.edit("1", consent="no")
    hub.round()
    hub.shop.merge("1", "2")
    hub.round()
    hub.erp.add("9", name="Bea", mail="bea@example.org", consent="yes")
    hub.round()
    del hub.shop.gone["1"], hub.shop.merged["1"]
    hub.shop.add("1", name="Bea", mail="bea@example.org", consent="no")
    hub.round()
    hub.round()
    assert hub.owner("shop/1") == hub.owner("erp/9")

    hub.erp.edit("9", consent="yes")
    hub.round()
    hub.round()
    assert hub.shop["1"]["consent"] == "yes"

    hub.shop.edit("1", consent="no")
    hub.round()
    hub.round()

    assert hub.owner("erp/9").golden["consent"]["status"] == "denied"
    assert hub.erp["9"]["consent"] == "no"

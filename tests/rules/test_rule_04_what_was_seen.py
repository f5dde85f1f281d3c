"""RULES 4: a claim replaces what its author saw. What a record showed when, the hub knows by its reads and writes."""

from __future__ import annotations

import pytest

from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World, dying

NO_DENIAL = """
  name: name
  email: {at: mail, as: email}
  note: note
  consent.status: {at: consent, as: {enum: {granted: "yes"}}}
"""
"""Of a system that cannot say that somebody refuses."""


def _hub(world: MakeWorld, *names: str, **settings: Setting) -> World:
    """Ada agrees, in each of the systems."""
    hub = world(*names, **settings)
    for name in names:
        hub.systems[name].add("1", name="Ada", mail="ada@example.org", consent="yes")
    return hub.settle()


def _read(hub: World, name: str) -> None:
    hub.clock.sleep(10)
    hub.ingest(name)
    hub.reconcile()


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
    _read(hub, "erp")
    hub.shop.losses = [fate]
    if fate == "killed":
        with dying():
            hub.deliver("shop")
    else:
        hub.deliver("shop")
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
    _read(hub, "erp")
    hub.erp.edit("1", name=name)
    _read(hub, "erp")
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
    _read(hub, "erp")
    hub.shop.losses = ["undone", "done"]
    hub.deliver("shop")
    hub.erp.edit("1", consent="yes", name="Ada B.")
    _read(hub, "erp")
    shown = hub.shadow("shop", "1").shows
    hub.clock.sleep(7200)
    hub.deliver("shop")
    assert hub.shop["1"]["name"] == "Ada B."

    hub.shop.edit("1", consent="no")
    _read(hub, "shop")

    assert hub.shadow("shop", "1").shows == shown
    hub.clock.sleep(7200)
    hub.round()
    assert hub.shop["1"]["consent"] == "yes"
    assert hub.shadow("shop", "1").shows == hub.customer().version

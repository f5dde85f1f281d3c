"""RULES 2: a claim is the last value that someone other than the hub asserted."""

from __future__ import annotations

import pytest

from crm_master.domain.claims import ClaimKey
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import World

NAME = ClaimKey("name")


def _pair(world: MakeWorld) -> World:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    return hub.settle()


def test_rule_02_our_own_write_coming_back_asserts_nothing(world: MakeWorld) -> None:
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    before = hub.record("shop", "s1").claims
    assert hub.shop["s1"]["name"] == "Ada Lovelace"

    assert hub.round() == 0, "our write came back, and caused a write"
    hub.ingest("shop", full=True)
    hub.reconcile()

    assert hub.record("shop", "s1").claims == before
    assert hub.golden["name"] == "Ada Lovelace"


def test_rule_02_a_delivery_moves_the_shadow_never_the_claim(world: MakeWorld) -> None:
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()

    record = hub.record("shop", "s1")
    assert record.shadow.fields["name"].held == "Ada Lovelace"
    assert record.claims[NAME].value == "Ada"


def test_rule_02_a_field_equal_to_its_shadow_keeps_its_claims_time_when_the_record_moved(
    world: MakeWorld,
) -> None:
    """Somebody edits the phone: the record's change time moves, the name's claim does not."""
    hub = world("erp", "shop")
    hub.erp.stamps = True
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    before = hub.record("erp", "e1").claims[NAME]

    hub.clock.sleep(1000)
    hub.erp.edit("e1", phone="1")
    hub.round()

    after = hub.record("erp", "e1").claims
    assert after[NAME] == before
    assert after[ClaimKey("phone")].lo > before.hi


def test_rule_02_an_old_value_that_the_hub_wrote_does_not_beat_a_newer_edit_elsewhere(
    world: MakeWorld,
) -> None:
    """A later unrelated edit in the shop carries the old name along: nothing flip-flops."""
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    hub.erp.edit("e1", name="Ada King")
    hub.shop.edit("s1", phone="1")
    hub.round()
    hub.round()

    assert hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada King"
    assert hub.erp["e1"]["phone"] == "1"
    assert hub.round() == 0


@pytest.mark.parametrize("fate", ["half refused", "half later"])
def test_rule_02_a_write_of_which_a_part_took_effect_asserts_nothing(
    world: MakeWorld, fate: str
) -> None:
    """A system that is written in several requests takes the first and not the second."""
    hub = _pair(world)
    before = hub.claims("shop", "s1")
    hub.shop.losses = [fate]
    hub.erp.edit("e1", name="Ada Lovelace", phone="1")
    hub.round("erp")
    hub.deliver("shop")
    assert (hub.shop["s1"]["name"], hub.shop["s1"].get("phone")) == ("Ada Lovelace", None)

    hub.round("shop")

    assert hub.claims("shop", "s1") == before, "nobody has said that in the shop"
    hub.erp.edit("e1", name="Augusta Ada King")
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    assert (hub.shop["s1"]["name"], hub.shop["s1"]["phone"]) == ("Augusta Ada King", "1")
    assert hub.round() == 0

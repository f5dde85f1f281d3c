"""RULES 21 between a change of mapping and the read that shows what is mapped since."""

from __future__ import annotations

import pytest

from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.lost_answers import hub_with_shop
from tests.rules.moving import hide, settled, two
from tests.rules.world import Setting

NO_NOTE = FULL_MAPPING.replace("  note: note\n", "")
NO_NOTE_OR_PHONE = NO_NOTE.replace("  phone: phone\n", "")
NO_CITY = FULL_MAPPING.replace("  address.city: city\n", "")


def test_rule_21_what_a_row_says_is_empty_is_known_although_it_lacks_another_field(
    world: MakeWorld,
) -> None:
    hub = two(world, {"note": "old"}, {"note": None}, shop=Setting(NO_NOTE_OR_PHONE))
    hub.apply(hub.proposed(shop=FULL_MAPPING))
    hub.clock.sleep(100)
    hub.shop.edit("s1", note="new")
    settled(hub)
    assert hub.golden["note"] == "new"


def test_rule_21_what_is_read_under_the_new_mapping_is_believed_also_before_the_sweep(
    world: MakeWorld,
) -> None:
    hub = two(world, {"note": "old"}, {}, shop=Setting(NO_NOTE))
    hub.put_in_force(hub.proposed(shop=FULL_MAPPING))
    hub.clock.sleep(10)
    hub.shop.edit("s1", phone="1")
    hub.ingest("shop", full=True)
    hub.clock.sleep(10)
    hub.reconcile()
    hub.clock.sleep(100)
    hub.shop.edit("s1", note="new")
    settled(hub)
    assert hub.golden["note"] == "new"


@pytest.mark.parametrize("before", [None, "A"], ids=["empty", "cleared"])
def test_rule_21_a_member_that_was_mapped_all_the_time_is_edited_in_an_empty_group(
    world: MakeWorld, before: str | None
) -> None:
    """In a partial payload, which speaks of nothing else."""
    hub = two(world, {}, {"street": before}, shop=Setting(NO_NOTE, full_payload=False))
    hub.shop.edit("s1", street=None)
    hub.round()
    hub.apply(hub.proposed(shop=FULL_MAPPING))
    hub.clock.sleep(100)
    hub.shop.edit("s1", city="Ghent")
    settled(hub)
    assert hub.erp["e1"]["city"] == "Ghent"


@pytest.mark.parametrize("with_street", [True, False])
def test_rule_21_or_where_others_are_known(world: MakeWorld, with_street: bool) -> None:
    hub = two(world, {"street": "A"}, {"street": "A"}, shop=Setting(NO_NOTE, full_payload=False))
    hub.clock.sleep(100)
    hub.erp.edit("e1", street="B")
    hub.round()
    hub.apply(hub.proposed(shop=FULL_MAPPING))
    hub.clock.sleep(100)
    hub.shop.edit("s1", city="Ghent", **({"street": "C"} if with_street else {}))
    settled(hub)
    assert hub.shop["s1"]["city"] == hub.erp["e1"]["city"] == "Ghent"


def test_rule_21_a_member_that_is_mapped_now_is_seen_in_a_group_of_which_nothing_was_said(
    world: MakeWorld,
) -> None:
    hub = two(world, {}, {"street": None}, shop=Setting(NO_CITY, full_payload=False))
    hide(hub, "shop", "s1", city="Ghent")
    hub.apply(hub.proposed(shop=FULL_MAPPING))
    settled(hub)
    assert hub.erp["e1"]["city"] == "Ghent"


def test_rule_21_so_it_is_in_a_group_that_was_emptied(world: MakeWorld) -> None:
    hub = two(world, {"street": "A", "city": "Ghent"}, {}, shop=Setting())
    hub.round()
    hub.clock.sleep(100)
    hub.shop.edit("s1", street=None, city=None)
    hub.round()
    hide(hub, "shop", "s1", country="BE")
    hub.apply(hub.proposed(shop=FULL_MAPPING + "  address.country: country\n"))
    settled(hub)
    assert hub.shop["s1"]["country"] == hub.golden["address"]["country"] == "BE"


def test_rule_21_a_row_of_before_that_comes_later_is_landed_once_more(world: MakeWorld) -> None:
    """By a worker whose clock is slow. It shows nothing else; only then it says what is empty."""
    hub = two(world, {"note": "old"}, {}, shop=Setting(NO_NOTE))
    hub.put_in_force(hub.proposed(shop=FULL_MAPPING))
    hub.sweep()
    hub.clock.sleep(-5)
    hub.ingest("shop", full=True)
    hub.reconcile()
    hub.clock.sleep(100)
    settled(hub)
    assert hub.shop["s1"]["note"] == "old"


def test_rule_21_only_a_field_that_was_moved_keeps_the_time_of_a_claim(world: MakeWorld) -> None:
    """A record that waited for a person, and was then found by a create whose answer had been lost, has moved nowhere."""
    hub = hub_with_shop(world, "undone")
    hub.shop.stamps, hub.shop.find_by = True, "mail"
    hub.shop.add("s8", name="Ada", mail="ada@example.org")
    hub.ingest("shop")
    hub.reconcile()
    hub.clock.sleep(10)
    hub.shop.add("s9", name="Ada", mail="ada@example.org", note="a")
    hub.ingest("shop")
    hub.reconcile()
    hub.split("shop/s8", "shop/s8")
    hub.reconcile()
    hub.clock.sleep(10)
    hub.deliver("shop")
    hub.clock.sleep(10)
    hub.erp.edit("e1", note="b")
    hub.ingest("erp")
    hub.hear("erp")
    hub.clock.sleep(10)
    hub.shop.edit("s9", note="c")
    hub.clock.sleep(4000)
    for _ in range(2):
        hub.deliver("shop")
        hub.clock.sleep(10)
    settled(hub)
    assert hub.erp["e1"]["note"] == "c"

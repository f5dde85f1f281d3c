"""RULES 21 where a field is read from another place now, and where it was moved and moved back."""

from __future__ import annotations

import pytest

from crm_master.domain.claims import ClaimKey
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.moving import MOVED, PHONE, hide, settled, two
from tests.rules.world import Setting

ADDRESS = ClaimKey("address")
WITH_COUNTRY = FULL_MAPPING + "  address.country: country\n"


def test_rule_21_at_a_place_that_people_used_before_it_was_mapped_their_newest_word_counts(
    world: MakeWorld,
) -> None:
    hub = two(world, {"phone": "1", "mobile": "2"}, {})
    hub.erp.edit("e1", mobile="6")
    hub.round()
    hub.apply(hub.proposed(erp=MOVED))
    settled(hub)
    assert hub.erp["e1"]["mobile"] == "6"
    assert hub.golden["phone"] == "6"


def test_rule_21_so_it_is_of_a_member_that_is_new_in_a_group(world: MakeWorld) -> None:
    there = {"street": "A 1", "city": "Ghent"}
    hub = two(world, there | {"country": "NL"}, there)
    hub.erp.edit("e1", country="BE")
    hub.round()
    hub.apply(hub.proposed(erp=WITH_COUNTRY))
    settled(hub)
    assert hub.erp["e1"]["country"] == "BE"
    assert hub.golden["address"]["country"] == "BE"


def test_rule_21_what_was_written_to_a_place_is_found_there_when_the_field_moves_back(
    world: MakeWorld,
) -> None:
    """No landed row shows it, and the shadow was of another place in between."""
    hub = two(world, {"phone": "1"}, {"phone": "1", "mobile": "2"})
    hub.erp.edit("e1", phone="5")
    hub.round()
    for lines in (MOVED, FULL_MAPPING):
        hub.put_in_force(hub.proposed(shop=lines))
        hub.sweep()
    hub.erp.edit("e1", phone="7")
    settled(hub)
    assert hub.shop["s1"]["phone"] == "7"


def test_rule_21_a_field_that_moves_and_moves_back_keeps_its_time(world: MakeWorld) -> None:
    hub = two(world, {"phone": "1"}, {"phone": "1"})
    hub.shop.edit("s1", phone="3")
    hub.round()
    hub.erp.edit("e1", phone="5")
    hub.round()
    for lines in (MOVED, FULL_MAPPING):
        hub.apply(hub.proposed(erp=lines))
    settled(hub)
    assert hub.golden["phone"] == "5"


def test_rule_21_a_field_that_was_only_written_is_seen_for_the_first_time(world: MakeWorld) -> None:
    written = FULL_MAPPING.replace("phone: phone", "phone: {at: phone, direction: write}")
    hub = world("erp", "shop", shop=Setting(written))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s1", phone="9")
    hub.round()
    hub.apply(hub.proposed(shop=FULL_MAPPING))
    hub.erp.edit("e1", phone="2")
    settled(hub)
    assert hub.shop["s1"]["phone"] == hub.golden["phone"] == "2"


@pytest.mark.parametrize(
    "line", ["{at: phone, clear: review}", "{at: phone, direction: both}", "{at: phone, max: 20}"]
)
def test_rule_21_what_else_a_line_says_of_a_field_moves_it_nowhere(
    world: MakeWorld, line: str
) -> None:
    """What was found empty stays so: whoever fills it in has edited it."""
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    [key] = hub.shop.kept
    hub.apply(hub.proposed(shop=FULL_MAPPING.replace("phone: phone", f"phone: {line}")))
    hub.shop.edit(key, phone="5")
    hub.round()
    assert hub.record("shop", key).claims[PHONE].lo > 0
    assert hub.rebuilt().equal


def test_rule_21_a_codec_that_cannot_read_what_stood_there_once_blocks_nothing(
    world: MakeWorld,
) -> None:
    """The landed row has it; the system does not any more: it holds what was delivered since."""
    hub = two(world, {"phone": "1"}, {"phone": "1"})
    hub.erp.edit("e1", phone="5")
    hub.round()
    lines = FULL_MAPPING.replace(
        "phone: phone", "phone: {at: phone, as: {enum: {five: '5', six: '6'}}}"
    )
    hub.apply(hub.proposed(erp=lines, shop=lines))
    hub.erp.edit("e1", phone="6")
    settled(hub)
    assert hub.shop["s1"]["phone"] == "6"


def test_rule_21_a_member_that_the_landed_row_lacks_makes_no_edit_of_its_group(
    world: MakeWorld,
) -> None:
    there = {"street": "A 1", "city": "Ghent"}
    hub = two(world, there, there)
    proposed = hub.proposed(erp=WITH_COUNTRY)
    hide(hub, "erp", "e1", country="BE")
    assert hub.foresee(proposed).lacking == {"erp/people": {"address"}}
    hub.apply(proposed)
    hub.shop.edit("s1", street="C 3")
    settled(hub)
    assert hub.golden["address"]["street"] == "C 3"


def test_rule_21_such_a_member_joins_what_was_said_of_the_group(world: MakeWorld) -> None:
    there = {"street": "A 1", "city": "Ghent"}
    hub = two(world, there, there)
    hub.erp.edit("e1", street="B 2")
    hub.round()
    newest = hub.record("erp", "e1").claims[ADDRESS]
    hide(hub, "erp", "e1", country="BE")
    hub.apply(hub.proposed(erp=WITH_COUNTRY))
    settled(hub)
    claim = hub.record("erp", "e1").claims[ADDRESS]
    assert (claim.lo, claim.hi) == (newest.lo, newest.hi)
    assert hub.golden["address"] == {"street": "B 2", "city": "Ghent", "country": "BE"}


def test_rule_21_whoever_reads_a_record_again_first_has_its_stream_read_whole(
    world: MakeWorld,
) -> None:
    """A worker with an observation of the customer may be faster than the sweep."""
    hub = two(world, {}, {})
    hide(hub, "shop", "s1", nick="Countess")
    hub.erp.edit("e1", unmapped="x")
    hub.ingest("erp")
    hub.put_in_force(
        hub.proposed(
            erp=FULL_MAPPING.replace("phone: phone", "phone: {at: phone, clear: review}"),
            shop=FULL_MAPPING.replace("note: note", "note: nick"),
        )
    )
    hub.reconcile()
    hub.sweep()
    settled(hub)
    assert hub.golden["note"] == "Countess"


def test_rule_21_a_release_that_reads_a_codec_otherwise_cuts_no_fuller_value(
    world: MakeWorld,
) -> None:
    """Which mapping a record was read with is not known then."""
    hub = world("erp", "shop")
    hub.shop.makes = lambda document: document | {"street": str(document.get("street"))[:5]}
    hub.erp.add("e1", name="Ada", mail="ada@example.org", street="Long Street 1", city="Ghent")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s1", city="Bruges")
    hub.round()
    assert hub.golden["address"]["street"] == "Long Street 1"
    lines = FULL_MAPPING.replace("name: name", "name: {at: name, as: {enum: {Ada: Ada, B: Bob}}}")
    hub.replace_mapping("shop", hub.proposed(shop=lines).stream("shop", "people").mapping)
    hub.sweep()
    hub.round()
    assert hub.golden["address"]["street"] == "Long Street 1"

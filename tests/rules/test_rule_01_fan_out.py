"""RULES 1: what a system needs is found by comparing the golden record with what that system holds."""

from __future__ import annotations

from crm_master.domain.changes import patch
from crm_master.domain.claims import FieldShadow, Shadow
from crm_master.domain.survivorship import FieldPolicy, Reconciled, Rule
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import entity, mapping
from tests.rules.world import Setting

OWNED = {"name": FieldPolicy(Rule.OWNER, {"erp": 0})}


def test_rule_01_a_rejected_edit_is_put_right_where_it_was_made(world: MakeWorld) -> None:
    """The golden record does not change; golden before and golden after are equal."""
    hub = world("erp", "shop", policies=OWNED)
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()

    hub.shop.edit("s1", name="Adah")
    hub.round()

    assert hub.golden["name"] == "Ada"
    assert hub.shop["s1"]["name"] == "Ada"


def test_rule_01_a_system_that_holds_the_golden_value_already_is_not_written(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", "list")
    for system, key in ((hub.erp, "e1"), (hub.shop, "s1"), (hub.list, "l1")):
        system.add(key, name="Ada", mail="ada@example.org")
    hub.settle()

    hub.erp.edit("e1", name="Ada Lovelace")
    hub.shop.edit("s1", name="Ada Lovelace")

    assert hub.round() == 1
    assert hub.list["l1"]["name"] == "Ada Lovelace"


def test_rule_01_what_is_held_and_claimed_by_nobody_is_no_difference() -> None:
    shadow = Shadow({"name": FieldShadow(held="Ada"), "tags": FieldShadow(held={"a": "a"})})
    assert patch(Reconciled({}, {}), shadow, mapping(), entity_spec(entity())).writes == {}


def test_rule_01_a_field_that_nobody_speaks_of_is_left_alone(world: MakeWorld) -> None:
    hub = world("erp", "shop", erp=Setting("  name: name\n  email: {at: mail, as: email}"))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", colour="green")

    hub.settle()

    assert "phone" not in hub.golden
    assert hub.shop["s1"] == {"name": "Ada", "mail": "ada@example.org", "colour": "green"}

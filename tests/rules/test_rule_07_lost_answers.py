"""Rule 7: an answer is lost, and what stands there is neither what was there nor what was sent: who made it?"""

from __future__ import annotations

from typing import Any

import pytest

from crm_master.domain.attribution import attribute
from crm_master.domain.claims import ClaimKey, FieldShadow, Shadow
from crm_master.domain.fields import Mapped
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.settling import intend
from crm_master.domain.survivorship import FieldPolicy, Rule
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import mapping
from tests.rules.losing import READ, SPEC, cut, pair
from tests.rules.world import World, dying


def _lost(world: MakeWorld, fate: str = "done", **more: Any) -> World:
    """A longer name was sent to a shop that keeps eight letters, and its answer was lost."""
    hub = pair(world, **more)
    hub.shop.makes = cut
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.ingest("erp")
    hub.reconcile()
    hub.clock.sleep(10)
    hub.ingest("shop")
    hub.shop.losses = [fate]
    hub.deliver("shop")
    hub.clock.sleep(100)
    return hub


def test_rule_07_what_a_system_made_of_a_write_whose_answer_was_lost_is_no_edit(
    world: MakeWorld,
) -> None:
    hub = _lost(world)
    hub.round()
    hub.round()

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.shop["s1"]["name"] == "Ada Love"
    assert ClaimKey("name") not in {
        key for key, value in hub.claims("shop", "s1").items() if value == "Ada Love"
    }
    assert hub.tasks(TaskKind.INEFFECTIVE) == []
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_07_an_edit_that_looks_like_a_loss_is_found_out_and_counts(world: MakeWorld) -> None:
    """The write never arrived, and a person enters the beginning of what was sent."""
    hub = _lost(world, "undone")
    hub.shop.makes = lambda document: document
    hub.shop.edit("s1", name="Ada L.")
    hub.round()
    hub.round()

    assert hub.golden["name"] == hub.erp["e1"]["name"] == hub.shop["s1"]["name"] == "Ada L."
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_07_a_doubt_survives_the_death_of_the_worker_that_would_have_settled_it(
    world: MakeWorld,
) -> None:
    hub = _lost(world, "undone")
    hub.shop.makes = lambda document: document
    hub.shop.edit("s1", name="Ada L.")
    hub.ingest("shop")
    hub.reconcile()
    hub.shop.losses = ["killed"]
    with dying():
        hub.deliver("shop")
    hub.clock.sleep(700)
    hub.round()
    hub.round()

    assert hub.golden["name"] == hub.shop["s1"]["name"] == "Ada L."


def test_rule_07_a_doubt_that_was_written_over_gives_way_to_the_next(world: MakeWorld) -> None:
    """The answer to another write is lost too, before it is known what the system had made of the first."""
    hub = _lost(world)
    hub.ingest("shop")
    hub.reconcile()
    hub.erp.edit("e1", name="Grace Hopper")
    hub.ingest("erp")
    hub.reconcile()
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.round()
    hub.round()

    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Grace Hopper"
    assert hub.shop["s1"]["name"] == "Grace Ho"
    assert hub.claims("shop", "s1").get(ClaimKey("name")) != "Grace Ho"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_07_what_nothing_will_be_written_over_is_believed(world: MakeWorld) -> None:
    """The system refuses the write that would tell: rather one edit too many than one lost."""
    hub = _lost(world, "undone")
    hub.shop.edit("s1", name="Ada L.")
    hub.ingest("shop")
    hub.reconcile()
    hub.shop.losses = ["refused"]
    hub.deliver("shop")
    hub.round()

    assert hub.golden["name"] == "Ada L."
    assert hub.rebuilt().equal


def test_rule_07_a_doubt_about_a_contested_field_is_an_edit(world: MakeWorld) -> None:
    """While people have to decide, nothing is written that could tell."""
    hub = world("erp", "crm", "shop", policies={"name": FieldPolicy(Rule.MANUAL)})
    for system in (hub.erp, hub.crm, hub.shop):
        system.add("k1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("k1", name="Ada Lovelace")
    hub.round("erp", "crm")
    hub.shop.losses = ["undone"]
    hub.deliver("shop")
    hub.erp.edit("k1", name="Countess")
    hub.crm.edit("k1", name="Lady")
    hub.round("erp", "crm")
    hub.shop.edit("k1", name="Ada L.")
    hub.ingest("shop")
    hub.reconcile()

    contenders = hub.task(TaskKind.CONFLICT).payload["contenders"]
    assert {entry["value"] for entry in contenders} == {"Countess", "Lady", "Ada L."}
    assert hub.rebuilt().equal


def test_rule_07_another_value_than_could_be_made_of_it_is_an_edit_at_once(
    world: MakeWorld,
) -> None:
    hub = _lost(world)
    hub.shop.edit("s1", name="Grace")
    hub.ingest("shop")
    hub.reconcile()
    assert hub.golden["name"] == "Grace"


@pytest.mark.parametrize(
    ("sent", "made", "doubtful"),
    [
        ("Ada Lovelace", "Ada Love", True),
        ("Ada Lovelace", "ADA LOVELACE", True),
        ("+34 600 123", "(34) 600-123", True),
        ("Ada Lovelace", "Lovelace", False),
        ("Ada Lovelace", "-", False),
    ],
)
def test_rule_07_what_may_be_a_loss_is_in_doubt(sent: str, made: str, doubtful: bool) -> None:
    shadow = intend(Shadow({"name": FieldShadow(held="old", sent="old")}), {"name": sent})
    mapped = mapping().apply({"name": made}, full_payload=False)
    assert isinstance(mapped, Mapped)
    found = attribute(mapped, {}, shadow, mapping(), SPEC, READ)
    assert found.doubts is doubtful
    assert bool(found.edits) is not doubtful

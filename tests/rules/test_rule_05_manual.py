"""RULES 5: what policy leaves to a person."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from crm_master.domain.claims import UNSET, Claim, ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Policy, Rule, reconcile
from crm_master.domain.weighing import Held
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import entity
from tests.rules.world import Setting, World

MANUAL = {"name": FieldPolicy(Rule.MANUAL)}
RANK = {"erp": 0, "shop": 1, "list": 2}
NOTHING = "nothing"


def _held(system: str, value: Any, *, born: int = 1, saw: int = 0, base: Any = UNSET) -> Held:
    return Held(Claim(value, 0, 0, seq=1, born=born, saw=saw, base=base), system, f"{system}-1")


class Case(NamedTuple):
    title: str
    claims: list[Held]
    contested: bool
    shown: Any


CASES = [
    Case("one claim", [_held("erp", "A")], False, "A"),
    Case("two that agree", [_held("erp", "A"), _held("shop", "A")], False, "A"),
    Case("two that differ at first sight", [_held("erp", "A"), _held("shop", "B")], True, NOTHING),
    Case(
        "an edit by somebody who saw the other",
        [_held("erp", "A"), _held("shop", "B", born=3, saw=2, base="A")],
        False,
        "B",
    ),
    Case(
        "two edits of the same value: what both saw is shown",
        [_held("erp", "B", born=3, saw=2, base="A"), _held("shop", "C", born=3, saw=2, base="A")],
        True,
        "A",
    ),
    Case(
        "one of them saw an older value: the newest that both saw",
        [_held("erp", "B", born=3, saw=2, base="A"), _held("shop", "C", born=5, saw=1, base="Z")],
        True,
        "Z",
    ),
    Case(
        "an explicit empty contends too",
        [_held("erp", None, born=3, saw=2, base="A"), _held("shop", "C", born=3, saw=2, base="A")],
        True,
        "A",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_rule_05_contested_means_two_unreplaced_claims_that_differ(case: Case) -> None:
    policy = Policy(entity_spec(entity()), RANK, MANUAL)
    for claims in (case.claims, case.claims[::-1]):
        made = reconcile(((ClaimKey("name"), held) for held in claims), policy)
        assert ("name" in made.withheld) is case.contested
        assert made.golden.get("name", NOTHING) == case.shown


def _contested(world: MakeWorld) -> World:
    hub = world("erp", "shop", "list", policies=MANUAL)
    for system, key in ((hub.erp, "e1"), (hub.shop, "s1"), (hub.list, "l1")):
        system.add(key, name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", name="Ada Byron", phone="1")
    hub.shop.edit("s1", name="Ada King")
    hub.round()
    return hub


def test_rule_05_until_decided_the_field_is_written_nowhere_and_reverted_nowhere(
    world: MakeWorld,
) -> None:
    hub = _contested(world)
    hub.round()

    assert hub.erp["e1"]["name"] == "Ada Byron"
    assert hub.shop["s1"]["name"] == "Ada King"
    assert hub.list["l1"]["name"] == "Ada"
    assert hub.golden["name"] == "Ada", "the newest value that all contenders saw"
    assert hub.list["l1"]["phone"] == "1", "its other fields go on"


def test_rule_05_a_contested_field_is_one_question_to_a_person(world: MakeWorld) -> None:
    hub = _contested(world)
    hub.round()
    task = hub.task(TaskKind.CONFLICT)
    assert task.payload["field"] == "name"
    assert {entry["value"] for entry in task.payload["contenders"]} == {"Ada Byron", "Ada King"}
    assert hub.verify().converged, "a contested field is excepted"


def test_rule_05_a_decision_is_a_claim_attached_to_the_endorsed_record(world: MakeWorld) -> None:
    hub = _contested(world)

    hub.decide(hub.task(TaskKind.CONFLICT), "shop/people/s1")
    hub.reconcile()
    hub.round()

    claim = hub.record("shop", "s1").claims[ClaimKey("name")]
    assert (claim.value, claim.author) == ("Ada King", "ada")
    assert hub.erp["e1"]["name"] == hub.list["l1"]["name"] == "Ada King"
    assert hub.tasks(TaskKind.CONFLICT) == []
    assert hub.round() == 0


def test_rule_05_a_contested_field_is_not_sent_in_a_create_either(world: MakeWorld) -> None:
    hub = world("erp", "shop", "list", policies=MANUAL, list=Setting(creates=()))
    hub.erp.add("e1", name="Ada Byron", mail="ada@example.org")
    hub.shop.add("s1", name="Ada King", mail="ada@example.org")
    hub.settle()
    assert hub.list.only() == {"mail": "ada@example.org"}


def test_rule_05_who_ends_the_argument_in_a_system_ends_it(world: MakeWorld) -> None:
    """The shop's people take over the ERP's name: the claims agree, and nobody need be asked any more."""
    hub = _contested(world)
    hub.shop.edit("s1", name="Ada Byron")
    hub.round()
    assert hub.list["l1"]["name"] == "Ada Byron"
    assert hub.tasks(TaskKind.CONFLICT) == []

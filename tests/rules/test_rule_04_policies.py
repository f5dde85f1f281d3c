"""RULES 4: what each policy decides, and which claims a later one replaces."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from crm_master.domain.claims import UNBORN, Claim, ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Policy, Rule, reconcile
from crm_master.domain.weighing import Held
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import CONSENT, entity
from tests.rules.world import Setting, World

RANK = {"erp": 0, "shop": 1, "list": 2}


def _held(
    system: str, value: Any, lo: int = 0, hi: int = 0, *, born: int = 1, saw: int = 0
) -> Held:
    return Held(Claim(value, lo, hi, seq=1, born=born, saw=saw), system, f"{system}-1")


class Case(NamedTuple):
    title: str
    policy: FieldPolicy
    claims: list[Held]
    value: Any


PRIORITY = FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 1, "list": 1})
OWNER = FieldPolicy(Rule.OWNER, {"erp": 0})
NOBODY = "nobody speaks of it"

CASES = [
    Case(
        "most_recent is the default",
        FieldPolicy(),
        [_held("erp", "old"), _held("list", "new", 5, 6)],
        "new",
    ),
    Case(
        "source_priority: standing beats recency",
        PRIORITY,
        [_held("erp", "old"), _held("shop", "new", 50, 60)],
        "old",
    ),
    Case(
        "source_priority: a lower system counts while no higher one has a claim",
        PRIORITY,
        [_held("shop", "x")],
        "x",
    ),
    Case(
        "source_priority: an explicit empty is a claim",
        PRIORITY,
        [_held("erp", None, 5, 6), _held("shop", "x")],
        None,
    ),
    Case(
        "source_priority: recency decides inside a tie",
        PRIORITY,
        [_held("shop", "old", 1, 2), _held("list", "new", 5, 6)],
        "new",
    ),
    Case(
        "source_priority: a system without standing is below all",
        FieldPolicy(Rule.SOURCE_PRIORITY, {"list": 0}),
        [_held("erp", "new", 5, 6), _held("list", "old")],
        "old",
    ),
    Case(
        "owner: the owner's claim", OWNER, [_held("erp", "mine"), _held("shop", "x", 5, 6)], "mine"
    ),
    Case(
        "owner: its empty is a claim", OWNER, [_held("erp", None, 1, 2), _held("shop", "x")], None
    ),
    Case("owner: never falls through", OWNER, [_held("shop", "x", 5, 6)], NOBODY),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_rule_04_a_policy_decides(case: Case) -> None:
    policy = Policy(entity_spec(entity()), RANK, {"name": case.policy})
    for claims in (case.claims, case.claims[::-1]):
        made = reconcile(((ClaimKey("name"), held) for held in claims), policy)
        assert made.golden.get("name", NOBODY) == case.value


CONSENTS = [
    Case(
        "the most restrictive of claims made side by side",
        CONSENT,
        [_held("erp", {"status": "granted"}, 5, 6), _held("shop", {"status": "denied"})],
        "denied",
    ),
    Case(
        "a person who saw the denial can opt in again",
        CONSENT,
        [
            _held("erp", {"status": "granted"}, 50, 60, born=4, saw=3),
            _held("shop", {"status": "denied"}, born=2),
        ],
        "granted",
    ),
    Case(
        "an opt-in that had not seen the denial does not count against it",
        CONSENT,
        [
            _held("erp", {"status": "granted"}, 50, 60, born=4, saw=3),
            _held("shop", {"status": "denied"}, born=4, saw=1),
        ],
        "denied",
    ),
    Case(
        "a claim that no version has counted yet was seen by nobody",
        CONSENT,
        [
            _held("erp", {"status": "granted"}, 50, 60, born=4, saw=3),
            _held("shop", {"status": "denied"}, born=UNBORN),
        ],
        "denied",
    ),
]


@pytest.mark.parametrize("case", CONSENTS, ids=lambda case: case.title)
def test_rule_04_most_restrictive_and_what_was_seen(case: Case) -> None:
    policy = Policy(entity_spec(entity()), RANK, {"consent": case.policy})
    made = reconcile(((ClaimKey("consent"), held) for held in case.claims), policy)
    assert made.golden["consent"]["status"] == case.value


def test_rule_04_union_works_per_element_present_or_absent() -> None:
    policy = Policy(entity_spec(entity()), RANK)
    claims = [
        (ClaimKey("tags", "vip"), _held("erp", "vip", born=1)),
        (ClaimKey("tags", "vip"), _held("shop", None, 5, 6, born=3, saw=2)),
        (ClaimKey("tags", "new"), _held("list", "new", born=2)),
        (ClaimKey("tags", "gift"), _held("erp", None, 5, 6, born=3, saw=0)),
        (ClaimKey("tags", "gift"), _held("list", "gift", born=1)),
    ]
    made = reconcile(claims, policy)
    assert made.golden["tags"] == {"new": "new", "gift": "gift"}, (
        "a removal replaces what it saw; side by side, presence wins"
    )


def _three(world: MakeWorld, **document: Any) -> World:
    hub = world("erp", "shop", "list")
    for system, key in ((hub.erp, "e1"), (hub.shop, "s1"), (hub.list, "l1")):
        system.add(key, name="Ada", mail="ada@example.org", **document)
    return hub.settle()


def test_rule_04_removed_tags_do_not_come_back(world: MakeWorld) -> None:
    hub = _three(world, tags=["vip", "gift"])

    hub.shop.edit("s1", tags=["gift"])
    hub.round()
    hub.round()

    assert [hub.erp["e1"]["tags"], hub.shop["s1"]["tags"], hub.list["l1"]["tags"]] == [["gift"]] * 3
    hub.ingest("erp", full=True)
    hub.ingest("list", full=True)
    assert hub.round() == 0
    assert hub.golden["tags"] == {"gift": "gift"}


def test_rule_04_a_removed_tag_can_be_added_again_elsewhere(world: MakeWorld) -> None:
    hub = _three(world, tags=["vip"])
    hub.shop.edit("s1", tags=[])
    hub.round()
    hub.round()

    hub.list.edit("l1", tags=["vip"])
    hub.round()
    hub.round()

    assert hub.erp["e1"]["tags"] == hub.shop["s1"]["tags"] == ["vip"]


def test_rule_04_tags_added_in_two_systems_are_all_kept(world: MakeWorld) -> None:
    hub = _three(world, tags=["vip"])
    hub.shop.edit("s1", tags=["vip", "a"])
    hub.list.edit("l1", tags=["vip", "b"])
    hub.round()
    hub.round()
    assert sorted(hub.erp["e1"]["tags"]) == ["a", "b", "vip"]
    assert sorted(hub.shop["s1"]["tags"]) == ["a", "b", "vip"]


def test_rule_04_a_withdrawal_anywhere_counts_everywhere(world: MakeWorld) -> None:
    hub = _three(world, consent="yes")
    hub.list.edit("l1", consent="no")
    hub.round()
    assert hub.erp["e1"]["consent"] == hub.shop["s1"]["consent"] == "no"


def test_rule_04_a_person_can_opt_in_again(world: MakeWorld) -> None:
    """Everybody denies: one who saw that says yes, and it is yes everywhere."""
    hub = _three(world, consent="no")

    hub.shop.edit("s1", consent="yes")
    hub.round()
    hub.round()

    assert hub.erp["e1"]["consent"] == hub.list["l1"]["consent"] == "yes"
    assert hub.round() == 0


def test_rule_04_an_opt_in_that_crosses_a_withdrawal_does_not_count(world: MakeWorld) -> None:
    """Both edits fall between the same reads: nobody saw the other's."""
    hub = _three(world, consent="yes")
    hub.list.edit("l1", consent="no")
    hub.round()
    hub.shop.edit("s1", consent="yes")
    hub.round()
    hub.round()
    assert hub.golden["consent"]["status"] == "granted"

    hub.list.edit("l1", consent="no")
    hub.round("list")  # not yet delivered to the shop
    hub.shop.edit("s1", consent=None)
    hub.shop.edit("s1", consent="yes", note="moved")
    hub.round()
    hub.round()

    assert hub.golden["consent"]["status"] == "denied"
    assert hub.shop["s1"]["consent"] == hub.erp["e1"]["consent"] == "no"


def test_rule_04_an_owners_field_is_reverted_elsewhere_and_reported(world: MakeWorld) -> None:
    hub = world("erp", "shop", policies={"phone": OWNER})
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.settle()

    hub.shop.edit("s1", phone="2")
    hub.round()

    assert hub.erp["e1"]["phone"] == hub.shop["s1"]["phone"] == "1"
    reported = hub.task(TaskKind.REVERTED)
    assert reported.subject == "shop/people/s1:phone"
    assert reported.payload["lost"] == "2"
    assert reported.payload["rule"] == "owner"


def test_rule_04_a_winning_edit_of_part_of_a_group_is_not_reported_as_lost(
    world: MakeWorld,
) -> None:
    """The shop has no street: the golden address is the shop's city with the ERP's street."""
    parts = "  name: name\n  email: {at: mail, as: email}\n  address.city: city"
    hub = world("erp", "shop", shop=Setting(parts))
    hub.erp.add("e1", name="Ada", mail="ada@example.org", street="Main St 1", city="Gent")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", city="Gent")
    hub.settle()

    hub.shop.edit("s1", city="Brugge")
    hub.round()

    assert hub.erp["e1"]["city"] == "Brugge"
    assert hub.erp["e1"]["street"] == "Main St 1"
    assert hub.tasks(TaskKind.REVERTED) == []


def test_rule_04_a_lost_edit_is_on_record_with_the_rule_that_rejected_it(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", name="First")
    hub.shop.edit("s1", name="Second")

    hub.round()

    reported = hub.task(TaskKind.REVERTED)
    assert (reported.payload["lost"], reported.payload["rule"]) == ("Second", "most_recent")

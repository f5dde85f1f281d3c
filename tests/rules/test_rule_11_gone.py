"""RULES 11: who is gone has spoken last words; whoever speaks after that is heard, whatever policy says of the two."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from crm_master.domain.claims import Claim, ClaimKey
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.survivorship import FieldPolicy, Policy, Rule, reconcile
from crm_master.domain.weighing import Held
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import CONSENT, entity
from tests.rules.world import World

ERP_FIRST = FieldPolicy(Rule.SOURCE_PRIORITY, {"erp": 0, "shop": 1})
ERP_OWNS = FieldPolicy(Rule.OWNER, {"erp": 0})


class Case(NamedTuple):
    title: str
    policy: FieldPolicy
    field: str
    last_word: Any
    newer: Any


GRANTED, DENIED = {"status": "granted"}, {"status": "denied"}
CASES = [
    Case("most recent", FieldPolicy(), "name", "Ada", "Ada Lovelace"),
    Case("source priority", ERP_FIRST, "name", "Ada", "Ada Lovelace"),
    Case("owner", ERP_OWNS, "name", "Ada", "Ada Lovelace"),
    Case("manual", FieldPolicy(Rule.MANUAL), "name", "Ada", "Ada Lovelace"),
    Case("most restrictive", CONSENT, "consent", DENIED, GRANTED),
]
every_policy = pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)


def _golden(case: Case, answered_at: int, *, gone: int | None) -> Any:
    """The ERP's record said something at 10, and was gone by ``gone``; the shop's says something later."""
    rank = {"erp": 0, "shop": 1}
    policy = Policy(entity_spec(entity()), rank, {case.field: case.policy})
    key = ClaimKey(case.field)
    last = Held(Claim(case.last_word, 5, 10, 1, born=1), "erp", "e", gone)
    other = Held(Claim(case.newer, answered_at, answered_at + 5, 2, born=2), "shop", "s")
    return reconcile([(key, last), (key, other)], policy).golden.get(case.field)


@every_policy
def test_rule_11_a_claim_newer_than_the_tombstone_beats_last_words(case: Case) -> None:
    assert _golden(case, answered_at=21, gone=20) == case.newer


@every_policy
def test_rule_11_side_by_side_with_the_tombstone_policy_decides_as_always(case: Case) -> None:
    assert _golden(case, answered_at=20, gone=20) == _golden(case, answered_at=20, gone=None)


def test_rule_11_an_answered_owner_has_no_say_although_others_stay_silent_meanwhile() -> None:
    """The owner never falls through to a claim that is older than its end."""
    assert _golden(CASES[2], answered_at=12, gone=20) == "Ada"


def test_rule_11_what_was_decided_of_a_record_after_it_was_gone_is_no_last_word() -> None:
    policy = Policy(entity_spec(entity()), {"erp": 0, "shop": 1}, {"name": ERP_FIRST})
    key = ClaimKey("name")
    decided = Held(Claim("Ada", 30, 30, 1, born=1, author="ada"), "erp", "e", 20)
    newer = Held(Claim("Countess", 25, 26, 2, born=2), "shop", "s")
    assert reconcile([(key, decided), (key, newer)], policy).golden["name"] == "Ada"


def _gone(world: MakeWorld, policies: dict[str, FieldPolicy]) -> World:
    """Ada was in the ERP, which knew her name and a tag; she was deleted there. The shop still has her."""
    hub = world("erp", "shop", policies=policies)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1", tags=["vip"])
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.remove("e1")
    hub.round()
    assert hub.record("erp", "e1").status is RecordStatus.DELETED
    return hub


def test_rule_11_last_words_remain(world: MakeWorld) -> None:
    hub = _gone(world, {"name": ERP_FIRST})
    assert hub.golden["phone"] == "1"
    assert hub.golden["tags"] == {"vip": "vip"}
    assert hub.shop["s1"]["phone"] == "1"
    assert hub.round() == 0


def test_rule_11_an_edit_after_the_tombstone_stands_whoever_ranks_first(world: MakeWorld) -> None:
    """The ERP ranks first for names; with its record gone, nobody could ever correct one again."""
    hub = _gone(world, {"name": ERP_FIRST, "phone": ERP_OWNS})
    hub.shop.edit("s1", name="Ada Lovelace", phone="2", tags=[])
    hub.round()
    assert hub.golden["name"] == "Ada Lovelace"
    assert hub.golden["phone"] == "2"
    assert hub.golden["tags"] == {}
    assert hub.shop["s1"]["name"] == "Ada Lovelace"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_11_an_edit_that_was_made_before_the_tombstone_is_no_answer(world: MakeWorld) -> None:
    hub = world("erp", "shop", policies={"name": ERP_FIRST})
    for name in ("erp", "shop"):
        hub.systems[name].add("k", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("k", name="Countess")
    hub.round()
    hub.erp.edit("k", name="Ada Lovelace")
    hub.round()
    hub.erp.remove("k")
    hub.round()
    assert hub.golden["name"] == "Ada Lovelace"


def test_rule_11_a_target_that_vanished_before_a_write_has_spoken_last_words_too(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", policies={"name": ERP_FIRST})
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    del hub.erp.kept["e1"]  # no tombstone in the stream: only the delivery finds out
    hub.shop.edit("s1", phone="1")
    hub.round()
    hub.round()  # a read of the shop that began after that: what it shows from now on is newer
    assert hub.record("erp", "e1").status is RecordStatus.DELETED
    hub.shop.edit("s1", name="Ada Lovelace")
    hub.round()
    assert hub.golden["name"] == "Ada Lovelace"
    assert hub.rebuilt().equal


def test_rule_11_what_was_read_before_the_end_and_waited_is_a_last_word(world: MakeWorld) -> None:
    """It was there when that was read: so it has not come back, and is nobody new."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s1", name="Ada Lovelace")
    hub.hear("shop")
    hub.erp.edit("e1", mail="countess@example.org", phone="1")
    hub.ingest("erp")
    del hub.erp.kept["e1"]  # only the delivery finds out, while what was read waits
    hub.deliver("erp")
    hub.reconcile()
    assert hub.record("erp", "e1").status is RecordStatus.DELETED
    assert hub.golden["email"] == "countess@example.org"
    hub.round()
    assert hub.shop["s1"]["phone"] == "1"
    assert hub.rebuilt().equal


def test_rule_11_who_comes_back_speaks_as_before(world: MakeWorld) -> None:
    hub = _gone(world, {"name": ERP_FIRST})
    hub.shop.edit("s1", name="Countess")
    hub.round()
    del hub.erp.gone["e1"]
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1", tags=["vip"])
    hub.round()
    assert hub.record("erp", "e1").gone is None
    assert hub.golden["name"] == "Ada"

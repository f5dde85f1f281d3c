"""RULES 2: a claim is the last value that someone other than the hub asserted."""

from __future__ import annotations

from contextlib import suppress

import pytest

from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import RecordStatus, TaskKind
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING, Killed
from tests.rules.world import Setting, World

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


def _keyed_by_address(world: MakeWorld) -> World:
    """Ada is in the ERP, and in a mailing list where the address is the key. Her name there is her own."""
    hub = world("list", "erp", list=Setting(can={"find": True}))
    hub.list.keyed_by = hub.list.find_by = "mail"
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.list.add("ada@example.org", name="Ada L.", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", mail="lovelace@example.org")
    return hub


def _moved_unheard(world: MakeWorld) -> World:
    """The list has taken the new address, and its answer is lost."""
    hub = _keyed_by_address(world)
    hub.list.losses = ["done"]
    hub.round()
    return hub


def _has_moved(hub: World) -> None:
    assert list(hub.list.kept) == ["lovelace@example.org"]
    record = hub.record("list", "lovelace@example.org")
    assert record.claims[NAME].value == "Ada L."
    assert record.shadow.fields["name"].held == "Ada L."
    assert record.entity_id == hub.customer().id
    old = hub.record("list", "ada@example.org")
    assert (old.status, old.claims) == (RecordStatus.ALIAS, {})
    assert old.entity_id == hub.customer().id, "who asks by the old key finds the customer"
    assert hub.queued() == {}
    assert hub.tasks() == []
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_02_a_record_that_a_write_moves_to_another_key_keeps_what_it_says(
    world: MakeWorld,
) -> None:
    hub = _keyed_by_address(world)
    hub.round()
    _has_moved(hub)
    hub.list.edit("lovelace@example.org", name="Ada Byron")
    hub.round()
    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Byron"
    assert hub.rebuilt().equal


def test_rule_02_a_record_that_has_moved_is_known_again_by_its_claims(world: MakeWorld) -> None:
    hub = _keyed_by_address(world)
    hub.round()
    hub.erp.add("e2", name="Somebody", mail="ada@example.org")
    hub.ingest("erp")
    hub.reconcile()
    assert [task.payload["entities"] for task in hub.tasks()] == [[hub.customer().id]]


def test_rule_02_what_was_read_under_the_old_key_says_nothing_any_more(world: MakeWorld) -> None:
    hub = _keyed_by_address(world)
    hub.ingest("erp")
    hub.reconcile()
    hub.list.edit("ada@example.org", note="seen before the move")
    hub.ingest("list")  # not reconciled before the delivery, which lands it once more
    hub.clock.sleep(100)
    hub.round()
    hub.round()
    assert hub.golden["note"] == "seen before the move"
    _has_moved(hub)


def test_rule_02_another_record_under_an_old_key_is_matched_anew(world: MakeWorld) -> None:
    hub = _keyed_by_address(world)
    hub.round()
    hub.list.add("ada@example.org", name="Another", mail="ada@example.org", phone="1")
    hub.round()
    assert hub.record("list", "ada@example.org").entity_id is None
    assert [task.kind for task in hub.tasks()] == [TaskKind.MATCH]
    assert hub.golden["name"] == "Ada L."


def test_rule_02_who_was_under_the_new_key_before_and_is_gone_has_no_last_words_any_more(
    world: MakeWorld,
) -> None:
    hub = _keyed_by_address(world)
    hub.erp.edit("e1", mail="ada@example.org")
    hub.erp.add("e2", name="Bob", mail="bob@example.org")
    hub.list.add("bob@example.org", name="Bob", mail="bob@example.org", note="from the list")
    hub.settle()
    hub.list.remove("bob@example.org")
    hub.round()
    assert hub.owner("erp/people/e2").golden["note"] == "from the list", "its last words"
    hub.erp.edit("e2", mail="robert@example.org")
    hub.round()
    hub.erp.edit("e1", mail="bob@example.org")
    hub.round()
    assert hub.record("list", "bob@example.org").entity_id == hub.record("erp", "e1").entity_id
    hub.round()
    assert "note" not in hub.owner("erp/people/e2").golden
    assert hub.round() == 0
    assert hub.rebuilt().equal


@pytest.mark.parametrize("fate", ["done", "killed"])
def test_rule_24_a_record_that_a_write_without_an_answer_has_moved_is_found_again(
    world: MakeWorld, fate: str
) -> None:
    hub = _keyed_by_address(world)
    hub.list.losses = [fate]
    with suppress(Killed):
        hub.round()
    hub.clock.sleep(1000)
    hub.round()
    _has_moved(hub)
    assert len(hub.list.writes) == 1


def test_rule_24_a_record_that_moved_unheard_is_not_gone_because_a_scan_misses_it(
    world: MakeWorld,
) -> None:
    """The scan that comes before the delivery can look shows the record under its new key alone."""
    hub = _moved_unheard(world)
    hub.ingest("list", full=True)
    hub.reconcile()
    assert hub.record("list", "ada@example.org").status is RecordStatus.LIVE
    hub.clock.sleep(1000)
    hub.round()
    _has_moved(hub)
    assert len(hub.list.writes) == 1


def test_rule_24_a_record_that_moved_unheard_is_found_again_when_its_keys_were_noted_anew(
    world: MakeWorld,
) -> None:
    """Another mapping is in force since, and nobody else has the new address any more."""
    hub = _keyed_by_address(world)
    hub.erp.add("e2", name="Bob")
    hub.list.losses = ["done"]
    hub.round()
    hub.erp.remove("e1")
    hub.ingest("erp", full=True)
    hub.reconcile()
    hub.apply(hub.proposed(list=FULL_MAPPING.replace("note: note", "note: remark")))
    hub.ingest("list", full=True)
    hub.reconcile()
    hub.clock.sleep(1000)
    hub.round()
    hub.round()

    moved, old = (hub.record("list", f"{name}@example.org") for name in ("lovelace", "ada"))
    assert moved.entity_id == old.entity_id
    assert len(hub.list.writes) == 1
    assert hub.rebuilt().equal


def test_rule_24_a_record_that_moved_unheard_is_not_gone_because_a_person_knew_it_under_its_new_key(
    world: MakeWorld,
) -> None:
    hub = _moved_unheard(world)
    hub.ingest("list", full=True)
    hub.reconcile()
    hub.decide(hub.task(TaskKind.MATCH), hub.customer().id)
    hub.clock.sleep(1000)
    hub.round()
    _has_moved(hub)
    assert len(hub.list.writes) == 1


def test_rule_24_an_edit_under_the_new_key_is_not_lost_when_a_person_knew_the_record_under_it(
    world: MakeWorld,
) -> None:
    hub = _moved_unheard(world)
    hub.list.edit("lovelace@example.org", phone="1")
    hub.ingest("list", full=True)
    hub.reconcile()
    hub.decide(hub.task(TaskKind.MATCH), hub.customer().id)
    hub.clock.sleep(1000)
    hub.deliver("list")
    hub.round()
    hub.round()
    assert hub.list["lovelace@example.org"]["phone"] == hub.golden["phone"] == "1"
    assert hub.record("list", "lovelace@example.org").claims[ClaimKey("phone")].value == "1"
    assert hub.tasks() == []
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_24_another_record_of_the_customer_is_not_taken_for_one_that_moved(
    world: MakeWorld,
) -> None:
    """The address is no key in this list: who has it may have had it before."""
    hub = world("list", "erp", list=Setting(can={"find": True}))
    hub.list.find_by = "mail"
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    for key in ("l1", "l2"):
        hub.list.add(key, name="Ada", mail="ada@example.org")
    for name in ("list", "erp"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.decide(hub.task(TaskKind.MATCH), hub.customer().id)
    hub.settle()
    hub.erp.edit("e1", mail="lovelace@example.org")
    hub.list.losses = ["undone"]
    hub.round()
    hub.list.edit("l2", mail="lovelace@example.org")
    hub.list.remove("l1")
    hub.clock.sleep(1000)
    hub.round()
    hub.round()
    assert hub.record("list", "l1").status is RecordStatus.DELETED
    assert hub.record("list", "l2").status is RecordStatus.LIVE
    assert [task.kind for task in hub.tasks()] == [TaskKind.GONE]
    assert hub.rebuilt().equal


def test_rule_03_what_was_read_under_the_new_key_before_the_move_was_known_was_said_before_that_read(
    world: MakeWorld,
) -> None:
    hub = _moved_unheard(world)
    hub.list.edit("lovelace@example.org", phone="1")
    hub.ingest("list", full=True)
    hub.reconcile()
    hub.ingest("erp")
    hub.erp.edit("e1", phone="2")
    hub.ingest("erp")
    hub.reconcile()
    hub.clock.sleep(1000)
    hub.round()
    hub.round()
    assert hub.list["lovelace@example.org"]["phone"] == hub.golden["phone"] == "2"
    assert hub.record("list", "lovelace@example.org").claims[ClaimKey("phone")].value == "1"
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_24_a_record_that_moved_unheard_is_no_new_customer_although_nobody_else_has_its_address(
    world: MakeWorld,
) -> None:
    hub = _moved_unheard(world)
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    hub.ingest("list", full=True)
    hub.reconcile()
    assert TaskKind.MATCH in [task.kind for task in hub.tasks()]
    hub.clock.sleep(1000)
    hub.round()
    hub.round()
    assert hub.record("list", "lovelace@example.org").entity_id == hub.customer().id
    assert [task.kind for task in hub.tasks()] == [TaskKind.GONE]
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_24_a_record_that_is_gone_while_a_write_is_open_is_gone_once_that_was_looked_for(
    world: MakeWorld,
) -> None:
    hub = _keyed_by_address(world)
    hub.list.losses = ["undone"]
    hub.round()
    hub.list.remove("ada@example.org")
    hub.ingest("list")
    hub.reconcile()
    hub.clock.sleep(1000)
    hub.round()
    hub.round()
    assert hub.record("list", "ada@example.org").status is RecordStatus.DELETED
    assert [task.kind for task in hub.tasks()] == [TaskKind.GONE]
    assert hub.queued() == {}
    assert hub.rebuilt().equal


def test_rule_24_of_a_write_that_moved_the_record_and_stopped_halfway_the_rest_is_written(
    world: MakeWorld,
) -> None:
    hub = _keyed_by_address(world)
    hub.erp.edit("e1", note="new as well")
    hub.list.losses = ["half lost"]
    hub.round()
    assert hub.list["lovelace@example.org"].get("note") is None
    hub.clock.sleep(1000)
    hub.round()
    assert hub.list["lovelace@example.org"]["note"] == "new as well"
    _has_moved(hub)

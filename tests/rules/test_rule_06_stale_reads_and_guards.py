"""RULES 6: a read that is older than our write says nothing; a write never runs over an edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.contract import Guard, Page, Scan
from crm_master.domain.lifecycle import RecordStatus
from crm_master.engine.ingest import land
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World, dying


def _pair(world: MakeWorld, **shop: object) -> World:
    hub = world("erp", "shop", shop=Setting(can=dict(shop)))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    return hub.settle()


def test_rule_06_a_stale_read_is_read_again(world: MakeWorld) -> None:
    """The shop is read, then written, and only then is what was read looked at."""
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.shop.edit("s1", phone="1")
    hub.ingest("erp")
    hub.reconcile()
    page = next(iter(hub.shop.read("people", None, Scan.FULL)))
    hub.deliver("shop")  # overtaken: the phone comes in first
    hub.reconcile()
    hub.deliver("shop")
    assert hub.shop["s1"]["name"] == "Ada Lovelace"
    _land_late(hub, page)
    counts = hub.reconcile()

    assert counts["stale"] == 1
    assert hub.record("shop", "s1").reread
    assert hub.golden["name"] == "Ada Lovelace"
    counts = hub.ingest("shop")
    assert counts["reread"] == 1
    hub.reconcile()
    assert not hub.record("shop", "s1").reread
    assert (hub.golden["name"], hub.golden["phone"]) == ("Ada Lovelace", "1")


def test_rule_06_a_page_that_lands_behind_a_newer_read_asserts_nothing(world: MakeWorld) -> None:
    """While a page is on its way another worker looks at the record before it writes, and brings in a person's edit."""
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.ingest("erp")
    hub.reconcile()
    page = next(iter(hub.shop.read("people", None, Scan.FULL)))
    hub.shop.edit("s1", phone="1")
    hub.deliver("shop")  # overtaken: the phone comes in first
    _land_late(hub, page)
    counts = hub.reconcile()

    assert counts["stale"] == 1
    assert hub.golden["phone"] == "1"
    hub.round()
    hub.round()
    assert hub.golden["phone"] == hub.shop["s1"]["phone"] == hub.erp["e1"]["phone"] == "1"


def _land_late(hub: World, page: Page) -> None:
    """A page that was read long ago is landed only now, as by a slow worker."""
    plan = hub.hub.stream("shop", "people")
    with hub.store() as uow:
        land(plan, page.records, page, 0, uow, "late")
        uow.commit()


def test_rule_06_a_tombstone_read_before_our_write_was_confirmed_is_read_again(
    world: MakeWorld,
) -> None:
    hub = _pair(world)
    page = next(iter(hub.shop.read("people", None, Scan.FULL)))
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.deliver("shop")
    gone = replace(page, records=tuple(replace(r, deleted=True) for r in page.records))
    _land_late(hub, gone)
    hub.reconcile()

    record = hub.record("shop", "s1")
    assert record.status is RecordStatus.LIVE
    assert record.reread


@pytest.mark.parametrize("guard", list(Guard))
def test_rule_06_an_edit_made_before_our_write_is_landed_and_the_delivery_rendered_again(
    world: MakeWorld, guard: Guard
) -> None:
    hub = _pair(world, guard=guard)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.edit("s1", name="Countess", note="by hand")
    hub.deliver("shop")

    assert hub.shop["s1"]["name"] == "Countess", "it was run over"
    hub.reconcile()
    assert hub.golden["note"] == "by hand"
    hub.round()
    hub.round()
    assert hub.erp["e1"]["name"] == hub.shop["s1"]["name"]
    assert hub.erp["e1"]["note"] == "by hand"


def test_rule_06_compare_and_set_finds_the_edit_between_the_read_and_the_write(
    world: MakeWorld,
) -> None:
    hub = _pair(world, guard=Guard.ETAG)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.meanwhile = lambda: hub.shop.edit("s1", phone="1")

    hub.deliver("shop")
    assert "phone" not in hub.golden
    assert hub.shop["s1"] == {"name": "Ada", "mail": "ada@example.org", "phone": "1"}
    hub.reconcile()
    hub.clock.sleep(10)
    hub.deliver("shop")

    assert hub.golden["phone"] == "1"
    assert hub.shop["s1"]["name"] == "Ada Lovelace"


def test_rule_06_what_the_last_look_before_a_write_shows_is_landed_whatever_becomes_of_the_record(
    world: MakeWorld,
) -> None:
    """A person edits between the two looks before a write, and deletes the record behind the second."""
    hub = _pair(world, guard=Guard.REREAD)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")

    def edit() -> None:
        hub.shop.edit("s1", phone="1")
        hub.shop.meanwhile = lambda: hub.shop.remove("s1")

    hub.shop.meanwhile = edit
    hub.deliver("shop")
    hub.reconcile()

    assert hub.golden["phone"] == "1"
    hub.round()
    hub.round()
    assert hub.erp["e1"]["phone"] == "1"


def test_rule_06_a_system_that_always_answers_stale_is_not_asked_for_ever(world: MakeWorld) -> None:
    hub = _pair(world, guard=Guard.ETAG)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.losses = ["stale"] * 50

    hub.deliver("shop")

    assert len(hub.shop.losses) >= 45
    assert hub.queued() == {"pending": 1}


def test_rule_06_a_field_that_a_person_changed_during_our_write_is_an_edit(
    world: MakeWorld,
) -> None:
    """A system without any guard: the answer shows a phone that was not there when we read."""
    hub = _pair(world, guard=Guard.NONE)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.meanwhile = lambda: hub.shop.edit("s1", phone="1")

    hub.deliver("shop")
    assert hub.shop["s1"]["name"] == "Ada Lovelace"
    hub.round()
    hub.round()

    assert hub.erp["e1"]["phone"] == "1"


def test_rule_06_a_batch_that_was_read_together_is_read_again_record_by_record(
    world: MakeWorld,
) -> None:
    """Between the reading of a batch and the write of one of its records a person edits the same field."""
    hub = _pair(world, guard=Guard.REREAD)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.meanwhile = lambda: hub.shop.edit("s1", name="Ada King")

    hub.deliver("shop")

    assert hub.shop["s1"]["name"] == "Ada King", "not run over"
    assert hub.queued() == {"overtaken": 1}, "its newer state is in the inbox"


def test_rule_06_what_a_system_calls_stale_again_and_again_is_told(world: MakeWorld) -> None:
    """Nobody edits: the version does not arrive as the system compares it. Nothing else would tell."""
    hub = _pair(world, guard=Guard.ETAG)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.shop.losses = ["stale"] * 9

    hub.round("erp")
    hub.deliver("shop")

    (told,) = hub.verify().differences
    assert told.why == "a delivery is waiting"
    assert told.put_off == "the record changed since it was read, or the system says so"


@pytest.mark.parametrize("fate", ["done", "undone"])
def test_rule_06_a_lost_answer_to_an_update_is_read_before_it_is_sent_again(
    world: MakeWorld, fate: str
) -> None:
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.losses = [fate]
    hub.deliver("shop")
    hub.ingest("shop", full=True)
    hub.reconcile()
    assert hub.golden["name"] == "Ada Lovelace", "whichever it shows, it is no edit"

    hub.clock.sleep(100)
    hub.deliver("shop")

    assert hub.shop["s1"]["name"] == "Ada Lovelace"
    assert len(hub.shop.writes) == 1, "nothing is written twice"
    assert hub.queued() == {}
    assert hub.round() == 0


def test_rule_06_a_process_killed_between_write_and_settlement_sends_nothing_twice(
    world: MakeWorld,
) -> None:
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    hub.shop.losses = ["killed"]
    with dying():
        hub.deliver("shop")
    assert hub.deliver("shop") == {}, "its lease has not run out"

    hub.clock.sleep(600)
    hub.round()

    assert len(hub.shop.writes) == 1
    assert hub.queued() == {}


def test_rule_06_the_intent_is_committed_before_the_write(world: MakeWorld) -> None:
    hub = _pair(world)
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round("erp")
    seen: list[object] = []
    makes = hub.shop.makes

    def look(document: dict) -> dict:
        seen.append(hub.shadow("shop", "s1").fields["name"].pending)
        return makes(document)

    hub.shop.makes = look
    hub.deliver("shop")
    assert seen == ["Ada Lovelace"]


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [("phone", "1", "2"), ("city", "Ghent", "Bruges"), ("tags", ["a", "b"], ["a"])],
)
def test_rule_06_what_arrived_unheard_is_written_over_when_the_golden_record_goes_back(
    world: MakeWorld, field: str, before: Any, after: Any
) -> None:
    """The answer to the second value was lost, the first is golden again: what was sent last is the second."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("e1", **{field: before})
    hub.round()
    hub.shop.losses = ["done"]
    hub.erp.edit("e1", **{field: after})
    hub.round()
    assert hub.shop["s1"][field] == after
    hub.erp.edit("e1", **{field: before})
    hub.clock.sleep(1000)
    hub.round()
    assert hub.shop["s1"][field] == before
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_06_what_a_look_before_a_write_has_shown_is_in_the_journal(world: MakeWorld) -> None:
    """The look shows that the first value has arrived unheard; then the second is put off, and the shop is polled."""
    hub = world("shop", "erp")  # in whose order they are believed
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.losses = ["done"]
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    hub.erp.edit("e1", name="Ada K")
    hub.shop.losses = ["retry"]
    hub.clock.sleep(1000)
    hub.ingest("erp")
    hub.reconcile()
    hub.deliver("shop")
    hub.ingest("shop")
    hub.round()
    hub.clock.sleep(1000)
    hub.round()
    assert hub.golden["name"] == hub.shop["s1"]["name"] == "Ada K"
    assert hub.rebuilt().equal


def test_rule_06_what_never_arrived_is_not_taken_for_sent_when_another_field_is(
    world: MakeWorld,
) -> None:
    """The first write was lost on its way. What was in it is not golden when the second is made, and is again later."""
    hub = _pair(world)
    hub.shop.losses = ["undone"]
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    hub.erp.edit("e1", name="Ada", tags=["vip"])
    hub.clock.sleep(1000)
    hub.round()
    assert hub.shop["s1"]["tags"] == ["vip"]
    hub.erp.edit("e1", name="Ada L")
    hub.round()
    assert hub.shop["s1"]["name"] == "Ada L"
    assert hub.round() == 0
    assert hub.rebuilt().equal

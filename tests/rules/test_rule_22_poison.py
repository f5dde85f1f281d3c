"""RULES 22: one bad record stops nothing but itself, and ends where a person finds it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from connectors.contract import BadRow, Guard
from connectors.errors import BadAnswer
from crm_master.domain.lifecycle import InboxState, TaskKind
from crm_master.engine.reconcile import LEASE
from crm_master.store.schema import observation
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import Killed, mapping
from tests.rules.poison import Fragile
from tests.rules.world import World, dying


@pytest.fixture
def hub(world: MakeWorld) -> World:
    """Twenty customers in the ERP, the seventh of whom is poison; nothing was reconciled yet."""
    return poisoned(world, "boom")


def poisoned(world: MakeWorld, name: str) -> World:
    hub = world("erp")
    hub.replace_mapping("erp", Fragile(mapping()))
    for number in range(20):
        who = name if number == 7 else f"N{number}"
        hub.erp.add(f"e{number:02}", name=who, mail=f"n{number}@example.org")
    hub.ingest("erp", full=True)
    return hub


def _attempts(hub: World) -> dict[str, int]:
    with hub.store.engine.connect() as connection:
        rows = connection.execute(observation.select())
        return {row.key: row.attempts for row in rows}


def test_rule_22_a_failed_batch_is_bisected_and_the_others_go_on(hub: World) -> None:
    hub.reconcile()
    assert len(hub.customers()) == 19
    assert hub.inbox() == 1
    assert hub.tasks() == []


def test_rule_22_attempts_are_counted_before_processing_in_a_commit_of_their_own(
    world: MakeWorld,
) -> None:
    hub = poisoned(world, "kill")
    with dying():
        hub.reconcile()
    assert set(_attempts(hub).values()) == {1}
    assert hub.customers() == []


def test_rule_22_a_repeat_offender_runs_alone_then_goes_to_the_dead_letter_queue_as_bytes(
    hub: World,
) -> None:
    hub.reconcile()
    hub.erp.add("late", name="Late", mail="late@example.org")
    hub.ingest("erp")
    hub.reconcile()
    assert hub.tasks() == []
    hub.erp.add("later", name="Later", mail="later@example.org")
    hub.ingest("erp")
    counts = hub.reconcile()

    assert counts["rejected"] == 1
    letter = hub.task(TaskKind.DEAD_LETTER)
    assert letter.subject == "erp/people/e07"
    with hub.store() as uow:
        item = uow.inbox.get(letter.payload["seq"])
    assert item is not None
    assert item.raw == b'{"mail":"n7@example.org","name":"boom"}'
    assert "boom" not in str(letter.payload), "no personal data in what is logged and listed"
    assert hub.inbox() == 0
    assert len(hub.customers()) == 21


def test_rule_22_a_record_that_kills_the_process_runs_alone_and_is_then_set_aside(
    world: MakeWorld,
) -> None:
    """It can never be caught: only its count tells."""
    hub = poisoned(world, "kill")
    deaths = 0
    for _ in range(6):
        try:
            hub.reconcile()
        except Killed:
            deaths += 1
            hub.clock.sleep(LEASE / 1_000_000)
    assert deaths == 3
    assert len(hub.customers()) == 19
    assert hub.task(TaskKind.DEAD_LETTER).subject == "erp/people/e07"
    assert hub.inbox() == 0


def test_rule_22_an_innocent_neighbour_of_a_killer_is_not_set_aside(world: MakeWorld) -> None:
    hub = poisoned(world, "kill")
    for _ in range(6):
        try:
            hub.reconcile()
        except Killed:
            hub.clock.sleep(LEASE / 1_000_000)
    assert hub.inbox(InboxState.DEAD) == 1


def test_rule_22_later_observations_of_a_failed_record_wait_behind_it(hub: World) -> None:
    """What came after must not be applied before: in this run it is left alone."""
    hub.erp.edit("e07", name="Mended")
    hub.ingest("erp")
    hub.reconcile()
    assert hub.inbox() == 2
    assert len(hub.customers()) == 19


def test_rule_22_a_newer_success_closes_older_letters(hub: World) -> None:
    for _ in range(3):
        hub.reconcile()
    assert hub.task(TaskKind.DEAD_LETTER).open
    hub.erp.edit("e07", name="Mended")
    hub.ingest("erp")
    hub.reconcile()
    assert hub.tasks(TaskKind.DEAD_LETTER) == []
    assert len(hub.customers()) == 20


def test_rule_22_a_dead_letter_can_be_replayed_after_a_repair(hub: World) -> None:
    for _ in range(3):
        hub.reconcile()
    letter = hub.task(TaskKind.DEAD_LETTER)
    hub.replace_mapping("erp", mapping())
    with hub.store() as uow:
        assert uow.inbox.requeue([letter.payload["seq"]]) == 1
        uow.commit()
    hub.reconcile()
    assert hub.tasks(TaskKind.DEAD_LETTER) == []
    assert len(hub.customers()) == 20


def test_rule_22_a_row_that_is_no_record_is_kept_as_bytes_and_stops_nothing(
    world: MakeWorld,
) -> None:
    hub = world("erp")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.erp.rejects = [BadRow(b"\xff\x00{", "not JSON"), BadRow(b"{}", "no key", key="e9")]
    hub.ingest("erp", full=True)
    hub.reconcile()
    assert len(hub.customers()) == 1
    letters = hub.tasks(TaskKind.DEAD_LETTER)
    assert {letter.payload["reason"] for letter in letters} == {"not JSON", "no key"}
    with hub.store() as uow:
        assert uow.inbox.dead("erp", "people", "e9") == b"{}"

    hub.erp.add("e9", name="Grace", mail="grace@example.org")
    hub.ingest("erp")
    hub.reconcile()
    assert len(hub.tasks(TaskKind.DEAD_LETTER)) == 1


def test_rule_22_a_page_that_cannot_be_parsed_holds_the_cursor_and_raises(world: MakeWorld) -> None:
    hub = world("erp")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.ingest("erp", full=True)
    with hub.store() as uow:
        before = uow.states.stream("erp", "people")
    hub.erp.add("e2", name="Grace", mail="grace@example.org")
    hub.erp.unparseable = True
    with pytest.raises(BadAnswer):
        hub.ingest("erp")
    with hub.store() as uow:
        assert uow.states.stream("erp", "people") == before
    hub.erp.unparseable = False
    assert hub.ingest("erp")["landed"] == 1


def test_rule_22_a_crash_between_pages_loses_nothing_and_repeats_nothing(world: MakeWorld) -> None:
    hub = world("erp")
    hub.erp.page_size = 2
    for number in range(6):
        hub.erp.add(f"e{number}", name="N", mail=f"n{number}@example.org")
    hub.erp.dies_after = 2
    with dying():
        hub.ingest("erp", full=True)
    assert hub.inbox() == 4
    assert hub.ingest("erp", full=True)["landed"] == 2
    assert hub.inbox() == 6


def test_rule_22_a_value_that_the_database_does_not_take_is_its_records_fault(
    world: MakeWorld,
) -> None:
    """A codec gives something that is no JSON: the database refuses it, and the others go on."""
    hub = poisoned(world, "odd")
    hub.reconcile()
    assert len(hub.customers()) == 19
    assert hub.inbox() == 1


def test_rule_22_half_of_a_surrogate_pair_is_a_dead_letter(world: MakeWorld) -> None:
    hub = world("erp")
    for number in range(4):
        name = "\ud800" if number == 1 else "N"
        hub.erp.add(f"e{number}", name=name, mail=f"n{number}@example.org")
    hub.ingest("erp", full=True)
    hub.reconcile()
    assert len(hub.customers()) == 3
    assert hub.task(TaskKind.DEAD_LETTER).subject == "erp/people/e1"


def test_rule_22_a_record_that_cannot_be_read_holds_up_no_other_delivery(world: MakeWorld) -> None:
    """A name cut off in the middle of an emoji: the CRM's answer about that record is no text."""
    hub = world("erp", "crm")
    for number in range(4):
        for system in (hub.erp, hub.crm):
            system.add(f"k{number}", name=f"N{number}", mail=f"n{number}@example.org")
    hub.settle()
    hub.crm.garbled = {"k1"}
    for number in range(4):
        hub.erp.edit(f"k{number}", phone="1")
    hub.round("erp")

    counts = hub.deliver("crm")

    assert [hub.crm[f"k{number}"].get("phone") for number in range(4)] == ["1", None, "1", "1"]
    assert counts["failed"] == 1
    hub.crm.garbled = set()
    hub.clock.sleep(100)
    hub.deliver("crm")
    assert hub.crm["k1"]["phone"] == "1"


def test_rule_22_a_system_whose_every_answer_is_garbled_is_an_error_of_the_system(
    world: MakeWorld,
) -> None:
    hub = world("erp", "crm")
    for system in (hub.erp, hub.crm):
        system.add("k1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("k1", phone="1")
    hub.round("erp")
    hub.crm.garbled = {"k1"}
    with pytest.raises(BadAnswer):
        hub.deliver("crm")
    assert hub.queued() == {"pending": 1}


def test_rule_22_a_record_that_cannot_be_read_again_stops_no_scan(world: MakeWorld) -> None:
    hub = world("erp", "crm")
    hub.crm.answers_with_record = False
    for system in (hub.erp, hub.crm):
        system.add("k1", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit("k1", phone="1")
    hub.ingest("erp")
    hub.reconcile()
    slow = hub.slow_deliverer("crm")
    # readable before the write, and not after
    hub.crm.meanwhile = lambda: hub.crm.garbled.add("k1")
    hub.crm.can = replace(hub.crm.can, guard=Guard.ETAG)
    slow()
    hub.crm.add("k2", name="Grace", mail="grace@example.org")

    hub.ingest("crm")
    hub.reconcile()

    assert len(hub.customers()) == 2


def test_rule_22_an_outage_of_the_database_counts_against_no_record(world: MakeWorld) -> None:
    hub = poisoned(world, "outage")
    for _ in range(5):
        with pytest.raises(sa.exc.OperationalError):
            hub.reconcile()
    assert set(_attempts(hub).values()) == {0}
    hub.replace_mapping("erp", mapping())
    hub.reconcile()
    assert len(hub.customers()) == 20
    assert hub.tasks(TaskKind.DEAD_LETTER) == []

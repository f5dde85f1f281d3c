"""What the engine asks of a store (``crm_master.ports``), kept by every database alike."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crm_master.domain.claims import Shadow
from crm_master.domain.lifecycle import SystemState, TaskKind
from crm_master.ports import DeliveryEntry, RunEntry, SourceRecord, StreamState, Task, UnitOfWork
from crm_master.store import Database
from tests.contract.rows import FULL, LEASE, claimed, message_for, put, ref_of, row, saved

# the unit of work


def test_nothing_is_kept_without_commit(store: Database) -> None:
    with store() as uow:
        uow.inbox.land([row("a")], "run-1")
    with store() as uow:
        assert uow.inbox.pending() == 0


def test_nothing_is_kept_after_an_error(store: Database) -> None:
    def fail(uow: UnitOfWork) -> None:
        uow.inbox.land([row("a")], "run-1")
        raise RuntimeError

    with pytest.raises(RuntimeError), store() as uow:
        fail(uow)
    with store() as uow:
        assert uow.inbox.pending() == 0


def test_a_savepoint_fails_alone(store: Database) -> None:
    def fail(uow: UnitOfWork) -> None:
        with uow.savepoint():
            uow.inbox.land([row("b")], "run-1")
            raise RuntimeError

    with store() as uow:
        uow.inbox.land([row("a")], "run-1")
        with pytest.raises(RuntimeError):
            fail(uow)
        with uow.savepoint():
            uow.inbox.land([row("c")], "run-1")
        uow.commit()
    assert [item.ref.key for item in claimed(store)] == ["a", "c"]


# tasks


def test_a_question_is_open_once(store: Database) -> None:
    for payload in ({"n": 1}, {"n": 2}):
        with store() as uow:
            task = Task(TaskKind.CLEAR, "erp/people/1:phone", payload)
            uow.tasks.open([task, task], 5)
            uow.commit()
    with store() as uow:
        [found] = uow.tasks.list()
        assert (found.payload, found.opened, found.open) == ({"n": 2}, 5, True)
        assert uow.tasks.standing([(TaskKind.CLEAR, found.subject), (TaskKind.MATCH, "x")]) == {
            (TaskKind.CLEAR, found.subject): found.id
        }
        assert uow.tasks.count() == {"clear": 1}


def test_a_closed_question_can_be_asked_again(store: Database) -> None:
    key = (TaskKind.MATCH, "erp/people/1")
    with store() as uow:
        uow.tasks.open([Task(*key, {})], 1)
        uow.tasks.close([key, (TaskKind.CLEAR, "erp/people/1")], 2)
        uow.tasks.close([key], 3)
        uow.tasks.open([Task(*key, {})], 4)
        uow.commit()
    with store() as uow:
        assert [(t.open, t.closed) for t in uow.tasks.list(only_open=False)] == [
            (False, 2),
            (True, 0),
        ]
        assert len(uow.tasks.list([TaskKind.MATCH])) == 1
        assert uow.tasks.list([TaskKind.CLEAR]) == []


def test_a_decision_closes_its_task(store: Database) -> None:
    with store() as uow:
        uow.tasks.open([Task(TaskKind.MATCH, "a", {}), Task(TaskKind.MATCH, "b", {})], 1)
        first = uow.tasks.list(limit=1)[0]
        uow.tasks.decide(first.id, {"answer": "new"}, 9)
        uow.commit()
    with store() as uow:
        found = uow.tasks.get(first.id)
        assert found is not None
        assert (found.open, found.closed, found.decision) == (False, 9, {"answer": "new"})
        assert uow.tasks.get(999) is None
        assert uow.tasks.count() == {"match": 1}


# the journal


def test_commits_are_numbered_in_order(store: Database) -> None:
    with store() as uow:
        first = uow.journal.commit("reconcile", 1, "run", {"config": "x"})
        second = uow.journal.commit("settle", 2, "run")
        uow.commit()
    with store() as uow:
        uow.journal.commit("intent", 3, "run")  # never committed
    assert first < second
    with store() as uow:
        found = list(uow.journal.commits())
    assert [(c.pos, c.kind, c.detail) for c in found] == [
        (first, "reconcile", {"config": "x"}),
        (second, "settle", {}),
    ]


def test_deliveries_stand_under_their_position(store: Database) -> None:
    entries = [
        DeliveryEntry(
            "r1",
            ref_of("ö"),
            "E1",
            "erp",
            "people",
            3,
            "update",
            "written",
            9,
            {"name": None},
            {"a": 1},
            "x",
        ),
        DeliveryEntry(None, None, "E1", "erp", "people", 3, "create", "intent"),
    ]
    with store() as uow:
        uow.journal.add_deliveries(entries, 4)
        uow.journal.add_deliveries(entries[:1], 5)
        uow.commit()
    with store() as uow:
        assert uow.journal.deliveries(4) == entries
        assert uow.journal.deliveries(6) == []


def test_a_configuration_is_kept_once(store: Database) -> None:
    with store() as uow:
        assert uow.journal.save_config("h", '{"a": 1}', 1)
        assert not uow.journal.save_config("h", "other", 2)
        uow.commit()
    with store() as uow:
        assert uow.journal.config("h") == '{"a": 1}'
        assert uow.journal.config("unknown") is None


# states and runs


def test_a_stream_starts_at_nothing_and_is_kept(store: Database) -> None:
    state = StreamState("erp", "people", "cursor", 1, 2, 3, 4)
    with store() as uow:
        assert uow.states.stream("erp", "people") == StreamState("erp", "people")
        uow.states.save_stream(StreamState("erp", "people"))
        uow.states.save_stream(state)
        uow.commit()
    with store() as uow:
        assert uow.states.stream("erp", "people") == state


def test_systems_and_their_kill_switch(store: Database) -> None:
    with store() as uow:
        uow.states.save_system("erp", SystemState.JOINING, 1)
        uow.states.save_system("shop", SystemState.ACTIVE, 1)
        uow.states.stop("shop", True)
        uow.states.save_system("shop", SystemState.OBSERVE, 2)
        uow.commit()
    with store() as uow:
        assert uow.states.systems() == {"erp": SystemState.JOINING, "shop": SystemState.OBSERVE}
        assert uow.states.stopped() == {"shop"}, "a change of state does not release it"
        uow.states.stop("shop", False)
        assert uow.states.stopped() == frozenset()


def test_a_run_is_on_record_before_and_after(store: Database) -> None:
    entry = RunEntry("run-1", "ingest", "erp/people", 5)
    with store() as uow:
        uow.states.save_run(entry)
        uow.states.save_run(RunEntry("run-2", "reconcile", "customer", 6))
        uow.commit()
    done = replace(entry, finished=9, status="failed", counts={"read": 3}, error="Unreachable")
    with store() as uow:
        uow.states.save_run(done)
        uow.commit()
    with store() as uow:
        assert [run.id for run in uow.states.runs(9)] == ["run-2", "run-1"]
        assert uow.states.runs(9)[1] == done
        assert len(uow.states.runs(1)) == 1


# side by side


def test_who_waited_for_a_lock_sees_claims_and_shadow_of_the_same_moment(store: Database) -> None:
    """RULES 23: re-read after locking."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: there is nothing to wait for but the whole database")
    saved(store, replace(FULL, shadow=Shadow(confirmed_at=1)))
    seen: list[SourceRecord] = []

    def wait_and_read() -> None:
        with store() as uow:
            seen.extend(uow.records.get([FULL.rec_id], lock=True).values())

    with store() as uow:
        [record] = uow.records.get([FULL.rec_id], lock=True).values()
        record.entity_id, record.shadow = "E2", Shadow(confirmed_at=2)
        uow.records.save([record])
        other = threading.Thread(target=wait_and_read)
        other.start()
        _until_somebody_waits(store)
        uow.commit()
    other.join()
    assert (seen[0].entity_id, seen[0].shadow.confirmed_at) == ("E2", 2)


def _until_somebody_waits(store: Database) -> None:
    query = sa.text("select count(*) from pg_locks where not granted")
    with store.engine.connect() as connection:
        while not connection.execute(query).scalar_one():
            connection.rollback()


def test_two_workers_lease_different_deliveries(store: Database) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    put(store, message_for("E1"), message_for("E2"))
    with store() as one, store() as two:
        [first] = one.outbox.claim("shop", 1, 0, LEASE, 2)
        [second] = two.outbox.claim("shop", 2, 0, LEASE, 2)
        assert {first.entity_id, second.entity_id} == {"E1", "E2"}

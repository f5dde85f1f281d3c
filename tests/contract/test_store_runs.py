"""What a store can say of runs, kept by every database alike."""

from __future__ import annotations

from typing import Any

import pytest

from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryState, InboxState, TaskKind
from crm_master.ports import (
    Customer,
    DeliveryEntry,
    HistoryEntry,
    Landing,
    Level,
    LinkEntry,
    OutboxMessage,
    Read,
    RunEntry,
    Task,
)
from crm_master.store import Database


def _ref(key: str) -> ExternalRef:
    return ExternalRef("erp", "people", key)


def _row(key: str, **more: Any) -> Landing:
    values: dict[str, Any] = {
        "ref": _ref(key),
        "entity": "customer",
        "raw": b"{}",
        "raw_hash": key.encode().ljust(16),
        "stamp": None,
        "started": 10,
        "ended": 20,
        "watermark": 5,
    }
    return Landing(**(values | more))


def _delivery(entity: str, outcome: str, system: str = "shop", **more: Any) -> DeliveryEntry:
    operation = more.pop("operation", "update")
    return DeliveryEntry(
        "r1", _ref("a"), entity, system, "people", 2, operation, outcome, at=5, **more
    )


def _message(entity: str, rec_id: str | None, state: DeliveryState) -> OutboxMessage:
    return OutboxMessage(entity, "customer", "shop", "people", rec_id, 2, state=state)


@pytest.fixture
def told(store: Database) -> Database:
    """A store with two runs: ``in`` has read three records, ``out`` reconciled two of them and delivered."""
    with store() as uow:
        for place, (run_id, verb, target) in enumerate(
            [
                ("in", "ingest", "erp/people"),
                ("out", "reconcile", "customer"),
                ("x", "deliver", "erp"),
            ]
        ):
            uow.states.save_run(RunEntry(run_id, verb, target, place, place + 9, "done"))
        uow.lock(Level.CUSTOMER, ["E1", "E2", "E3"])
        uow.inbox.land([_row("a"), _row("b", deleted=True), _row("c")], "in")
        items = uow.inbox.claim("customer", 2, 0, 1, 9)
        first = uow.journal.commit("reconcile", 1, "in")
        pos = uow.journal.commit("reconcile", 2, "out", {})
        for item in items:
            item.state = InboxState.DONE
        uow.inbox.finish(items, pos)
        uow.customers.save([Customer(f"E{n}", "customer", 3) for n in range(4)], 1)
        history = [("E0", 2, "out"), ("E1", 2, "out"), ("E1", 3, "out"), ("E2", 2, "in")]
        uow.customers.add_history(
            [HistoryEntry(id_, v, v, {"name": ["x", {}]}, (1,), run) for id_, v, run in history]
        )
        links = [("r1", "E1", "new"), ("r2", "E1", "link")]
        uow.customers.add_links([LinkEntry(*link, "policy", {}) for link in links], 2, pos)
        uow.customers.add_links([LinkEntry("r9", "E2", "bind", "hub", {})], 1, first)
        later = uow.journal.commit("settle", 3, "out")
        uow.customers.add_links([LinkEntry("r3", "E1", "bind", "hub", {})], 3, later)
        uow.journal.add_deliveries(
            [
                _delivery("E1", "intent"),
                _delivery("E1", "written", sent={"name": "x"}),
                _delivery("E1", "refused in part", reason="no"),
                _delivery("E3", "unknown", operation="create"),
            ],
            later,
        )
        messages = [
            _message("E1", "r1", DeliveryState.PENDING),
            _message("E1", "r2", DeliveryState.REFUSED),
            _message("E2", "r8", DeliveryState.REFUSED),
            _message("E3", None, DeliveryState.HELD),
            _message("E2", "r9", DeliveryState.REFUSED),
        ]
        uow.outbox.put(messages, 4)
        uow.outbox.save(messages)
        uow.tasks.open([Task(TaskKind.REFUSED, "E2:r9", {"n": 1})], 5, "out")
        uow.tasks.open([Task(TaskKind.REFUSED, "E2:r9", {"n": 2})], 6, "in")
        uow.commit()
    return store


def test_runs_are_found_by_id_and_by_what_they_are(told: Database) -> None:
    with told() as uow:
        found = uow.runs.get("in")
        assert found is not None
        assert (found.verb, found.target, found.finished) == ("ingest", "erp/people", 9)
        assert uow.runs.get("nobody") is None
        assert [run.id for run in uow.runs.find(9)] == ["x", "out", "in"]
        assert [run.id for run in uow.runs.find(1)] == ["x"]
        assert [run.id for run in uow.runs.find(9, system="erp")] == ["x", "in"]
        assert uow.runs.find(9, system="er_") == uow.runs.find(9, system="er") == []
        assert [run.id for run in uow.runs.find(9, verb="ingest")] == ["in"]
        assert uow.runs.find(9, status="failed") == []


def test_what_a_run_read_and_what_it_reconciled(told: Database) -> None:
    with told() as uow:
        assert uow.runs.observations("in") == {"done": 2, "pending": 1}
        assert uow.runs.observations("out") == {"done": 2}
        assert uow.runs.reconciled_in("in") == ["out"]
        assert uow.runs.gone("out", 9) == [_ref("b")]
        assert uow.runs.gone("in", 9) == []
        items = uow.inbox.read_in("in", 0, 2)
        assert [item.ref.key for item in items] == ["a", "b"]
        assert [item.ref.key for item in uow.inbox.read_in("in", items[-1].seq, 2)] == ["c"]
        [pos] = uow.runs.positions("out", "reconcile")
        assert [item.ref.key for item in uow.inbox.applied(pos)] == ["a", "b"]
        last = items[-1].seq + 1
        assert uow.inbox.reads_of([items[0].seq, last, 99]) == {
            items[0].seq: Read("in", 10, 20, "out"),
            last: Read("in", 10, 20, ""),
        }
        ids = {key: record_id(_ref(key)) for key in "abc"}
        assert uow.inbox.unread(ids.values()) == {ids["c"]}


def test_what_a_run_changed_page_by_page(told: Database) -> None:
    with told() as uow:
        assert uow.runs.changed("out") == 2
        versions = [(entry.entity_id, entry.version) for entry in uow.runs.changes("out", "", 9)]
        assert versions == [("E0", 2), ("E1", 2), ("E1", 3)]
        assert [e.entity_id for e in uow.runs.changes("out", "", 1)] == ["E0"]
        assert [e.version for e in uow.runs.changes("out", "E0", 1)] == [2, 3]
        assert uow.runs.changes("out", "E1", 9) == []
        found = uow.customers.histories(["E1", "E2", "E9"])
        assert {id_: [e.version for e in entries] for id_, entries in found.items()} == {
            "E1": [2, 3],
            "E2": [2],
        }
        assert uow.runs.made("out", ["E1", "E2"]) == {"E1"}
        assert uow.runs.made("in", ["E1"]) == set()


def test_what_a_run_linked(told: Database) -> None:
    with told() as uow:
        assert uow.runs.link_counts("out") == {"new": 1, "link": 1, "bind": 1}
        assert [(entry.rec_id, entry.at) for entry in uow.runs.links("out", 2)] == [
            ("r1", 2),
            ("r2", 2),
        ]
        assert [e.rec_id for e in uow.runs.bound_since("out", ["E1", "E2"])] == ["r3"]
        assert [e.rec_id for e in uow.runs.bound_since("nobody", ["E1", "E2"])] == []


def test_all_that_was_decided_about_the_records_that_ever_were_a_customers(
    told: Database,
) -> None:
    with told() as uow:
        pos = uow.journal.commit("decide", 8, "y")
        uow.customers.add_links([LinkEntry("r2", "E2", "link", "ada", {})], 8, pos)
        uow.commit()
    with told() as uow:
        found = uow.customers.link_history("E1")
        assert [(entry.rec_id, entry.entity_id, entry.at) for entry in found] == [
            ("r1", "E1", 2),
            ("r2", "E1", 2),
            ("r3", "E1", 3),
            ("r2", "E2", 8),
        ]


def test_what_a_run_delivered_and_what_waits(told: Database) -> None:
    with told() as uow:
        assert uow.runs.outcomes("out") == {
            ("shop", "written"): 1,
            ("shop", "refused in part"): 1,
            ("shop", "unknown"): 1,
        }
        assert [entry.outcome for entry in uow.runs.deliveries("out", 2)] == [
            "written",
            "refused in part",
        ]
        assert uow.runs.undelivered("out") == {("shop", "pending"): 1, ("shop", "refused"): 1}


def test_what_waits_for_a_person_of_what_a_run_tried_or_caused(told: Database) -> None:
    with told() as uow:
        aside = [message.id for message in uow.runs.set_aside("out", "", 9)]
        assert aside == ["E1:r2", "E2:r9", "E3:shop/people"]
        assert [m.id for m in uow.runs.set_aside("out", "E1:r2", 1)] == ["E2:r9"]
        assert uow.runs.set_aside("nobody", "", 9) == []


def test_a_question_is_that_of_the_run_that_asked_first(told: Database) -> None:
    with told() as uow:
        [task] = uow.tasks.of_run("out", 0, 9)
        assert (task.subject, task.payload) == ("E2:r9", {"n": 2})
        assert uow.tasks.of_run("out", task.id, 9) == []
        assert uow.tasks.of_run("in", 0, 9) == []

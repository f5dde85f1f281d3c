"""What operators need to know, on both databases: tallies of runs, ages of what waits, the alerts that were raised."""

from __future__ import annotations

from crm_master.domain.lifecycle import TaskKind
from crm_master.ports import RaisedAlert, RunEntry, Task
from crm_master.store import Database
from tests.contract.rows import land, row


def _ran(run_id: str, started: int, status: str = "done", **counts: int) -> RunEntry:
    error = "" if status == "done" else "RunFailed: erp/people/ada: refused"
    return RunEntry(run_id, "ingest", "erp/people", started, started + 5, status, counts, error)


def test_a_tally_sums_the_ledgers_of_a_place_and_knows_its_last_run(store: Database) -> None:
    with store() as uow:
        for run in (_ran("R1", 10, read=3), _ran("R2", 20, "failed", read=4, rejected=1)):
            uow.operations.tally(run, "erp/people")
        uow.operations.tally(_ran("R3", 30, "failed"), "erp/people")
        uow.operations.tally(_ran("R4", 40, read=1), "erp/orders")
        uow.commit()
    with store() as uow:
        orders, people = uow.operations.tallies()
    assert (orders.target, orders.done) == ("erp/orders", 1)
    assert (people.done, people.failed, people.in_a_row, people.microseconds) == (1, 2, 2, 15)
    assert people.counts == {"read": 7, "rejected": 1}
    assert people.last is not None
    assert (people.last.id, people.last.error) == ("R3", "RunFailed")


def test_a_run_that_ends_well_ends_the_row_of_failures(store: Database) -> None:
    with store() as uow:
        for run in (_ran("R1", 10, "failed"), _ran("R2", 20)):
            uow.operations.tally(run, "erp/people")
        assert uow.operations.tallies()[0].in_a_row == 0


def test_runs_that_have_not_ended_are_found_back_to_a_moment(store: Database) -> None:
    with store() as uow:
        for run_id, started, status in (
            ("R1", 10, "running"),
            ("R2", 30, "running"),
            ("R3", 40, "done"),
        ):
            uow.states.save_run(RunEntry(run_id, "ingest", "erp/people", started, status=status))
        assert [run.id for run in uow.operations.unfinished(20)] == ["R2"]


def test_the_first_run_of_a_place_and_the_last_that_was_heard_of_one(store: Database) -> None:
    with store() as uow:
        for run_id, started, target in (
            ("run-1", 30, "people"),
            ("R2", 20, "people"),
            ("R3", 10, "x"),
        ):
            uow.states.save_run(RunEntry(run_id, "ingest", f"erp/{target}", started))
        assert uow.operations.first_run("ingest", "erp/people") == 20
        assert uow.operations.first_run("deliver", "erp/people") is None
        uow.commit()
    land(store, row("ada", ended=40), row("grace", ended=40))
    land(store, row("joan", ended=50))
    with store() as uow:
        assert uow.operations.heard_of("R2") == 0
        assert uow.operations.heard_of("run-1") == 50
        uow.journal.commit("intent", 60, "run-1")
        uow.journal.commit("settle", 70, "run-1")
        uow.journal.commit("settle", 80, "R3")
        assert uow.operations.heard_of("run-1") == 70


def test_the_age_of_questions_and_the_number_of_new_letters(store: Database) -> None:
    with store() as uow:
        uow.tasks.open([Task(TaskKind.MATCH, "a", {})], 10)
        uow.tasks.open([Task(TaskKind.MATCH, "b", {}), Task(TaskKind.DEAD_LETTER, "c", {})], 20)
        uow.tasks.open([Task(TaskKind.DEAD_LETTER, "d", {}), Task(TaskKind.CLEAR, "e", {})], 30)
        uow.tasks.close([(TaskKind.CLEAR, "e")], 40)
        assert uow.operations.oldest_tasks() == {"match": 10, "dead_letter": 20}
        assert uow.operations.new_letters(20) == 1


def test_alerts_are_kept_and_dropped_by_name_and_place(store: Database) -> None:
    first, second = RaisedAlert("lags", "erp", 1, "late"), RaisedAlert("lags", "shop", 2, "late")
    with store() as uow:
        uow.operations.save_alerts([first, second])
        second.told, second.ended = ["mail"], 3
        uow.operations.save_alerts([second])
        uow.operations.drop_alerts([first])
        uow.commit()
    with store() as uow:
        assert uow.operations.alerts(lock=True) == [second]

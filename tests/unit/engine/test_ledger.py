"""The ledger of a run: what it keeps of an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.errors import Unreachable
from crm_master.engine.ledger import running
from crm_master.store import Database


def _error_of(folder: Path, error: Exception) -> str:
    store = Database(f"sqlite:///{folder / 'hub.db'}")
    store.migrate()
    try:
        with (
            pytest.raises(type(error)),
            running("ingest", "erp/people", store, lambda: 1, lambda: "run-1"),
        ):
            raise error
        with store() as uow:
            (run,) = uow.states.runs(10)
        assert run.status == "failed"
        return run.error
    finally:
        store.close()


def test_a_run_keeps_what_a_connector_said(tmp_path: Path) -> None:
    assert _error_of(tmp_path, Unreachable("no answer")) == "Unreachable: no answer"


@pytest.mark.parametrize("error", [ValueError("invalid: 'Ada'"), KeyError("ada@example.org")])
def test_a_run_keeps_no_value_that_broke_something(tmp_path: Path, error: Exception) -> None:
    assert _error_of(tmp_path, error) == type(error).__name__

"""What tasks return and log: ids and counts, and no customer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.runtime.connection import as_variable, variable
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from dags import work
from tests.hubs import files_for, write_files


@pytest.fixture
def systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Simulator]]:
    """A shop and a CRM that know Ada, of whom the CRM lacks the phone number; both were read."""
    with Simulator() as shop, Simulator() as crm:
        found = {"shop": shop, "crm": crm}
        shop.add(name="Ada Example", email="ada@example.org", phone="02 512 34 56")
        crm.add(name="Ada Example", email="ada@example.org")
        write_files(files_for(found), tmp_path)
        monkeypatch.setenv("CONCORD_HOME", str(tmp_path))
        for name, system in found.items():
            monkeypatch.setenv(variable(name), as_variable(system.connection))
        with entrypoints.opened(tmp_path, fresh=True) as app:
            entrypoints.init(app)
        for name in found:
            work.ingest(name, "customers", False)
        work.reconcile("customer")
        yield found


def test_the_log_of_letting_systems_in_counts_and_shows_no_customer(
    systems: dict[str, Simulator], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert work.let_in() == {"joined": ["shop", "crm"]}
    assert "'crm/customers.phone': 1" in caplog.text
    assert "512 34 56" not in caplog.text
    assert "5123456" not in caplog.text


def test_a_delivery_that_may_not_begin_says_why_in_the_log_and_returns_counts(
    systems: dict[str, Simulator], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work.let_in()
    work.reconcile("customer")
    with entrypoints.opened(tmp_path) as app:
        entrypoints.stop(app, "crm", on=True)
    done = work.deliver("crm")
    assert done.keys() == {"run", "verb", "target", "counts"}
    assert "its writes are stopped" in caplog.text
    assert "Deliveries that wait: 1." in caplog.text

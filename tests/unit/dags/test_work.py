"""What tasks return and log: ids and counts, and no customer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.testing.simulator import TOKEN, Simulator
from crm_master import entrypoints
from dags import work
from tests.hubs import files_for


@pytest.fixture
def systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Simulator]]:
    """A shop and a CRM that know Ada, of whom the CRM lacks the phone number; both were read."""
    with Simulator() as shop, Simulator() as crm:
        found = {"shop": shop, "crm": crm}
        shop.add(name="Ada Example", email="ada@example.org", phone="02 512 34 56")
        crm.add(name="Ada Example", email="ada@example.org")
        for name, text in files_for(found).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.setenv("CONCORD_HOME", str(tmp_path))
        for name, system in found.items():
            parts = {"conn_type": "http", "host": system.url, "password": TOKEN}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(parts))
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

"""Airflow's own servers on loopback: assets carry a change from DAG to DAG, and pools hold tasks back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.runtime.connection import as_variable, connection_from_environment, variable
from connectors.testing.profiles import Profile
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from examples.demo.cluster import Cluster
from tests.hubs import files_for, write_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
PATIENCE = 120.0
QUIET = "0 0 1 1 *"  # nothing runs by the clock


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Simulator]]:
    """Two simulated systems whose connections Airflow finds in its environment."""
    with Simulator(Profile("erp")) as erp, Simulator(Profile("shop")) as shop:
        for name, system in (("erp", erp), ("shop", shop)):
            monkeypatch.setenv(variable(name), as_variable(system.connection))
        yield {"erp": erp, "shop": shop}


@pytest.fixture
def home(tmp_path: Path, systems: dict[str, Simulator]) -> Path:
    """A deployment of both, joined and in step, whose schedules never come round."""
    files = files_for(systems, options={"schedule": QUIET})
    return write_files(files, tmp_path / "hub")


@pytest.fixture
def cluster(tmp_path: Path, home: Path) -> Iterator[Cluster]:
    """A running Airflow for that deployment."""
    environment = dict(os.environ)
    try:
        with Cluster(tmp_path / "airflow", home, paused=True) as running:
            yield running
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


def test_assets_carry_an_edit_and_a_pool_holds_a_task_back(systems, home, cluster):
    erp, shop = systems["erp"], systems["shop"]
    in_erp = erp.add(name="Ada Example", email="ada@example.org")
    in_shop = shop.add(name="Ada Example", email="ada@example.org")
    app = entrypoints.open_app(home, connection_from_environment)
    entrypoints.sync(app)
    entrypoints.sync(app)
    app.store.close()
    _until(cluster, "all DAGs are known", lambda: len(cluster.get("dags")["dags"]) == 10)
    for dag_id in ("ingest__erp__customers", "reconcile__customer", "deliver__shop"):
        cluster.patch(f"dags/{dag_id}?update_mask=is_paused", {"is_paused": False})
    # A cron DAG runs its last missed hour when it is unpaused; nothing was edited since, so nothing follows.
    _until(
        cluster,
        "that run is over",
        lambda: _states(cluster, "ingest__erp__customers") == ["success"],
    )
    assert _runs(cluster, "reconcile__customer") == []

    # The pool of the shop has no slot: its delivery has to wait, and nothing else does.
    _give_slots(cluster, "concord_shop", 0)
    erp.edit(in_erp, name="Ada Lovelace")
    cluster.post("dags/ingest__erp__customers/dagRuns", {"logical_date": None})

    _until(
        cluster,
        "reconcile ran after ingest",
        lambda: _states(cluster, "reconcile__customer") == ["success"],
    )
    _until(cluster, "a delivery was started", lambda: bool(_runs(cluster, "deliver__shop")))
    run = _runs(cluster, "deliver__shop")[-1]
    assert run["run_type"] == "asset_triggered"
    time.sleep(5)  # long enough for a task without a pool to have run
    assert _task(cluster, run, "deliver")["state"] in (None, "scheduled", "queued")
    assert _task(cluster, run, "deliver")["pool"] == "concord_shop"
    assert shop.field(in_shop, "name") == "Ada Example"

    _give_slots(cluster, "concord_shop", 1)
    _until(cluster, "the edit arrived", lambda: shop.field(in_shop, "name") == "Ada Lovelace")
    _until(
        cluster,
        "the delivery is over",
        lambda: _runs(cluster, "deliver__shop")[-1]["state"] == "success",
    )
    assert erp.field(in_erp, "name") == "Ada Lovelace"


def _until(cluster: Cluster, what: str, holds: Callable[[], bool]) -> None:
    """Wait for a condition; when it does not come true, show what Airflow says."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:.0f} s: {what}\n{cluster.logs()}")
        time.sleep(0.5)


def _give_slots(cluster: Cluster, pool: str, slots: int) -> None:
    body = {"pool": pool, "slots": slots, "include_deferred": False}
    cluster.patch(f"pools/{pool}?update_mask=slots", body)


def _runs(cluster: Cluster, dag_id: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = cluster.get(f"dags/{dag_id}/dagRuns?order_by=id")["dag_runs"]
    return runs


def _states(cluster: Cluster, dag_id: str) -> list[str]:
    return [run["state"] for run in _runs(cluster, dag_id)]


def _task(cluster: Cluster, run: dict[str, Any], task_id: str) -> dict[str, Any]:
    path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}"
    found: dict[str, Any] = cluster.get(path)
    return found

"""Scaled out as docker/compose.yaml has it: PostgreSQL, Redis, two Celery workers. One is killed over its deliveries."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from connectors.runtime.connection import as_variable, variable
from connectors.testing.profiles import Profile
from connectors.testing.server import Break, Reply
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.engine.deliver import BATCH
from tests.e2e.composed import Composed
from tests.hubs import files_for, write_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PATIENCE = 300.0
PEOPLE, SHARES, BEFORE = 600, 4, 60


class Door(Simulator):
    """A system that lets so many creates in, and then keeps all others waiting until somebody opens."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._seen = 0
        self._at_the_door = 0
        self._change = threading.Condition()
        self._open = False

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break:
        if method == "POST" and "customers" in target:
            with self._change:
                self._seen += 1
                if self._seen > BEFORE:
                    self._at_the_door += 1
                    self._change.wait_for(lambda: self._open)
                    self._at_the_door -= 1
        return super().answer(method, target, headers, body)

    @property
    def at_the_door(self) -> int:
        with self._change:
            return self._at_the_door

    def open_the_door(self) -> None:
        with self._change:
            self._open = True
            self._change.notify_all()

    def stop(self) -> None:
        self.open_the_door()
        super().stop()


@pytest.fixture
def systems() -> Iterator[dict[str, Simulator]]:
    with Simulator(Profile("erp")) as erp, Door(Profile("shop", timeout=90)) as shop:
        yield {"erp": erp, "shop": shop}


@pytest.fixture
def home(tmp_path: Path, systems: dict[str, Simulator]) -> Path:
    """A deployment whose flows are spread, and whose schedules never come round; the shop gets everybody."""
    files = files_for(systems, options={"schedule": "0 0 1 1 *"}, creating=["shop"])
    for name, more in {
        "hub.yaml": {"spread": SHARES},
        "policies/customer.yaml": {"fuses": {"links": 1, "writes": 1}},
    }.items():
        files[name] = yaml.safe_dump(yaml.safe_load(files[name]) | more, sort_keys=False)
    return write_files(files, tmp_path / "hub")


@pytest.fixture
def composed(tmp_path: Path, home: Path, systems: dict[str, Simulator]) -> Iterator[Composed]:
    """All services of the compose file, each worker with as many slots as it gets shares."""
    connections = {variable(name): as_variable(each.connection) for name, each in systems.items()}
    slots = {"WORKERS": "2", "WORKER_CONCURRENCY": str(SHARES // 2), "HEARTBEAT_TIMEOUT": "20"}
    with Composed(tmp_path / "run", home, connections, **slots) as running:
        yield running


@pytest.fixture
def app(home: Path, systems: dict[str, Simulator], composed: Composed) -> Iterator[entrypoints.App]:
    """The same deployment in this process, joined: to look on."""
    environment = composed.environment("worker", "here")
    app = entrypoints.open_app(home, lambda name: systems[name].connection, environment)
    entrypoints.sync(app)
    yield app
    app.store.close()


def test_a_worker_is_killed_over_its_deliveries_and_all_converges(systems, composed, app):
    erp, shop = systems["erp"], systems["shop"]
    for number in range(PEOPLE):
        erp.add(name=f"Person {number}", email=f"p{number}@example.org")
    _until(composed, "the DAGs are known", lambda: "maintain__retries" in _dags(composed))
    for dag_id in ("ingest__erp__customers", "reconcile__customer", "deliver__shop"):
        _unpause(composed, dag_id)  # a cron DAG runs its last missed time when it is unpaused

    _until(composed, "every share writes to the shop", lambda: shop.at_the_door >= SHARES)
    assert _states(composed, "reconcile__customer", "reconcile") == ["success"] * 2
    shares = _tasks(composed, "deliver__shop", "deliver")
    assert {_worker_of(composed, share) for share in shares} == {"worker-0", "worker-1"}
    dead = [share["map_index"] for share in shares if _worker_of(composed, share) == "worker-1"]
    composed.kill("worker-1")
    shop.open_the_door()

    _until(composed, "only what the dead had is left", lambda: _left(app) <= BATCH * len(dead))
    assert _left(app) > 0
    _end_leases(app)
    _unpause(composed, "maintain__retries")
    _until(composed, "nothing is left", lambda: _left(app) == 0)

    assert len(shop.records) == PEOPLE
    assert shop.duplicates("email") == []
    composed.run("init")  # as after an upgrade: again, beside the others
    for service in ("scheduler", "dag-processor", "worker"):
        assert _ailing(composed, service) == ""
    _until(
        composed,
        "the flow itself has ended well",
        lambda: _states(composed, "deliver__shop", "verdict") == ["success"],
    )
    shares = _tasks(composed, "deliver__shop", "deliver")
    assert {share["map_index"] for share in shares if share["try_number"] > 1} >= set(dead)

    writes = len(erp.writes) + len(shop.writes)
    entrypoints.sync(app, full=True)
    assert len(erp.writes) + len(shop.writes) == writes
    assert entrypoints.verify(app).converged
    assert entrypoints.rebuild(app).equal


def _until(composed: Composed, what: str, holds: Callable[[], bool]) -> None:
    """Wait for a condition; when it does not come true, show what Airflow says."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:.0f} s: {what}\n{composed.logs()}")
        time.sleep(0.5)


def _dags(composed: Composed) -> set[str]:
    return {dag["dag_id"] for dag in composed.call("GET", "dags")["dags"]}


def _unpause(composed: Composed, dag_id: str) -> None:
    composed.call("PATCH", f"dags/{dag_id}?update_mask=is_paused", {"is_paused": False})


def _tasks(composed: Composed, dag_id: str, task_id: str) -> list[dict[str, Any]]:
    """The instances of a task in the first run of its DAG."""
    runs = composed.call("GET", f"dags/{dag_id}/dagRuns?order_by=id")["dag_runs"]
    if not runs:
        return []
    path = f"dags/{dag_id}/dagRuns/{runs[0]['dag_run_id']}/taskInstances?limit=100"
    found = composed.call("GET", path)["task_instances"]
    return [each for each in found if each["task_id"] == task_id]


def _states(composed: Composed, dag_id: str, task_id: str) -> list[str]:
    return [each["state"] for each in _tasks(composed, dag_id, task_id)]


def _worker_of(composed: Composed, task: dict[str, Any]) -> str:
    """Which worker runs a task: one of the processes above it."""
    above = {process.pid for process in psutil.Process(task["pid"]).parents()}
    return next(name for name, server in composed.servers.items() if server.pid in above)


def _left(app: entrypoints.App) -> int:
    with app.store() as uow:
        return sum(uow.outbox.count().values())


def _end_leases(app: entrypoints.App) -> None:
    """Ten minutes go by: what the dead had taken is anybody's."""
    with app.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET lease_until = 0")


def _ailing(composed: Composed, service: str) -> str:
    """What a service's check of its health complains about; nothing if it is well."""
    name = "worker-0" if service == "worker" else service
    kind, *words = composed.service(service)["healthcheck"]["test"]
    command = words if kind == "CMD" else ["sh", "-c", *words]
    environment = composed.environment(service, name) | {"HOSTNAME": name}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}"[-500:] if done.returncode else ""

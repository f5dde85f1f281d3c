"""DAG runs in one process, against a simulated system: what becomes red, and what goes on all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.runtime.connection import as_variable, variable
from connectors.testing.profiles import Profile
from connectors.testing.simulator import Simulator
from tests.hubs import files_for, write_files

pytestmark = [pytest.mark.slow, pytest.mark.integration]
RUN = """
import json, sys
from pathlib import Path
folder, home = Path(sys.argv[1]), Path(sys.argv[2])
from dags.inprocess import InProcess
airflow = InProcess(folder, home)
from dags.setup import prepare
problems = prepare(home) + prepare(home)
ended = [airflow.run(dag_id) for dag_id in sys.argv[3:]]
from airflow.models.pool import Pool
pools = sorted(Pool.get_pools(), key=lambda pool: pool.pool)
found = {
    "problems": problems,
    "pools": {pool.pool: pool.slots for pool in pools},
    "runs": [{"state": run.state, "tasks": run.tasks} for run in ended],
}
print("found: " + json.dumps(found))
"""


@pytest.fixture
def shop():
    with Simulator(Profile("shop")) as system:
        yield system


def test_a_bad_row_turns_the_run_red_and_the_good_ones_go_on(shop, tmp_path):
    shop.add(name="Ada Example", email="ada@example.org")
    bad = shop.add(name="Bob Example", email="bob@example.org")
    shop.poison(bad, b'{"id": null, "name": "Bob Example"}')

    found, said = _run(shop, tmp_path, "ingest__shop__customers", "reconcile__customer")

    ingest, reconcile = found["runs"]
    assert ingest["state"] == "failed"
    assert ingest["tasks"] == {"read": "success", "announce": "success", "verdict": "failed"}
    assert reconcile["state"] == "success"
    assert reconcile["tasks"]["reconcile"] == "success"
    assert "RunFailed" in said
    assert "Bob Example" not in said
    assert "ada@example.org" not in said


def test_wrong_credentials_fail_at_once_and_the_setup_names_what_is_missing(shop, tmp_path):
    shop.add(name="Ada Example", email="ada@example.org")

    found, said = _run(shop, tmp_path, "ingest__shop__customers", password="wrong")

    assert found["problems"] == []
    assert found["pools"] == {"concord_master": 2, "concord_shop": 2, "default_pool": 128}
    (ingest,) = found["runs"]
    assert ingest["state"] == "failed"
    assert ingest["tasks"] == {
        "read": "failed",
        "announce": "upstream_failed",
        "verdict": "upstream_failed",
    }
    assert "BadCredentials" in said


def test_nothing_new_announces_nothing(shop, tmp_path):
    found, _ = _run(shop, tmp_path, "ingest__shop__customers", "maintain__retries")

    ingest, retries = found["runs"]
    assert (ingest["state"], retries["state"]) == ("success", "success")
    assert ingest["tasks"]["announce"] == "skipped"
    assert retries["tasks"]["shop.deliver"] == "skipped"


def _run(
    shop: Simulator, folder: Path, *dag_ids: str, password: str | None = None
) -> tuple[dict[str, Any], str]:
    """How the DAGs ended, and all that was logged. In a process of its own: Airflow's settings are global."""
    home = write_files(files_for({"shop": shop}), folder / "hub")
    given = replace(shop.connection, password=password or shop.connection.password)
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "airflow"), str(home), *dag_ids],
        env=os.environ | {variable("shop"): as_variable(given)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    said = ran.stdout + ran.stderr
    line = next((line for line in ran.stdout.splitlines() if line.startswith("found: ")), None)
    assert line is not None, said[-3000:]
    return json.loads(line.removeprefix("found: ")), said

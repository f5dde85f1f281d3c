"""What Airflow adds to a run: a DAG run's duration, less what Concord's ledger says of the run inside."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure
from bench.hub import texts
from bench.loads import Bench
from connectors.runtime.connection import (
    Connection,
    as_variable,
    connection_from_environment,
    variable,
)
from connectors.testing.api import TOKEN
from crm_master import entrypoints
from examples.demo.cluster import Cluster

DAG = "ingest__erp__customers"
RUNS = 7
PATIENCE = 300.0
"""Seconds."""


def orchestrating(bench: Bench) -> list[Figure]:
    """One DAG, triggered again and again on a running Airflow with its own SQLite, nothing else to do."""
    bench.api.ask("rows 1000")
    urls = {"erp": bench.url, "shop": str(bench.api.hello["shop"])}
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as name, _connections(urls):
        home = Path(name) / "hub"
        for place, text in texts(0).items():
            path = home / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        app = entrypoints.open_app(home, connection_from_environment)
        entrypoints.init(app)
        entrypoints.sync(app)
        with Cluster(Path(name) / "airflow", home, paused=True) as cluster:
            whole = [_once(cluster) for _ in range(RUNS)]
        with app.store() as uow:
            runs = uow.runs.find(RUNS, verb="ingest")
        ours = [(run.finished - run.started) / 1e6 for run in runs]
        app.store.close()
    added = median(whole) - median(ours)
    bench.say(f"a DAG run takes {median(whole):.2f} s, {median(ours):.2f} s of it Concord's")
    return [
        Figure(
            "Airflow's share of a DAG run",
            added,
            "s",
            f"Concord's own {median(ours):.2f} s",
            more={"runs": RUNS, "whole": median(whole)},
        )
    ]


def _once(cluster: Cluster) -> float:
    """Seconds from the start of a DAG run to its end."""
    _until(lambda: _known(cluster))
    cluster.patch(f"dags/{DAG}?update_mask=is_paused", {"is_paused": False})
    run = cluster.post(f"dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(cluster.get(f"dags/{DAG}/dagRuns/{run}"))
        return found["state"] in ("success", "failed")

    _until(over)
    if found["state"] != "success":
        raise RuntimeError(f"the DAG run failed:\n{cluster.logs()}")
    began, ended = (datetime.fromisoformat(found[at]) for at in ("start_date", "end_date"))
    return (ended - began).total_seconds()


def _known(cluster: Cluster) -> bool:
    return any(dag["dag_id"] == DAG for dag in cluster.get("dags")["dags"])


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE:.0f} s")
        time.sleep(0.2)


@contextmanager
def _connections(urls: Mapping[str, str]) -> Iterator[None]:
    """Connections of these systems in the environment, which is as it was afterwards."""
    before = dict(os.environ)
    for name, url in urls.items():
        os.environ[variable(name)] = as_variable(Connection(url, "hub", TOKEN))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

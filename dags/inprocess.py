"""The DAGs in this very process: no server, no port, no scheduler. For the demo and for tests.

Pools and schedules do not count here, and asset events start nothing: the caller decides what runs next.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crm_master.entrypoints import HOME_VARIABLE

DAGS = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Ended:
    """How a DAG run ended, and each of its tasks."""

    dag_id: str
    state: str
    tasks: dict[str, str]

    @property
    def succeeded(self) -> bool:
        return self.state == "success"


class InProcess:
    """An Airflow of its own in ``folder``, for the deployment in ``home``.

    Make it before anything imports Airflow: that reads its settings once. So does the first run with the DAGs.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        os.environ.update(settings(folder, home))
        from airflow.utils.db import initdb

        initdb()

    @cached_property
    def _bag(self) -> Any:
        from airflow.dag_processing.dagbag import DagBag

        return DagBag(str(DAGS))

    def run(self, dag_id: str, **conf: Any) -> Ended:
        """Run a DAG to its end. Raises ``ConfigurationMistakes`` or ``LookupError``."""
        bag = self._bag
        if dag_id not in bag.dags:
            raise LookupError(f"no DAG {dag_id!r}: {bag.import_errors or sorted(bag.dags)}")
        dag = bag.dags[dag_id]
        dag.deadline = None  # Airflow cannot test a DAG without saying so
        run = dag.test(run_conf=conf or None)
        tasks = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
        return Ended(dag_id, str(run.state), tasks)


def settings(folder: Path, home: Path) -> dict[str, str]:
    """The environment of an Airflow that keeps everything in ``folder``."""
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        HOME_VARIABLE: str(home),
    }

"""What Airflow and the master need before the DAGs can run: `python -m dags.setup`. Safe to run again.

Runs where `airflow db migrate` runs, with the same settings and with CONCORD_HOME.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from airflow.models.connection import Connection
from airflow.models.pool import Pool
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.utils.session import create_session

from connectors.errors import BadConfiguration
from crm_master import entrypoints
from crm_master.entrypoints import HOME_VARIABLE, Deployment
from dags.connections import converted
from dags.flows import pools


def prepare(home: Path) -> list[str]:
    """Migrate the master, make the pools, look for the connections. Gives what a person still has to do."""
    with entrypoints.opened(home, fresh=True) as app:
        entrypoints.init(app)
        make_pools(app.deployment)
        return missing_connections(app.deployment)


def make_pools(deployment: Deployment) -> list[str]:
    """Make the pools that are missing, and leave alone what an operator made of the others. Gives the new ones.

    In each, one task may read while those over which a delivery is spread write.
    """
    with create_session() as session:
        known = {pool.pool for pool in Pool.get_pools(session=session)}
        missing = [name for name in pools(deployment) if name not in known]
        for name in missing:
            Pool.create_or_update_pool(
                name,
                slots=1 + deployment.settings.spread,
                description="Concord: tasks at the same time",
                include_deferred=False,
                session=session,
            )
    return missing


def missing_connections(deployment: Deployment) -> list[str]:
    """What is wrong with the connections that hub.yaml names, in words without any value of theirs."""
    problems = []
    for name, system in deployment.settings.systems.items():
        try:
            converted(Connection.get_connection_from_secrets(system.connection))
        except AirflowNotFoundException:
            problems.append(f"{name}: make the Airflow connection {system.connection!r}.")
        except BadConfiguration as error:
            problems.append(f"{name}: {error}")
    return problems


def main() -> int:
    """Prepare, and say what is left to do."""
    home = os.environ.get(HOME_VARIABLE, "")
    if not home:
        sys.stderr.write(f"Set {HOME_VARIABLE} to the folder that holds hub.yaml.\n")
        return 2
    try:
        problems = prepare(Path(home))
    except entrypoints.EXPECTED as error:
        sys.stderr.write(f"{entrypoints.said(error)}\n")
        return 1
    for problem in problems:
        sys.stderr.write(problem + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""The DAGs of the deployment in ``CONCORD_HOME``: the one file of this folder that Airflow parses."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from crm_master.entrypoints import HOME_VARIABLE, read_hub
from dags.builder import build


def _dags() -> dict[str, DAG]:
    home = os.environ.get(HOME_VARIABLE, "")
    if not home:
        log = logging.getLogger(__name__)
        log.warning(
            "No DAGs: %s is not set. Set it to the folder that holds hub.yaml.", HOME_VARIABLE
        )
        return {}
    return build(read_hub(Path(home)), only=get_parsing_context().dag_id)


globals().update(_dags())

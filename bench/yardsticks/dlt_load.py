"""dlt's merge load of the API: ``python dlt_load.py URL DATABASE FOLDER``. Prints a line of JSON.

Imports nothing of Concord's: it runs where dlt is installed, and Concord is not.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

import dlt
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source

PAGE = 500


class Keyset(BasePaginator):
    """The page behind the last key, until one is short."""

    def __init__(self) -> None:
        super().__init__()
        self._last: Any = None

    def update_state(self, response: Any, data: list[Any] | None = None) -> None:
        self._has_next_page = data is not None and len(data) == PAGE
        self._last = data[-1]["id"] if data else None

    def update_request(self, request: Any) -> None:
        request.params = {**(request.params or {}), "after": self._last}


def main(url: str, database: str, folder: str) -> None:
    """Load all customers, merged by their key, and say how long it took."""
    resource_config = {
        "name": "customers",
        "primary_key": "id",
        "write_disposition": "merge",
        "endpoint": {"path": "customers", "params": {"size": PAGE}, "data_selector": "items"},
    }
    source = rest_api_source(
        {"client": {"base_url": url, "paginator": Keyset()}, "resources": [resource_config]}
    )
    kind = "sqlalchemy" if database.startswith("sqlite") else "postgres"
    destination = getattr(dlt.destinations, kind)(database)
    pipeline = dlt.pipeline(
        "bench", destination=destination, dataset_name="bench", pipelines_dir=folder
    )
    began, busy = time.perf_counter(), time.process_time()
    pipeline.run(source)
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    counts = pipeline.last_trace.last_normalize_info.row_counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    said = {"records": counts["customers"], "seconds": seconds, "cpu": cpu, "peak": peak}
    Path("/dev/stdout").write_text(json.dumps(said) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])

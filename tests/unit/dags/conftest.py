"""Airflow reads its settings once, when it is first imported: give it a home that goes away."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

if "AIRFLOW_HOME" not in os.environ:
    folder = tempfile.mkdtemp(prefix="concord-airflow-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = folder

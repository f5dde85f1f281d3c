"""Concord as an Airflow provider: its connection type."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """What Airflow's entry point ``apache_airflow_provider`` asks for."""
    return {
        "package-name": "concord-hub",
        "name": "Concord",
        "description": "Connections to the systems that Concord keeps in step.",
    }

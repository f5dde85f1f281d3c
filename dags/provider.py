"""Concord as an Airflow provider: its connection type.

Airflow imports this in every process, long before it needs anything of Concord: nothing is imported here.
"""

from __future__ import annotations

from typing import Any

CONNECTION_TYPE = "concord"


def get_provider_info() -> dict[str, Any]:
    """What Airflow's entry point ``apache_airflow_provider`` asks for."""
    return {
        "package-name": "concord-hub",
        "name": "Concord",
        "description": "Connections to the systems that Concord keeps in step.",
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": "dags.connections.ConcordHook",
                "hook-name": "Concord system",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "host": "Address",
                        "schema": "http, https, or a path",
                        "login": "Login or client id",
                        "password": "Password, key or client secret",
                    },
                    "placeholders": {
                        "host": "https://erp.example.com",
                        "port": "leave empty if the address has it",
                    },
                },
                "conn-fields": {
                    "token": {
                        "label": "Token",
                        "description": "For systems whose manifest names ${extra.token}",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                },
            }
        ],
    }

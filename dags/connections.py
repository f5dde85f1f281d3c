"""Airflow's connections as connectors take them, and the connection type with its form."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import AirflowNotFoundException

from connectors.runtime.connection import Connection, connection_from_environment, variable
from dags.provider import CONNECTION_TYPE


def connection(connection_id: str) -> Connection:
    """The connection of that id: Airflow's, or else the environment's.

    Raises ``connectors.errors.BadConfiguration``, whose text never shows a value.
    """
    try:
        found = AirflowConnection.get(connection_id)
    except AirflowNotFoundException:
        return connection_from_environment(connection_id)
    return converted(found)


def converted(found: Any) -> Connection:
    """An Airflow connection (the SDK's or the database's) read as strictly as one from the environment."""
    parts = {
        "conn_type": found.conn_type,
        "host": found.host,
        "port": found.port,
        "schema": found.schema,
        "login": found.login,
        "password": found.password,
        "extra": found.extra,
    }
    environ = {variable(found.conn_id): json.dumps(parts)}
    return connection_from_environment(found.conn_id, environ)


class ConcordHook(BaseHook):
    """What stands behind the connection type: Airflow's form and its "Test" button ask for a class."""

    conn_name_attr = "concord_conn_id"
    default_conn_name = "concord_default"
    conn_type = CONNECTION_TYPE
    hook_name = "Concord system"

    def __init__(self, concord_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.concord_conn_id = concord_conn_id

    def get_conn(self) -> Connection:
        """The connection. Raises ``connectors.errors.BadConfiguration``."""
        return connection(self.concord_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the connection is well-formed; `concord check` asks the system itself."""
        try:
            self.get_conn()
        except Exception as error:
            return False, str(error)
        return True, "Well-formed. `concord check` asks the system itself."

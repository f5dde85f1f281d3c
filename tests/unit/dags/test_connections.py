"""Airflow's connections become connectors' connections, as strictly as those from the environment."""

from __future__ import annotations

import jsonschema
import pytest
from airflow.sdk import Connection as AirflowConnection

from connectors.errors import BadConfiguration
from dags.connections import ConcordHook, connection, converted
from dags.provider import CONNECTION_TYPE, get_provider_info


def test_an_airflow_connection_is_taken_over_whole():
    found = converted(
        AirflowConnection(
            conn_id="erp",
            conn_type="concord",
            host="https://erp.example.com",
            port=8443,
            schema="api",
            login="hub",
            password="secret",
            extra='{"token": "t"}',
        )
    )

    assert found.base_url == "https://erp.example.com:8443/api"
    assert (found.login, found.password) == ("hub", "secret")
    assert found.extra == {"token": "t"}


@pytest.mark.parametrize("host", [None, "", "ftp://erp.example.com"])
def test_a_connection_without_a_web_address_is_refused_without_its_secrets(host):
    with pytest.raises(BadConfiguration) as caught:
        converted(AirflowConnection(conn_id="erp", host=host, password="secret"))

    assert "AIRFLOW_CONN_ERP" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_outside_airflow_the_environment_is_asked(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_ERP", "http://hub:secret@127.0.0.1:8000/api")

    assert connection("erp").base_url == "http://127.0.0.1:8000/api"
    assert ConcordHook("erp").test_connection()[0]


def test_a_missing_connection_says_what_to_set():
    with pytest.raises(BadConfiguration, match="AIRFLOW_CONN_NOBODY"):
        connection("nobody")
    ok, text = ConcordHook("nobody").test_connection()
    assert not ok
    assert "AIRFLOW_CONN_NOBODY" in text


def test_the_connection_type_has_a_form_and_a_class():
    (kind,) = get_provider_info()["connection-types"]

    assert kind["connection-type"] == CONNECTION_TYPE == ConcordHook.conn_type
    assert kind["hook-class-name"] == f"{ConcordHook.__module__}.{ConcordHook.__qualname__}"
    for field in kind["conn-fields"].values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])

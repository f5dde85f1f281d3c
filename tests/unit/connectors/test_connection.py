"""Connections from the environment, as Airflow defines them."""

import json

import pytest

from connectors.errors import BadConfiguration
from connectors.runtime.connection import (
    Connection,
    as_variable,
    connection_from_environment,
    variable,
)


def _read(text):
    return connection_from_environment("shop", {"AIRFLOW_CONN_SHOP": text})


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://u:p%40ss@host:8000", "http://host:8000"),
        ("https://u:p%40ss@host", "https://host"),
        ("http://u:p%40ss@host:8000/https", "https://host:8000"),
        ("http://u:p%40ss@https%3A%2F%2Fhost", "https://host"),
        ("http://u:p%40ss@host/api/v1", "http://host/api/v1"),
    ],
)
def test_uris(text, base):
    assert _read(text) == Connection(base, "u", "p@ss")


def test_json():
    data = {
        "conn_type": "http",
        "host": "https://host/",
        "port": 8443,
        "login": "u",
        "password": "p",
        "extra": '{"verify": "false"}',
    }
    found = _read(json.dumps(data))
    assert found == Connection("https://host:8443", "u", "p", {"verify": "false"})


def test_extra_in_a_uri():
    assert _read("http://host/?verify=false&tenant=a").extra == {"verify": "false", "tenant": "a"}
    assert _read("http://host/?__extra__=%7B%22a%22%3A+1%7D").extra == {"a": 1}


def test_secrets_are_in_no_repr():
    shown = repr(Connection("http://host", "u", "geheim", {"key": "geheim"}))
    assert "geheim" not in shown


def test_what_is_missing_is_said():
    with pytest.raises(BadConfiguration, match="Set AIRFLOW_CONN_ERP_MAIN, for example"):
        connection_from_environment("erp_main", {})


@pytest.mark.parametrize(
    "text",
    [
        '{"host": "geheim',
        "http://u:geheim@host:port",
        "ftp://u:geheim@h/x?__extra__=geheim",
        "http://",
    ],
)
def test_a_text_that_cannot_be_read_is_not_shown(text):
    with pytest.raises(BadConfiguration) as caught:
        _read(text)
    assert "geheim" not in str(caught.value)
    assert "AIRFLOW_CONN_SHOP" in str(caught.value)


@pytest.mark.parametrize(
    "base", ["host", "http://u:p@host", "http://host?x=1", "ftp://host", "file://host/etc"]
)
def test_an_address_that_is_none(base):
    with pytest.raises(BadConfiguration):
        Connection(base)


def test_a_port_belongs_to_the_host_also_where_the_address_has_a_path() -> None:
    text = '{"conn_type": "http", "host": "https://erp.example.org/api", "port": 8443}'
    found = connection_from_environment("erp", {"AIRFLOW_CONN_ERP": text})
    assert found.base_url == "https://erp.example.org:8443/api"


def test_a_connection_goes_into_a_variable_and_comes_back():
    given = Connection("https://erp.example.org/api", "hub", "s3cret/@:", {"tenant": "t1"})
    environ = {variable("erp"): as_variable(given)}
    assert connection_from_environment("erp", environ) == given

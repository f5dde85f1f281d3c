"""The shipped Sympa manifest against Debian's Sympa: rpc/encoded, and a WSDL that the system gives itself."""

from datetime import UTC, datetime

import pytest

from connectors.contract import Scan, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.peers.sympa import Sympa

pytestmark = pytest.mark.debian


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Sympa(tmp_path_factory.mktemp("sympa")) as running:
        yield running


def _open(server, password=None):
    params = {"list": server.list_name, "user": server.listmaster, "wsdl": "/sympa.wsdl"}
    manifest = load_manifest(SHIPPED / "sympa.yaml", params)
    connection = Connection(server.url, server.user_name, password or server.password)
    return open_system(manifest, connection, lambda: datetime.now(UTC))


@pytest.fixture
def lists(server):
    system = _open(server)
    for key in _subscribers(system):
        _write(system, key, {"email": key}, {})
    yield system
    system.close()


def _subscribers(system):
    (page,) = system.read("subscribers", None, Scan.FULL)
    return {record.key: record for record in page.records if not record.deleted}


def _write(system, key, before, after):
    (outcome,) = system.write([WriteCommand("w", "subscribers", key, before, after, "CRM-1")])
    return outcome


def test_the_owner_of_an_empty_list_is_no_subscriber(lists):
    assert lists.check("subscribers").ok
    assert _subscribers(lists) == {}
    assert lists.fetch("subscribers", ["owner@example.org"]) == {"owner@example.org": None}


def test_a_subscriber_is_added_once_and_found(lists):
    made = _write(lists, None, {}, {"email": "Ada@example.org", "gecos": "Ada & <Eve>"})
    assert made.key == "ada@example.org"
    assert made.record.document == {"email": "ada@example.org", "gecos": "Ada & <Eve>"}
    again = _write(lists, None, {}, {"email": "ada@EXAMPLE.org"})
    assert again == Written("ada@example.org", made.record, existed=True)
    assert _subscribers(lists) == {"ada@example.org": made.record}
    assert lists.fetch("subscribers", ["ada@example.org", "none@example.org"]) == {
        "ada@example.org": made.record,
        "none@example.org": None,
    }


def test_who_is_taken_off_is_gone(lists):
    _write(lists, None, {}, {"email": "ada@example.org"})
    before = {"email": "ada@example.org"}
    assert _write(lists, "ada@example.org", before, {}) == Written("ada@example.org")
    assert _subscribers(lists) == {}
    again = _write(lists, "ada@example.org", before, {})
    assert again == Written("ada@example.org"), "who is gone is taken off"


def test_a_wrong_password_is_told(lists, server):
    detail = _open(server, "wrong-secret").check("subscribers").detail
    assert "credentials" in detail
    assert "wrong-secret" not in detail

"""HTTP: sent once or again, bounded, and never to strangers."""

import socket
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import requests
import responses

from connectors import rest
from connectors.contract import Refused, Scan, Unknown, WriteCommand, Written
from connectors.errors import BadAnswer, BadConfiguration, BadCredentials, RetryLater, Unreachable
from connectors.registry import load_manifest
from connectors.runtime.budget import Priority
from connectors.runtime.connection import Connection
from connectors.testing import Profile, Simulator

URL = "http://shop.test"
COMMAND = WriteCommand("1", "customers", None, {}, {"name": "Ada"}, "CRM-1")


def _manifest(text=None):
    manifest = load_manifest(text or Profile().manifest(), {})
    assert isinstance(manifest, rest.RestManifest)
    return manifest


def _system(text=None, **http):
    manifest = _manifest(text)
    manifest = manifest.model_copy(update={"http": manifest.http.model_copy(update=http)})
    slept: list[float] = []
    connection = Connection(URL, "u", "secret-key")
    system = rest.open(manifest, connection, clock=lambda: datetime.now(UTC), sleep=slept.append)
    return system, slept


@responses.activate
def test_a_read_is_tried_a_bounded_number_of_times():
    system, slept = _system(attempts=3)
    responses.get(f"{URL}/customers", status=500)
    with pytest.raises(RetryLater, match="GET /customers answered 500"):
        system.fetch("customers", ["1"])
    assert len(responses.calls) == 3
    assert len(slept) == 2


class Ledger:
    """A budget that notes the beginnings and the ends of requests."""

    def __init__(self):
        self.begun = 0
        self.ended: list[int] = []

    def acquire(self, priority=Priority.NORMAL, *, patient=True):
        self.begun += 1

    def observe(self, headers, status):
        self.ended.append(status)


@responses.activate
def test_a_request_without_an_answer_is_over_too():
    ledger = Ledger()
    connection = Connection(URL, "u", "secret-key")
    system = rest.open(_manifest(), connection, clock=lambda: datetime.now(UTC), budget=ledger)
    responses.post(f"{URL}/customers", status=308, headers={"Location": f"{URL}/clients"})
    responses.post(f"{URL}/clients", body=requests.ConnectionError("gone"))
    (outcome,) = system.write([COMMAND])
    assert isinstance(outcome, Unknown)
    assert (ledger.begun, ledger.ended) == (2, [308, 0]), "one for each way that it was sent"


@responses.activate
def test_credentials_do_not_follow_a_redirect_to_another_host():
    system, _ = _system()
    responses.get(f"{URL}/customers", status=302, headers={"Location": "http://evil.test/x"})
    with pytest.raises(BadConfiguration, match="another host"):
        system.fetch("customers", ["1"])
    assert [str(call.request.url).split("?")[0] for call in responses.calls] == [f"{URL}/customers"]


@responses.activate
def test_a_write_repeats_its_body_only_where_the_redirect_keeps_it():
    system, _ = _system()
    responses.post(f"{URL}/customers", status=301, headers={"Location": f"{URL}/clients"})
    (refused,) = system.write([COMMAND])
    assert isinstance(refused, Refused)
    responses.replace(
        responses.POST, f"{URL}/customers", status=308, headers={"Location": f"{URL}/clients"}
    )
    responses.post(f"{URL}/clients", json={"id": 1, "name": "Ada"}, status=201)
    (written,) = system.write([COMMAND])
    assert isinstance(written, Written)
    assert "Ada" in str(responses.calls[-1].request.body)


@responses.activate
@pytest.mark.parametrize(
    "address", ["http://evil.test/x", "http://evil.test\\@shop.test/x", "https://shop.test/x"]
)
def test_the_next_page_on_another_host_is_not_asked_for(address):
    system, _ = _system(Profile(paging="next").manifest())
    body = {"items": [{"id": 1}], "next": address}
    responses.get(f"{URL}/customers", json=body)
    with pytest.raises(BadAnswer, match="another host"):
        list(system.read("customers", None, Scan.FULL))


@responses.activate
def test_an_answer_that_is_too_large_is_not_kept():
    system, _ = _system(largest_answer_mb=1)
    responses.get(f"{URL}/customers", body=b"[" + b"1," * 600_000 + b"1]")
    with pytest.raises(BadAnswer, match="more than 1 MB"):
        system.fetch("customers", ["1"])


@responses.activate
def test_errors_show_no_secret_and_no_value():
    system, _ = _system(attempts=1)
    responses.get(f"{URL}/customers", status=401)
    with pytest.raises(BadCredentials) as caught:
        system.fetch("customers", ["4711"])
    assert "4711" not in str(caught.value)
    assert "secret-key" not in str(caught.value)


def test_a_connection_that_breaks_before_the_answer_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        base = f"http://127.0.0.1:{server.getsockname()[1]}"
        manifest = _manifest()
        system = rest.open(manifest, Connection(base, None, "k"), clock=lambda: datetime.now(UTC))
        (outcome,) = system.write([COMMAND])
        thread.join()
        system.close()
    assert type(outcome).__name__ == "Unknown"


def test_one_login_serves_all_who_were_refused_together():
    with Simulator(Profile(auth="session")) as shop:
        key = shop.add(name="Ada")
        system = shop.open()
        system.fetch("customers", [key])
        shop.expire_tokens()
        start = threading.Barrier(8)
        found = []

        def ask():
            start.wait()
            found.append(system.fetch("customers", [key])[key])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        system.close()
    assert len([record for record in found if record]) == 8
    assert shop.logins == 2


def test_a_shown_address_holds_no_credentials():
    with pytest.raises(BadConfiguration):
        Connection("http://u:p@host")


def test_a_name_that_does_not_exist_is_said_plainly():
    manifest = _manifest()
    manifest = manifest.model_copy(
        update={"http": manifest.http.model_copy(update={"attempts": 1})}
    )
    nowhere = Connection("http://nobody.invalid", None, "k")
    system = rest.open(manifest, nowhere, clock=lambda: datetime.now(UTC))
    with pytest.raises(Unreachable, match="nothing answers at this address"):
        system.fetch("customers", ["1"])
    health = system.check("customers")
    assert not health.ok
    assert "host, port and scheme" in health.detail
    assert SimpleNamespace(**health.facts).address == "http://nobody.invalid:80"
    system.close()

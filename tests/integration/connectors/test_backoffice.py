"""The shipped back office manifest, and the conformance kit, against two SOAP servers over real sockets.

npm's on Node, and PHP's in `make test-debian`.
"""

from __future__ import annotations

import http.client
import re
from datetime import UTC, datetime

import pytest

from connectors.contract import Gone, Refused, Scan, Stale, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.soap.manifest import SoapHttp
from connectors.testing import Simulator
from connectors.testing.conformance import ConnectorConformance
from connectors.testing.server import Reply
from connectors.testing.soap import SoapApi
from examples import peers

_ROW = re.compile(rb"<(\w+):customer>.*?</\1:customer>", re.S)


SERVERS = [
    pytest.param(peers.BackOffice, id="node", marks=pytest.mark.e2e),
    pytest.param(peers.PhpBackOffice, id="php", marks=pytest.mark.debian),
]


@pytest.fixture(scope="module", params=SERVERS)
def running(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("office")) as server:
        yield server


@pytest.fixture
def office(running):
    peers.Clerk(running).reset()
    return running


def _open(url, office, password=None, **params):
    manifest = load_manifest(SHIPPED / "backoffice.yaml", params)
    manifest = manifest.model_copy(update={"http": SoapHttp(longest_wait=0)})
    connection = Connection(url, office.user_name, password or office.password)
    return open_system(manifest, connection, lambda: datetime.now(UTC))


class _Relay(SoapApi):
    """Hands requests on to the real server, and spoils single rows of its answers."""

    office: peers.BackOffice
    expired = False

    def verb(self, method, body):
        found = re.search(rb"(Create|Update|Delete)Customer[ />]", body)
        return {b"Create": "POST", b"Update": "PATCH", b"Delete": "DELETE"}.get(
            found[1] if found else b"", "GET"
        )

    def expire(self):
        self.expired = True

    def doubled(self, reply):
        return Reply(reply.status, _ROW.sub(rb"\g<0>\g<0>", reply.body))

    def route(self, method, target, headers, body, *, partly=False):
        if self.expired:
            body = re.sub(rb"(<wsse:Password[^>]*>)[^<]*", rb"\1outdated", body)
        connection = http.client.HTTPConnection("127.0.0.1", self.office.port, timeout=30)
        kept = {name: headers[name] for name in ("content-type", "soapaction")}
        connection.request(method, target, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if partly:
            rows = iter(range(len(_ROW.findall(content)) // 2))
            content = _ROW.sub(lambda row: b"" if next(rows, None) is not None else row[0], content)
        return Reply(answer.status, _ROW.sub(self._poisoned, content))

    def _poisoned(self, row):
        number = re.search(rb":number>(\d+)<", row[0])
        spoilt = self.poisoned.get(number[1].decode() if number else "")
        if spoilt is None:
            return row[0]
        spoilt = b"<t:customer>" + spoilt + b"</t:customer>"
        return spoilt.replace(b"t:", row[1] + b":")


class _Office(Simulator):
    """The real server behind a relay that breaks when a test asks for it."""

    face = _Relay

    def __init__(self, office):
        super().__init__()
        assert isinstance(self._api, _Relay)
        self._api.office, self._office, self.clerk = office, office, peers.Clerk(office)

    @property
    def records(self):
        return self.clerk.all()

    def add(self, **fields):
        return str(self.clerk.add(**fields)["number"])

    def edit(self, key, **fields):
        self.clerk.edit(int(key), **fields)
        return key

    def remove(self, key):
        self.clerk.remove(int(key))

    def open(self, clock=None, **params):
        return _open(self.url, self._office, page_size=params["size"])


class TestBackOffice(ConnectorConformance):
    large = "x" + "é" * 1_000_000

    @pytest.fixture
    def system(self, office):
        with _Office(office) as simulated:
            yield simulated

    def stamp(self, system, keys, time):
        for key in keys:
            system.clerk.restamp(int(key), time)

    @pytest.mark.parametrize(
        "row",
        [b"no record", b"<t:number>2</t:number><t:creditLimit>much</t:creditLimit>"],
        ids=["no element", "not a decimal"],
    )
    def test_a_bad_row_is_kept_and_stops_nobody(self, system, row):
        self.rejected(system, row)


ADA = {
    "name": "Ada & Söhne <Ltd>",
    "email": "ada@example.org",
    "creditLimit": "1000.10",
    "birthDate": "1990-02-28",
    "newsletter": True,
    "phones": {"phone": [{"kind": "phone", "number": "1"}, {"kind": "mobile", "number": "2"}]},
}


@pytest.fixture
def system(office):
    system = _open(office.url, office, page_size=2)
    yield system
    system.close()


def _made(system, **after):
    command = WriteCommand("w", "customers", None, {}, {**ADA, **after}, "CRM-1")
    (outcome,) = system.write([command])
    assert isinstance(outcome, Written), outcome
    return outcome.record


def _update(system, record, etag=None, **changes):
    after = {**record.document, **changes}
    command = WriteCommand(
        "w", "customers", record.key, record.document, after, "CRM-1", etag or record.etag
    )
    (outcome,) = system.write([command])
    return outcome


def test_a_customer_is_read_as_it_was_written(system):
    record = _made(system)
    held = {**ADA, "reference": "CRM-1", "number": 1, "active": True, "addresses": {}}
    # Node writes decimals anew, PHP as they came
    limit = record.document["creditLimit"]
    assert limit in ("1000.1", "1000.10")
    assert record.document == {**held, "creditLimit": limit}
    (page,) = system.read("customers", None, Scan.FULL)
    assert page.records == (record,)


def test_nil_absent_and_empty_are_three_things(system, office):
    peers.Clerk(office).add(name="Bare", email=None, language="")
    document = system.fetch("customers", ["1"])["1"].document
    assert document["email"] is None
    assert document["language"] == ""
    assert "vatNumber" not in document


def test_null_empties_and_what_is_not_sent_stays(system):
    record = _made(system)
    outcome = _update(system, record, email=None, phones={"phone": []})
    assert outcome.record.document == {**record.document, "email": None, "phones": {}}


CALL = {
    "reference": "C-1",
    "channel": "phone",
    "direction": "inbound",
    "kind": "complaint",
    "subject": "The kettle leaks",
    "employee": "Zoë",
    "opened": "2026-11-02T08:00:00+00:00",
}
LETTER = {**CALL, "reference": "BRU 17", "channel": "letter", "kind": "return"}
ORDER = {
    "reference": "S-1",
    "status": "confirmed",
    "currency": "EUR",
    "prices": "net",
    "lines": {"line": [{"sku": "A", "quantity": "2", "unitPrice": "9.5"}]},
    "total": "19",
    "promised": "2026-11-30",
    "returns": {"item": [{"number": "R-1", "sku": "A", "quantity": "1", "reason": None}]},
}
FACTS = pytest.mark.parametrize(
    ("stream", "fact"),
    [("interactions", CALL), ("interactions", LETTER), ("orders", ORDER)],
    ids=["call", "letter", "order"],
)


@FACTS
def test_a_fact_is_made_under_its_customer_found_and_guarded(system, office, stream, fact):
    customer = int(_made(system).key)
    after = {**fact, "customerNumber": customer}
    command = WriteCommand("w", stream, None, {}, after, "CRM-2")
    (made,) = system.write([command])
    assert isinstance(made, Written), made
    record = made.record
    assert record is not None
    assert record.document == {**after, "id": int(record.key)}
    (page,) = system.read(stream, None, Scan.FULL)
    assert page.records == (record,)
    assert list(system.find(stream, command)) == [record]
    assert system.fetch(stream, [record.key, "99"]) == {
        record.key: record,
        "99": None,
    }

    peers.Clerk(office).edit(int(record.key), stream, reference="changed by a clerk")
    late = WriteCommand(
        "w",
        stream,
        record.key,
        record.document,
        {**record.document, "customerNumber": None},
        "CRM-2",
        record.etag,
    )
    assert system.write([late]) == [Stale()]
    (held,) = peers.Clerk(office).all(stream).values()
    assert (held["reference"], held["customerNumber"]) == ("changed by a clerk", customer)


@FACTS
def test_a_fact_of_nobody_is_refused_and_one_that_is_there_is_bound(system, office, stream, fact):
    nobodys = WriteCommand("w", stream, None, {}, {**fact, "customerNumber": 99}, "CRM-2")
    (outcome,) = system.write([nobodys])
    assert isinstance(outcome, Refused)
    assert "no such customer" in outcome.reason
    assert peers.Clerk(office).all(stream) == {}
    there = peers.Clerk(office).add(stream, reference=fact["reference"])
    (outcome,) = system.write([WriteCommand("w", stream, None, {}, fact, "CRM-2")])
    assert isinstance(outcome, Written), outcome
    assert (outcome.key, outcome.existed) == (str(there["id"]), True)
    assert len(peers.Clerk(office).all(stream)) == 1


def test_a_write_is_guarded_by_the_version(system, office):
    record = _made(system)
    peers.Clerk(office).edit(1, name="By a clerk")
    assert _update(system, record, name="Late") == Stale()
    assert peers.Clerk(office).all()["1"]["name"] == "By a clerk"


def test_a_refusal_comes_with_its_reason_and_without_values(system):
    outcome = _update(system, _made(system), name=None)
    assert isinstance(outcome, Refused)
    assert "UpdateCustomer answered 500" in outcome.reason
    assert "Ada" not in outcome.reason


def test_who_is_gone_is_told(system, office):
    record = _made(system)
    peers.Clerk(office).remove(1)
    assert _update(system, record, name="Late") == Gone()


def test_a_wrong_password_is_told_apart(office):
    detail = _open(office.url, office, password="wrong").check("customers").detail
    assert "credentials" in detail
    assert "wrong" not in detail


def test_a_value_that_no_xml_can_hold_is_refused(system):
    outcome = _update(system, _made(system), name="a\x00b")
    assert isinstance(outcome, Refused)

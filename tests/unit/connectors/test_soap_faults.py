"""What a SOAP system may answer: faults, attacks, documents that reach out. Over real sockets."""

import json

import pytest

from connectors.contract import Gone, Refused, Retry, Scan, Stale, Unknown, WriteCommand, Written
from connectors.errors import BadAnswer, BadConfiguration, BadCredentials, RetryLater
from connectors.registry import check_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.runtime.manifest import Auth
from connectors.soap.description import Description
from connectors.soap.manifest import SoapManifest
from connectors.soap.wire import SoapWire
from connectors.testing import Profile
from connectors.testing.api import TOKEN
from connectors.testing.soap import NAMESPACE, SoapSimulator, fault, wsdl_of
from connectors.yamlfile import read_tree

HURRIED = Profile(longest_wait=0, attempts=1)
READ = {"GET"}
WRITE = {"POST", "PATCH", "DELETE"}


@pytest.fixture
def office():
    with SoapSimulator(HURRIED) as simulator:
        simulator.add(name="Ada")
        yield simulator


@pytest.fixture
def system(office):
    system = office.open()
    yield system
    system.close()


def _create(system):
    command = WriteCommand("w", "customers", None, {}, {"name": "Grace Hopper"}, "CRM-1")
    (outcome,) = system.write([command])
    return outcome


def _soap12(code, subcode):
    space = "http://www.w3.org/2003/05/soap-envelope"
    inner = f"<e:Code><e:Value>e:{code}</e:Value><e:Subcode><e:Value>{subcode}</e:Value></e:Subcode></e:Code>"
    inner += "<e:Reason><e:Text xml:lang='en'>no</e:Text></e:Reason>"
    return f"<e:Envelope xmlns:e='{space}'><e:Body><e:Fault>{inner}</e:Fault></e:Body></e:Envelope>".encode()


# --- faults


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (500, fault(500, "Client", "no").body, Refused),
        (200, fault(200, "Client", "no").body, Refused),
        (400, fault(400, "Client.Invalid", "no").body, Refused),
        (500, fault(500, "Server", "no").body, Unknown),
        (200, fault(200, "Server", "no").body, Unknown),
        (500, fault(500, "Client.Stale", "no").body, Stale),
        (500, fault(500, "Client.Gone", "no").body, Gone),
        (500, fault(500, "wsse:FailedAuthentication", "no").body, Retry),
        (500, _soap12("Sender", "x:Invalid"), Refused),
        (500, _soap12("Receiver", "x:Busy"), Unknown),
        (500, _soap12("Sender", "wsse:FailedAuthentication"), Retry),
        (503, fault(503, "Server", "no").body, Retry),
        (429, fault(429, "Client", "no").body, Retry),
        (401, fault(401, "Client", "no").body, Retry),
        (500, b"<html>oops</html>", Unknown),
        (502, b"", Unknown),
        (200, b"<html>welcome</html>", Unknown),
        (200, b"not even XML", Unknown),
    ],
)  # fmt: skip
def test_an_answer_to_a_write_means_what_its_fault_says(office, system, status, body, outcome):
    office.fail_next(status, methods=WRITE, body=body)
    assert isinstance(_create(system), outcome)


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"welcome", b"<x/>"])
def test_an_answer_that_is_no_envelope_is_no_success(office, system, body):
    office.fail_next(200, methods=WRITE, body=body)
    record = system.fetch("customers", ["1"])["1"]
    (outcome,) = system.write([WriteCommand("w", "customers", "1", record.document, {}, "CRM-1")])
    assert isinstance(outcome, Unknown)


def test_the_detail_of_a_fault_can_decide(office, system):
    detail = "<Duplicate><field>email</field></Duplicate>"
    office.fail_next(500, methods=WRITE, body=fault(500, "Client", "no", detail).body)
    outcome = _create(system)
    assert isinstance(outcome, Refused)
    assert "A lookup finds no record" in outcome.reason


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("Server", RetryLater),
        ("Client", BadConfiguration),
        ("wsse:InvalidSecurity", BadCredentials),
    ],
)
def test_a_fault_of_a_read_is_told_apart(office, system, code, error):
    office.fail_next(500, body=fault(500, code, "no").body)
    with pytest.raises(error):
        system.fetch("customers", ["1"])


def test_a_fault_repeats_neither_values_nor_secrets(office, system):
    said = f"'{office.connection.password}' of hub may not make Grace Hopper, simulated-key"
    office.fail_next(500, methods=WRITE, body=fault(500, "Client", said).body)
    reason = _create(system).reason
    assert "500" in reason
    for private in ("Grace", "Hopper", "simulated-key"):
        assert private not in reason


# --- WS-Security


@pytest.mark.parametrize("kind", ["text", "digest"])
def test_a_username_token_proves_who_is_there(kind):
    with SoapSimulator(Profile(auth="none", longest_wait=0), username_token=kind) as office:
        office.add(name="Ada")
        assert office.open().fetch("customers", ["1"])["1"] is not None
        stranger = Connection(office.url, "hub", "wrong-secret")
        system = open_system(office.manifest(), stranger, office.clock)
        detail = system.check("customers").detail
        assert "credentials" in detail
        assert "wrong-secret" not in detail


def test_a_digest_does_not_show_the_password(office):
    manifest = SoapSimulator(HURRIED, username_token="digest").manifest()
    assert isinstance(manifest, SoapManifest)
    call = manifest.streams["customers"].fetch
    described = manifest.description("", lambda _: b"")
    wire = SoapWire(manifest, office.connection, lambda: described)
    once, again = (wire.request(call, {"keys": [1]}).body or b"" for _ in range(2))
    assert b"Nonce" in once
    assert TOKEN.encode() not in once
    assert once != again, "a digest is good for one message"


def test_a_username_token_needs_a_login(office):
    manifest = SoapSimulator(HURRIED, username_token="text").manifest()
    manifest = manifest.model_copy(update={"auth": Auth()})
    with pytest.raises(BadConfiguration, match="login"):
        open_system(manifest, Connection(office.url), office.clock)


# --- attacks

SECRET = "file that no answer may show"


def _attack(doctype, inner):
    envelope = "http://schemas.xmlsoap.org/soap/envelope/"
    row = f"<c:customer><c:id>1</c:id><c:name>{inner}</c:name></c:customer>"
    body = f"<s:Body><c:ListResponse xmlns:c='{NAMESPACE}'>{row}</c:ListResponse></s:Body>"
    return f"<?xml version='1.0'?>{doctype}<s:Envelope xmlns:s='{envelope}'>{body}</s:Envelope>".encode()


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize(
    ("doctype", "inner"),
    [
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>', "&e;"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "{url}/steal">]>', "&e;"),
        ('<!DOCTYPE x SYSTEM "{url}/evil.dtd">', "x"),
        ('<!DOCTYPE x [<!ENTITY % p SYSTEM "{url}/evil.dtd"> %p;]>', "x"),
        ('<!DOCTYPE x [<!ENTITY l0 "ha">' + LAUGHS + "]>", "&l9;"),
        ('<!DOCTYPE x [<!ENTITY a "harmless">]>', "&a;"),
        ("<!DOCTYPE x>", "x"),
    ],
    ids=["a file", "an address", "an external DTD", "a parameter entity", "billion laughs", "a small entity", "a doctype"],
)  # fmt: skip
def test_an_answer_with_a_document_type_is_refused_whole(office, system, secret, doctype, inner):
    doctype = doctype.replace("{secret}", str(secret)).replace("{url}", office.url)
    office.fail_next("garbage", body=_attack(doctype, inner))
    before = sum(office.calls.values())
    with pytest.raises(BadAnswer, match="no plain XML") as refused:
        list(system.read("customers", None, Scan.FULL))
    assert SECRET not in str(refused.value)
    assert sum(office.calls.values()) == before + 1, "nothing else was asked for"


def test_an_answer_without_one_is_read(office, system):
    office.fail_next("garbage", body=_attack("", "plain"))
    (page,) = system.read("customers", None, Scan.FULL)
    assert page.records[0].document["name"] == "plain"


def test_an_answer_that_is_too_large_is_refused_before_it_is_read(office):
    manifest = office.manifest()
    small = manifest.http.model_copy(update={"largest_answer_mb": 1})
    system = open_system(
        manifest.model_copy(update={"http": small}), office.connection, office.clock
    )
    office.edit("1", name="x" * 2_000_000)
    with pytest.raises(BadAnswer, match="more than 1 MB"):
        system.fetch("customers", ["1"])


def test_a_tree_without_bounds_is_refused(office, system):
    office.fail_next("garbage", body=_attack("", "<c:n>" * 5000 + "</c:n>" * 5000))
    with pytest.raises(BadAnswer, match=r"no plain XML|too deeply"):
        list(system.read("customers", None, Scan.FULL))


# --- descriptions that reach out


def _importing(location, namespace="urn:other"):
    schema = f'<xs:import namespace="{namespace}" schemaLocation="{location}"/>'
    return wsdl_of(HURRIED).replace(
        'elementFormDefault="qualified">', f'elementFormDefault="qualified">{schema}'
    )


@pytest.mark.parametrize(
    "where", ["{url}/types.xsd", "file://{secret}", "{secret}", "../secret.txt"]
)
def test_a_wsdl_that_imports_from_elsewhere_is_refused(office, secret, where):
    location = where.replace("{url}", office.url).replace("{secret}", str(secret))
    before = sum(office.calls.values())
    with pytest.raises(BadConfiguration, match="nothing is fetched from elsewhere"):
        Description("c.wsdl", {"c.wsdl": _importing(location)})
    assert sum(office.calls.values()) == before


def test_a_wsdl_with_a_document_type_is_refused():
    text = wsdl_of(HURRIED).replace("<definitions", '<!DOCTYPE d [<!ENTITY a "b">]><definitions', 1)
    with pytest.raises(BadConfiguration, match="DTDForbidden"):
        Description("c.wsdl", {"c.wsdl": text})


def test_a_schema_beside_the_wsdl_is_taken():
    other = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:other"/>'
    found = Description("c.wsdl", {"c.wsdl": _importing("o.xsd"), "o.xsd": other})
    assert "List" in found.operations


# --- the manifest and its WSDL


def _mistakes(office, change, documents=None):
    text = read_tree(json.dumps(change(_plain(office))))
    _, _, mistakes = check_manifest(
        text, {}, read=(documents or {"customers.wsdl": wsdl_of(HURRIED)}).get
    )
    return [str(mistake) for mistake in mistakes]


def _plain(office):
    from connectors.testing.soap import _manifest

    return _manifest(office.profile, "none")


def _with(**changes):
    return lambda manifest: {**manifest, **changes}


def _read(**changes):
    def change(manifest):
        manifest["streams"]["customers"]["read"] |= changes
        return manifest

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_with(wsdl="none.wsdl"), "a file beside the manifest"),
        (_with(wsdl="../../etc/passwd"), "should match pattern"),
        (_with(wsdl_at="/x?wsdl"), "both or none of `wsdl` and `wsdl_at`"),
        (
            _read(call="Lits"),
            "'Lits'; allowed: an operation of the WSDL: Create, Delete, List, Update",
        ),
        (_read(call="GET /customers"), "an operation of the WSDL, such as ListCustomers"),
        (_read(body={"sice": 3}), "the argument sice; allowed: what List takes"),
        (_read(query={"a": 1}), "`query`; allowed: no such key"),
        (_with(port="Other"), "customers.wsdl"),
    ],
)
def test_a_mistake_is_told(office, change, says):
    assert says in "\n".join(_mistakes(office, change))


def test_the_manifest_as_it_is_has_none(office):
    assert _mistakes(office, lambda manifest: manifest) == []


# --- a WSDL that the system gives


def _fetched(office):
    manifest = {**_plain(office), "wsdl_at": "/customers?wsdl", "wsdl": None}
    found, _, mistakes = check_manifest(read_tree(json.dumps(manifest)), {})
    assert found is not None, mistakes
    return open_system(found, office.connection, office.clock)


def test_a_wsdl_may_be_fetched_from_the_system_once(office):
    system = _fetched(office)
    assert system.fetch("customers", ["1"])["1"].document["name"] == "Ada"
    assert isinstance(_create(system), Written)
    assert office.calls["GET"] == 2, "the WSDL, and the lookup"


def test_a_system_that_is_down_gives_no_wsdl_and_the_write_waits(office):
    system = _fetched(office)
    office.fail_next("reset", times=1)
    assert isinstance(_create(system), Retry)
    assert isinstance(_create(system), Written)

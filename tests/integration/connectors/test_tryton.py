"""The shipped Tryton manifest against a real Tryton."""

import copy
import itertools
from datetime import UTC, datetime

import pytest

from connectors.contract import Gone, Refused, Scan, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.peers import TrytonClient

pytestmark = pytest.mark.e2e
_numbers = itertools.count(1)


def _now():
    return datetime.now(UTC)


@pytest.fixture
def erp(module_tryton):
    params = {"database": module_tryton.database, "company": module_tryton.company, "page_size": 2}
    manifest = load_manifest(SHIPPED / "tryton.yaml", params)
    system = open_system(manifest, Connection(module_tryton.url, password=module_tryton.key), _now)
    yield system
    system.close()


def _create(**after):
    command = WriteCommand("w", "parties", None, {}, after, f"CRM-{next(_numbers)}")
    return command


def _update(record, **changes):
    after = copy.deepcopy(record.document) | changes
    return WriteCommand("w", "parties", record.key, record.document, after, "CRM-0")


def _made(erp, **after):
    (outcome,) = erp.write([_create(**after)])
    assert isinstance(outcome, Written), outcome
    assert outcome.record is not None
    return outcome.record


def _scan(erp, cursor=None, scan=Scan.DELTA):
    pages = list(erp.read("parties", cursor, scan))
    return {record.key: record for page in pages for record in page.records}, pages[-1].cursor


def test_a_check_tells_a_wrong_key_from_a_wrong_database(erp, module_tryton):
    assert erp.check("parties").ok
    params = {"database": "nobody"}
    wrong = open_system(
        load_manifest(SHIPPED / "tryton.yaml", params),
        Connection(module_tryton.url, password=module_tryton.key),
        _now,
    )
    assert "params" in wrong.check("parties").detail
    manifest = load_manifest(SHIPPED / "tryton.yaml", {"database": module_tryton.database})
    stranger = open_system(manifest, Connection(module_tryton.url, password="no"), _now)
    assert "credentials" in stranger.check("parties").detail


def test_a_party_is_made_with_its_children_and_found_by_its_correlation_key(erp):
    command = _create(
        name="Zoé O'Brien",
        active=True,
        lang={"code": "fr"},
        contact_mechanisms=[{"type": "email", "value": "Zoe@example.org"}],
        addresses=[{"street": "Main St 1\nBox 2", "postal_code": "1000", "city": "Brussels"}],
    )
    (first,) = erp.write([command])
    (second,) = erp.write([command])
    document = first.record.document
    assert document["name"] == "Zoé O'Brien"
    assert document["code"] == command.correlation
    assert document["lang"]["code"] == "fr"
    assert [c["value"] for c in document["contact_mechanisms"]] == ["Zoe@example.org"]
    assert document["addresses"][0]["street"] == "Main St 1\nBox 2"
    assert second == Written(first.key, first.record, existed=True)
    assert list(erp.find("parties", command)) == [first.record]
    assert _scan(erp)[0][first.key] == first.record


def test_children_are_written_one_by_one(erp):
    record = _made(
        erp,
        name="Ada",
        contact_mechanisms=[
            {"type": "email", "value": "ada@example.org"},
            {"type": "phone", "value": "+32 2 555 01 01"},
        ],
        addresses=[{"city": "Gent"}],
    )
    email, phone = copy.deepcopy(record.document["contact_mechanisms"])
    email["value"] = "ada.new@example.org"
    mobile = {"type": "mobile", "value": "+32 470 12 34 56"}
    command = _update(record, name="Ada B", contact_mechanisms=[email, mobile], addresses=[])
    (outcome,) = erp.write([command])
    held = outcome.record.document
    assert held["name"] == "Ada B"
    assert held["addresses"] == []
    kept, added = held["contact_mechanisms"]
    assert (kept["id"], kept["value"]) == (email["id"], "ada.new@example.org")
    assert added["value"].startswith("+32 470")
    assert phone["id"] not in {item["id"] for item in held["contact_mechanisms"]}
    assert erp.fetch("parties", [record.key])[record.key] == outcome.record


@pytest.mark.parametrize("child", ["contact_mechanisms", "addresses", "identifiers"])
def test_a_child_that_is_edited_alone_comes_in_a_delta(erp, module_tryton, child):
    record = _made(
        erp,
        name="Grace",
        contact_mechanisms=[{"type": "email", "value": "grace@example.org"}],
        addresses=[{"city": "Gent"}],
        identifiers=[{"type": None, "code": "G-1"}],
    )
    _, cursor = _scan(erp)
    field = {"contact_mechanisms": "value", "addresses": "city", "identifiers": "code"}[child]
    model = {
        "contact_mechanisms": "party.contact_mechanism",
        "addresses": "party.address",
        "identifiers": "party.identifier",
    }[child]
    key = record.document[child][0]["id"]
    client = TrytonClient(module_tryton)
    client.model(model, "write", [key], {field: "edited-alone@example.org"})
    client.close()
    changed, _ = _scan(erp, cursor)
    assert changed[record.key].document[child][0][field] == "edited-alone@example.org"
    assert changed[record.key].stamp > record.stamp


def test_an_inactive_party_is_read_and_cannot_be_edited(erp):
    record = _made(erp, name="Sleeper")
    (asleep,) = erp.write([_update(record, active=False)])
    assert asleep.record.document["active"] is False
    assert erp.fetch("parties", [record.key])[record.key] == asleep.record
    (refused,) = erp.write([_update(asleep.record, name="Woken")])
    assert isinstance(refused, Refused)
    assert "Sleeper" not in refused.reason
    (awake,) = erp.write([_update(asleep.record, active=True)])
    assert awake.record.document["active"] is True


def test_a_deleted_party_is_gone(erp):
    record = _made(erp, name="Gone")
    delete = WriteCommand("w", "parties", record.key, record.document, {}, "CRM-0")
    assert isinstance(erp.write([delete])[0], Written)
    assert erp.fetch("parties", [record.key]) == {record.key: None}
    assert erp.write([_update(record, name="Back")]) == [Gone()]
    assert record.key not in _scan(erp, None, Scan.FULL)[0]


def test_a_wrong_value_is_refused_without_repeating_it(erp):
    record = _made(erp, name="Belgian")
    wrong = [{"type": "be_vat", "code": "BE-WRONG-42"}]
    (refused,) = erp.write([_update(record, identifiers=wrong)])
    assert isinstance(refused, Refused)
    assert "WRONG" not in refused.reason
    (unknown,) = erp.write([_update(record, lang={"code": "xx-nowhere"})])
    assert unknown == Refused("The system knows no such code here.", "lang", missing=True)


def test_what_a_write_sends_is_written_in_one_piece(erp):
    record = _made(erp, name="Whole", contact_mechanisms=[{"type": "phone", "value": "+32 2 1"}])
    broken = [*record.document["contact_mechanisms"], {"type": "nonsense", "value": "x"}]
    (refused,) = erp.write([_update(record, name="Half", contact_mechanisms=broken)])
    assert isinstance(refused, Refused)
    assert erp.fetch("parties", [record.key])[record.key] == record

"""The shipped Mailman manifest against a real Mailman."""

import copy
from datetime import UTC, datetime

import pytest

from connectors.contract import Gone, Refused, Scan, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.demo.desks import MailmanDesk
from examples.peers import MailmanClient

pytestmark = pytest.mark.e2e


@pytest.fixture
def lists(module_mailman):
    manifest = load_manifest(
        SHIPPED / "mailman.yaml", {"list": module_mailman.list_id, "page_size": 2}
    )
    connection = Connection(
        module_mailman.url.removesuffix("/3.1"), module_mailman.user_name, module_mailman.password
    )
    system = open_system(manifest, connection, lambda: datetime.now(UTC))
    yield system
    system.close()


def _create(email, *, member=True, name="Ada"):
    after = {"display_name": name, "addresses": [{"email": email}]}
    after["member"] = {"delivery_mode": "regular"} if member else None
    return WriteCommand("w", "subscribers", None, {}, after, f"CRM-{email}")


def _made(lists, email, **options):
    (outcome,) = lists.write([_create(email, **options)])
    assert isinstance(outcome, Written), outcome
    assert outcome.record is not None
    return outcome.record


def _update(lists, record, **changes):
    after = copy.deepcopy(record.document) | changes
    command = WriteCommand("w", "subscribers", record.key, record.document, after, "CRM-0")
    (outcome,) = lists.write([command])
    return outcome


def _scan(lists):
    pages = list(lists.read("subscribers", None, Scan.DELTA))
    assert {page.scan for page in pages} == {Scan.FULL}
    return {record.key: record for page in pages for record in page.records}


def test_a_check_shows_a_missing_list_and_wrong_credentials(lists, module_mailman):
    assert lists.check("subscribers").ok
    url = module_mailman.url.removesuffix("/3.1")
    manifest = load_manifest(SHIPPED / "mailman.yaml", {"list": "none.lists.example.org"})
    right = Connection(url, module_mailman.user_name, module_mailman.password)
    missing = open_system(manifest, right, lambda: datetime.now(UTC))
    assert "params" in missing.check("subscribers").detail
    stranger = open_system(manifest, Connection(url, "x", "y"), lambda: datetime.now(UTC))
    assert "credentials" in stranger.check("subscribers").detail


def test_a_scan_and_a_fetch_give_the_same_documents(lists):
    made = [_made(lists, f"same{i}@example.org", member=i % 2 == 0) for i in range(5)]
    scanned = _scan(lists)
    assert lists.fetch("subscribers", list(scanned)) == scanned
    for record in made:
        assert scanned[record.key] == record
    assert scanned[made[0].key].document["member"]["email"] == "same0@example.org"
    assert scanned[made[1].key].document["member"] is None


def test_no_password_hash_leaves_the_system(lists):
    record = _made(lists, "hash@example.org", member=False)
    assert set(record.document) == {"user_id", "display_name", "addresses", "member"}


@pytest.mark.parametrize("member", [True, False])
def test_a_create_that_comes_twice_makes_one_user(lists, member):
    email = f"Twice-{member}@Example.org"
    first = _made(lists, email, member=member)
    assert first.document["addresses"] == [{"email": email.lower()}]
    (second,) = lists.write([_create(email, member=member)])
    assert second == Written(first.key, first, existed=True)


def test_a_changed_address_keeps_the_membership(lists):
    record = _made(lists, "old@example.org")
    outcome = _update(lists, record, addresses=[{"email": "new@example.org"}], display_name="Eva")
    held = outcome.record.document
    assert held["display_name"] == "Eva"
    assert held["addresses"] == [{"email": "new@example.org"}]
    assert held["member"] == record.document["member"] | {"email": "new@example.org"}
    assert _scan(lists)[record.key] == outcome.record


def test_an_address_change_that_broke_off_is_finished_by_the_next_attempt(lists, module_mailman):
    record = _made(lists, "before@example.org")
    # The first step took effect, and then the worker died: the new address is there, unverified.
    client = MailmanClient(module_mailman)
    client.post(f"/users/{record.key}/addresses", email="afterwards@example.org")
    client.close()
    now = lists.fetch("subscribers", [record.key])[record.key]
    outcome = _update(lists, now, addresses=[{"email": "afterwards@example.org"}])
    assert outcome.record.document["addresses"] == [{"email": "afterwards@example.org"}]
    assert outcome.record.document["member"]["email"] == "afterwards@example.org"


def test_unsubscribing_keeps_the_user_and_subscribing_brings_the_membership_back(lists):
    record = _made(lists, "inout@example.org")
    out = _update(lists, record, member=None)
    assert out.record.document == record.document | {"member": None}
    back = _update(lists, out.record, member={})
    assert back.record.document["member"]["email"] == "inout@example.org"


def test_a_new_name_shows_in_the_roster_too(lists, module_mailman):
    record = _made(lists, "renamed@example.org", name="Old Name")
    _update(lists, record, display_name="New Name")
    with MailmanDesk(module_mailman) as desk:
        member = desk.member("renamed@example.org")
    assert member is not None
    assert member["display_name"] == "New Name"


def test_a_name_can_be_emptied(lists):
    record = _made(lists, "noname@example.org")
    outcome = _update(lists, record, display_name="")
    assert "display_name" not in outcome.record.document


def test_an_address_of_somebody_else_is_refused(lists):
    _made(lists, "taken@example.org", member=False)
    record = _made(lists, "wants@example.org")
    wanted = [*record.document["addresses"], {"email": "taken@example.org"}]
    outcome = _update(lists, record, addresses=wanted)
    assert isinstance(outcome, Refused)
    assert "taken" not in outcome.reason
    assert lists.fetch("subscribers", [record.key])[record.key] == record


def test_a_deleted_user_is_gone(lists):
    record = _made(lists, "gone@example.org")
    delete = WriteCommand("w", "subscribers", record.key, record.document, {}, "CRM-0")
    assert lists.write([delete]) == [Written(record.key)]
    assert lists.fetch("subscribers", [record.key]) == {record.key: None}
    assert _update(lists, record, display_name="Back") == Gone()

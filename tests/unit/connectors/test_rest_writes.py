"""Writes of several steps, joins and sub-requests: Mailman's manifest against scripted answers."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses

from connectors.contract import Refused, Retry, Scan, Unknown, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection

URL = "http://lists.test/3.1"
USER = {"user_id": "u1", "self_link": f"{URL}/users/u1", "display_name": "Ada", "password": "$x$"}
OLD = {"email": "old@example.org", "user": f"{URL}/users/u1", "registered_on": "1"}
NEW = {"email": "new@example.org", "user": f"{URL}/users/u1", "registered_on": "2"}
MEMBER = {"member_id": "m1", "email": "old@example.org", "user": f"{URL}/users/u1"}
BEFORE = {
    "user_id": "u1",
    "display_name": "Ada",
    "addresses": [{"email": "old@example.org"}],
    "member": {"member_id": "m1", "email": "old@example.org"},
}
MOVE = {**BEFORE, "addresses": [{"email": "new@example.org"}]}


@pytest.fixture
def web():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def lists():
    manifest = load_manifest(SHIPPED / "mailman.yaml", {"list": "news", "page_size": 2})
    ticks = itertools.count()
    start = datetime(2026, 5, 1, tzinfo=UTC)
    connection = Connection("http://lists.test", "u", "p")
    return open_system(manifest, connection, lambda: start + timedelta(seconds=next(ticks)))


def _entries(*rows):
    return {"start": 0, "total_size": len(rows), "entries": list(rows)}


def _update(after, before=BEFORE):
    return WriteCommand("w", "subscribers", "u1", before, after, "CRM-1")


def _sent(web):
    return [f"{c.request.method} {c.request.url.removeprefix(URL)}" for c in web.calls]


def _readable(web, *addresses):
    web.get(f"{URL}/users/u1", json=USER)
    web.get(f"{URL}/users/u1/addresses", json=_entries(*addresses))
    web.post(f"{URL}/members/find", json=_entries(MEMBER))


def test_the_steps_of_a_moved_address_come_in_their_order(web, lists):
    web.post(f"{URL}/users/u1/addresses", status=201)
    web.post(f"{URL}/addresses/new%40example.org/verify", status=204)
    web.patch(f"{URL}/members/m1", status=204)
    web.delete(f"{URL}/addresses/old%40example.org", status=204)
    _readable(web, NEW)
    (outcome,) = lists.write([_update(MOVE)])
    assert isinstance(outcome, Written)
    assert _sent(web)[:5] == [
        "POST /users/u1/addresses",
        "POST /addresses/new%40example.org/verify",
        "POST /addresses/new%40example.org/verify",
        "PATCH /members/m1",
        "DELETE /addresses/old%40example.org",
    ]


@pytest.mark.parametrize(
    ("status", "kind"), [(503, Retry), (400, Refused), (500, Unknown), (404, Retry)]
)
def test_a_later_step_that_fails_does_not_say_that_nothing_was_written(web, lists, status, kind):
    web.post(f"{URL}/users/u1/addresses", status=201)
    web.post(f"{URL}/addresses/new%40example.org/verify", status=204)
    web.patch(f"{URL}/members/m1", status=status, json={"description": "new@example.org is bad"})
    (outcome,) = lists.write([_update(MOVE)])
    assert isinstance(outcome, kind)
    if kind is not Unknown:
        assert "took effect" in outcome.reason
        assert outcome.partial
    assert "example.org" not in outcome.reason
    assert not any(sent.startswith("DELETE") for sent in _sent(web))


def test_the_first_step_that_fails_is_told_as_it_is(web, lists):
    web.post(f"{URL}/users/u1/addresses", status=503, headers={"Retry-After": "9"})
    (outcome,) = lists.write([_update(MOVE)])
    assert outcome == Retry(
        "POST /users/{key}/addresses answered 503.", timedelta(seconds=9), limited=True
    )


def test_what_no_step_writes_is_refused_before_anything_is_sent(web, lists):
    (outcome,) = lists.write([_update({**BEFORE, "display_name": "Eva", "language": "fr"})])
    assert outcome == Refused("The manifest has no step that writes this.", "language")
    assert not web.calls


def test_a_name_alone_changes_the_user_and_the_address_that_the_roster_shows(web, lists):
    web.patch(f"{URL}/users/u1", status=204)
    web.patch(f"{URL}/addresses/old%40example.org", status=204)
    _readable(web, OLD)
    (outcome,) = lists.write([_update({**BEFORE, "display_name": "Eva"})])
    assert isinstance(outcome, Written)
    assert _sent(web)[:2] == ["PATCH /users/u1", "PATCH /addresses/old%40example.org"]
    assert [call.request.body for call in list(web.calls)[:2]] == [b"display_name=Eva"] * 2
    assert not any(sent.startswith(("PATCH /members", "DELETE")) for sent in _sent(web))


def test_a_create_whose_record_is_not_found_afterwards_is_unknown(web, lists):
    web.post(f"{URL}/members", status=201)
    web.get(f"{URL}/addresses/a%40b.example/user", status=404)
    after: dict[str, Any] = {"addresses": [{"email": "a@b.example"}], "member": {}}
    (outcome,) = lists.write([WriteCommand("w", "subscribers", None, {}, after, "CRM-1")])
    assert isinstance(outcome, Unknown)


def test_a_create_without_an_address_is_refused_and_names_the_path(web, lists):
    after: dict[str, Any] = {"display_name": "Ada", "addresses": [], "member": None}
    (outcome,) = lists.write([WriteCommand("w", "subscribers", None, {}, after, "CRM-1")])
    assert isinstance(outcome, Refused)
    assert outcome.path == "after.addresses.0.email"
    assert not web.calls


def test_a_full_scan_joins_and_is_as_old_as_its_oldest_answer(web, lists):
    loner = {"user_id": "u2", "self_link": f"{URL}/users/u2"}
    web.get(f"{URL}/addresses", json=_entries(OLD, {"email": "stray@example.org"}))
    web.get(f"{URL}/lists/news/roster/member", json=_entries(MEMBER))
    web.get(f"{URL}/users", json=_entries(USER, loner))
    (page,) = lists.read("subscribers", None, Scan.FULL)
    assert [record.document for record in page.records] == [
        BEFORE,
        {"user_id": "u2", "addresses": [], "member": None},
    ]
    assert len(web.calls) == 3
    assert page.ended - page.started >= timedelta(seconds=1)
    assert page.started == datetime(2026, 5, 1, tzinfo=UTC)


def test_a_side_row_that_cannot_be_read_keeps_its_record_for_repair(web, lists):
    rows = json.dumps(_entries(OLD, NEW)).encode().replace(b"new@", b"\xff@")
    web.get(f"{URL}/addresses", body=rows)
    web.get(f"{URL}/lists/news/roster/member", json=_entries())
    web.get(f"{URL}/users", json=_entries(USER))
    (page,) = lists.read("subscribers", None, Scan.FULL)
    assert page.records == ()
    assert [(reject.key, reject.reason) for reject in page.rejects] == [
        ("u1", "The record's addresses cannot be read.")
    ]

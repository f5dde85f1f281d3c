"""Fields that a desk keeps as a list of named values, values that stand for nothing, and times written another way."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from connectors.contract import Scan, Stale, WriteCommand, Written
from connectors.registry import load_manifest, open_system
from connectors.runtime.connection import Connection
from connectors.yamlfile import ConfigurationMistakes

URL = "http://desk.test"
MANIFEST = """
system: desk
kind: rest
title: Desk
params:
  key_field: {about: The field with our key., default: 1}
http: {message: message}
streams:
  tickets:
    key: {at: id, type: integer}
    stamp: {at: [updated], since: "%Y-%m-%d %H:%M:%S"}
    etag: header
    keep: [id, subject, owner, fields, status]
    named: {fields: {by: id, value: values.0}}
    alias: {owner: owner.login}
    nothing: {owner: nobody, subject: ""}
    read: {call: GET /tickets, delta: {query: {since: "{since}"}, overlap: 0}}
    fetch: {call: "GET /tickets/{key}"}
    writes:
      create:
        - call: POST /tickets
          body: {fields: {"${key_field}": "{correlation}"}}
          send: [subject, owner, fields]
          key_at: id
      update:
        - {call: "PUT /tickets/{key}", send: [subject, owner, fields]}
      actions:
        status:
          closed: {from: [open], steps: [{call: "PUT /tickets/{key}", body: {status: closed}}]}
    guard: etag
"""


class Desk:
    """One ticket, and a version that each write moves. ``meanwhile`` happens before the next write is looked at."""

    def __init__(self, web):
        self.ticket: dict[str, Any] = {"id": 7, "subject": "", "owner": {"login": "nobody"}}
        self.ticket |= {"status": "open", "updated": "2026-05-01T10:00:00Z"}
        self.fields: dict[str, list[Any]] = {"1": ["K-1"], "2": ["phone", "fax"], "3": []}
        self.version, self.sent, self.since, self.meanwhile = 1, [], [], lambda: None
        for method in (responses.GET, responses.POST, responses.PUT):
            web.add_callback(method, url=re.compile(f"{URL}/.*"), callback=self)

    def move(self, **changes):
        self.ticket |= changes
        self.version += 1

    def __call__(self, request):
        shown = {**self.ticket, "fields": [{"id": n, "values": v} for n, v in self.fields.items()]}
        version = {"ETag": f'"{self.version}"'}
        if request.method == "GET":
            self.since += [request.params["since"]] if "since" in request.params else []
            one = re.search(r"/tickets/", request.url)
            return 200, version if one else {}, json.dumps(shown if one else [shown])
        self.meanwhile()
        self.meanwhile = lambda: None
        wanted = request.headers.get("If-Match")
        if wanted is not None and wanted != f'"{self.version}"':
            return 412, {}, "{}"
        body = json.loads(request.body)
        self.sent.append((request.method, json.loads(request.body)))
        self.fields |= {
            n: [] if v is None else [v] for n, v in (body.pop("fields", None) or {}).items()
        }
        if "owner" in body:
            body["owner"] = {"login": body["owner"]}
        self.move(**body)
        return 200, {}, json.dumps({"id": 7})


@pytest.fixture
def desk():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield Desk(web)


@pytest.fixture
def manifest():
    return MANIFEST


@pytest.fixture
def system(desk, tmp_path, manifest):
    path = tmp_path / "desk.yaml"
    path.write_text(manifest)
    connector = open_system(load_manifest(path), Connection(URL), lambda: datetime.now(UTC))
    yield connector
    connector.close()


def update(system, **changes):
    record = system.fetch("tickets", ["7"])["7"]
    after = {**record.document, **changes}
    command = WriteCommand("w", "tickets", "7", record.document, after, "CRM-1", record.etag)
    (outcome,) = system.write([command])
    return outcome


def test_named_values_are_an_object_and_what_stands_for_nothing_is_absent(system):
    record = system.fetch("tickets", ["7"])["7"]
    assert record.document == {
        "id": 7,
        "fields": {"1": "K-1", "2": "phone", "3": None},
        "status": "open",
    }
    (page,) = system.read("tickets", None, Scan.FULL)
    assert [row.document for row in page.records] == [record.document]


def test_of_named_values_only_those_that_differ_are_written(system, desk):
    outcome = update(system, fields={"1": "K-1", "2": "phone", "3": "complaint"})
    assert desk.sent == [("PUT", {"fields": {"3": "complaint"}})]
    assert desk.fields["2"] == ["phone", "fax"]
    assert outcome.record.document["fields"]["3"] == "complaint"
    update(system, fields={"1": "K-1", "2": None, "3": "complaint"})
    assert desk.sent[-1] == ("PUT", {"fields": {"2": None}})


def test_what_is_emptied_is_written_as_the_value_that_stands_for_nothing(system, desk):
    assert update(system, owner="ada", subject="Hi").record.document["owner"] == "ada"
    outcome = update(system, owner=None, subject=None)
    assert desk.sent[-1] == ("PUT", {"owner": "nobody", "subject": ""})
    assert outcome.record.document.keys() == {"id", "fields", "status"}


def test_a_param_may_be_a_key(system, desk):
    command = WriteCommand("w", "tickets", None, {}, {"fields": {"2": "web"}}, "CRM-9")
    assert isinstance(system.write([command])[0], Written)
    assert desk.sent == [("POST", {"fields": {"1": "CRM-9", "2": "web"}})]


def test_a_key_that_is_no_param_is_told(tmp_path):
    path = tmp_path / "desk.yaml"
    path.write_text(MANIFEST.replace('"${key_field}"', '"${kye_field}"'))
    with pytest.raises(ConfigurationMistakes, match=r"'kye_field'.*allowed: key_field"):
        load_manifest(path)


def test_since_is_written_as_the_system_wants_it(system, desk):
    (page,) = system.read("tickets", None, Scan.FULL)
    list(system.read("tickets", page.cursor, Scan.DELTA))
    assert desk.since == ["2026-05-01 10:00:00"]


def _versioned(shape):
    update = 'PUT /tickets/{key}", '
    text = MANIFEST.replace(update + "send", update + 'body: {version: "{etag}"}, send')
    return text.replace("etag: header", f"etag: {shape}")


@pytest.mark.parametrize(
    ("manifest", "sent"),
    [(_versioned("version"), "3"), (_versioned("{at: version, type: integer}"), 3)],
)
def test_a_version_in_the_body_is_text_or_a_number_as_declared(system, desk, sent):
    desk.move(version=3)
    assert isinstance(update(system, subject="Hi"), Written)
    assert desk.sent == [("PUT", {"version": sent, "subject": "Hi"})]


def test_an_action_is_guarded_by_the_version_that_was_read_before_it(system, desk):
    outcome = update(system, subject="Done", status="closed")
    assert isinstance(outcome, Written)
    assert desk.ticket["status"] == "closed"
    assert desk.sent == [("PUT", {"subject": "Done"}), ("PUT", {"status": "closed"})]


def test_an_edit_between_the_look_and_the_action_is_not_overwritten(system, desk):
    desk.meanwhile = lambda: desk.move(status="waiting")
    assert update(system, status="closed") == Stale()
    assert desk.ticket["status"] == "waiting"

"""The shipped Request Tracker manifest against Debian's Request Tracker."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from connectors.contract import Guard, Refused, Scan, Stale, WriteCommand, Written
from connectors.errors import BadCredentials
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.peers.tracker import params

pytestmark = pytest.mark.debian
_numbers = itertools.count(1)


def _open(server, fields, password=None):
    manifest = load_manifest(SHIPPED / "request_tracker.yaml", params(fields))
    connection = Connection(server.url, server.user_name, password or server.password)
    return open_system(manifest, connection, lambda: datetime.now(UTC))


@pytest.fixture(scope="module")
def desk(server, fields):
    system = _open(server, fields)
    yield system
    system.close()


def _write(desk, stream, key, before, after, etag=None):
    number = next(_numbers)
    command = WriteCommand("w", stream, key, before, after, f"CRM-{number}", etag)
    (outcome,) = desk.write([command])
    return outcome, command


def _made(desk, stream, **after):
    outcome, command = _write(desk, stream, None, {}, after)
    assert isinstance(outcome, Written), outcome
    assert outcome.record is not None
    return outcome.record, command


def _update(desk, stream, record, etag=None, **changes):
    after = {**record.document, **changes}
    return _write(desk, stream, record.key, record.document, after, etag or record.etag)[0]


def _user(desk, **more):
    mail = f"user{next(_numbers)}@example.org"
    return _made(desk, "users", **{"EmailAddress": mail, "RealName": "Ada Example", **more})[0]


def _ticket(desk, **more):
    user = _user(desk)
    return _made(desk, "tickets", Requestor=int(user.key), Subject="Broken widget", **more)


def _read(desk, stream, cursor=None, scan=Scan.FULL):
    pages = list(desk.read(stream, cursor, scan))
    assert pages[-1].complete
    assert not any(page.rejects for page in pages)
    return {record.key: record for page in pages for record in page.records}, pages[-1].cursor


def test_a_user_is_read_as_it_was_written(desk):
    record, command = _made(
        desk, "users", RealName="Zoë O'Brien", EmailAddress="zoe@example.org", City="Gent"
    )
    assert record.document == command.after
    assert record.etag
    listed = _read(desk, "users")[0][record.key]
    assert (listed.document, listed.etag) == (record.document, None)
    assert desk.find("users", command) == [listed]


def test_who_has_this_address_already_is_bound(desk):
    first = _user(desk, EmailAddress="twice@example.org")
    outcome, _ = _write(desk, "users", None, {}, {"EmailAddress": "Twice@example.org"})
    assert isinstance(outcome, Written)
    assert (outcome.key, outcome.existed) == (first.key, True)


def test_employees_and_the_systems_own_users_are_no_customers(desk, agent):
    nobody = agent.user(Name="caller", RealName="Without an address")
    names = {record.document.get("RealName") for record in _read(desk, "users")[0].values()}
    assert "Without an address" in names
    assert not names & {"Enoch Root", "Nobody in particular", "The RT System itself"}
    assert desk.fetch("users", [str(nobody)])[str(nobody)].document == {
        "RealName": "Without an address"
    }


def test_what_is_emptied_is_empty_there_and_absent_here(desk):
    record = _user(desk, WorkPhone="+3225551212")
    outcome = _update(desk, "users", record, WorkPhone=None, City="Gent")
    after = {**record.document, "City": "Gent"}
    del after["WorkPhone"]
    assert outcome.record.document == after
    assert _read(desk, "users")[0][record.key].document == after


def test_a_users_edit_is_guarded(desk, agent):
    record = _user(desk)
    agent.call("PUT", f"/user/{record.key}", {"RealName": "By an agent"})
    assert _update(desk, "users", record, RealName="Late") == Stale()
    fresh = desk.fetch("users", [record.key])[record.key]
    assert fresh.document["RealName"] == "By an agent"
    assert isinstance(_update(desk, "users", fresh, RealName="In time"), Written)


def test_a_disabled_user_is_gone(desk, agent):
    record = _user(desk)
    agent.call("DELETE", f"/user/{record.key}")
    assert record.key not in _read(desk, "users")[0]
    assert desk.fetch("users", [record.key]) == {record.key: None}


def test_a_ticket_that_came_by_mail_names_its_requestor(desk, agent, fields):
    number = str(agent.open("It broke", "new@example.org", Content="In pieces"))
    record = desk.fetch("tickets", [number])[number]
    users = _read(desk, "users")[0]
    assert users[str(record.document["Requestor"])].document == {"EmailAddress": "new@example.org"}
    assert record.document["CustomFields"] == {
        str(fields["Key"]): None,
        str(fields["Number"]): None,
        str(fields["Channel"]): "email",
        str(fields["Kind"]): None,
    }
    assert record.document.keys() == {"Requestor", "CustomFields", "Created", "Status", "Subject"}
    listed, cursor = _read(desk, "tickets")
    assert listed[number].document == record.document
    assert record.etag
    agent.edit(int(number), Subject="It broke again")
    changed, _ = _read(desk, "tickets", cursor, Scan.DELTA)
    assert changed[number].document == {**record.document, "Subject": "It broke again"}


def test_a_ticket_is_made_once_and_found(desk, agent, fields):
    kind = str(fields["Kind"])
    record, command = _ticket(
        desk, CustomFields={kind: "complaint"}, Content="In pieces", Started="2026-01-02T10:00:00Z"
    )
    assert [found.key for found in desk.find("tickets", command)] == [record.key]
    held = {**command.after, "Created": record.document["Created"], "Status": "new"}
    del held["Content"]
    assert record.document.pop("CustomFields") == {
        str(fields["Key"]): command.correlation,
        str(fields["Number"]): None,
        str(fields["Channel"]): "email",
        kind: "complaint",
    }
    assert record.document == {name: held[name] for name in held if name != "CustomFields"}
    assert len(agent.tickets(f"CF.{{{fields['Key']}}} = '{command.correlation}'")) == 1


def test_only_what_differs_is_written_of_the_custom_fields(desk, fields):
    record, _ = _ticket(desk)
    kind, number = str(fields["Kind"]), str(fields["Number"])
    now = {**record.document["CustomFields"], kind: "enquiry", number: "B-1"}
    record = _update(desk, "tickets", record, CustomFields=now).record
    assert record.document["CustomFields"] == now
    record = _update(desk, "tickets", record, CustomFields={**now, kind: None}).record
    assert record.document["CustomFields"] == {**now, kind: None}


def test_a_ticket_of_nobody_is_refused(desk):
    outcome, _ = _write(desk, "tickets", None, {}, {"Subject": "Whose?"})
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize("status", ["open", "stalled", "resolved", "rejected"])
def test_a_new_ticket_has_the_status_that_it_is_to_have(desk, status):
    record, _ = _ticket(desk, Status=status)
    assert record.document["Status"] == ("new" if status == "open" else status)


def test_status_and_subject_change_in_one_delivery(desk):
    record, _ = _ticket(desk)
    done = _update(desk, "tickets", record, Status="resolved", Subject="Mended").record
    assert (done.document["Status"], done.document["Subject"]) == ("resolved", "Mended")
    assert done.document["Resolved"] > "2026"
    again = _update(desk, "tickets", done, Status="open").record
    assert again.document["Status"] == "open"


def test_an_edit_of_a_ticket_is_guarded_and_so_is_its_status(desk, agent):
    record, _ = _ticket(desk)
    agent.reply(int(record.key), "We look into it.")
    assert _update(desk, "tickets", record, Subject="Late") == Stale()
    answered = desk.fetch("tickets", [record.key])[record.key]
    assert answered.document["Subject"] == "Broken widget"
    assert answered.document["Started"] > "2026"
    assert isinstance(_update(desk, "tickets", answered, Subject="In time"), Written)


def test_another_requestor_and_an_owner_who_is_unknown(desk):
    record, _ = _ticket(desk)
    other = int(_user(desk).key)
    outcome = _update(desk, "tickets", record, Requestor=other, Owner="Nobody knows")
    assert outcome.record.document == {**record.document, "Requestor": other}
    outcome = _update(desk, "tickets", outcome.record, Owner="hub")
    assert outcome.record.document["Owner"] == "hub"
    outcome = _update(desk, "tickets", outcome.record, Owner=None)
    assert "Owner" not in outcome.record.document


def test_a_merged_ticket_answers_with_the_survivor(desk, agent):
    lost, kept = _ticket(desk)[0].key, _ticket(desk)[0].key
    agent.edit(int(lost), MergeInto=kept)
    found = desk.fetch("tickets", [lost])[lost]
    assert (found.deleted, found.merged_into) == (True, kept)
    assert lost not in _read(desk, "tickets")[0]


def test_a_deleted_ticket_is_gone(desk, agent):
    record, _ = _ticket(desk)
    agent.call("DELETE", f"/ticket/{record.key}")
    assert record.key not in _read(desk, "tickets")[0]
    assert desk.fetch("tickets", [record.key, "999999"]) == {record.key: None, "999999": None}


def test_a_reply_is_read_with_its_ticket_and_what_was_written(desk, agent):
    ticket, command = _ticket(desk)
    agent.reply(int(ticket.key), "We look into it.\nTomorrow.")
    listed, cursor = _read(desk, "replies")
    (reply,) = [one for one in listed.values() if one.document["ObjectId"] == ticket.key]
    (user,) = agent.ticket(int(ticket.key))["Requestor"]
    assert reply.document == {
        "ObjectId": ticket.key,
        "Creator": "hub",
        "Created": reply.document["Created"],
        "customer": command.after["Requestor"],
        "requestor": user["id"],
        "subject": "Broken widget",
        "text": "We look into it.\nTomorrow.",
    }
    assert desk.fetch("replies", [reply.key, "1"]) == {reply.key: reply, "1": None}
    assert _read(desk, "replies", cursor, Scan.DELTA)[0][reply.key] == reply


def test_a_reply_is_made_once_and_found(desk):
    ticket, _ = _ticket(desk)
    reply, command = _made(desk, "replies", ObjectId=ticket.key, text="It is on its way.")
    assert (reply.document["ObjectId"], reply.document["text"]) == (
        ticket.key,
        "It is on its way.",
    )
    assert desk.find("replies", command) == [reply]
    assert desk.fetch("tickets", [ticket.key])[ticket.key].document["Status"] == "open"


def test_a_wrong_password_is_told(desk, server, fields):
    assert desk.check("tickets").ok
    assert desk.capabilities("tickets").guard is Guard.ETAG
    stranger = _open(server, fields, "wrong-secret")
    detail = stranger.check("tickets").detail
    assert "login and password" in detail
    assert "wrong-secret" not in detail
    with pytest.raises(BadCredentials):
        list(stranger.read("users", None, Scan.FULL))
    stranger.close()

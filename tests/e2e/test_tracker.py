"""A service desk (Debian's Request Tracker) and a back office over SOAP: what one hears of a customer, the other knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest

from connectors.runtime.connection import Connection
from connectors.testing.proxy import Proxy
from examples import peers
from examples.peers.tracker import Agent, RequestTracker, params
from tests.e2e.stage import Hub, deployed

pytestmark = pytest.mark.debian
EVERYBODY = {"create": "everybody"}


ANSWERED = {"create": {"when": {"part_of": "present", "direction": "outbound"}}}
REGISTER = """
system: register
kind: files
title: Register of answers
streams:
  answers:
    key: [number]
    read: {files: "answers*.csv", settle: 0}
"""
ANSWERS = """
entity: interaction
fields:
  customer: {at: customer, as: {reference: {whole: true}}}
  part_of: {at: about, as: {reference: {whole: true}}}
  number: number
  direction: {const: outbound}
  text: text
"""


class DeskStage:
    """Both systems. People go to them directly, the hub to the desk through a proxy.

    With a ``register`` there is a third one: a folder with answers that were written elsewhere.
    """

    register: Path | None = None

    def __init__(self, desk: RequestTracker, office: peers.BackOffice) -> None:
        self.desk, self.office = desk, office
        self.agent, self.clerk = Agent(desk), peers.Clerk(office)
        self.fields = self.agent.fields()
        self.to_desk = Proxy(desk.port, searches=r"/users$")
        self._people = 0
        self.forget_calls()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.to_desk.close()

    def connections(self) -> dict[str, Connection]:
        register = {} if self.register is None else {"register": Connection(self.register.as_uri())}
        return register | {
            "desk": Connection(self.to_desk.url, self.desk.user_name, self.desk.password),
            "office": Connection(self.office.url, self.office.user_name, self.office.password),
        }

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]:
        found: dict[str, Any] = {
            "office": {
                "system": "backoffice",
                "connection": "office",
                "join": join,
                "streams": {"customers": EVERYBODY, "interactions": EVERYBODY},
            },
            "desk": {
                "system": "request_tracker",
                "connection": "desk",
                "join": join,
                "params": params(self.fields) | {"overlap": 2},
                "streams": {"users": EVERYBODY, "tickets": EVERYBODY},
            },
        }
        if self.register is not None:
            streams = {"answers": {"direction": "read"}}
            found["desk"]["streams"]["replies"] = ANSWERED
            found["register"] = {"system": "register", "connection": "register", "join": join}
            found["register"]["streams"] = streams
        return found

    def forget_calls(self) -> None:
        self.to_desk.clear()
        self._office = self._kept()

    @property
    def writes(self) -> list[Any]:
        """What the hub wrote to the desk, and what became another in the office."""
        now = self._kept()
        changed = [
            key for key in now.keys() | self._office if now.get(key) != self._office.get(key)
        ]
        return [*self.to_desk.writes, *changed]

    def _kept(self) -> dict[tuple[str, str], Any]:
        every = {what: self.clerk.all(what) for what in ("customers", "interactions")}
        return {(what, key): row for what, rows in every.items() for key, row in rows.items()}

    def customer(self) -> tuple[int, str]:
        """Somebody new whom the office knows: number and address."""
        self._people += 1
        email = f"caller{self._people}@example.org"
        made = self.clerk.add(name=f"Caller Number{self._people}", email=email)
        return int(made["number"]), email

    def contacts(self, customer: int) -> list[dict[str, Any]]:
        """What the office knows of a customer's contacts."""
        every = self.clerk.all("interactions").values()
        return [contact for contact in every if contact["customerNumber"] == customer]

    def requestor(self, ticket: dict[str, Any]) -> dict[str, Any]:
        """Whose a ticket is."""
        [user] = ticket["Requestor"]
        found: dict[str, Any] = self.agent.call("GET", f"/user/{user['id']}")
        return found

    def field(self, ticket: dict[str, Any], name: str) -> Any:
        """The value of one of a ticket's custom fields."""
        [values] = [field["values"] for field in ticket["CustomFields"] if field["name"] == name]
        return values[0] if values else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskStage]:
    with (
        RequestTracker(tmp_path_factory.mktemp("desk")) as desk,
        peers.BackOffice(tmp_path_factory.mktemp("office")) as office,
        DeskStage(desk, office) as found,
    ):
        yield found


@pytest.fixture
def hub(stage: DeskStage, tmp_path: Path) -> Iterator[Hub]:
    with deployed(stage, tmp_path / "hub") as found:
        yield found


def test_a_mail_to_the_desk_is_known_to_the_office_under_the_customer_who_wrote(
    stage: DeskStage, hub: Hub
) -> None:
    customer, email = stage.customer()
    ticket = stage.agent.open("The kettle leaks", email, Content="It is wet.")
    hub.sync()
    hub.sync()
    [contact] = stage.contacts(customer)
    said = ("channel", "direction", "subject")
    assert [contact[name] for name in said] == ["email", "inbound", "The kettle leaks"]
    assert stage.requestor(stage.agent.ticket(ticket))["RealName"].startswith("Caller")
    hub.assert_at_rest()

    stage.agent.reply(ticket, "A new one is on its way.")
    stage.agent.edit(ticket, Owner="hub", Status="resolved")
    hub.sync()
    [contact] = stage.contacts(customer)
    shown = stage.agent.ticket(ticket)
    assert _time(contact["firstAnswered"]) == _time(shown["Started"])
    assert _time(contact["closed"]) == _time(shown["Resolved"])
    assert contact["employee"] == "hub"
    hub.assert_at_rest()


def test_a_complaint_by_phone_becomes_a_ticket_and_is_closed_where_it_is_mended(
    stage: DeskStage, hub: Hub
) -> None:
    customer, email = stage.customer()
    contact = stage.clerk.add(
        "interactions",
        customerNumber=customer,
        reference="B-1",
        channel="phone",
        direction="inbound",
        kind="complaint",
        subject="No heat",
        opened="2026-11-02T09:00:00Z",
    )
    hub.sync()
    hub.sync()
    [number] = stage.agent.tickets("Subject = 'No heat'")
    ticket = stage.agent.ticket(number)
    assert stage.requestor(ticket)["EmailAddress"] == email
    assert [stage.field(ticket, name) for name in ("Number", "Channel", "Kind")] == [
        "B-1",
        "phone",
        "complaint",
    ]
    hub.assert_at_rest()

    stage.agent.edit(number, Subject="No heat at all")
    stage.clerk.edit(contact["id"], "interactions", firstAnswered="2026-11-02T10:00:00Z")
    hub.sync()
    hub.sync()
    [now] = stage.contacts(customer)
    assert now["subject"] == "No heat at all"
    opened = _time("2026-11-02T09:00:00Z")
    assert _time(now["opened"]) == opened, "when it was opened is the office's affair"
    assert stage.agent.ticket(number)["Started"] == "2026-11-02T10:00:00Z"
    hub.assert_at_rest()


def test_an_edit_between_the_hubs_look_and_its_write_survives(stage: DeskStage, hub: Hub) -> None:
    customer, email = stage.customer()
    ticket = stage.agent.open("Which colours are there?", email)
    hub.sync()
    hub.sync()
    [contact] = stage.contacts(customer)
    stage.clerk.edit(contact["id"], "interactions", kind="enquiry")
    stage.to_desk.before(
        "PUT",
        f"/ticket/{ticket}$",
        lambda: stage.agent.edit(ticket, Subject="Which sizes are there?"),
    )
    hub.sync()
    assert not stage.to_desk.losing
    assert 412 in [call.status for call in stage.to_desk.writes], "the ETag was of an older state"
    hub.clock.pass_by(60)
    hub.sync()
    shown = stage.agent.ticket(ticket)
    assert (shown["Subject"], stage.field(shown, "Kind")) == ("Which sizes are there?", "enquiry")
    [contact] = stage.contacts(customer)
    assert contact["subject"] == "Which sizes are there?"
    hub.assert_at_rest()


def test_a_ticket_whose_answer_is_lost_is_made_once(stage: DeskStage, hub: Hub) -> None:
    customer, _ = stage.customer()
    hub.sync()
    hub.sync()
    stage.forget_calls()
    stage.clerk.add(
        "interactions", customerNumber=customer, reference="B-2", subject="Once", channel="letter"
    )
    stage.to_desk.lose("answer", "POST", "/ticket$")
    hub.sync()
    assert not stage.to_desk.losing
    hub.restart()
    hub.clock.pass_by(60)
    hub.sync()
    assert len(stage.agent.tickets("Subject = 'Once'")) == 1
    assert stage.to_desk.written["POST /REST/{}/ticket"] == 1
    hub.assert_at_rest()


def test_replies_are_parts_of_their_ticket_whoever_answers(
    stage: DeskStage, tmp_path: Path
) -> None:
    home, stage.register = tmp_path / "hub", tmp_path / "register"
    stage.register.mkdir()
    for name, text in {"systems/register": REGISTER, "mappings/register/answers": ANSWERS}.items():
        (home / f"{name}.yaml").parent.mkdir(parents=True)
        (home / f"{name}.yaml").write_text(text)
    customer, email = stage.customer()
    ticket = stage.agent.open("Where is it?", email)
    stage.agent.reply(ticket, "On its way.")
    with deployed(stage, home) as hub:
        hub.sync()
        hub.sync()
        said = {contact["direction"]: contact for contact in stage.contacts(customer)}
        assert said.keys() == {"inbound", "outbound"}
        assert (said["outbound"]["subject"], said["outbound"]["employee"]) == (
            "Where is it?",
            "hub",
        )
        [reply] = stage.agent.replies(ticket)
        golden = hub.golden(f"desk/replies/{reply}")
        assert (golden["part_of"], golden["text"]) == (f"desk/tickets/{ticket}", "On its way.")
        hub.assert_at_rest()

        user = stage.requestor(stage.agent.ticket(ticket))["id"]
        rows = "customer,about,number,text\n"
        rows += f"desk/users/{user},desk/tickets/{ticket},A-1,It will be there on Monday.\n"
        (stage.register / "answers-1.csv").write_text(rows)
        stage.to_desk.lose("answer", "POST", "/correspond$")
        hub.sync()
        assert not stage.to_desk.losing
        hub.restart()
        hub.clock.pass_by(60)
        hub.sync()
        [_, answer] = stage.agent.replies(ticket)
        assert hub.golden(f"desk/replies/{answer}")["number"] == "A-1"
        hub.sync()
        hub.assert_at_rest()
    stage.register = None

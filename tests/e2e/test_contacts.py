"""Calls and letters that a call centre exports, known to a back office over SOAP under the right customer.

The office is npm's server on Node, and PHP's in `make test-debian`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.runtime.connection import Connection
from crm_master import bootstrap, entrypoints
from examples import peers

pytestmark = pytest.mark.e2e
CALLS = "call_id;customer;direction;reason;topic;agent;started;ended\n"


class Centre:
    """A back office, a shared folder, and a hub between them."""

    def __init__(self, office: peers.BackOffice, folder: Path, home: Path) -> None:
        self.clerk, self.folder = peers.Clerk(office), folder
        everybody = {"create": "everybody"}
        systems = {
            "office": {
                "system": "backoffice",
                "connection": "office",
                "join": "auto",
                "streams": {"customers": everybody, "interactions": everybody},
            },
            "calls": {
                "system": "callcentre",
                "connection": "calls",
                "join": "auto",
                "params": {"settle": 0},
                "streams": {"customers": everybody, "calls": {"direction": "read"}},
            },
        }
        hub = {"name": "centre", "rank": list(systems), "systems": systems}
        home.mkdir()
        (home / "hub.yaml").write_text(yaml.safe_dump(hub), encoding="utf-8")
        at = {
            "office": Connection(office.url, office.user_name, office.password),
            "calls": Connection(folder.as_uri()),
        }
        self.app = bootstrap.open_app(home, at.__getitem__, {})
        entrypoints.init(self.app)

    def sync(self) -> None:
        entrypoints.sync(self.app)

    def export(self, name: str, *rows: str) -> None:
        (self.folder / name).write_text(CALLS + "".join(f"{row}\n" for row in rows), "cp1252")

    def numbers(self) -> dict[str, str]:
        """The numbers under which the dialler knows customers, by name."""
        with (self.folder / "customers.csv").open(encoding="utf-8-sig", newline="") as file:
            return {row["name"]: row["number"] for row in csv.DictReader(file, delimiter=";")}


@pytest.fixture
def centre(office: peers.BackOffice, tmp_path: Path) -> Iterator[Centre]:
    folder = tmp_path / "shared"
    folder.mkdir()
    made = Centre(office, folder, tmp_path / "hub")
    yield made
    made.app.store.close()


def test_a_call_is_known_to_the_office_under_the_customer_who_called(centre: Centre) -> None:
    ann: dict[str, Any] = centre.clerk.add(name="Ann Peeters")
    centre.clerk.add(name="Bob Claes")
    centre.sync()
    number = centre.numbers()["Ann Peeters"]
    centre.export(
        "calls-1.csv",
        f"C-1;{number};in;complaint;The kettle leaks;Zoë;2026-11-02 09:00:00;2026-11-02 09:10:00",
    )
    centre.sync()
    [contact] = centre.clerk.all("interactions").values()
    assert contact["customerNumber"] == ann["number"]
    assert (contact["reference"], contact["channel"], contact["kind"]) == (
        "C-1",
        "phone",
        "complaint",
    )
    assert (contact["subject"], contact["employee"]) == ("The kettle leaks", "Zoë")

    centre.clerk.edit(contact["id"], "interactions", firstAnswered="2026-11-02T10:00:00Z")
    centre.sync()
    shown = entrypoints.show(centre.app, "calls/calls/C-1")["fields"]
    assert shown["answered_at"]["value"] == "2026-11-02T10:00:00Z"
    assert shown["opened_at"]["value"] == "2026-11-02T08:00:00Z"
    before = centre.clerk.all("interactions"), centre.clerk.all(), centre.numbers()
    centre.sync()
    assert (centre.clerk.all("interactions"), centre.clerk.all(), centre.numbers()) == before
    assert entrypoints.verify(centre.app).converged


def test_a_call_of_somebody_unknown_waits_until_they_are_known(centre: Centre) -> None:
    centre.clerk.add(name="Ann Peeters")
    centre.sync()
    centre.export(
        "calls-1.csv", "C-2;CRM-unknown;in;enquiry;Opening hours;Zoe;2026-11-02 09:00:00;"
    )
    centre.sync()
    assert centre.clerk.all("interactions") == {}
    assert entrypoints.status(centre.app)["facts_waiting"] == {"interaction": 1}

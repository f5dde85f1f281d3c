"""The first sync of all four kinds together: an ERP (Tryton), a mailing list (Mailman), a web shop (Vendure), a back office
over SOAP, and a folder of files. They know many of the same people, and spell them in their own ways.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.runtime.connection import Connection
from connectors.testing.proxy import Proxy
from examples import peers
from examples.demo.seed import Seeded, seed
from tests.e2e.shop_stage import CUSTOMERS, OrderStage
from tests.e2e.stage import PARTIES, SUBSCRIBERS, Hub, deployed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
WITH_EMAIL = {"when": {"email": "present"}}


class CompanyStage(OrderStage):
    """All of them; whoever has an e-mail address is made wherever they are not."""

    def __init__(
        self,
        erp: peers.Tryton,
        lists: peers.Mailman,
        shop: peers.Vendure,
        office: peers.BackOffice,
        folder: Path,
    ) -> None:
        super().__init__(erp, lists, shop)
        self.office, self.folder = office, folder
        self.to_office = Proxy(office.port, searches=r"/(List|Get|Find)\w+$")
        self.agent = peers.Clerk(office)

    def close(self) -> None:
        self.to_office.close()
        super().close()

    def connections(self) -> dict[str, Connection]:
        return super().connections() | {
            "office": Connection(self.to_office.url, self.office.user_name, self.office.password),
            "calls": Connection(self.folder.as_uri()),
        }

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]:
        customers = {"create": WITH_EMAIL}
        return super().systems(join, create_in_erp) | {
            "office": {
                "system": "backoffice",
                "connection": "office",
                "join": join,
                "streams": {"customers": customers, "interactions": {"create": "everybody"}},
            },
            "calls": {
                "system": "callcentre",
                "connection": "calls",
                "join": join,
                "params": {"settle": 0},
                "streams": {"customers": customers, "calls": {"direction": "read"}},
            },
        }

    def forget_calls(self) -> None:
        self.to_office.clear()
        super().forget_calls()

    @property
    def writes(self) -> list[Any]:
        return [*super().writes, *self.to_office.writes]

    def dialler(self) -> list[str]:
        """The names in the file that the hub keeps for the call centre."""
        with (self.folder / "customers.csv").open(encoding="utf-8-sig", newline="") as file:
            return [row["name"] for row in csv.DictReader(file, delimiter=";")]


@pytest.fixture(scope="module")
def stage(
    module_tryton: peers.Tryton,
    module_mailman: peers.Mailman,
    module_vendure: peers.Vendure,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CompanyStage]:
    folder = tmp_path_factory.mktemp("shared")
    systems = (module_tryton, module_mailman, module_vendure)
    with (
        peers.BackOffice(tmp_path_factory.mktemp("office")) as office,
        CompanyStage(*systems, office, folder) as found,
    ):
        yield found


@pytest.fixture
def hub(stage: CompanyStage, tmp_path: Path) -> Iterator[Hub]:
    with deployed(stage, tmp_path / "hub", create_in_erp=WITH_EMAIL) as found:
        yield found


def test_everybody_is_in_each_system_once_and_the_second_round_writes_nothing(
    stage: CompanyStage, hub: Hub
) -> None:
    systems = (stage.erp, stage.lists, stage.shop, stage.office)
    seeded = seed(*systems, number=5, tryton=10, mailman=9, both=5)
    everywhere = seeded.parties.keys() & (seeded.shoppers.keys() | seeded.contacts.keys())
    assert everywhere & seeded.members.keys(), "somebody is in three of them"
    hub.sync()
    stage.forget_calls()
    hub.sync()
    assert stage.writes == []

    customers = customers_of(seeded, stage, hub)
    assert len(set(customers.values())) == len(seeded.people), "nobody is two, no two are one"
    held = len(seeded.people)
    assert stage.clerk.count() == len(stage.seller.everybody()) == held
    assert len(stage.agent.all()) == len(stage.dialler()) == held
    agreed = [
        person.number
        for person in seeded.people
        if hub.golden(customers[person.number]).get("consent_email", {}).get("status") == "granted"
    ]
    assert stage.owner.count() == len(agreed)
    assert seeded.members.keys() <= set(agreed)
    hub.assert_at_rest()


def customers_of(seeded: Seeded, stage: CompanyStage, hub: Hub) -> dict[int, str]:
    """Whose everybody's records are; each person's belong to one customer."""
    found: dict[int, str] = {}
    for person in seeded.people:
        number = person.number
        named = [
            f"{stream}/{keys[number]}"
            for stream, keys in (
                (PARTIES, seeded.parties),
                (CUSTOMERS, seeded.shoppers),
                ("office/customers", seeded.contacts),
            )
            if number in keys
        ]
        if number in seeded.members:
            emails = filter(None, (person.email, person.second_email))
            named += {f"{SUBSCRIBERS}/{stage.user_id(of)}" for of in emails if stage.owner.user(of)}
        owners = {hub.show(name)["customer"] for name in named}
        assert len(owners) == 1, f"{named}: all of one"
        found[number] = owners.pop()
    return found

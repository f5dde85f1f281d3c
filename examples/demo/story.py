"""The customer of the demo: how four systems know her, and what happens to her."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from examples.demo.stage import Company

EMAIL = "marie.peeters@example.org"
GOODS = {"W-1": 2, "G-1": 1}
COMPLAINT = "The gadget arrived broken"
_CALLS = "call_id;customer;direction;reason;topic;agent;started;ended\n"
_BRUSSELS = ZoneInfo("Europe/Brussels")

Row = tuple[Any, ...]


class Marie:
    """Typed in at four desks by four people. Nobody of them has all of her."""

    def __init__(self, company: Company) -> None:
        self._company = company
        home = {"streetLine1": "Kerkstraat 1", "city": "Gent", "postalCode": "9000"}
        self.shopper = company.seller.add("marie-claire", "peeters", EMAIL.upper())
        company.seller.add_address(self.shopper, **home, defaultShippingAddress=True)
        company.owner.subscribe("Marie.Peeters@Example.org", "M. Peeters")
        phones = {"phone": [{"kind": "phone", "number": "02/555.12.34"}]}
        self.contact = int(company.agent.add(name="PEETERS, Marie-Claire", phones=phones)["number"])
        self.party = company.clerk.add("Marie-Claire Peeters", email=EMAIL, phone="+32 2 555 12 34")

    @property
    def in_erp(self) -> str:
        """Her record in the ERP, as Concord names it."""
        return f"erp/parties/{self.party}"

    def everywhere(self) -> list[Row]:
        """What each system holds of her now: system, name, e-mail, phone, city."""
        company = self._company
        party, shopper = company.clerk.card(self.party), company.seller.card(EMAIL)
        (home,) = shopper["addresses"]
        user = company.owner.user(EMAIL) or {}
        contact = company.agent.all()[str(self.contact)]
        phones, homes = contact["phones"]["phone"], contact["addresses"]["address"]
        rows: list[Row] = [
            ("Tryton", party.name, _first(party.emails), _first(party.phones), party.city),
            (
                "Vendure",
                f"{shopper['firstName']} + {shopper['lastName']}",
                shopper["emailAddress"],
                shopper["phoneNumber"],
                home["city"],
            ),
            (
                "back office",
                contact["name"],
                contact.get("email"),
                phones[0]["number"],
                homes[0]["city"] if homes else None,
            ),
            ("Mailman", user.get("display_name"), EMAIL),
        ]
        return [tuple(value or "–" for value in (*row, "", "")[:5]) for row in rows]

    def order(self) -> str:
        """She orders in the shop, and pays; the order's id."""
        return self._company.orders.place(self.shopper, GOODS)

    def complain(self) -> str:
        """She calls; tonight the call centre exports its calls. The customer's number, as the agent saw it."""
        with (self._company.shared / "customers.csv").open(
            encoding="utf-8-sig", newline=""
        ) as file:
            (number,) = (
                row["number"]
                for row in csv.DictReader(file, delimiter=";")
                if row["email"] == EMAIL
            )
        ended = datetime.now(UTC).astimezone(_BRUSSELS).replace(microsecond=0, tzinfo=None)
        row = (
            *("C-1", number, "in", "complaint", COMPLAINT, "Zoë"),
            *(str(ended - timedelta(minutes=7)), str(ended)),
        )
        export = self._company.shared / f"calls-{ended:%Y-%m-%d}.csv"
        export.write_text(_CALLS + ";".join(row) + "\n", encoding="cp1252")
        return number

    def contacts(self) -> list[dict[str, Any]]:
        """What the back office knows of her calls."""
        every = self._company.agent.all("interactions").values()
        return [one for one in every if one["customerNumber"] == self.contact]

    def change_phone(self, *, in_erp: str, in_shop: str) -> None:
        """A clerk changes her number, and she another way, before anybody is read again."""
        self._company.clerk.change_phone(self.party, in_erp)
        self._company.seller.edit(self.shopper, phoneNumber=in_shop)


def _first(values: tuple[str, ...]) -> str:
    return values[0] if values else ""

"""Fills running systems with overlapping, messy, invented customers.

    with peers.tryton() as erp, peers.mailman() as lists:
        seeded = seed(erp, lists)

What was learned of the systems on the way:

- Tryton takes a list of records in one `create`, children included; 240 parties in one call.
- Without the library `phonenumbers` in its environment Tryton keeps telephone numbers as typed and
  repeats them in `value_compact`; with it, `value` becomes the international form, `value_compact`
  the E.164 form, and a local number is refused unless an address of the party has a country. The
  country table is empty until somebody imports it, so local numbers then never pass.
- Without `email-validator` Tryton neither checks nor lowers e-mail addresses.
- European VAT numbers are always checked, and a wrong one refuses the whole call.
- Mailman's `POST /users` hashes a password slowly; subscribing an unknown address makes the user
  and the address with the same display name at once, and is many times faster.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from examples.demo.people import Person, messy_email, messy_name, people
from examples.demo.selling import ShopDesk
from examples.peers import BackOffice, Clerk, Mailman, MailmanClient, Tryton, TrytonClient, Vendure

_TRUNK = {"ES": ("+34", ""), "DE": ("+49", "0")}
_FORGOTTEN = 7  # every so many of the numbers from abroad are left as they are dialled there


@dataclass(frozen=True, slots=True)
class Seeded:
    """Who was put where. Each map leads from a person's number to the system's key.

    `duplicates` are parties that somebody made although the person had one already.
    """

    people: list[Person]
    parties: dict[int, int]
    members: dict[int, str]
    duplicates: dict[int, int]
    shoppers: dict[int, str]
    contacts: dict[int, int]

    @property
    def in_both(self) -> list[Person]:
        shared = self.parties.keys() & self.members.keys()
        return [person for person in self.people if person.number in shared]


def seed(
    erp: Tryton,
    lists: Mailman,
    shop: Vendure | None = None,
    office: BackOffice | None = None,
    *,
    number: int = 1,
    tryton: int,
    mailman: int,
    both: int,
    duplicates: int = 0,
) -> Seeded:
    """Put `tryton` people into Tryton and `mailman` into Mailman, `both` of them into both.

    A third of all are in the shop, another third in the back office, if those are given. `duplicates` of those who are in
    both Tryton and Mailman get a second party in Tryton.
    """
    if both > min(tryton, mailman):
        raise ValueError(f"{both} people cannot be in both of {tryton} and {mailman}")
    everybody = people(tryton + mailman - both, number)
    chance = random.Random(number)
    shared = [person for person in everybody[tryton - both : tryton] if not person.is_company]
    # Whoever is not in Tryton may be on the list under a second address, by which nobody else would know them.
    findable = [
        one for one in everybody if one.number < tryton or not (one.second_email or one.is_company)
    ]
    return Seeded(
        people=everybody,
        parties=_fill_tryton(erp, everybody[:tryton], chance),
        members=_fill_mailman(lists, everybody[tryton - both :], chance),
        duplicates=_enter_twice(erp, shared[:duplicates]),
        shoppers=_fill_shop(shop, findable[::3], chance) if shop else {},
        contacts=_fill_office(office, findable[1::3], chance) if office else {},
    )


def _fill_tryton(erp: Tryton, customers: list[Person], chance: random.Random) -> dict[int, int]:
    client = TrytonClient(erp)
    abroad = itertools.count(1)
    try:
        records = [_party(customer, erp.newsletter, chance, abroad) for customer in customers]
        keys: list[int] = client.model("party.party", "create", records)
    finally:
        client.close()
    return {customer.number: key for customer, key in zip(customers, keys, strict=True)}


def _enter_twice(erp: Tryton, customers: list[Person]) -> dict[int, int]:
    """A clerk in a hurry looks nobody up: the same people again, with less of everything."""
    if not customers:
        return {}
    client = TrytonClient(erp)
    try:
        keys: list[int] = client.model(
            "party.party",
            "create",
            [
                {
                    "name": customer.name.upper(),
                    "contact_mechanisms": [
                        ["create", [{"type": "email", "value": customer.email}]]
                    ],
                }
                for customer in customers
            ],
        )
    finally:
        client.close()
    return {customer.number: key for customer, key in zip(customers, keys, strict=True)}


def _party(
    customer: Person, newsletter: int, chance: random.Random, abroad: Iterator[int]
) -> dict[str, Any]:
    mechanisms = [{"type": "email", "value": messy_email(customer.email, chance)}]
    if customer.second_email:
        mechanisms.append({"type": "email", "value": customer.second_email})
    if customer.phone:
        mechanisms.append({"type": "phone", "value": _dialled(customer.phone, customer, abroad)})
    if customer.mobile:
        mechanisms.append({"type": "mobile", "value": _dialled(customer.mobile, customer, abroad)})
    address = {
        "street": customer.street,
        "postal_code": customer.postal_code,
        "city": customer.city,
    }
    name = customer.name if customer.is_company else messy_name(customer.name, chance)
    party: dict[str, Any] = {
        "name": name,
        "contact_mechanisms": [["create", mechanisms]],
        "addresses": [["create", [address]]],
    }
    if customer.vat:
        party["identifiers"] = [["create", [{"type": "eu_vat", "code": customer.vat}]]]
    if chance.random() < 0.4:
        party["categories"] = [["add", [newsletter]]]
    return party


def _dialled(number: str, customer: Person, abroad: Iterator[int]) -> str:
    """The number as a Belgian clerk writes it: with its country, if that is another one and nobody forgot."""
    if customer.country not in _TRUNK or number.startswith(("+", "00")):
        return number
    if next(abroad) % _FORGOTTEN == 0:
        return number
    code, trunk = _TRUNK[customer.country]
    return f"{code} {number.replace('(', '').replace(')', '').removeprefix(trunk)}"


def _fill_mailman(lists: Mailman, customers: list[Person], chance: random.Random) -> dict[int, str]:
    client = MailmanClient(lists)
    members = {}
    try:
        for customer in customers:
            # As people subscribe themselves: their own spelling, and not always their first address.
            use_second = customer.second_email and chance.random() < 0.3
            email = customer.second_email if use_second else customer.email
            name = messy_name(customer.name, chance) if chance.random() < 0.8 else ""
            assert email is not None
            path = client.subscribe(messy_email(email, chance), name)
            members[customer.number] = path.rsplit("/", 1)[-1]
    finally:
        client.close()
    return members


def _fill_shop(shop: Vendure, customers: list[Person], chance: random.Random) -> dict[int, str]:
    desk = ShopDesk(shop)
    shoppers = {}
    for customer in customers:
        # As people register themselves: the shop has two fields for names, and what is in which is up to them.
        first, _, last = messy_name(customer.name, chance).strip().partition(" ")
        shoppers[customer.number] = desk.add(first, last, messy_email(customer.email, chance))
    return shoppers


def _fill_office(
    office: BackOffice, customers: list[Person], chance: random.Random
) -> dict[int, int]:
    desk = Clerk(office)
    contacts = {}
    for customer in customers:
        contact = {"name": messy_name(customer.name, chance)}
        contact["email"] = messy_email(customer.email, chance)
        contacts[customer.number] = int(desk.add(**contact)["number"])
    return contacts

"""What should be true of a trade: whose accounts are whose, and which facts there are. Nothing here is the engine's.

A fact's own values are not kept here: they are what its owner's system holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

SHOP, ERP = "shop", "erp"
ORDERS, SALES = "orders", "sales"
DESK, CALLS = "desk", "calls"
PARTIES = {ORDERS: SHOP, SALES: ERP, DESK: SHOP, CALLS: ERP}
"""Whose customers the parties of a system's facts are."""
OTHER = {ORDERS: SALES, SALES: ORDERS, DESK: CALLS, CALLS: DESK}
"""Where else facts are made."""


@dataclass(eq=False)
class Account:
    """A record of a customer. ``person`` says whose address it was made with; ``customer`` whose it is by now."""

    system: str
    key: str
    person: int
    customer: int
    ours: bool = False
    """The hub has made it."""

    def __str__(self) -> str:
        return f"{self.system}/customers/{self.key}"


@dataclass(eq=False)
class Fact:
    """An order or a ticket: the system in which it was made owns it."""

    number: str
    home: str
    key: str
    wanted: bool = False
    """Whom it is about was known in the other system at some time: there it may be made."""
    said: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of fields that are nobody's own: by system, what people said there last."""


class Truth:
    """The customers and facts of one history."""

    def __init__(self) -> None:
        self.accounts: dict[tuple[str, str], Account] = {}
        self.of: dict[int, int] = {}
        """Person to customer."""
        self.orders: list[Fact] = []
        self.tickets: list[Fact] = []
        self.mixed: set[int] = set()
        """The persons who were ever taken for somebody else."""
        self.stocked = {"A", "B"}
        """The products that the ERP has."""
        self._customers = count(1)

    @property
    def facts(self) -> list[Fact]:
        return [*self.orders, *self.tickets]

    def opened(self, system: str, key: str, person: int) -> Account:
        """Somebody gives a person an account: it is that of the customer with their address (step 5)."""
        customer = self.of.setdefault(person, next(self._customers))
        found = self.accounts[system, key] = Account(system, key, person, customer)
        return found

    def made(self, system: str, key: str, address: str) -> None:
        """The hub makes an account. What it sends is the address of somebody who is that customer."""
        person = int(address.partition("@")[0].removeprefix("c"))
        self.accounts[system, key] = Account(system, key, person, self.of[person], ours=True)

    def merged(self, survivor: Account, absorbed: Account) -> None:
        """Rule 14: everything of one is the other's."""
        kept, gone = survivor.customer, absorbed.customer
        for account in self.of_customer(gone):
            account.customer = kept
        for person, customer in self.of.items():
            if customer in (kept, gone):
                self.of[person] = kept
                self.mixed.add(person)

    def parted(self, person: int) -> None:
        """Rule 15: a person's own accounts are a customer of their own. What the hub has made stays where it is."""
        self.of[person] = next(self._customers)
        for account in self.own(person):
            account.customer = self.of[person]

    def own(self, person: int) -> list[Account]:
        """The accounts that people have made for a person."""
        return [of for of in self.accounts.values() if of.person == person and not of.ours]

    def of_customer(self, customer: int, system: str = "") -> list[Account]:
        return [
            of
            for of in self.accounts.values()
            if of.customer == customer and system in ("", of.system)
        ]

    def buyer(self, home: str, party: object) -> Account | None:
        """Whom a fact is about that names this party; ``None`` while there is no such account."""
        return self.accounts.get((PARTIES[home], str(party)))

    def there(self, home: str, party: object) -> list[Account]:
        """The accounts of the same customer on the other side."""
        buyer = self.buyer(home, party)
        return [] if buyer is None else self.of_customer(buyer.customer, PARTIES[OTHER[home]])

    def lacks(self, home: str, lines: Iterable[Mapping[str, str]]) -> bool:
        """Whether the other system does not have what is ordered (rule 20)."""
        return home == ORDERS and not {line["sku"] for line in lines} <= self.stocked

    def shared(self) -> Iterator[int]:
        """Persons who are taken for one customer with somebody else."""
        for person, customer in self.of.items():
            if list(self.of.values()).count(customer) > 1:
                yield person

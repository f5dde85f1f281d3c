"""Trouble between Concord and two real systems, a shop (Vendure) and a back office over SOAP (npm's server on Node).

A proxy of each answers 429, 500 and 503 itself, before or after the system has done what was asked; resets connections; cuts
answers off, halves them, and lets them wait. What there is afterwards is counted in the systems themselves.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from connectors.runtime.connection import Connection
from connectors.testing.faults import Trouble
from connectors.testing.proxy import PATH_READ_TROUBLES, PATH_WRITE_TROUBLES, Proxy
from crm_master.domain.lifecycle import TaskKind
from examples import peers
from examples.demo.selling import ShopDesk
from tests.e2e.stage import Hub, deployed, through, titled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SHOP, OFFICE = "shop", "office"
ACTION_TROUBLES: Sequence[tuple[Trouble, bool]] = ((500, False), (500, True), ("reset", True))
_ORDER = """
query($id: ID!) { order(id: $id) { code state fulfillments { state } history { items { type data } } } }
"""


class Pair:
    """A shop and a back office that tell each other of every customer; the office carries out what the shop sells."""

    def __init__(self, shop: peers.Vendure, office: peers.BackOffice) -> None:
        self.shop, self.office = shop, office
        self.seller, self.clerk = ShopDesk(shop), peers.Clerk(office)
        self.till = peers.VendureClient(shop)
        self.to_shop = Proxy(shop.port, searches=r"/(query/\w+|mutation/login)$")
        self.to_office = Proxy(office.port, searches=r"/(List|Get|Find)\w+$")
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in (self.to_shop, self.to_office):
            proxy.close()

    def connections(self) -> dict[str, Connection]:
        return {
            SHOP: Connection(self.to_shop.url, self.shop.user_name, self.shop.password),
            OFFICE: Connection(self.to_office.url, self.office.user_name, self.office.password),
        }

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]:
        customers = {"create": {"when": {"email": "present"}}}
        orders = {SHOP: {}, OFFICE: {"create": "everybody"}}
        return {
            name: {
                "system": system,
                "connection": name,
                "join": join,
                "streams": {"customers": customers, "orders": orders[name]},
            }
            for name, system in ((SHOP, "vendure"), (OFFICE, "backoffice"))
        }

    def forget_calls(self) -> None:
        self.to_shop.clear()
        self.to_office.clear()

    @property
    def writes(self) -> list[Any]:
        return [*self.to_shop.writes, *self.to_office.writes]

    def nobody(self) -> tuple[str, str]:
        """Name and address of somebody whom no system knows."""
        number = next(self._numbers)
        return f"Trouble{number} Shooter", f"trouble{number}@example.org"

    def order(self, key: str) -> dict[str, Any]:
        """An order in the shop, with all that has happened to it there."""
        found: dict[str, Any] = self.till(_ORDER, id=key)["order"]
        return found

    def sale(self, number: str) -> dict[str, Any]:
        """The one order in the office with the number that the shop gave it."""
        (sale,) = (of for of in self.clerk.all("orders").values() if of["reference"] == number)
        return sale

    def contacts(self, email: str) -> list[dict[str, Any]]:
        """Everybody in the office with this address."""
        every = self.clerk.all().values()
        return [one for one in every if str(one.get("email")).lower() == email]


@pytest.fixture(scope="module")
def pair(module_vendure: peers.Vendure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        peers.BackOffice(tmp_path_factory.mktemp("office")) as office,
        Pair(module_vendure, office) as found,
    ):
        yield found


@pytest.fixture
def hub(pair: Pair, tmp_path: Path) -> Iterator[Hub]:
    with deployed(pair, tmp_path / "hub") as found:
        found.sync()
        yield found


@pytest.mark.parametrize("system", [SHOP, OFFICE])
def test_whatever_a_read_meets_everything_arrives_once(system: str, pair: Pair, hub: Hub) -> None:
    """The listing, and the look at a record before it is written."""
    proxy = pair.to_shop if system == SHOP else pair.to_office
    reads = {
        SHOP: [r"query/customers$"],
        OFFICE: [r"ListCustomers$", r"GetCustomers$"],
    }[system]
    people = []
    for path, (what, after) in itertools.product(reads, PATH_READ_TROUBLES):
        name, email = pair.nobody()
        first, last = name.split()
        pair.seller.add(first, last, email)
        contact = pair.clerk.add(name=name, email=email)["number"]
        hub.sync()
        pair.clerk.edit(contact, name=f"Dr {name}")
        pair.seller.edit(pair.seller.card(email)["id"], phoneNumber="02 555 12 34")
        proxy.trouble(what, "POST", path, after=after)
        through(hub, proxy)
        people.append((f"Dr {name}", email))
    for name, email in people:
        (card,), (contact,) = pair.seller.cards(email), pair.contacts(email)
        assert f"{card['firstName']} {card['lastName']}" == contact["name"] == name
        assert contact["phones"]["phone"][0]["number"] == "+3225551234"
    hub.assert_at_rest()


@pytest.mark.parametrize("trouble", PATH_WRITE_TROUBLES, ids=titled)
def test_whatever_a_write_to_the_shop_meets_it_happens_once(
    trouble: tuple[Trouble, bool], pair: Pair, hub: Hub
) -> None:
    """A create, the address behind it, and an update."""
    what, after = trouble
    name, email = "", ""
    for path in (r"createCustomer$", r"createCustomerAddress$"):
        name, email = pair.nobody()
        homes = {"address": [{"kind": "invoice", "street": "Kerkstraat 1", "city": "Gent"}]}
        pair.clerk.add(name=name, email=email, addresses=homes)
        pair.to_shop.trouble(what, "POST", path, after=after)
        through(hub, pair.to_shop)
        (card,) = pair.seller.cards(email)
        assert [home["city"] for home in card["addresses"]] == ["Gent"]
    (contact,) = pair.contacts(email)
    pair.clerk.edit(contact["number"], name=f"Dr {name}")
    pair.to_shop.trouble(what, "POST", r"updateCustomer$", after=after)
    through(hub, pair.to_shop)
    (card,) = pair.seller.cards(email)
    assert f"{card['firstName']} {card['lastName']}" == f"Dr {name}"
    assert len(pair.contacts(email)) == 1
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.assert_at_rest()


@pytest.mark.parametrize("trouble", PATH_WRITE_TROUBLES, ids=titled)
def test_whatever_a_write_to_the_office_meets_it_happens_once(
    trouble: tuple[Trouble, bool], pair: Pair, hub: Hub
) -> None:
    what, after = trouble
    name, email = pair.nobody()
    first, last = name.split()
    customer = pair.seller.add(first, last, email)
    pair.to_office.trouble(what, "POST", r"CreateCustomer$", after=after)
    through(hub, pair.to_office)
    assert len(pair.contacts(email)) == 1
    pair.seller.edit(customer, lastName=f"{last}-Noel")
    pair.to_office.trouble(what, "POST", r"UpdateCustomer$", after=after)
    through(hub, pair.to_office)
    (contact,) = pair.contacts(email)
    assert contact["name"] == f"{name}-Noel"
    assert len(pair.seller.cards(email)) == 1
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.assert_at_rest()


@pytest.mark.parametrize("trouble", ACTION_TROUBLES, ids=titled)
def test_whatever_an_action_in_the_shop_meets_it_happens_once(
    trouble: tuple[Trouble, bool], pair: Pair, hub: Hub
) -> None:
    """An order is fulfilled, in two steps, and another is cancelled, because the office says so."""
    what, after = trouble
    name, email = pair.nobody()
    first, last = name.split()
    customer = pair.seller.add(first, last, email)
    shipped = {"delivery": "shipped"}
    steps = {
        r"addFulfillmentToOrder$": ("Shipped", shipped),
        r"transitionFulfillmentToState$": ("Shipped", shipped),
        r"cancelOrder$": ("Cancelled", {"cancellation": "requested"}),
    }
    orders = {path: pair.till.place_order(customer, {"W-1": 1}) for path in steps}
    numbers = {path: pair.order(key)["code"] for path, key in orders.items()}
    hub.sync()
    hub.sync()
    for path, (state, change) in steps.items():
        pair.clerk.edit(pair.sale(numbers[path])["id"], "orders", **change)
        pair.to_shop.trouble(what, "POST", path, after=after)
        through(hub, pair.to_shop)
        order = pair.order(orders[path])
        assert order["state"] == state
        assert [of["state"] for of in order["fulfillments"]] == ["Shipped"] * (state == "Shipped")
        happened = Counter((of["type"], of["data"].get("to")) for of in order["history"]["items"])
        assert set(happened.values()) == {1}, happened
    hub.sync()
    assert pair.sale(numbers[r"cancelOrder$"])["status"] == "cancelled", (
        "the office is told what came of its request"
    )
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.assert_at_rest()

"""Orders of a shop, carried out by a real SOAP back office: what was delivered and what came back is told in the shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

import mappings
from connectors.runtime.connection import Connection
from connectors.testing import Profile, Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.store import Database
from examples import peers
from tests.hubs import FIELDS, MATCH, compiled

pytestmark = pytest.mark.e2e
FIELDS_OF_ORDERS = ("number", "party", "status", "lines", "shipped", "delivered", "returns")
LINES = [{"sku": "A", "quantity": "2"}, {"sku": "B", "quantity": "1"}]
SLIP = {
    "number": "R-1",
    "sku": "A",
    "quantity": "1",
    "at": "2026-11-20T10:00:00Z",
    "reason": "Torn",
}
BOOKED = {**{k: v for k, v in SLIP.items() if k != "at"}, "received": SLIP["at"]}
ORDERS = {
    "customer": {"at": "party", "as": {"reference": {"system": "shop", "stream": "customers"}}},
    "number": "number",
    "status": {"at": "status", "as": "enum"},
    "lines": {
        "at": "lines[*]",
        "each": {"sku": "sku", "quantity": {"at": "quantity", "as": "decimal"}},
    },
    "fulfilment.status": {"at": "shipped", "as": "enum"},
    "delivered_at": {"at": "delivered", "as": "datetime"},
    "returns": {
        "at": "returns[*]",
        "each": {
            "number": "number",
            "sku": "sku",
            "quantity": {"at": "quantity", "as": "decimal"},
            "at": {"at": "at", "as": "datetime"},
            "reason": "reason",
        },
    },
}


class Company:
    """A shop, as two simulated systems for its customers and its orders, and the office that carries them out."""

    def __init__(self, office: peers.BackOffice, folder: Path) -> None:
        self.clerk = peers.Clerk(office)
        self.shop = Simulator(Profile(name="shop")).start()
        self.orders = Simulator(
            Profile(name="orders", fields=FIELDS_OF_ORDERS, unique=("ref", "number"))
        ).start()
        at = {
            "shop": self.shop.connection,
            "orders": self.orders.connection,
            "office": Connection(office.url, office.user_name, office.password),
        }
        everybody: dict[str, Any] = {"create": "everybody"}
        own: dict[str, Any] = {"customers": {}}
        streams = {
            "shop": own,
            "orders": own,
            "office": dict.fromkeys(("customers", "orders"), everybody),
        }
        hub = {
            "name": "company",
            "rank": list(at),
            "systems": {
                name: {
                    "system": "backoffice" if name == "office" else name,
                    "connection": name,
                    "join": "auto",
                    "streams": streams[name],
                }
                for name in at
            },
        }
        shipped = Path(mappings.__file__).parent / "policies" / "order.yaml"
        policy = yaml.safe_load(shipped.read_text(encoding="utf-8"))
        fulfiller = {"rule": "owner", "owner": "office"}
        policy["fields"] |= dict.fromkeys(("fulfilment", "delivered_at", "returns"), fulfiller)
        files = {
            "hub.yaml": hub,
            "policies/customer.yaml": {"entity": "customer", "match": MATCH},
            "policies/order.yaml": policy,
            "mappings/shop/customers.yaml": {"entity": "customer", "fields": dict(FIELDS)},
            "mappings/orders/customers.yaml": {"entity": "order", "fields": ORDERS},
        }
        texts = {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}
        for system in (self.shop, self.orders):
            texts[f"systems/{system.profile.name}.yaml"] = system.profile.manifest()
        database = Database(f"sqlite:///{folder / 'master.db'}")
        self.app = App(Path(), compiled(texts), database, at.__getitem__)
        entrypoints.init(self.app)

    def sync(self) -> int:
        """One round; how much was delivered in it."""
        runs: list[entrypoints.Ran] = []
        entrypoints.sync(self.app, report=runs.append)
        return sum(sum(run.counts.values()) for run in runs if run.verb == "deliver")

    def close(self) -> None:
        for name in ("shop", "orders", "office"):
            self.app.connect(name).close()  # type: ignore[attr-defined]
        self.app.store.close()
        for system in (self.shop, self.orders):
            system.stop()


@pytest.fixture
def company(office, tmp_path):
    made = Company(office, tmp_path)
    yield made
    made.close()


@pytest.fixture
def ordered(company):
    """An order that the office has, under the customer who ordered: its key in the shop, and in the office."""
    company.clerk.add(name="Bob", email="bob@example.org")
    ann = company.shop.add(name="Ann", email="ann@example.org")
    key = company.orders.add(number="S-1", party=ann, status="placed", lines=LINES, returns=[])
    company.sync()
    company.sync()
    [sale] = company.clerk.all("orders").values()
    [known] = [of for of in company.clerk.all().values() if of["email"] == "ann@example.org"]
    assert (sale["customerNumber"], sale["reference"]) == (known["number"], "S-1")
    assert [(of["sku"], float(of["quantity"])) for of in sale["lines"]["line"]] == [
        ("A", 2),
        ("B", 1),
    ]
    return key, sale["id"]


def test_what_comes_back_to_the_office_is_told_in_the_shop(company, ordered):
    key, sale = ordered
    delivered = {"delivery": "returned", "delivered": "2026-11-18T10:00:00Z"}
    company.clerk.edit(sale, "orders", **delivered, returns={"item": [BOOKED]})
    company.sync()
    assert company.orders.field(key, "returns") == [SLIP]
    assert company.orders.field(key, "shipped") == "returned"
    assert company.orders.field(key, "delivered") == "2026-11-18T10:00:00Z"
    with company.app.store.engine.connect() as connection:
        [row] = connection.execute(sa.text("SELECT * FROM v_order_returns")).mappings()
        [order] = connection.execute(sa.text("SELECT id FROM v_orders")).scalars()
    assert dict(row) == {"order_id": order, **SLIP}
    company.sync()
    assert company.sync() == 0, "a further round writes nothing"
    assert entrypoints.verify(company.app).converged


def test_returns_are_the_offices_who_takes_them_back(company, ordered):
    key, sale = ordered
    company.clerk.edit(sale, "orders", returns={"item": [BOOKED]})
    company.sync()
    company.orders.edit(key, returns=[{**SLIP, "quantity": "2"}])
    company.sync()
    assert company.orders.field(key, "returns") == [SLIP], "the shop's word is put right"
    assert "returns" in {task.get("field") for task in entrypoints.tasks(company.app)}
    second = {**BOOKED, "number": "R-2", "sku": "B", "reason": None}
    company.clerk.edit(sale, "orders", returns={"item": [BOOKED, second]})
    company.sync()
    assert [of["number"] for of in company.orders.field(key, "returns")] == ["R-1", "R-2"]
    company.sync()
    assert company.sync() == 0


def test_a_return_that_only_the_shop_books_counts_nowhere(company, ordered):
    key, sale = ordered
    company.orders.edit(key, returns=[SLIP])
    company.sync()
    assert "returns" not in company.clerk.all("orders")[str(sale)]
    assert (
        entrypoints.show(company.app, f"orders/customers/{key}")["fields"]["returns"]["value"]
        is None
    )
    assert "returns" in {task.get("field") for task in entrypoints.tasks(company.app)}

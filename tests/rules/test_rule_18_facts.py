"""RULES 18: orders and interactions are facts about customers, owned per field group and made nowhere before their customer.

Two shops' customers and orders are four simulated systems: real servers, which count what is written to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.testing import Profile, Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.store import Database
from tests.defects.hub import Clock
from tests.hubs import FIELDS, MATCH, compiled

ORDER_FIELDS = ("number", "party", "status", "shipped", "lines")
ORDERS: Mapping[str, Any] = {
    "number": "number",
    "status": {"at": "status", "as": "enum"},
    "fulfilment.status": {"at": "shipped", "as": "enum"},
    "lines": {
        "at": "lines[*]",
        "each": {"sku": "sku", "quantity": {"at": "quantity", "as": "decimal"}},
    },
}
SHIPPED_POLICY = Path("mappings/policies/order.yaml")


class Trade:
    """A shop and an ERP, each with customers and orders; orders made in the shop are made in the ERP."""

    def __init__(self, folder: Path, *, erp_customers: Any = "everybody") -> None:
        self.clock = Clock()
        names = ("erp", "shop", "sales", "orders")
        self.systems = {
            name: Simulator(
                Profile(name=name)
                if name in ("erp", "shop")
                else Profile(name=name, fields=ORDER_FIELDS, unique=("ref", "number")),
                self.clock.time,
            ).start()
            for name in names
        }
        create = {"erp": erp_customers, "sales": "everybody"}
        hub = {
            "name": "trade",
            "rank": list(names),
            "systems": {
                name: {
                    "system": name,
                    "connection": name,
                    "join": "auto",
                    "streams": {"customers": {"create": create.get(name, "nobody")}},
                }
                for name in names
            },
        }
        policy = yaml.safe_load(SHIPPED_POLICY.read_text(encoding="utf-8"))
        policy["fields"]["fulfilment"] = {"rule": "owner", "owner": "sales"}
        files: dict[str, Any] = {
            "hub.yaml": hub,
            "policies/customer.yaml": {"entity": "customer", "match": MATCH},
            "policies/order.yaml": policy,
        }
        for name in ("erp", "shop"):
            files[f"mappings/{name}/customers.yaml"] = {"entity": "customer", "fields": FIELDS}
        for name, of in (("sales", "erp"), ("orders", "shop")):
            party = {"at": "party", "as": {"reference": {"system": of, "stream": "customers"}}}
            fields = {"customer": party, **ORDERS}
            files[f"mappings/{name}/customers.yaml"] = {"entity": "order", "fields": fields}
        texts = {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}
        texts |= {
            f"systems/{n}.yaml": system.profile.manifest() for n, system in self.systems.items()
        }
        self.app = App(
            Path(),
            compiled(texts),
            Database(f"sqlite:///{folder / 'master.db'}"),
            lambda connection: self.systems[connection].connection,
            self.clock,
        )
        entrypoints.init(self.app)

    def __getattr__(self, name: str) -> Simulator:
        return self.__dict__["systems"][name]

    def sync(self, *systems: str) -> None:
        self.clock.sleep(60)
        entrypoints.sync(self.app, systems)

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

    def quiet(self) -> bool:
        """Whether a further round writes nothing anywhere."""
        before = self.writes()
        self.sync()
        return self.writes() == before

    def order(self, key: str) -> dict[str, Any]:
        shown = entrypoints.show(self.app, key)
        return {name: facts["value"] for name, facts in shown["fields"].items()}

    def close(self) -> None:
        self.app.store.close()
        for opened in self.app._open.values():
            opened.close()  # type: ignore[attr-defined]
        for system in self.systems.values():
            system.stop()


@pytest.fixture
def trade(tmp_path: Path) -> Iterator[Trade]:
    made = Trade(tmp_path)
    yield made
    made.close()


def placed(trade: Trade, party: str, number: str = "S-1", **more: Any) -> str:
    lines = [{"sku": "A", "quantity": "2"}, {"sku": "B", "quantity": "1"}]
    return trade.orders.add(number=number, party=party, status="placed", lines=lines, **more)


def only(system: Simulator) -> dict[str, Any]:
    [record] = system.snapshot().values()
    return record


def test_an_order_is_made_elsewhere_under_the_party_that_its_customer_has_there(trade: Trade):
    trade.erp.add(name="Bob", email="bob@example.org")  # keys there and here do not agree
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    placed(trade, ann)
    trade.sync()
    [party] = [k for k, r in trade.erp.records.items() if r["email"] == "ann@example.org"]
    assert party != ann
    sale = only(trade.sales)
    assert (str(sale["party"]), sale["number"]) == (party, "S-1")
    assert [(of["sku"], of["quantity"]) for of in sale["lines"]] == [("A", "2"), ("B", "1")]
    assert trade.quiet()


def test_an_order_is_known_before_its_customer_is_and_made_elsewhere_only_after(trade: Trade):
    placed(trade, "77")
    trade.sync()
    assert trade.order("orders/customers/1")["customer"] == "shop/customers/77"
    assert trade.sales.snapshot() == {}
    assert entrypoints.status(trade.app)["facts_waiting"] == {"order": 1}
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    trade.orders.edit("1", party=ann)
    trade.sync()
    assert only(trade.sales)["number"] == "S-1"
    assert entrypoints.status(trade.app)["facts_waiting"] == {}
    assert trade.quiet()


def test_a_late_customer_lets_the_orders_that_wait_for_them_go_on(trade: Trade):
    placed(trade, "1")
    trade.sync()
    assert trade.sales.snapshot() == {}
    assert trade.shop.add(name="Ann", email="ann@example.org") == "1"
    trade.sync()
    assert only(trade.sales)["number"] == "S-1"
    assert trade.quiet()


def test_an_order_waits_while_its_customer_is_not_made_in_the_target(tmp_path: Path):
    trade = Trade(tmp_path, erp_customers={"when": {"phone": "present"}})
    try:
        ann = trade.shop.add(name="Ann", email="ann@example.org")
        placed(trade, ann)
        trade.sync()
        assert trade.sales.snapshot() == {}
        assert trade.quiet()
        trade.shop.edit(ann, phone="+3225550001")
        trade.sync()
        assert only(trade.sales)["number"] == "S-1"
        assert trade.quiet()
    finally:
        trade.close()


def test_the_originator_owns_header_and_lines_and_the_fulfiller_the_fulfilment(trade: Trade):
    key = placed(trade, trade.shop.add(name="Ann", email="ann@example.org"))
    trade.sync()
    [sale] = trade.sales.records
    lines = trade.sales.field(sale, "lines")
    trade.sales.edit(sale, number="X-9", shipped="shipped", lines=lines[:1])
    trade.orders.edit(key, shipped="open")
    trade.sync()
    trade.sync()
    assert trade.orders.field(key, "shipped") == "shipped"
    assert trade.sales.field(sale, "number") == "S-1"
    assert len(trade.sales.field(sale, "lines")) == 2
    lost = {task.get("field") for task in entrypoints.tasks(trade.app)}
    assert {"number", "lines", "fulfilment"} <= lost
    assert trade.quiet()


def test_an_order_from_the_erp_is_the_erps(trade: Trade):
    party = trade.erp.add(name="Ann", email="ann@example.org")
    sale = trade.sales.add(number="E-1", party=party, status="placed", lines=[])
    key = trade.orders.add(number="E-1", party="", status="placed", lines=[])
    trade.sync()
    trade.orders.edit(key, number="changed")
    trade.sync()
    assert trade.orders.field(key, "number") == "E-1"
    assert trade.sales.field(sale, "number") == "E-1"


def test_a_changed_line_is_written_and_the_other_lines_keep_what_the_target_knows_of_them(
    trade: Trade,
):
    key = placed(trade, trade.shop.add(name="Ann", email="ann@example.org"))
    trade.sync()
    [sale] = trade.sales.records
    trade.orders.edit(key, lines=[{"sku": "A", "quantity": "5"}, {"sku": "B", "quantity": "1"}])
    trade.sync()
    assert [of["quantity"] for of in trade.sales.field(sale, "lines")] == ["5", "1"]
    assert trade.quiet()


def test_orders_follow_their_customer_through_a_merge_and_a_split(trade: Trade):
    first = trade.shop.add(name="Ann", email="ann@example.org")
    trade.sync()  # her party is the older one, and so the primary of both after the merge
    second = trade.shop.add(name="Ann B", email="ann.b@example.org")
    placed(trade, second, "S-2")
    trade.sync()
    parties = {r["email"]: k for k, r in trade.erp.records.items()}
    assert str(only(trade.sales)["party"]) == parties["ann.b@example.org"]
    both = entrypoints.merging(f"shop/customers/{first}", f"shop/customers/{second}")
    entrypoints.link(trade.app, both, author="ann")
    trade.sync()
    # the party that the sale shows is the same customer's: nothing is to be put right
    assert str(only(trade.sales)["party"]) == parties["ann.b@example.org"]
    placed(trade, first, "S-3")
    trade.sync()
    made = {r["number"]: str(r["party"]) for r in trade.sales.snapshot().values()}
    assert made["S-3"] in parties.values()
    assert trade.quiet()

"""RULES 18: orders and interactions are facts, owned per field group, and made nowhere before their customer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_master import entrypoints
from tests.trade import Trade, only, placed


@pytest.fixture
def trade(tmp_path: Path) -> Iterator[Trade]:
    made = Trade(f"sqlite:///{tmp_path / 'master.db'}")
    yield made
    made.close()


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


def test_an_order_that_named_a_customer_before_the_hub_made_them_is_theirs_everywhere(trade: Trade):
    bob = trade.shop.add(name="Bob", email="bob@example.org")
    trade.sync()
    lines = [{"sku": "A", "quantity": "2"}]
    trade.sales.add(number="S-1", party="2", status="placed", lines=lines)
    trade.orders.add(number="S-1", party=bob, status="placed", lines=lines)
    trade.sync()
    assert trade.order("sales/customers/1")["customer"] == "erp/customers/2", (
        "whom nobody knows yet"
    )
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    trade.sync()
    assert trade.erp.field("2", "name") == "Ann"
    trade.sync()
    assert str(only(trade.orders)["party"]) == ann
    assert trade.quiet()


def test_an_order_waits_while_its_customer_is_not_made_in_the_target(tmp_path: Path):
    trade = Trade(
        f"sqlite:///{tmp_path / 'master.db'}", erp_customers={"when": {"phone": "present"}}
    )
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


def test_with_a_customer_their_orders_are_erased_and_stay_out(trade: Trade):
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    bob = trade.shop.add(name="Bob", email="bob@example.org")
    placed(trade, ann, "S-1")
    placed(trade, bob, "S-2")
    trade.sync()
    entrypoints.erase(trade.app, f"shop/customers/{ann}", author="dpo", reason="request 1")
    engine = trade.app.store.engine
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            kept = str(connection.execute(sa.text(f'SELECT * FROM "{table}"')).all())
            assert "S-1" not in kept, table
    placed(trade, ann, "S-3")
    trade.sync()
    trade.sync()
    with engine.connect() as connection:
        numbers = connection.execute(sa.text("SELECT number FROM v_orders")).scalars().all()
        landed = connection.execute(sa.text("SELECT raw FROM observation")).scalars().all()
    assert numbers == ["S-2"]
    assert not [raw for raw in landed if b"S-1" in raw or b"S-3" in raw]
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

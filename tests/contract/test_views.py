"""The SQL views that docs/views.md describes, as a report reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from crm_master import entrypoints
from tests.docs.pages import blocks, pages
from tests.trade import Trade, placed


@pytest.fixture
def trade(empty_url: str) -> Iterator[Trade]:
    made = Trade(empty_url)
    yield made
    made.close()


def rows(trade: Trade, query: str) -> list[dict[str, Any]]:
    with trade.app.store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def test_orders_lines_and_provenance_can_be_read_by_sql(trade: Trade):
    ann = trade.shop.add(name="Ann", email="ann@example.org", city="Ghent")
    placed(trade, ann)
    placed(trade, "99", "S-2")
    trade.sync()
    [customer] = rows(trade, "SELECT * FROM v_customers")
    assert (customer["name"], customer["address_city"]) == ("Ann", "Ghent")
    known, unknown = rows(trade, "SELECT * FROM v_orders ORDER BY number")
    assert (known["number"], known["status"], known["customer"]) == (
        "S-1",
        "placed",
        f"shop/customers/{ann}",
    )
    assert (known["customer_id"], unknown["customer_id"]) == (customer["id"], None)
    lines = rows(
        trade, f"SELECT * FROM v_order_lines WHERE order_id = '{known['id']}' ORDER BY sku"
    )
    assert [(of["sku"], of["quantity"]) for of in lines] == [("A", "2"), ("B", "1")]
    [said] = rows(
        trade, f"SELECT * FROM v_provenance WHERE id = '{known['id']}' AND field = 'number'"
    )
    assert (said["system"], said["record"], said["rule"]) == ("orders", "1", "owner")
    assert said["run_id"] in {run["run"] for run in entrypoints.run_list(trade.app)}
    assert said["read_at"].startswith("2023-11-14T")


def test_the_whole_customer_counts_records_and_orders(trade: Trade):
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    trade.shop.add(name="Bob", email="bob@example.org")
    placed(trade, ann)
    placed(trade, ann, "S-2")
    trade.sync()
    found = rows(trade, "SELECT * FROM v_whole_customers ORDER BY name")
    assert [(of["name"], of["orders"], of["records"]) for of in found] == [
        ("Ann", 2, 2),
        ("Bob", 0, 2),
    ]
    assert sorted(found[0]["systems"].split(",")) == ["erp", "shop"]
    assert [of["last_orders_at"] is None for of in found] == [False, True]


def test_views_are_made_anew_when_an_entity_has_another_field(trade: Trade):
    assert "v_orders" in sa.inspect(trade.app.store.engine).get_view_names()
    entrypoints.init(trade.app)
    assert rows(trade, "SELECT count(*) AS number FROM v_orders") == [{"number": 0}]


def test_the_queries_of_the_documentation_run(trade: Trade):
    [page] = [page for page in pages() if page.name == "views.md"]
    queries = [block.body for block in blocks(page) if block.language == "sql"]
    assert queries
    for query in queries:
        assert rows(trade, query) == []


def test_every_view_is_described(trade: Trade):
    [page] = [page for page in pages() if page.name == "views.md"]
    text = page.read_text(encoding="utf-8")
    made = sa.inspect(trade.app.store.engine).get_view_names()
    assert made
    assert [name for name in made if f"`{name}`" not in text] == []

"""RULES 20: a fact waits where a system has no such code yet as it refers to, and goes on when that has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import Outcome, Refused, Sink, WriteCommand
from crm_master import entrypoints
from crm_master.domain.lifecycle import TaskKind
from tests.trade import Trade, only, placed

HOUR = 3600


class Shelf:
    """Sales in a system that takes only products that it has."""

    def __init__(self, sales: Sink, has: set[str]) -> None:
        self._sales, self.has, self.asked = sales, has, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sales, name)

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        self.asked += len(commands)
        return [
            self._sales.write([command])[0]
            if {line["sku"] for line in command.after.get("lines") or ()} <= self.has
            else Refused("The system knows no such code here.", "lines.sku", missing=True)
            for command in commands
        ]


@pytest.fixture
def trade(tmp_path: Path) -> Iterator[Trade]:
    made = Trade(f"sqlite:///{tmp_path / 'master.db'}")
    yield made
    made.close()


@pytest.fixture
def shelf(trade: Trade) -> Shelf:
    found = Shelf(trade.app.connect("sales"), {"A"})
    trade.app._open["sales"] = found
    return found


def waiting(trade: Trade) -> dict[str, int]:
    return dict(entrypoints.status(trade.app)["systems"]["sales"]["outbox"])


def test_rule_20_an_order_waits_for_its_product_and_stops_nobody_else(
    trade: Trade, shelf: Shelf
) -> None:
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    placed(trade, ann)
    trade.orders.add(
        number="S-2", party=ann, status="placed", lines=[{"sku": "A", "quantity": "1"}]
    )
    trade.sync()
    assert only(trade.sales)["number"] == "S-2"
    assert waiting(trade) == {"waiting": 1}
    tasks = entrypoints.tasks(trade.app)
    assert not [task for task in tasks if task["kind"] == TaskKind.REFUSED.value]

    shelf.has.add("B")
    trade.clock.sleep(HOUR)
    trade.sync()
    assert sorted(sale["number"] for sale in trade.sales.snapshot().values()) == ["S-1", "S-2"]
    assert waiting(trade) == {}
    assert trade.quiet()


def test_rule_20_it_is_asked_for_ever_less_often(trade: Trade, shelf: Shelf) -> None:
    placed(trade, trade.shop.add(name="Ann", email="ann@example.org"))
    for _ in range(20):
        trade.sync()
    assert waiting(trade) == {"waiting": 1}
    assert 1 < shelf.asked < 15


def test_rule_20_something_new_in_the_system_has_it_looked_at_at_once(
    trade: Trade, shelf: Shelf
) -> None:
    placed(trade, trade.shop.add(name="Ann", email="ann@example.org"))
    trade.sync()
    asked = shelf.asked
    shelf.has.add("B")
    entrypoints.sync(trade.app)  # no time has passed
    assert shelf.asked == asked, "it is not its turn yet"
    trade.sales.add(number="S-9", party="1", status="placed", lines=[])
    entrypoints.sync(trade.app)
    assert "S-1" in [sale["number"] for sale in trade.sales.snapshot().values()]


def test_rule_20_an_order_that_comes_to_want_another_product_waits_with_that(
    trade: Trade, shelf: Shelf
) -> None:
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    key = trade.orders.add(
        number="S-1", party=ann, status="placed", lines=[{"sku": "A", "quantity": "1"}]
    )
    trade.sync()
    trade.orders.edit(key, lines=[{"sku": "B", "quantity": "1"}])
    trade.sync()
    assert [line["sku"] for line in only(trade.sales)["lines"]] == ["A"]
    assert waiting(trade) == {"waiting": 1}
    shelf.has.add("B")
    trade.clock.sleep(HOUR)
    trade.sync()
    assert [line["sku"] for line in only(trade.sales)["lines"]] == ["B"]
    assert trade.quiet()

"""Processes: what golden records call for is raised once where it belongs, and closed when its cause is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.yamlfile import ConfigurationMistakes
from crm_master import entrypoints
from tests.trade import Trade, placed

DAY = 24 * 60 * 60
OVERDUE = {
    "of": "order",
    "when": {"status": ["placed", "confirmed"], "promised_at": {"past": "0d"}},
    "raises": {
        "entity": "interaction",
        "fields": {
            "number": "overdue-{number}",
            "subject": "Order {number} is overdue",
            "kind": "service_request",
            "customer": "customer",
        },
        "open": {"status": "open"},
        "closed": {"status": "resolved"},
    },
}
UNANSWERED = {
    "of": "interaction",
    "when": {
        "kind": "complaint",
        "status": ["open", "pending"],
        "answered_at": "absent",
        "opened_at": {"past": "2d"},
    },
    "raises": {
        "entity": "interaction",
        "fields": {"number": "chase-{number}", "subject": "{number} waits", "customer": "customer"},
        "open": {"status": "open", "kind": "service_request"},
        "closed": {"status": "resolved", "kind": "service_request"},
    },
}
BIG = {
    "of": "customer",
    "facts": {"order": {"sum": "total", "above": 1000, "by": "ordered_at", "within": "365d"}},
    "raises": {
        "entity": "interaction",
        "fields": {"number": "big-{email}", "subject": "Look after {name}", "customer": "itself"},
        "open": {"status": "open"},
        "closed": {"status": "resolved"},
    },
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Trade]]:
    made: list[Trade] = []

    def begin(**processes: Any) -> Trade:
        made.append(Trade(f"sqlite:///{tmp_path / 'master.db'}", processes=processes))
        made[-1].sync()
        return made[-1]

    yield begin
    for trade in made:
        trade.close()


def tickets(trade: Trade) -> dict[str, tuple[str, str]]:
    return {t["number"]: (t["subject"], t["status"]) for t in trade.desk.snapshot().values()}


def day(trade: Trade, later: int) -> str:
    trade.clock.sleep(later * DAY)
    text = trade.clock.moment().date().isoformat()
    trade.clock.sleep(-later * DAY)
    return text


def test_an_order_that_is_overdue_is_raised_once_and_closed_when_it_is_shipped(
    start: Callable[..., Trade],
):
    trade = start(overdue=OVERDUE)
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    key = placed(trade, ann, promised=day(trade, 2))
    trade.sync()
    assert tickets(trade) == {}
    trade.clock.sleep(3 * DAY)
    trade.sync()
    assert tickets(trade) == {"overdue-S-1": ("Order S-1 is overdue", "open")}
    [ticket] = trade.desk.snapshot().values()
    assert str(ticket["party"]) == ann
    trade.sync()
    assert trade.desk.creates == 1
    assert trade.quiet()
    trade.orders.edit(key, status="completed")
    trade.sync()
    assert tickets(trade) == {"overdue-S-1": ("Order S-1 is overdue", "resolved")}
    assert trade.quiet()


def test_a_cause_that_comes_back_opens_the_same_task_again(start: Callable[..., Trade]):
    trade = start(overdue=OVERDUE)
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    key = placed(trade, ann, promised=day(trade, -1))
    trade.sync()
    trade.orders.edit(key, promised=day(trade, 5))
    trade.sync()
    assert tickets(trade)["overdue-S-1"][1] == "resolved"
    trade.clock.sleep(7 * DAY)
    trade.sync()
    assert tickets(trade)["overdue-S-1"][1] == "open"
    assert trade.desk.creates == 1


def test_a_complaint_that_nobody_answers_for_two_days_is_chased(start: Callable[..., Trade]):
    trade = start(unanswered=UNANSWERED)
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    opened = trade.clock.moment().strftime("%Y-%m-%dT%H:%M:%SZ")
    complaint = trade.desk.add(
        number="C-1", party=ann, kind="complaint", status="open", opened=opened
    )
    trade.sync()
    assert set(tickets(trade)) == {"C-1"}
    trade.clock.sleep(2 * DAY)
    trade.sync()
    assert tickets(trade)["chase-C-1"] == ("C-1 waits", "open")
    answered = trade.clock.moment().strftime("%Y-%m-%dT%H:%M:%SZ")
    trade.desk.edit(complaint, answered=answered)
    trade.sync()
    assert tickets(trade)["chase-C-1"] == ("C-1 waits", "resolved")
    assert trade.quiet()


def test_a_customer_over_a_volume_within_a_year(start: Callable[..., Trade]):
    trade = start(big=BIG)
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    bob = trade.shop.add(name="Bob", email="bob@example.org")
    ordered = trade.clock.moment().strftime("%Y-%m-%dT%H:%M:%SZ")
    placed(trade, ann, "S-1", total="600", ordered=ordered)
    placed(trade, ann, "S-2", total="400.5", ordered=ordered)
    placed(trade, bob, "S-3", total="1000", ordered=ordered)
    trade.sync()
    assert tickets(trade) == {"big-ann@example.org": ("Look after Ann", "open")}
    trade.clock.sleep(366 * DAY)
    trade.sync()
    assert tickets(trade) == {"big-ann@example.org": ("Look after Ann", "resolved")}


WRONG = [
    ("no entity 'ordr'", {**OVERDUE, "of": "ordr"}),
    ("no field 'promised'", {**OVERDUE, "when": {"promised": "absent"}}),
    (
        "no single field 'adress'",
        {**OVERDUE, "raises": {**OVERDUE["raises"], "fields": {"adress": "x"}}},  # type: ignore[dict-item]
    ),
    (
        "'ended'; allowed: open, pending, resolved, rejected",
        {**OVERDUE, "raises": {**OVERDUE["raises"], "closed": {"status": "ended"}}},  # type: ignore[dict-item]
    ),
    (
        "'itself'; allowed: customer",
        {**OVERDUE, "raises": {**OVERDUE["raises"], "fields": {"customer": "itself"}}},  # type: ignore[dict-item]
    ),
    ("by without within", {**BIG, "facts": {"order": {"above": 1, "by": "ordered_at"}}}),
    ("2 days", {**OVERDUE, "when": {"promised_at": {"past": "2 days"}}}),
]


@pytest.mark.parametrize(("found", "process"), WRONG, ids=[found for found, _ in WRONG])
def test_a_mistake_in_a_process_says_where_and_what_is_allowed(
    tmp_path: Path, found: str, process: dict[str, Any]
):
    with pytest.raises(ConfigurationMistakes) as caught:
        Trade(f"sqlite:///{tmp_path / 'master.db'}", processes={"wrong": process})
    assert found in str(caught.value)
    assert "processes.wrong" in str(caught.value)


def test_what_the_hub_raises_is_shown_with_its_cause(start: Callable[..., Trade]):
    trade = start(overdue=OVERDUE)
    ann = trade.shop.add(name="Ann", email="ann@example.org")
    placed(trade, ann, promised=day(trade, -1))
    trade.sync()
    cause = entrypoints.show(trade.app, "orders/customers/1")["customer"]
    shown = entrypoints.show(trade.app, f"concord/overdue/{cause}")
    assert shown["fields"]["subject"]["value"] == "Order S-1 is overdue"

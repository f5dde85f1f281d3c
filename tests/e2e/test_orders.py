"""Orders placed in a real shop (Vendure), carried out by a real ERP (Tryton), every call counted on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from crm_master import entrypoints
from crm_master.domain.lifecycle import TaskKind
from examples import peers
from tests.e2e.shop_stage import SHOP, OrderStage
from tests.e2e.stage import ERP, Hub, deployed

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stage(
    module_tryton: peers.Tryton, module_mailman: peers.Mailman, module_vendure: peers.Vendure
) -> Iterator[OrderStage]:
    with OrderStage(module_tryton, module_mailman, module_vendure) as found:
        yield found


@pytest.fixture
def hub(stage: OrderStage, tmp_path: Path) -> Iterator[Hub]:
    with deployed(stage, tmp_path / "hub", create_in_erp={"when": {"email": "present"}}) as found:
        yield found


def buyer(stage: OrderStage) -> tuple[str, str]:
    """Somebody whom only the shop knows: id and address."""
    name, email = stage.nobody()
    first, last = name.split()
    customer = stage.seller.add(first, last, email)
    home = {"streetLine1": "Kerkstraat 1", "city": "Gent", "postalCode": "9000"}
    stage.seller.add_address(customer, **home, defaultShippingAddress=True)
    return customer, email


def test_an_order_in_the_shop_becomes_a_sale_under_the_right_party(
    stage: OrderStage, hub: Hub
) -> None:
    customer, email = buyer(stage)
    key = stage.desk.place(customer, {"W-1": 3, "G-1": 1})
    hub.sync()
    hub.sync()
    number = stage.desk.order(key)["code"]
    (sale,) = stage.desk.sales(number)
    (party,) = stage.parties_of(email)
    assert sale["party"] == int(party)
    assert len(sale["lines"]) == 2
    assert sale["state"] == "processing", "a paid order is confirmed, and Tryton processes it"
    golden = hub.golden(f"{SHOP}/orders/{key}")
    assert golden["customer"] == f"{SHOP}/customers/{customer}"
    assert [line["sku"] for line in golden["lines"]] == ["G-1", "W-1"]
    happened = {event["status"] for event in golden["history"].values()}
    assert {"ArrangingPayment", "PaymentSettled"} <= happened
    hub.assert_at_rest()


def test_what_the_erp_has_shipped_is_shipped_in_the_shop(stage: OrderStage, hub: Hub) -> None:
    customer, _ = buyer(stage)
    key = stage.desk.place(customer, {"W-1": 2})
    hub.sync()
    hub.sync()
    (sale,) = stage.desk.sales(stage.desk.order(key)["code"])
    stage.desk.ship(sale)
    hub.sync()
    hub.sync()
    assert stage.desk.order(key)["state"] == "Shipped"
    hub.assert_at_rest()
    stage.desk.deliver(key)
    hub.sync()
    golden = hub.golden(f"{SHOP}/orders/{key}")
    assert golden["fulfilment"]["status"] == "delivered"
    [delivered] = stage.desk.order(key)["fulfillments"]
    at = datetime.fromisoformat(delivered["updatedAt"])
    assert datetime.fromisoformat(golden["delivered_at"]) == at
    hub.assert_at_rest()


def test_an_order_for_goods_that_the_erp_does_not_have_yet_waits_for_them(
    stage: OrderStage, hub: Hub
) -> None:
    stage.desk.offer("N-1", "Novelty", 1200)
    customer, _ = buyer(stage)
    novelty, widget = (stage.desk.place(customer, {sku: 1}) for sku in ("N-1", "W-1"))
    hub.sync()
    hub.sync()
    assert len(stage.desk.sales(stage.desk.order(widget)["code"])) == 1
    number = stage.desk.order(novelty)["code"]
    assert stage.desk.sales(number) == []
    assert entrypoints.status(hub.app)["systems"][ERP]["outbox"] == {"waiting": 1}

    stage.desk.stock("N-1", "Novelty", "12.00")
    hub.clock.pass_by(60)
    hub.sync()
    hub.sync()
    (sale,) = stage.desk.sales(number)
    assert sale["state"] == "processing"
    hub.assert_at_rest()


def test_what_is_taken_off_an_order_is_taken_off_the_sale(stage: OrderStage, hub: Hub) -> None:
    stage.desk.take_off(10, above=50_000)
    customer, _ = buyer(stage)
    key = stage.desk.place(customer, {"W-1": 60, "G-1": 2})
    hub.sync()
    hub.sync()
    golden = hub.golden(f"{SHOP}/orders/{key}")
    prices = {line["sku"]: (line["unit_price"], line["tax_rate"]) for line in golden["lines"]}
    assert prices == {"W-1": ("9", "21"), "G-1": ("22.95", "21")}
    assert (golden["discount"], golden["shipping"]) == ("65.1", "5")
    net = Decimal("60") * 9 + 2 * Decimal("22.95")
    assert Decimal(golden["tax"]) == Decimal(golden["total"]) - net - 5
    (sale,) = stage.desk.sales(stage.desk.order(key)["code"])
    assert Decimal(sale["untaxed_amount"]["decimal"]) == net
    hub.assert_at_rest()


def test_a_sale_whose_answer_is_lost_is_made_once(stage: OrderStage, hub: Hub) -> None:
    hub.sync()
    customer, _ = buyer(stage)
    key = stage.desk.place(customer, {"W-1": 1})
    stage.to_erp.lose("answer", "POST", r"/sale\.sale(\?.*)?$")
    hub.sync()
    hub.restart()
    hub.clock.pass_by(5)
    hub.sync()
    assert len(stage.desk.sales(stage.desk.order(key)["code"])) == 1
    hub.clock.pass_by(60)
    hub.sync()
    hub.assert_at_rest()


def test_an_action_of_the_erp_whose_answer_is_lost_is_done_once(
    stage: OrderStage, hub: Hub
) -> None:
    """A sale is quoted and confirmed; each of the two answers is lost, or is an error though it was done."""
    hub.sync()
    customer, _ = buyer(stage)
    key = stage.desk.place(customer, {"W-1": 1})
    steps = ("quote", "confirm")
    stage.to_erp.trouble("reset", "POST", r"/sale\.sale/\d+/quote(\?.*)?$", after=True)
    stage.to_erp.trouble(500, "POST", r"/sale\.sale/\d+/confirm(\?.*)?$", after=True)
    for _ in range(5):
        hub.clock.pass_by(300)
        with contextlib.suppress(*entrypoints.EXPECTED):
            hub.sync()
    assert not stage.to_erp.losing
    asked = [call.path.rpartition("/")[2] for call in stage.to_erp.writes]
    assert [asked.count(step) for step in steps] == [1, 1]
    (sale,) = stage.desk.sales(stage.desk.order(key)["code"])
    assert sale["state"] == "processing"
    assert hub.tasks(TaskKind.UNKNOWN, "") == []
    hub.assert_at_rest()


def test_a_cancellation_that_comes_too_late_is_a_question_to_the_owner(
    stage: OrderStage, hub: Hub
) -> None:
    customer, _ = buyer(stage)
    key = stage.desk.place(customer, {"W-1": 1})
    hub.sync()
    hub.sync()
    stage.desk.cancel(key)
    with pytest.raises(entrypoints.RunFailed):
        hub.sync()
    (sale,) = stage.desk.sales(stage.desk.order(key)["code"])
    assert sale["state"] == "processing"
    customer_id = hub.show(f"{SHOP}/orders/{key}")["customer"]
    assert len(hub.tasks(TaskKind.REFUSED, customer_id)) == 1
    assert stage.desk.order(key)["state"] == "Cancelled"
    assert hub.golden(f"{SHOP}/orders/{key}")["status"] == "cancelled"
    assert ERP in hub.tasks(TaskKind.REFUSED, customer_id)[0]["target"]

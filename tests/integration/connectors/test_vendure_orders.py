"""Orders of the shipped Vendure manifest, on a real Vendure: read, and led from state to state."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract import Refused, Scan, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.peers import VendureClient

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def admin(module_vendure):
    return VendureClient(module_vendure)


@pytest.fixture(scope="module")
def customer(admin):
    made = admin(
        'mutation { createCustomer(input: {firstName: "Ada", lastName: "King",'
        ' emailAddress: "ada@example.org"}) { ... on Customer { id } } }'
    )
    return made["createCustomer"]["id"]


@pytest.fixture
def shop(module_vendure):
    manifest = load_manifest(SHIPPED / "vendure.yaml", {"page_size": 2, "overlap": 0.001})
    connection = Connection(module_vendure.url, module_vendure.user_name, module_vendure.password)
    system = open_system(manifest, connection, lambda: datetime.now(UTC))
    yield system
    system.close()


def _scan(shop, cursor=None):
    pages = list(shop.read("orders", cursor, Scan.DELTA))
    return {record.key: record for page in pages for record in page.records}, pages[-1].cursor


def _order(shop, key):
    return shop.fetch("orders", [key])[key]


def _lead(shop, record, state) -> Any:
    name = "cancelling" if state == "Cancelled" else "delivering"
    after = record.document | {name: state}
    command = WriteCommand("w", "orders", record.key, record.document, after, "CRM-0")
    return shop.write([command])[0]


def test_an_order_is_read_with_its_lines_amounts_and_history(shop, admin, customer):
    admin("mutation { createDraftOrder { id } }")  # not placed: no order yet
    key = admin.place_order(customer, {"W-1": 3, "G-1": 1})
    orders, _ = _scan(shop)
    order = orders[key].document
    assert all(record.document["orderPlacedAt"] for record in orders.values())
    assert order["customer"] == {"id": customer}
    assert (order["state"], order["currencyCode"]) == ("PaymentSettled", "EUR")
    lines = {line["productVariant"]["sku"]: line for line in order["lines"]}
    assert (lines["W-1"]["quantity"], lines["W-1"]["unitPrice"]) == (3, 1000)
    assert lines["W-1"]["unitPriceWithTax"] == 1210
    assert lines["G-1"]["taxRate"] == 21
    assert (order["subTotal"], order["shipping"], order["total"]) == (5550, 500, 6050)
    assert [item["data"]["to"] for item in order["history"]["items"]][-1] == "PaymentSettled"
    assert "open" not in order
    assert _order(shop, key) == orders[key]


def test_a_change_of_state_comes_in_a_delta(shop, admin, customer):
    keys = [admin.place_order(customer, {"W-1": 1}) for _ in range(3)]
    _, cursor = _scan(shop)
    admin(
        "mutation($id: ID!) { cancelOrder(input: {orderId: $id})"
        " { __typename ... on ErrorResult { errorCode message } } }",
        id=keys[0],
    )
    changed, _ = _scan(shop, cursor)
    assert changed[keys[0]].document["state"] == "Cancelled"


def test_an_order_is_cancelled_and_a_second_time_does_nothing(shop, admin, customer):
    placed = _order(shop, admin.place_order(customer, {"W-1": 2}))
    outcome = _lead(shop, placed, "Cancelled")
    assert isinstance(outcome, Written), outcome
    assert outcome.record is not None
    assert outcome.record.document["state"] == "Cancelled"
    events = len(outcome.record.document["history"]["items"])
    again = _lead(shop, placed, "Cancelled")
    assert isinstance(again, Written)
    assert again.record is not None
    assert len(again.record.document["history"]["items"]) == events


def test_an_order_is_marked_as_shipped_and_as_delivered(shop, admin, customer):
    placed = _order(shop, admin.place_order(customer, {"W-1": 2, "G-1": 1}))
    shipped = _lead(shop, placed, "Shipped")
    assert isinstance(shipped, Written), shipped
    assert shipped.record is not None
    (fulfilment,) = shipped.record.document["fulfillments"]
    assert (fulfilment["state"], fulfilment["method"]) == ("Shipped", "Carrier")
    delivered = _lead(shop, shipped.record, "Delivered")
    assert delivered.record.document["state"] == "Delivered"
    assert len(delivered.record.document["fulfillments"]) == 1
    still = _lead(shop, delivered.record, "Shipped")
    assert isinstance(still, Written), "who ships may not know yet that it has arrived"
    assert still.record is not None
    assert still.record.document["state"] == "Delivered"

    late = _lead(shop, delivered.record, "Cancelled")
    assert (type(late), late.path) == (Refused, "cancelling")


def test_an_attempt_that_was_cut_off_is_done_to_its_end(shop, admin, customer):
    """The fulfilment was made, and the hub died before it was sent."""
    placed = _order(shop, admin.place_order(customer, {"W-1": 2}))
    lines = [
        {"orderLineId": line["id"], "quantity": line["quantity"]}
        for line in placed.document["lines"]
    ]
    handler = {
        "code": "manual-fulfillment",
        "arguments": [{"name": "method", "value": "x"}, {"name": "trackingCode", "value": ""}],
    }
    admin(
        "mutation($input: FulfillOrderInput!) { addFulfillmentToOrder(input: $input)"
        " { __typename ... on ErrorResult { errorCode message } } }",
        input={"lines": lines, "handler": handler},
    )
    shipped = _lead(shop, placed, "Shipped")
    assert isinstance(shipped, Written), shipped
    assert shipped.record is not None
    (fulfilment,) = shipped.record.document["fulfillments"]
    assert (fulfilment["state"], fulfilment["method"]) == ("Shipped", "x")


def test_of_a_cancellation_and_a_shipment_at_once_one_is_refused(shop, admin, customer):
    placed = _order(shop, admin.place_order(customer, {"W-1": 1}))
    assert isinstance(_lead(shop, placed, "Shipped"), Written)
    refused = _lead(shop, placed, "Cancelled")
    assert (type(refused), refused.path) == (Refused, "cancelling")
    assert _order(shop, placed.key).document["state"] == "Shipped"

"""Products and sales of the shipped Tryton manifest, on a real Tryton: made, confirmed and read through the connector."""

import copy
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract import Refused, Scan, WriteCommand, Written
from connectors.registry import SHIPPED, load_manifest, open_system
from connectors.runtime.connection import Connection
from examples.peers import TrytonClient

pytestmark = pytest.mark.e2e
_numbers = itertools.count(1)


@pytest.fixture
def erp(module_tryton):
    params = {
        "database": module_tryton.database,
        "company": module_tryton.company,
        "unit": module_tryton.unit,
        "page_size": 2,
        "overlap": 1,
    }
    manifest = load_manifest(SHIPPED / "tryton.yaml", params)
    connection = Connection(module_tryton.url, password=module_tryton.key)
    system = open_system(manifest, connection, lambda: datetime.now(UTC))
    yield system
    system.close()


@pytest.fixture
def party(erp):
    after = {"name": "Ada", "addresses": [{"street": "Main St 1", "city": "Gent"}]}
    command = WriteCommand("w", "parties", None, {}, after, f"CRM-P{next(_numbers)}")
    return int(erp.write([command])[0].key)


def _sale(party, **more):
    after = {
        "party": party,
        "reference": f"SHOP-{next(_numbers)}",
        "currency": {"code": "EUR"},
        "lines": [
            {"product": {"code": "W-1"}, "quantity": 3, "unit_price": "9.50"},
            {"product": {"code": "G-1"}, "quantity": 1, "unit_price": "25.50"},
        ],
    }
    return WriteCommand("w", "sales", None, {}, after | more, f"CRM-S{next(_numbers)}")


def _made(erp, party, **more):
    (outcome,) = erp.write([_sale(party, **more)])
    assert isinstance(outcome, Written), outcome
    return outcome.record


def _lead(erp, record, **changes) -> Any:
    after = copy.deepcopy(record.document) | changes
    command = WriteCommand("w", "sales", record.key, record.document, after, "CRM-0")
    return erp.write([command])[0]


def _scan(erp, stream, cursor=None):
    pages = list(erp.read(stream, cursor, Scan.DELTA))
    return {record.key: record for page in pages for record in page.records}, pages[-1].cursor


def test_products_are_read_with_code_name_and_price(erp, module_tryton):
    products, cursor = _scan(erp, "products")
    found = {record.document["code"]: record.document["template"] for record in products.values()}
    assert found["W-1"]["name"] == "Widget"
    assert (found["W-1"]["list_price"], found["G-1"]["list_price"]) == ("10.00", "25.50")
    key = str(module_tryton.product)
    client = TrytonClient(module_tryton)
    template = products[key].document["template"]["id"]
    client.model("product.template", "write", [template], {"name": "Widget, blue"})
    client.close()
    changed, _ = _scan(erp, "products", cursor)
    assert changed[key].document["template"]["name"] == "Widget, blue"
    (refused,) = erp.write([WriteCommand("w", "products", key, {}, {"code": "X"}, "CRM-0")])
    assert isinstance(refused, Refused)


def test_a_sale_is_made_with_its_lines_and_led_to_processing(erp, party):
    record = _made(erp, party, state="processing")
    sale = record.document
    assert (sale["party"], sale["state"], sale["currency"]["code"]) == (party, "processing", "EUR")
    lines = {line["product"]["code"]: line for line in sale["lines"]}
    assert (lines["W-1"]["quantity"], lines["W-1"]["unit_price"]) == (3, "9.50")
    assert sale["untaxed_amount"] == "54.00"
    assert sale["number"], "the quote gave it one"
    (shipment,) = sale["shipments"]
    assert shipment["state"] == "waiting"
    sales, _ = _scan(erp, "sales")
    assert sales[record.key] == record


def test_a_sale_whose_answer_was_lost_is_found_again(erp, party):
    command = _sale(party)
    (first,) = erp.write([command])
    assert list(erp.find("sales", command)) == [first.record]
    nameless = _sale(party)
    del nameless.after["reference"]
    (made,) = erp.write([nameless])
    assert made.record.document["reference"] == nameless.correlation
    assert list(erp.find("sales", nameless)) == [made.record]


def test_a_draft_is_edited_line_by_line_and_then_confirmed(erp, party):
    record = _made(erp, party)
    assert record.document["state"] == "draft"
    widget = copy.deepcopy(record.document["lines"][0])
    widget["quantity"] = 5
    more = {"product": {"code": "G-1"}, "quantity": 2, "unit_price": "20.00"}
    outcome = _lead(erp, record, lines=[widget, more], state="confirmed")
    held = outcome.record.document
    assert held["state"] in ("confirmed", "processing"), "it is processed by itself"
    assert held["untaxed_amount"] == "87.50"
    assert held["lines"][0]["id"] == widget["id"]


def test_a_sale_is_cancelled_unless_it_is_processed(erp, party):
    quoted = _made(erp, party, state="quotation")
    cancelled = _lead(erp, quoted, state="cancelled")
    assert cancelled.record.document["state"] == "cancelled"
    assert _lead(erp, quoted, state="cancelled") == cancelled

    processed = _made(erp, party, state="processing")
    refused = _lead(erp, processed, state="cancelled")
    assert (type(refused), refused.path) == (Refused, "state")


def test_what_was_shipped_comes_in_a_delta(erp, party, module_tryton):
    record = _made(erp, party, state="processing")
    _, cursor = _scan(erp, "sales")
    client = TrytonClient(module_tryton)
    shipment = record.document["shipments"][0]["id"]
    for button in ("assign_force", "pick", "pack", "ship", "do"):
        client.model("stock.shipment.out", button, [shipment])
    client.close()
    sale = _scan(erp, "sales", cursor)[0][record.key].document
    assert sale["shipment_state"] == "sent"
    assert sale["shipments"][0]["state"] == "done"
    assert sale["shipments"][0]["effective_date"]


def test_a_product_or_an_address_that_is_not_there_is_refused(erp, party):
    (unknown,) = erp.write([_sale(party, lines=[{"product": {"code": "NONE"}, "quantity": 1}])])
    assert unknown == Refused("The system knows no such code here.", "lines.product", missing=True)
    command = WriteCommand("w", "parties", None, {}, {"name": "Homeless"}, f"CRM-P{next(_numbers)}")
    homeless = int(erp.write([command])[0].key)
    draft = _made(erp, homeless)
    refused = _lead(erp, draft, state="confirmed")
    assert isinstance(refused, Refused)
    assert "invoice address" in refused.reason
    assert erp.fetch("sales", [draft.key])[draft.key] == draft

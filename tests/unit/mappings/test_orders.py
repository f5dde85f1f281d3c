"""Lines of an order, and references: lists whose elements are told apart by a key, and move as one (RULES 18, 19)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mappings
from connectors.yamlfile import ConfigurationMistakes
from crm_master.domain.fields import Cardinality, Mapped, Presence
from mappings import CompiledMapping, compile_file, entity_spec, load_entity

ENTITIES = Path(mappings.__file__).parent / "entities"
ORDER = load_entity(ENTITIES / "order.yaml")
SALE = """
entity: order
fields:
  customer: {at: party, as: {reference: {stream: parties, number: true}}}
  number: reference
  lines:
    at: lines[*]
    each:
      sku: product.code
      quantity: {at: quantity, as: decimal}
      unit_price: {at: price, as: decimal}
"""


def sale() -> CompiledMapping:
    return compile_file(SALE, ORDER, {"system": "erp"})


def line(number: int, sku: str, quantity: str) -> dict[str, Any]:
    return {"id": number, "product": {"code": sku}, "quantity": quantity, "price": "9.5"}


def lines_of(document: dict[str, Any]) -> Any:
    found = sale().apply(document, full_payload=True)
    assert isinstance(found, Mapped)
    return found.readings["lines"]


def test_a_reference_names_a_record_of_a_stream_of_the_mappings_own_system():
    found = sale().apply({"party": 17, "reference": "S-1", "lines": []}, full_payload=True)
    assert isinstance(found, Mapped)
    assert found.readings["customer"].value == "erp/parties/17"
    assert sale().references == {"customer": ("erp", "parties")}
    assert sale().encode("customer", "erp/parties/17") == 17


def test_a_record_of_another_system_cannot_be_written_as_a_key_of_this_one():
    with pytest.raises(ValueError, match="not known here yet; allowed: a record of erp/parties"):
        sale().encode("customer", "shop/customers/17")


def test_lines_are_one_value_and_a_line_is_known_by_its_product():
    spec = entity_spec(ORDER).fields["lines"]
    assert spec.cardinality is Cardinality.ONE
    found = lines_of({"lines": [line(1, "A", "2"), line(2, "B", "1")]})
    assert found.value == [
        {"sku": "A", "quantity": "2", "unit_price": "9.5"},
        {"sku": "B", "quantity": "1", "unit_price": "9.5"},
    ]


def test_the_order_of_lines_says_nothing():
    some = [line(1, "B", "1"), line(2, "A", "2"), line(3, "A", "1")]
    assert lines_of({"lines": some}).value == lines_of({"lines": some[::-1]}).value
    assert lines_of({"lines": some}).native == lines_of({"lines": some[::-1]}).native


def test_two_lines_of_one_product_are_both_there():
    found = lines_of({"lines": [line(1, "A", "2"), line(2, "A", "3")]})
    assert [part["quantity"] for part in found.value] == ["2", "3"]
    assert sale().decode("lines", found.native) == found.value


def test_an_order_without_lines_says_nothing_of_them():
    assert lines_of({"lines": []}).presence is Presence.EMPTY


def test_a_changed_line_keeps_its_id_a_new_one_has_none_and_one_that_is_not_wanted_goes():
    before = {"lines": [line(1, "A", "2"), line(2, "A", "3"), line(3, "B", "1")]}
    wanted = lines_of({"lines": [line(0, "A", "2"), line(0, "A", "4"), line(0, "C", "5")]}).native
    after = sale().put(before, {"lines": wanted})
    assert [(of.get("id"), of["product"]["code"], of["quantity"]) for of in after["lines"]] == [
        (1, "A", "2"),
        (2, "A", "4"),
        (None, "C", "5"),
    ]


def test_of_two_lines_of_one_product_the_first_may_be_the_one_that_stays():
    before = {"lines": [line(1, "A", "2"), line(2, "A", "3")]}
    after = sale().put(before, {"lines": lines_of({"lines": [line(0, "A", "2")]}).native})
    assert [of["id"] for of in after["lines"]] == [1]


@given(st.lists(st.tuples(st.sampled_from("ABa#"), st.integers(1, 9)), max_size=12))
def test_lines_are_written_as_they_were_read(ordered: list[tuple[str, int]]):
    document = {"lines": [line(n, sku, str(q)) for n, (sku, q) in enumerate(ordered)]}
    found = lines_of(document)
    assert len(found.value or []) == len(ordered)
    assert sale().encode("lines", sale().decode("lines", found.native)) == found.native
    assert lines_of(sale().put(document, {"lines": found.native})) == found


WRONG = [
    ("a reference to nothing", "{a: reference}"),
    ("to on type text", "{a: {type: text, to: customer}}"),
    ("a key on a single value", "{a: {type: group, key: [b], members: {b: text}}}"),
    ("a key of ['c']", "{a: {type: group, many: true, key: [c], members: {b: text}}}"),
    ("a key of single values", "{a: {type: text, many: true, key: [b]}}"),
    ("many references", "{a: {type: reference, to: customer, many: true}}"),
    ("optional on type text", "{a: {type: text, optional: true}}"),
]


@pytest.mark.parametrize(("found", "fields"), WRONG, ids=[found for found, _ in WRONG])
def test_a_mistake_in_an_entity_says_what_is_allowed(found: str, fields: str):
    with pytest.raises(ConfigurationMistakes) as caught:
        load_entity(f"entity: thing\nfields: {fields}")
    assert found in str(caught.value)
    assert "allowed" in str(caught.value)


def test_a_line_needs_the_members_that_it_is_known_by():
    text = SALE.replace("      sku: product.code\n", "")
    with pytest.raises(ConfigurationMistakes, match=r"lines without \['sku'\]"):
        compile_file(text, ORDER, {"system": "erp"})

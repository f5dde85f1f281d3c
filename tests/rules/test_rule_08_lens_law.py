"""RULES 8: what is written is read back as the same; where a codec is declared lossy, at least the second time."""

from __future__ import annotations

import pytest

from mappings import CompiledMapping
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING, mapping
from tests.rules.world import Setting

CUT = FULL_MAPPING.replace("  name: name", "  name: {at: name, max: 8}")
DOCUMENT = {
    "name": "Ada Lovelace",
    "mail": "ADA@Example.org",
    "tags": ["b", "a"],
    "street": "Main St 1",
    "city": "Gent",
    "consent": "yes",
}


@pytest.mark.parametrize("lenses", [mapping(), mapping(CUT)], ids=["exact", "declared lossy"])
def test_rule_08_encode_after_decode_is_stable(lenses: CompiledMapping) -> None:
    assert lenses.broken_laws(DOCUMENT) == []


def test_rule_08_a_declared_cut_is_applied_before_sending_and_degrades_nothing(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", shop=Setting(CUT, creates=()))
    hub.erp.add("e1", name="Ada Lovelace", mail="ada@example.org")
    hub.settle()
    assert hub.shop.only()["name"] == "Ada Love"
    assert hub.golden["name"] == "Ada Lovelace"
    hub.erp.edit("e1", phone="1")
    hub.round()
    assert hub.golden["name"] == hub.erp["e1"]["name"] == "Ada Lovelace"
    assert hub.round() == 0

"""RULES 21 of lists: elements are known by what they say, also when another mapping has them say more, or less."""

from __future__ import annotations

import pytest

from connectors.contract import Document
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World

WIDE = """
  name: name
  email: {at: mail, as: email}
  places: {at: places, each: {street: street, city: city}}
"""
NARROW = WIDE.replace("street: street, city: city", "street: street")
NAMES = ("erp", "shop", "list")


def _places(hub: World) -> dict[str, list[Document]]:
    return {name: hub.systems[name].only()["places"] for name in NAMES}


@pytest.mark.parametrize("children", [("places",), ()], ids=["keyed", "bare"])
@pytest.mark.parametrize(
    ("before", "after"), [(NARROW, WIDE), (WIDE, NARROW)], ids=["more", "fewer"]
)
def test_rule_21_a_list_whose_elements_get_other_members_stays(
    world: MakeWorld, before: str, after: str, children: tuple[str, ...]
) -> None:
    hub = world(*NAMES, **dict.fromkeys(NAMES, Setting(before, children)))
    for name in NAMES:
        home = {"id": f"{name}-1", "street": "Kerkstraat 1", "city": "Gent"}
        work = {"id": f"{name}-2", "street": "Rue Haute 2", "city": "Namur"}
        hub.systems[name].add(name, name="Ada", mail="ada@example.org", places=[home, work])
    hub.settle()
    hub.erp.edit("erp", places=hub.erp["erp"]["places"][:1])
    hub.round()
    held = _places(hub)
    assert [len(places) for places in held.values()] == [1, 1, 1], "what was removed is gone"

    keyed = dict.fromkeys(NAMES, children)
    hub.apply(hub.proposed(None, keyed=keyed, erp=after, shop=after, list=after))
    assert hub.round() == 0
    assert _places(hub) == held, "and does not come back under another name"
    members = (
        {"street": "Kerkstraat 1", "city": "Gent"} if after == WIDE else {"street": "Kerkstraat 1"}
    )
    assert [*hub.golden["places"].values()] == [members]

    hub.shop.edit("shop", places=[{**held["shop"][0], "street": "Kerkstraat 11"}])
    hub.round()
    streets = [[place["street"] for place in places] for places in _places(hub).values()]
    assert streets == [["Kerkstraat 11"]] * 3, "an edit is an edit, as before"
    assert hub.round() == 0
    assert hub.rebuilt().equal

"""Two systems that know Ada, one of which comes to read a field from another place."""

from __future__ import annotations

from typing import Any

from crm_master.domain.claims import ClaimKey
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING, Kept
from tests.rules.world import Setting, World

PHONE = ClaimKey("phone")
MOVED = FULL_MAPPING.replace("phone: phone", "phone: mobile")


def two(
    world: MakeWorld, in_erp: dict[str, Any], in_shop: dict[str, Any], **settings: Setting
) -> World:
    hub = world("erp", "shop", **settings)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", **in_erp)
    hub.shop.add("s1", name="Ada", mail="ada@example.org", **in_shop)
    return hub.settle()


def settled(hub: World, rounds: int = 4) -> World:
    for _ in range(rounds):
        hub.clock.sleep(4000)
        hub.round()
    assert hub.rebuilt().equal
    return hub


def hide(hub: World, system: str, key: str, **values: Any) -> None:
    """The system has had these all along, and did not show them."""
    kept = hub.systems[system].kept[key]
    hub.systems[system].kept[key] = Kept(kept.document | values, kept.version)

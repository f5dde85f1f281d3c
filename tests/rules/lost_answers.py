"""A hub that creates customers in a shop whose answers get lost."""

from __future__ import annotations

from typing import Any

from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World


def hub_with_shop(world: MakeWorld, *fates: str, **can: Any) -> World:
    """Ada is in the ERP and shall be created in the shop; the writes there go as ``fates`` say."""
    hub = world("erp", "shop", shop=Setting(creates=(), can=can))
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve()
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.round("erp")
    hub.shop.losses = list(fates)
    return hub

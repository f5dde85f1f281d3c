"""Pairs of systems: one that cuts names off, and one that can delete."""

from __future__ import annotations

from typing import Any

from connectors.contract import Document, Guard
from crm_master.domain.claims import Observed
from crm_master.domain.lifecycle import DeletePolicy
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import entity
from tests.rules.world import Setting, World

CAN = {"delete": True, "guard": Guard.ETAG}
SPEC = entity_spec(entity())
READ = Observed(seq=9, watermark=100, started=195, ended=200)


def cut(document: Document) -> Document:
    name = document.get("name")
    return {**document, "name": name[:8] if name else name}


def pair(world: MakeWorld, **more: Any) -> World:
    hub = world("erp", "shop", **more)
    hub.erp.add(
        "e1", name="Ada", mail="ada@example.org", tags=["a"], street="Main St 1", city="Gent"
    )
    hub.shop.add(
        "s1", name="Ada", mail="ada@example.org", tags=["a"], street="Main St 1", city="Gent"
    )
    return hub.settle()


def deleting(world: MakeWorld, policy: DeletePolicy, **shop: object) -> World:
    """Ada is in the ERP, and was created in the shop, which can delete."""
    hub = world("erp", "shop", shop=Setting(creates=(), can=CAN | shop))
    hub.set_deletes(policy)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.settle()
    assert hub.shop.only()["name"] == "Ada"
    return hub

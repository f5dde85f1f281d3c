"""A pair of systems of which one cuts names off."""

from __future__ import annotations

from typing import Any

from connectors.contract import Document
from crm_master.domain.claims import Observed
from mappings import entity_spec
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import entity
from tests.rules.world import World

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

"""Three systems that know Ada, and runs that change her."""

from __future__ import annotations

from typing import Any

from crm_master.domain.survivorship import FieldPolicy
from tests.rules.conftest import MakeWorld
from tests.rules.world import World

SYSTEMS = ("erp", "shop", "list")
KEYS = {"erp": "e1", "shop": "s1", "list": "l1"}
ADA = {
    "name": "Ada",
    "mail": "ada@example.org",
    "phone": "1",
    "note": "likes tea",
    "tags": ["vip", "old"],
    "address": {},
    "street": "High St 1",
    "city": "Bath",
    "consent": "yes",
}


def three(world: MakeWorld, **policies: FieldPolicy) -> World:
    hub = world(*SYSTEMS, policies=policies)
    for name, key in KEYS.items():
        hub.systems[name].add(key, **ADA)
    return hub.settle()


def held(hub: World) -> dict[str, dict[str, Any]]:
    return {
        f"{name}/{key}": {field: value for field, value in kept.document.items() if value}
        for name, system in hub.systems.items()
        for key, kept in system.kept.items()
    }


def said(golden: dict[str, Any]) -> dict[str, Any]:
    """A golden record without what is empty: that says as little as what nobody spoke of."""
    return {name: value for name, value in golden.items() if value not in (None, {}, "")}


def reconciled(hub: World) -> str:
    """Poll and reconcile. Gives the run that changed the golden records."""
    hub.clock.sleep(10)
    for name in SYSTEMS:
        hub.ingest(name)
    hub.reconcile()
    return hub.ran["reconcile"]


def change(hub: World, system: str, /, **changes: Any) -> str:
    hub.systems[system].edit(KEYS[system], **changes)
    return reconciled(hub)


def delivered(hub: World) -> None:
    for name in SYSTEMS:
        hub.deliver(name)
    hub.round()

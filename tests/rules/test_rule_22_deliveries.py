"""Rule 22: a delivery that fails stops no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connectors.contract import Document
from crm_master.domain.lifecycle import TaskKind
from mappings import CompiledMapping
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import Killed, mapping
from tests.rules.poison import Fragile
from tests.rules.world import Setting, World


class Unrenderable:
    """A mapping with a defect on the way out: it cannot put the name ``boom``, and ``kill`` takes the process along."""

    def __init__(self, inner: CompiledMapping) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, document: Document, natives: Mapping[str, Any], former: Any = None) -> Document:
        if natives.get("name") == "boom":
            raise ZeroDivisionError
        if natives.get("name") == "kill":
            raise Killed
        return self._inner.put(document, natives, former)


def _waiting(world: MakeWorld, name: str, *, creates: bool = False) -> World:
    """Twenty customers changed in the ERP, the seventh of whom the shop's mapping cannot cope with."""
    hub = world("erp", "shop", shop=Setting(creates=() if creates else None))
    hub.settle()
    for number in range(20):
        hub.erp.add(f"e{number:02}", name=f"N{number}", mail=f"n{number}@example.org")
        if not creates:
            hub.shop.add(f"s{number:02}", name=f"N{number}", mail=f"n{number}@example.org")
    hub.round("erp", "shop") if not creates else hub.ingest("erp")
    hub.replace_mapping("shop", Unrenderable(mapping()))
    for number in range(20):
        hub.erp.edit(f"e{number:02}", name=name if number == 7 else f"New {number}")
    hub.ingest("erp")
    hub.reconcile()
    return hub


@pytest.mark.parametrize("creates", [False, True])
def test_rule_22_a_record_that_cannot_be_rendered_stops_no_other_delivery(
    world: MakeWorld, creates: bool
) -> None:
    hub = _waiting(world, "boom", creates=creates)
    counts = hub.deliver("shop")
    assert counts["created" if creates else "updated"] == 19
    assert counts["failed"] == 1
    assert hub.queued() == {"pending": 1}


def test_rule_22_a_delivery_that_fails_again_and_again_goes_to_a_person(world: MakeWorld) -> None:
    hub = _waiting(world, "boom")
    for _ in range(3):
        hub.deliver("shop")
        hub.clock.sleep(4000)
    assert hub.queued() == {"refused": 1}
    task = hub.task(TaskKind.REFUSED)
    assert task.payload["reason"] == "ZeroDivisionError while it was rendered"

    hub.replace_mapping("shop", mapping())
    hub.decide(task, "retry")
    hub.deliver("shop")
    assert hub.shop["s07"]["name"] == "boom"
    assert hub.tasks(TaskKind.REFUSED) == []


def test_rule_22_a_delivery_that_kills_its_workers_runs_alone_and_is_then_set_aside(
    world: MakeWorld,
) -> None:
    hub = _waiting(world, "kill")
    deaths = 0
    for _ in range(8):
        try:
            hub.deliver("shop")
        except Killed:
            deaths += 1
        hub.clock.sleep(4000)
    assert deaths == 3, "twice with its batch, once alone"
    assert hub.queued() == {"refused": 1}
    assert [hub.shop[f"s{number:02}"]["name"] for number in (6, 7, 8)] == ["New 6", "N7", "New 8"]
    assert "nobody who tried" in hub.task(TaskKind.REFUSED).payload["reason"]


def test_rule_22_an_answer_that_cannot_be_settled_spoils_no_other(world: MakeWorld) -> None:
    """The shop's answer about one record makes the code fail; the writes of its batch are booked all the same."""
    hub = _waiting(world, "fine")
    hub.replace_mapping("shop", Fragile(mapping()))
    hub.shop.makes = lambda document: (
        document | {"name": "boom"} if document["name"] == "fine" else document
    )
    counts = hub.deliver("shop")
    assert counts["updated"] == 19
    assert counts["failed"] == 1


def test_rule_22_a_defect_of_the_connector_is_an_unknown_outcome(world: MakeWorld) -> None:
    hub = _waiting(world, "fine")
    hub.replace_mapping("shop", mapping())
    hub.shop.losses = ["defect"]
    counts = hub.deliver("shop")
    assert (counts["updated"], counts["unknown"]) == (19, 1)
    hub.clock.sleep(100)
    hub.deliver("shop")
    assert hub.queued() == {}

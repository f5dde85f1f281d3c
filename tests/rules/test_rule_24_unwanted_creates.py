"""RULES 24: a create whose answer was lost, of whom nobody wants there any more, is looked for and not made."""

from __future__ import annotations

import pytest

from connectors.contract import Guard
from crm_master.domain.lifecycle import DeletePolicy, InboxState, TaskKind
from crm_master.engine.plan import Test as Condition
from tests.rules.conftest import MakeWorld
from tests.rules.lost_answers import hub_with_shop
from tests.rules.world import Setting


@pytest.mark.parametrize("fate", ["undone", "done"])
def test_rule_24_who_is_not_to_be_there_any_more_is_looked_for_and_not_made(
    world: MakeWorld, fate: str
) -> None:
    """Whose deletion was heard while the answer was lost. What was made for all that is deleted, as policy says."""
    hub = hub_with_shop(world, fate, delete=True, guard=Guard.ETAG)
    hub.set_deletes(DeletePolicy.PROPAGATE)
    hub.deliver("shop")
    hub.erp.remove("e1")
    hub.round("erp")
    assert hub.customer().archived

    hub.clock.sleep(100)
    hub.round("shop")

    assert [write.key for write in hub.shop.writes if write.key is None] == [None] * (
        fate == "done"
    )
    assert hub.shop.kept == {}
    assert hub.queued() == {}
    assert hub.rebuilt().equal


def test_rule_24_who_is_in_scope_no_more_is_looked_for_and_not_made(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=(Condition("phone"),))).settle()
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.losses = ["undone"]
    hub.round()
    hub.erp.edit("e1", phone="")
    hub.round("erp")
    assert hub.queued() == {"unknown": 1}
    hub.clock.sleep(100)
    hub.round("shop")
    assert hub.shop.kept == {}
    assert hub.queued() == {}


def test_rule_24_a_person_has_nobody_made_who_is_not_to_be_there(world: MakeWorld) -> None:
    hub = hub_with_shop(world, "undone", find=False)
    hub.set_deletes(DeletePolicy.ARCHIVE)
    hub.deliver("shop")
    hub.clock.sleep(100)
    hub.deliver("shop")
    hub.erp.remove("e1")
    hub.round("erp")
    assert hub.customer().archived
    hub.decide(hub.task(TaskKind.UNKNOWN), "retry")
    hub.round("shop")
    assert hub.shop.kept == {}
    assert hub.queued() == {}


def test_rule_24_what_waits_for_a_create_that_nobody_wants_any_more_comes_back(
    world: MakeWorld,
) -> None:
    """A person has had it sent again, and before it is, the customer is deleted elsewhere."""
    hub = hub_with_shop(world, "done", find=False)
    hub.set_deletes(DeletePolicy.ARCHIVE)
    hub.deliver("shop")
    hub.ingest("shop")
    hub.reconcile()
    assert hub.inbox(InboxState.PARKED) == 1
    hub.clock.sleep(100)
    hub.deliver("shop")
    hub.decide(hub.task(TaskKind.UNKNOWN), "retry")
    hub.erp.remove("e1")
    hub.ingest("erp")
    hub.reconcile()
    hub.deliver("shop")
    assert hub.inbox(InboxState.PARKED) == 0
    assert len(hub.shop.kept) == 1

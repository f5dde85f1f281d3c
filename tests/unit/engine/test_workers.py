"""Workers side by side: what one has done, another does not do again (RULES 23)."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_master.domain.lifecycle import InboxState
from crm_master.engine.reconcile import LEASE, Reconciler
from crm_master.engine.transactions import transact
from crm_master.ports import UnitOfWork
from tests.rules.fakes import FULL_MAPPING, mapping
from tests.rules.world import Setting, World


@pytest.fixture
def hub(tmp_path: Path):
    made = World(tmp_path, {"erp": Setting(), "shop": Setting()})
    made.erp.add("e1", name="Ada", mail="ada@example.org")
    made.shop.add("s1", name="Ada", mail="ada@example.org")
    yield made.settle()
    made.close()


def _worker(hub: World) -> Reconciler:
    return Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, hub.run())


def test_rule_23_observations_that_another_worker_has_applied_meanwhile_are_left(
    hub: World,
) -> None:
    """Both have claimed the same two states of one record. The slow one must not apply the older after the newer."""
    hub.erp.edit("e1", name="Older")
    hub.ingest("erp")
    hub.erp.edit("e1", name="Newer")
    hub.ingest("erp")
    slow, fast = _worker(hub), _worker(hub)
    items = slow._claim(0)
    hub.clock.sleep(LEASE / 1_000_000)
    fast()
    before = hub.record("erp", "e1"), hub.customer()

    slow._process(items)

    assert (hub.record("erp", "e1"), hub.customer()) == before
    assert hub.golden["name"] == "Newer"


def test_rule_23_an_item_that_another_worker_has_finished_is_not_set_aside(hub: World) -> None:
    hub.erp.edit("e1", name="Newer")
    hub.ingest("erp")
    slow = _worker(hub)
    for _ in range(3):
        slow._claim(0)
        hub.clock.sleep(LEASE / 1_000_000)
    items = slow._claim(0)
    assert items[0].attempts == 3
    with hub.store() as uow:
        items[0].state = InboxState.DONE
        uow.inbox.finish(items, 1)
        uow.commit()

    slow._process(items)

    assert hub.tasks() == []


def test_a_value_that_the_mapping_no_longer_reads_can_still_be_edited(hub: World) -> None:
    """A new release of the mapping reads another form; the base of the edit cannot be told any more."""
    hub.erp.edit("e1", consent="yes")
    hub.round()
    strict = FULL_MAPPING.replace('{granted: "yes", denied: "no"}', '{granted: "Y", denied: "N"}')
    hub.replace_mapping("erp", mapping(strict))
    hub.erp.edit("e1", consent="N")
    hub.round()
    assert hub.golden["consent"]["status"] == "denied"


class _Collision(Exception):
    """What the driver says of a transaction that the database has ended because of another one."""

    sqlstate = "40P01"


@pytest.mark.parametrize("fatal", [False, True], ids=["passing", "for good"])
def test_rule_23_a_transaction_that_the_database_ended_because_of_another_is_done_again(
    hub: World, fatal: bool
) -> None:
    """The order of locks makes a deadlock impossible between workers; an operator's own session may still cause one."""
    tries = 0

    def work(uow: UnitOfWork) -> int:
        nonlocal tries
        tries += 1
        uow.states.allow("x", tries)
        if tries == 1 or fatal:
            error = _Collision() if not fatal else ZeroDivisionError()
            raise sa.exc.OperationalError("select", {}, error)
        return tries

    if fatal:
        with pytest.raises(sa.exc.OperationalError):
            transact(hub.store, work)
        assert tries == 1
    else:
        assert transact(hub.store, work) == 2
    with hub.store() as uow:
        assert uow.states.allowance("x") == (0 if fatal else 2)

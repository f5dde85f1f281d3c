"""Promises 6 and 7: what a run did can be seen, and what did not work in it can be tried again."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.contract import BadRow
from crm_master.domain.lifecycle import DeliveryState, InboxState, TaskKind
from crm_master.engine.explain import NotFound
from crm_master.engine.runs import explain_run
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World


def _two(world: MakeWorld, **settings: Setting) -> World:
    hub = world("erp", "shop", **settings)
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    return hub.settle()


def _read(hub: World, *names: str) -> None:
    hub.clock.sleep(10)
    for name in names or hub.systems:
        hub.ingest(name)


def _shown(hub: World, verb: str, limit: int = 100) -> dict[str, Any]:
    return explain_run(hub.ran[verb], hub.store, limit)


# what a run did


def test_a_run_shows_what_it_changed_field_by_field(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2", note="new")
    _read(hub)
    hub.reconcile()
    run = hub.ran["reconcile"]
    hub.deliver("shop")
    hub.erp.edit("e1", phone="3")
    hub.round()

    shown = explain_run(run, hub.store)

    assert (shown["verb"], shown["target"], shown["changed"]) == ("reconcile", "customer", 1)
    [changed] = shown["customers"]
    assert changed["customer"] == hub.customer().id
    assert changed["fields"] == {
        "phone": {"before": "1", "after": "2"},
        "note": {"before": None, "after": "new"},
    }
    assert shown["observations"] == {"done": 1}


def test_a_run_that_read_names_the_run_that_reconciled(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2")
    _read(hub, "erp")
    assert _shown(hub, "ingest")["observations"] == {"pending": 1}
    hub.reconcile()
    assert _shown(hub, "ingest")["reconciled_in"] == [hub.ran["reconcile"]]


def test_a_run_shows_its_links_its_deliveries_and_what_waits(world: MakeWorld) -> None:
    hub = _two(world, shop=Setting(creates=()))
    hub.erp.add("e2", name="Bob", mail="bob@example.org")
    hub.erp.edit("e1", phone="2")
    _read(hub)
    hub.reconcile()
    shown = _shown(hub, "reconcile")
    assert shown["links"] == {"new": 1}
    assert [(link["record"], link["verb"]) for link in shown["linked"]] == [
        ("erp/people/e2", "new")
    ]
    assert shown["undelivered"] == {"shop": {"pending": 1}}

    hub.shop.losses = ["refused"]
    hub.deliver("shop")
    shown = _shown(hub, "deliver")
    assert sum(shown["deliveries"]["shop"].values()) == 2
    outcomes = {each["outcome"]: each for each in shown["delivered"]}
    assert outcomes["refused"]["reason"] == "not allowed"
    assert outcomes["written"]["target"].startswith("shop/people/")
    [task] = shown["tasks"]
    assert (task["kind"], task["open"]) == ("refused", True)


def test_a_question_belongs_to_the_run_that_asked_it_first(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.edit("e1", mail=7)
    _read(hub)
    hub.reconcile()
    first = hub.ran["reconcile"]
    hub.erp.edit("e1", phone="2")
    hub.round()
    [task] = explain_run(first, hub.store)["tasks"]
    assert task["kind"] == "dead_letter"


def test_much_is_counted_and_little_is_listed(world: MakeWorld) -> None:
    hub = _two(world)
    for number in range(5):
        hub.erp.add(f"n{number}", name=f"P {number}", mail=f"p{number}@example.org")
    _read(hub)
    hub.reconcile()
    shown = _shown(hub, "reconcile", limit=2)
    assert (shown["links"], len(shown["linked"])) == ({"new": 5}, 2)


def test_a_run_that_is_none_is_refused(world: MakeWorld) -> None:
    hub = _two(world)
    for attempt in (
        lambda: explain_run("nothing", hub.store),
        lambda: hub.replay("nothing"),
        lambda: hub.undo("nothing"),
        lambda: hub.undo_plan("nothing"),
    ):
        with pytest.raises(NotFound, match="no run 'nothing'; `concord runs list` names them"):
            attempt()


# replay


def test_replaying_a_run_that_went_well_changes_nothing(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2")
    _read(hub)
    hub.reconcile()
    run = hub.ran["reconcile"]
    hub.round()
    before, version = hub.golden, hub.customer().version

    done = hub.replay(run)

    assert (done.observations, done.deliveries) == (1, {})
    assert hub.inbox() == 1
    hub.reconcile()
    assert (hub.golden, hub.customer().version) == (before, version)
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_a_replay_does_not_bring_an_old_state_back(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2")
    _read(hub)
    hub.reconcile()
    run = hub.ran["reconcile"]
    hub.round()
    hub.erp.edit("e1", phone="3")
    hub.round()
    done = hub.replay(run)
    assert (done.observations, done.superseded) == (0, 1)
    hub.round()
    assert hub.golden["phone"] == "3"


def test_an_old_reading_of_a_record_that_was_written_since_asserts_nothing(
    world: MakeWorld,
) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2")
    _read(hub, "erp")
    run = hub.ran["ingest"]
    hub.round()
    hub.shop.edit("s1", phone="3")
    hub.round()
    assert hub.erp["e1"]["phone"] == "3"

    assert hub.replay(run).observations == 1

    hub.round()
    assert hub.golden["phone"] == hub.erp["e1"]["phone"] == "3"


def test_a_plan_of_a_replay_says_the_same_and_keeps_nothing(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2")
    _read(hub, "erp")
    hub.reconcile()
    hub.shop.losses = ["refused"]
    hub.deliver("shop")
    run = hub.ran["reconcile"]
    planned = hub.replay(run, really=False)
    assert (hub.inbox(), hub.queued()) == (0, {"refused": 1})
    assert hub.replay(run).as_dict() == planned.as_dict()
    assert (hub.inbox(), hub.queued()) == (1, {"pending": 1})


@pytest.mark.parametrize("verb", ["ingest", "reconcile"])
def test_dead_letters_are_replayed_with_the_run_that_read_them_or_gave_them_up(
    world: MakeWorld, verb: str
) -> None:
    hub = _two(world)
    hub.erp.edit("e1", name="poison")
    _read(hub, "erp")
    mapping = hub.hub.stream("erp", "people").mapping
    hub.replace_mapping("erp", _Broken(mapping))
    for _ in range(3):
        hub.reconcile()
    assert hub.inbox(InboxState.DEAD) == 1
    hub.replace_mapping("erp", mapping)

    assert hub.replay(hub.ran[verb]).observations == 1

    hub.reconcile()
    assert hub.golden["name"] == "poison"
    assert hub.tasks(TaskKind.DEAD_LETTER) == []


class _Broken:
    """A mapping that fails over one record."""

    def __init__(self, mapping: Any) -> None:
        self._mapping = mapping

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mapping, name)

    def apply(self, document: Any, **how: Any) -> Any:
        return 1 / 0


def test_what_was_no_record_needs_a_new_read(world: MakeWorld) -> None:
    hub = _two(world)
    hub.erp.rejects = [BadRow(b"\xff", "no JSON")]
    _read(hub, "erp")
    assert hub.replay(hub.ran["ingest"]).need_a_new_read == 1


@pytest.mark.parametrize("verb", ["deliver", "reconcile"])
def test_a_refused_delivery_is_tried_again_with_the_run_that_tried_or_caused_it(
    world: MakeWorld, verb: str
) -> None:
    hub = _two(world)
    hub.erp.edit("e1", phone="2")
    _read(hub, "erp")
    hub.reconcile()
    hub.shop.losses = ["refused"]
    hub.deliver("shop")
    assert hub.shop["s1"]["phone"] == "1"

    assert hub.replay(hub.ran[verb]).deliveries == {"shop/people": 1}

    hub.deliver("shop")
    assert hub.shop["s1"]["phone"] == "2"
    assert hub.tasks(TaskKind.REFUSED) == []


@pytest.mark.parametrize("can_find", [True, False])
def test_a_create_of_unknown_outcome_is_replayed_only_where_it_can_be_looked_up(
    world: MakeWorld, can_find: bool
) -> None:
    hub = _two(world, shop=Setting(creates=(), can={"find": can_find}))
    hub.erp.add("e2", name="Bob", mail="bob@example.org")
    _read(hub, "erp")
    hub.reconcile()
    hub.shop.losses = ["done"]
    hub.deliver("shop")
    with hub.store() as uow:
        [message] = uow.outbox.creating("customer")
        message.state = DeliveryState.HELD
        uow.outbox.save([message])
        uow.commit()

    done = hub.replay(hub.ran["deliver"])

    assert (done.deliveries == {"shop/people": 1}) is can_find
    assert [left["delivery"] for left in done.left] == ([] if can_find else [message.id])
    hub.clock.sleep(3600)
    hub.round()
    assert len(hub.shop.kept) == 2, "and never made twice"

"""RULES 16: a system that joins neither causes nor receives writes until somebody has approved what would happen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.contract import BadRow
from crm_master.domain.lifecycle import SystemState, TaskKind
from crm_master.engine.joining import NotReady
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World


def _newcomer(world: MakeWorld, **shop: object) -> World:
    """The ERP and the list are in step. The shop is new, and knows Ada and Grace; only Ada is known elsewhere."""
    hub = world("erp", "list", "shop", shop=Setting(**shop))  # type: ignore[arg-type]
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.list.add("l1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Countess", mail="ada@example.org", phone="1")
    hub.shop.add("s2", name="Grace", mail="grace@example.org")
    for name in ("erp", "list"):
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve("erp", "list")
    hub.round("erp", "list")
    hub.ingest("shop", full=True)
    return hub


def test_rule_16_a_joining_system_causes_no_writes(world: MakeWorld) -> None:
    hub = _newcomer(world)
    assert hub.round() == 0
    hub.shop.edit("s1", phone="2")
    assert hub.round() == 0
    assert "phone" not in hub.customers()[0].golden
    assert hub.record("shop", "s1").entity_id == hub.record("erp", "e1").entity_id, "it is matched"


def test_rule_16_a_joining_system_receives_no_writes(world: MakeWorld) -> None:
    hub = _newcomer(world, creates=())
    hub.round()
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    assert hub.shop.writes == []
    assert hub.list["l1"]["name"] == "Ada Lovelace"


def test_rule_16_it_cannot_join_before_one_full_scan(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.ingest("erp", full=True)
    hub.reconcile()
    with pytest.raises(NotReady, match="has not been read completely"):
        hub.approve("shop")


def test_rule_16_it_cannot_join_before_the_scan_has_been_decided(world: MakeWorld) -> None:
    hub = _newcomer(world)
    with pytest.raises(NotReady, match="wait in the inbox"):
        hub.approve("shop")


@pytest.mark.parametrize("page", [0, 1], ids=["its last page", "an earlier page"])
def test_rule_16_a_scan_with_bad_rows_is_not_error_free(world: MakeWorld, page: int) -> None:
    hub = world("shop")
    hub.shop.page_size = 1
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    if page:
        hub.shop.add("s2", name="Grace", mail="grace@example.org")
    hub.shop.rejects = [BadRow(b"\\xff", "not UTF-8")]
    hub.ingest("shop", full=True)
    hub.reconcile()
    with pytest.raises(NotReady):
        hub.approve("shop")
    hub.ingest("shop", full=True)
    hub.reconcile()
    hub.approve("shop")


def test_rule_16_the_preview_changes_nothing(world: MakeWorld) -> None:
    hub = _newcomer(world, creates=())
    hub.reconcile()

    def everything() -> object:
        records = [hub.record("shop", key) for key in ("s1", "s2")]
        return [(c.id, c.version, c.golden) for c in hub.customers()], records

    before = everything()
    hub.preview("shop")
    assert everything() == before
    assert hub.queued() == {}


def test_rule_16_the_preview_equals_what_happens(world: MakeWorld) -> None:
    hub = _newcomer(world)
    hub.reconcile()
    said = hub.preview("shop")

    hub.approve("shop")
    hub.reconcile()
    for name in hub.systems:
        hub.deliver(name)

    updates = {
        f"{name}/people": sum(1 for write in system.writes if write.key is not None)
        for name, system in hub.systems.items()
    }
    assert {name: n for name, n in said.updates.items() if n} == {
        n: k for n, k in updates.items() if k
    }
    assert said.updates["erp/people"] == 1, "the phone"
    assert said.updates["shop/people"] == 1, "the name"
    assert said.creates == {}
    assert said.fields["erp/people.phone"] == said.fields["shop/people.name"] == 1


def test_rule_16_the_preview_shows_what_a_few_records_would_be_sent(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    for number in range(5):
        hub.erp.add(f"e{number}", name=f"New {number}", mail=f"n{number}@example.org", phone="1")
        hub.shop.add(f"s{number}", name=f"Old {number}", mail=f"n{number}@example.org")
    hub.ingest("erp", full=True)
    hub.ingest("shop", full=True)
    hub.reconcile()

    said = hub.preview("erp", "shop")

    assert (said.fields["shop/people.name"], len(said.examples["shop/people.name"])) == (5, 3)
    for example in said.examples["shop/people.name"]:
        key = example.record.removeprefix("shop/people/s")
        assert (example.held, example.new) == (f"Old {key}", f"New {key}")
    assert {(example.held, example.new) for example in said.examples["shop/people.phone"]} == {
        (None, "1")
    }
    assert said.as_dict()["examples"].keys() == said.fields.keys()


def test_rule_16_the_preview_and_the_approval_cover_customers_who_are_not_there_yet(
    world: MakeWorld,
) -> None:
    """Everybody shall be in the shop: whom only the ERP knows is created there when it joins, as announced."""
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.erp.add("e2", name="Grace", mail="grace@example.org")
    hub.ingest("erp", full=True)
    hub.reconcile()
    hub.approve("erp")
    hub.reconcile()
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.ingest("shop", full=True)
    hub.reconcile()
    said = hub.preview("shop")
    assert said.creates == {"shop/people": 1}

    hub.approve("shop")
    hub.reconcile()
    hub.deliver("shop")

    assert len(hub.shop.writes) == said.creates["shop/people"]
    assert len(hub.shop.kept) == 2


def test_rule_16_records_present_in_both_systems_at_first_sync_end_up_once_in_each(
    world: MakeWorld,
) -> None:
    hub = world("erp", "shop", erp=Setting(creates=()), shop=Setting(creates=()))
    for number in range(5):
        hub.erp.add(f"e{number}", name=f"N{number}", mail=f"n{number}@example.org")
        hub.shop.add(f"s{number}", name=f"N{number}", mail=f"n{number}@example.org")
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.reconcile()
    assert hub.preview().creates == {}
    hub.settle()
    assert (len(hub.erp.kept), len(hub.shop.kept), len(hub.customers())) == (5, 5, 5)
    assert hub.written() == 0


def test_rule_16_an_observed_system_is_read_and_never_written(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(observe=True, writes=False, creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1")
    hub.settle()
    assert hub.erp["e1"]["phone"] == "1"
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    assert hub.shop.writes == []


def test_rule_16_the_state_observe_alone_stops_writes(world: MakeWorld) -> None:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    writes = len(hub.shop.writes)
    with hub.store() as uow:
        uow.states.save_system("shop", SystemState.OBSERVE, hub.clock())
        uow.commit()
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.erp.add("e2", name="Grace", mail="grace@example.org")
    hub.round()
    assert len(hub.shop.writes) == writes
    assert hub.queued() == {}, "and none waits there"


def test_rule_16_the_kill_switch_stops_writes_and_loses_none(world: MakeWorld) -> None:
    hub = _newcomer(world)
    hub.round()
    with hub.store() as uow:
        uow.states.stop("list", True)
        uow.commit()
    hub.erp.edit("e1", name="Ada Lovelace")
    hub.round()
    assert hub.list["l1"]["name"] == "Ada"
    assert hub.list.requests.count("write") == 0

    with hub.store() as uow:
        uow.states.stop("list", False)
        uow.commit()
    hub.round()
    assert hub.list["l1"]["name"] == "Ada Lovelace"


def test_rule_16_the_kill_switch_holds_when_systems_join(world: MakeWorld) -> None:
    hub = _newcomer(world)
    hub.reconcile()
    with hub.store() as uow:
        uow.states.stop("shop", True)
        uow.commit()
    hub.approve("shop")
    hub.round()
    assert hub.shop.writes == []


def test_rule_16_a_system_that_is_taken_out_has_no_say_and_stops_nobody(world: MakeWorld) -> None:
    """An operator takes a system out of hub.yaml: the others go on, and what only it has said is left as it is."""
    hub = world("old", "erp", "shop")
    for name in ("old", "erp", "shop"):
        hub.systems[name].add("k", name=f"Ada {name}", mail="ada@example.org")
    hub.old.edit("k", note="said here")
    hub.settle()
    assert hub.shop["k"]["note"] == "said here"
    plan = hub.hub.entities["customer"]
    policy = replace(plan.policy, rank={"erp": 0, "shop": 1})
    hub.hub = replace(
        hub.hub,
        systems={name: hub.hub.systems[name] for name in ("erp", "shop")},
        entities={"customer": replace(plan, policy=policy)},
    )
    before = hub.old["k"]

    hub.erp.edit("k", phone="1")
    hub.round("erp", "shop")

    assert (hub.shop["k"]["phone"], hub.shop["k"]["note"]) == ("1", "said here")
    assert hub.old["k"] == before
    assert hub.tasks(TaskKind.DEAD_LETTER) == []


def test_rule_16_what_was_approved_and_not_carried_out_is_not_converged(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    for name in ("erp", "shop"):
        hub.systems[name].add("k", name=f"Ada {name}", mail="ada@example.org")
        hub.ingest(name, full=True)
    hub.reconcile()
    hub.approve()
    assert not hub.verify().converged
    hub.round()
    assert hub.verify().converged


def test_rule_16_verify_names_rows_that_cannot_be_read(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    for name in ("erp", "shop"):
        hub.systems[name].add("k", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.rejects = [BadRow(b"{}", "no text", "k")]
    kept = hub.shop.kept.pop("k")
    hub.shop.garbled = {"k"}
    verdict = hub.verify()
    assert [(each.record, each.excepted) for each in verdict.differences] == [
        ("shop/people/k", True)
    ]
    assert kept.document["name"] == "Ada"

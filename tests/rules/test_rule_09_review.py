"""RULES 9, `clear: review` on a list: what vanishes from a record is a question to a person, until they answer it."""

from __future__ import annotations

import pytest

from crm_master.domain.claims import ClaimKey
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine.stewardship import Undecidable, carry_out
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import FULL_MAPPING
from tests.rules.world import Setting, World

REVIEW = Setting(FULL_MAPPING.replace("many: all", "many: all, clear: review"))


def _world(make: MakeWorld, *names: str) -> World:
    """The ERP says what counts at once; elsewhere a person is asked. Everybody holds the tags a and b."""
    names = names or ("shop",)
    hub = make("erp", *names, **dict.fromkeys(names, REVIEW))
    for name, system in hub.systems.items():
        system.add(f"{name[0]}1", name="Ada", mail="ada@example.org", tags=["a", "b"])
    return hub.settle()


def _tags(hub: World) -> dict[str, list[str]]:
    """Which tags each system shows."""
    return {
        name: sorted(next(iter(system.kept.values())).document["tags"])
        for name, system in hub.systems.items()
    }


def test_rule_09_a_vanished_element_is_a_question_that_names_it(world: MakeWorld) -> None:
    hub = _world(world)
    hub.shop.edit("s1", tags=["a"])
    hub.round()
    task = hub.task(TaskKind.CLEAR)
    assert task.subject == "shop/people/s1:tags"
    assert (task.payload["field"], task.payload["elements"]) == ("tags", ["b"])


def test_rule_09_until_the_decision_nothing_is_removed_and_nothing_put_back(
    world: MakeWorld,
) -> None:
    hub = _world(world)
    hub.shop.edit("s1", tags=["a"])
    hub.round()
    assert _tags(hub) == {"erp": ["a", "b"], "shop": ["a"]}
    hub.erp.edit("e1", tags=["a", "b", "d"], note="x")
    hub.round()
    assert _tags(hub) == {"erp": ["a", "b", "d"], "shop": ["a"]}
    assert hub.shop["s1"]["note"] == "x", "the other fields are written"
    assert hub.verify().converged, "a field that waits for a decision is excepted"
    assert hub.round() == 0


def test_rule_09_what_was_added_in_the_same_read_counts_at_once(world: MakeWorld) -> None:
    hub = _world(world)
    hub.shop.edit("s1", tags=["a", "c"])
    hub.round()
    assert _tags(hub) == {"erp": ["a", "b", "c"], "shop": ["a", "c"]}
    assert hub.task(TaskKind.CLEAR).payload["elements"] == ["b"]


@pytest.mark.parametrize(("answer", "tags"), [("accept", ["c"]), ("restore", ["a", "b", "c"])])
def test_rule_09_vanished_elements_are_given_up_or_restored(
    world: MakeWorld, answer: str, tags: list[str]
) -> None:
    hub = _world(world)
    hub.shop.edit("s1", tags=["c"])
    hub.round()
    hub.decide(hub.task(TaskKind.CLEAR), answer)
    hub.round()
    assert _tags(hub) == {"erp": tags, "shop": tags}
    assert hub.tasks(TaskKind.CLEAR) == []
    assert hub.round() == 0
    assert hub.verify().converged
    assert hub.rebuilt().equal


@pytest.mark.parametrize(("answer", "tags"), [("accept", []), ("restore", ["a", "b"])])
def test_rule_09_the_question_covers_all_that_vanished_before_the_decision(
    world: MakeWorld, answer: str, tags: list[str]
) -> None:
    hub = _world(world)
    hub.shop.edit("s1", tags=["a"])
    hub.round()
    hub.shop.edit("s1", tags=[])
    hub.round()
    task = hub.task(TaskKind.CLEAR)
    assert task.payload["elements"] == ["b", "a"]
    hub.decide(task, answer)
    hub.round()
    assert _tags(hub) == {"erp": tags, "shop": tags}


def test_rule_09_who_puts_the_elements_back_by_hand_closes_the_question(world: MakeWorld) -> None:
    hub = _world(world)
    hub.shop.edit("s1", tags=[])
    hub.round()
    hub.shop.edit("s1", tags=["b"])
    hub.round()
    assert hub.task(TaskKind.CLEAR).payload["elements"] == ["a"], "the rest is still asked"
    hub.shop.edit("s1", tags=["b", "a"])
    hub.round()
    assert hub.tasks(TaskKind.CLEAR) == []
    hub.erp.edit("e1", tags=["a", "b", "d"])
    hub.round()
    assert _tags(hub)["shop"] == ["a", "b", "d"], "the field is written again"


@pytest.mark.parametrize("field", ["tags", "phone"])
def test_rule_09_a_question_that_was_answered_before_it_was_asked_is_not_asked(
    world: MakeWorld, field: str
) -> None:
    """Both edits of the system wait in the inbox when they are looked at."""
    lines = REVIEW.lines.replace("phone: phone", "phone: {at: phone, clear: review}")
    hub = world("erp", "shop", shop=Setting(lines))
    there = {"tags": ["a"], "phone": "1"}
    for name, system in hub.systems.items():
        system.add(f"{name[0]}1", name="Ada", mail="ada@example.org", **there)
    hub.settle()
    hub.shop.edit("s1", **{field: None})
    hub.ingest("shop")
    hub.shop.edit("s1", **{field: there[field]})
    hub.ingest("shop")
    hub.reconcile()
    assert hub.tasks(TaskKind.CLEAR) == []


def test_rule_09_an_answer_that_comes_too_late_clears_nothing(world: MakeWorld) -> None:
    """The question was looked at while it was open; by the time of the answer the element is back."""
    hub = _world(world)
    hub.shop.edit("s1", tags=["a"])
    hub.round()
    task = hub.task(TaskKind.CLEAR)
    hub.shop.edit("s1", tags=["a", "b"])
    hub.round()
    detail = {"kind": task.kind, "subject": task.subject, "payload": task.payload}
    with hub.store() as uow, pytest.raises(Undecidable):
        carry_out(detail | {"answer": "accept", "author": "ada"}, uow, hub.clock(), 0)


def test_rule_09_each_system_is_a_question_of_its_own(world: MakeWorld) -> None:
    hub = _world(world, "shop", "desk")
    hub.shop.edit("s1", tags=["a"])
    hub.desk.edit("d1", tags=["b"])
    hub.round()
    asked = {task.subject: task for task in hub.tasks(TaskKind.CLEAR)}
    assert asked.keys() == {"shop/people/s1:tags", "desk/people/d1:tags"}

    hub.decide(asked["shop/people/s1:tags"], "accept")
    hub.round()
    assert _tags(hub) == {"erp": ["a"], "shop": ["a"], "desk": ["b"]}
    hub.decide(asked["desk/people/d1:tags"], "restore")
    hub.round()
    assert _tags(hub) == {"erp": ["a"], "shop": ["a"], "desk": ["a"]}
    assert hub.rebuilt().equal


def test_rule_09_what_was_said_anew_while_the_question_was_open_is_not_given_up(
    world: MakeWorld,
) -> None:
    """Who took the element out there had not seen that somebody would put it in again here."""
    hub = _world(world)
    hub.shop.edit("s1", tags=["a"])
    hub.round()
    for tags in (["a"], ["a", "b"]):
        hub.erp.edit("e1", tags=tags)
        hub.round()
    hub.decide(hub.task(TaskKind.CLEAR), "accept")
    hub.round()
    assert hub.claims("shop", "s1")[ClaimKey("tags", "b")] is None
    assert _tags(hub) == {"erp": ["a", "b"], "shop": ["a", "b"]}
    assert hub.rebuilt().equal


@pytest.mark.parametrize("full_payload", [True, False], ids=["full payload", "partial payload"])
@pytest.mark.parametrize(("answer", "street"), [("accept", None), ("restore", "Main St 1")])
def test_rule_09_a_cleared_group_is_given_up_or_restored_as_one(
    world: MakeWorld, answer: str, street: str | None, full_payload: bool
) -> None:
    lines = FULL_MAPPING.replace("address.city: city", "address.city: {at: city, clear: review}")
    hub = world("erp", "shop", shop=Setting(lines, full_payload=full_payload))
    address = {"street": "Main St 1", "city": "Gent"}
    for name, system in hub.systems.items():
        system.add(f"{name[0]}1", name="Ada", mail="ada@example.org", **address)
    hub.settle()
    hub.shop.edit("s1", city=None)
    hub.round()
    assert hub.tasks(TaskKind.CLEAR) == [], "something remains: an edit"
    assert hub.erp["e1"]["city"] is None
    hub.shop.edit("s1", street=None)
    hub.round()
    assert hub.golden["address"] == {"street": "Main St 1"}
    hub.decide(hub.task(TaskKind.CLEAR), answer)
    hub.round()
    assert hub.shop["s1"]["street"] == hub.erp["e1"]["street"] == street
    assert hub.round() == 0
    assert hub.rebuilt().equal


def test_rule_09_a_system_that_takes_restored_elements_out_three_times_is_quarantined(
    world: MakeWorld,
) -> None:
    hub = _world(world)
    for time in range(4):
        assert hub.tasks(TaskKind.QUARANTINE) == [], f"taken out {time} times"
        hub.shop.edit("s1", tags=[])
        hub.round()
        if asked := hub.tasks(TaskKind.CLEAR):
            hub.decide(asked[0], "restore")
            hub.round()
            assert _tags(hub)["shop"] == ["a", "b"]
    assert hub.task(TaskKind.QUARANTINE).payload["field"] == "tags"
    assert hub.tasks(TaskKind.CLEAR) == []

"""Promise 6, of the past: a customer as it was, who said so, and what cannot be known any more."""

from __future__ import annotations

from typing import Any

import pytest

from crm_master.domain.claims import iso
from crm_master.engine.explain import NotFound
from crm_master.engine.past import explain_past
from tests.rules.conftest import MakeWorld
from tests.rules.world import World


def _lived(world: MakeWorld) -> tuple[World, list[tuple[int, dict[str, Any]]]]:
    """A customer with a past, and what its golden record was when."""
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1", tags=["vip", "old"])
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="1", tags=["vip", "old"])
    hub.settle()
    past = [(hub.clock(), hub.golden)]
    for system, key, changes in (
        ("shop", "s1", {"phone": "2"}),
        ("erp", "e1", {"note": "likes tea", "tags": ["vip", "new"]}),
        ("erp", "e1", {"phone": None}),
        ("shop", "s1", {"note": "likes coffee", "tags": ["old"]}),
    ):
        hub.systems[system].edit(key, **changes)
        hub.round()
        past.append((hub.clock(), hub.golden))
    return hub, past


def _past(hub: World, asked: str, name: str = "erp/people/e1") -> dict[str, Any]:
    return explain_past(hub.hub, name, asked, hub.store)


def _golden(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: facts["value"] for name, facts in shown["fields"].items()}


def test_the_golden_record_as_it_was_at_every_time(world: MakeWorld) -> None:
    hub, past = _lived(world)
    for at, golden in past:
        assert _golden(_past(hub, iso(at))) == golden


def test_the_golden_record_as_it_was_in_every_version(world: MakeWorld) -> None:
    hub, past = _lived(world)
    by_version = {shown["version"]: shown for shown in (_past(hub, iso(at)) for at, _ in past)}
    for version, shown in by_version.items():
        assert _past(hub, str(version))["fields"] == shown["fields"]
    assert _golden(_past(hub, str(hub.customer().version))) == hub.golden


def test_a_version_lasts_from_its_first_moment_to_its_last(world: MakeWorld) -> None:
    hub, past = _lived(world)
    shown = _past(hub, iso(past[1][0]))
    assert _past(hub, shown["from"])["version"] == shown["version"]
    assert _past(hub, shown["until"])["version"] > shown["version"]
    assert _past(hub, iso(past[-1][0]))["until"] is None


def test_who_said_it_then(world: MakeWorld) -> None:
    hub, past = _lived(world)
    at, _ = past[1]
    phone = _past(hub, iso(at))["fields"]["phone"]
    [said] = phone["said_by"]
    assert (said["record"], said["rule"], phone["changed_since"]) == (
        "shop/people/s1",
        "most_recent",
        True,
    )
    assert said["run"].startswith("run-")
    assert said["read"][1] < iso(at)
    tags = {who["element"]: who["record"] for who in _past(hub, "1")["fields"]["tags"]["said_by"]}
    assert tags == {"vip": "erp/people/e1", "old": "erp/people/e1"}


def test_the_links_of_then(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.settle()
    at = hub.clock()
    hub.shop.add("s1", name="Ada", mail="ada@example.org")
    hub.round()
    assert [r["record"] for r in _past(hub, iso(at))["records"]] == ["erp/people/e1"]
    now = _past(hub, iso(hub.clock()))["records"]
    assert {(r["record"], r["linked"], r["by"]) for r in now} == {
        ("erp/people/e1", "new", "policy"),
        ("shop/people/s1", "link", "policy"),
    }


def test_what_cannot_be_known_is_said(world: MakeWorld) -> None:
    hub, past = _lived(world)
    first, second = _past(hub, "1")["unknown"], _past(hub, iso(past[2][0]))["unknown"]
    assert "when the first golden record was made" in first[0]
    assert not any("first golden record" in line for line in second)
    assert all(any("which claims lost" in line for line in lines) for lines in (first, second))


def test_a_value_that_was_said_again_since_is_not_dated_back(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    hub.erp.add("e1", name="Ada", mail="ada@example.org", phone="1")
    hub.shop.add("s1", name="Ada", mail="ada@example.org", phone="2")
    hub.settle()
    hub.shop.edit("s1", phone="3")
    hub.round()
    at = hub.clock()
    hub.erp.edit("e1", phone="4")
    hub.round()
    hub.erp.edit("e1", phone="3")
    hub.round()
    shown = _past(hub, iso(at))
    assert shown["fields"]["phone"]["value"] == "3"
    assert [who["record"] for who in shown["fields"]["phone"]["said_by"]] == ["shop/people/s1"]


def test_a_decision_of_an_undo_is_no_observation(world: MakeWorld) -> None:
    hub, _ = _lived(world)
    hub.shop.edit("s1", phone="5")
    hub.hear("shop")
    hub.undo(hub.ran["reconcile"])
    at = hub.clock()
    hub.shop.edit("s1", phone="6")
    hub.round()
    shown = _past(hub, iso(at))
    [said] = shown["fields"]["phone"]["said_by"]
    assert (said["run"], said["read"]) == (None, None)
    assert any("that no observation brought" in line for line in shown["unknown"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("2001-01-01T00:00:00Z", "was not known at 2001-01-01T00:00:00Z: only since 20"),
        ("0", "has no version 0: there are 1 to"),
        ("999", "has no version 999: there are 1 to"),
        ("yesterday", "neither a time, such as 2026-03-01T12:00:00Z, nor a version's number"),
    ],
)
def test_a_past_that_there_is_not_is_refused(world: MakeWorld, asked: str, said: str) -> None:
    hub, _ = _lived(world)
    with pytest.raises(NotFound, match=said):
        _past(hub, asked)


def test_before_any_system_joined_there_is_no_record_to_show(world: MakeWorld) -> None:
    hub = world("erp")
    hub.erp.add("e1", name="Ada", mail="ada@example.org")
    hub.ingest("erp", full=True)
    hub.reconcile()
    with pytest.raises(NotFound, match="has no golden record yet"):
        _past(hub, "1")
    with pytest.raises(NotFound, match="has not been read"):
        _past(hub, "1", "erp/people/e9")

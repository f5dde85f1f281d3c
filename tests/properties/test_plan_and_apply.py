"""RULES 21 over two simulated systems: after any history, ``concord plan`` is what ``concord apply`` then does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crm_master import entrypoints
from crm_master.bootstrap import App
from tests.hubs import FIELDS, files_for, with_files
from tests.properties.test_two_systems import (
    POLICIES,
    Edit,
    World,
    histories,
    quick,
    visible,
    world,
)

Fields = Mapping[str, Any]

SWAPPED: Fields = {**FIELDS, "owner": "status", "website": "note"}
LESS: Fields = {name: line for name, line in FIELDS.items() if name != "website"}
MORE: Fields = {**FIELDS, "given_name": "ref"}
CODED: Fields = {**FIELDS, "address.city": {"at": "city", "as": "name"}}
mappings = st.sampled_from([FIELDS, FIELDS, SWAPPED, LESS, MORE, CODED])
rules = st.sampled_from(
    [
        POLICIES,
        {"name": {"rule": "owner", "owner": "shop"}},
        {"name": "manual", "owner": {"rule": "owner", "owner": "shop"}},
        {"address": {"rule": "source_priority", "order": ["erp", "shop"]}},
    ]
)
Written = set[tuple[str, str, str, str]]


def planned(app: App) -> Written:
    """Each value that the plan says is to be written: (system, key, place in the document, value)."""
    found: Written = set()
    hub = entrypoints.as_proposed(app).hub
    for write in entrypoints.plan(app, each=True).each:
        system, stream = write.stream.split("/")
        key = (write.record or "").rpartition("/")[2]
        document = app.connect(system).fetch(stream, [key])[key]
        assert document is not None
        after = hub.stream(system, stream).mapping.put(document.document, write.natives)
        found |= {
            (system, key, name, str(value))
            for name, value in after.items()
            if document.document.get(name) != value
        }
    return found


def done(made: World, before: Mapping[str, int]) -> Written:
    return {
        (name, write.key, field, str(value))
        for name, system in made.systems.items()
        for write in system.writes[before[name] :]
        for field, value in write.body.items()
    }


def _quiet(made: World) -> None:
    for _ in range(4):
        before = made.writes()
        made.round()
        if made.writes() == before:
            return
    raise AssertionError("the hub does not come to rest")


@quick
@given(history=histories, erp=mappings, shop=mappings, policies=rules)
def test_what_is_planned_is_what_the_systems_get(
    history: list[list[Edit]], erp: Fields, shop: Fields, policies: Mapping[str, Any]
) -> None:
    with world() as made:
        made.round()
        for batch in history:
            visible(made, batch)
            made.round()
        _quiet(made)
        files = files_for(made.systems, policies, mappings={"erp": erp, "shop": shop})
        made.app = with_files(made.app, files)
        golden = [made.golden(number) for number in range(3)]
        plan, lacking = planned(made.app), entrypoints.plan(made.app).lacking
        assert [made.golden(number) for number in range(3)] == golden, "a plan changes nothing"
        before = {name: len(system.writes) for name, system in made.systems.items()}
        made.app, _ = entrypoints.apply(made.app)
        for name in made.systems:
            entrypoints.deliver(made.app, name)
        if lacking:
            # what is newly mapped must be read first, and may bring more; what was planned is done in any case
            _quiet(made)
            assert done(made, before) >= plan
        else:
            assert done(made, before) == plan
            _quiet(made)
        assert entrypoints.rebuild(made.app).equal

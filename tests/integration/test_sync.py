"""One round over several systems, some of which are down or have lost a record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.testing.profiles import Profile
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from tests.hubs import files_for, open_hub


@pytest.fixture
def systems() -> Iterator[dict[str, Simulator]]:
    made = {name: Simulator(Profile(name=name, unique=())) for name in ("erp", "shop", "desk")}
    for system in made.values():
        system.add(email="ada@example.org", name="Ada")
        system.start()
    yield made
    for system in made.values():
        system.stop()


@pytest.fixture
def hub(systems: dict[str, Simulator], tmp_path: Path) -> Iterator[App]:
    app = open_hub(systems, files_for(systems), f"sqlite:///{tmp_path / 'master.db'}")
    entrypoints.sync(app)
    yield app
    for name in systems:
        app.connect(name).close()  # type: ignore[attr-defined]
    app.store.close()


def test_two_dead_systems_stop_only_their_own_part_and_both_are_named(
    hub: App, systems: dict[str, Simulator]
) -> None:
    for name in ("shop", "desk"):
        systems[name].fail_next(401, times=1000)
    systems["erp"].edit("1", phone="02 555 01 01")
    ran: list[entrypoints.Ran] = []

    with pytest.raises(entrypoints.SyncFailed) as failed:
        entrypoints.sync(hub, report=ran.append)

    assert "shop" in str(failed.value)
    assert "desk" in str(failed.value)
    assert ("ingest", "erp/customers") in {(run.verb, run.target) for run in ran}
    shown = entrypoints.show(hub, "erp/customers/1")
    assert shown["fields"]["phone"]["value"] == "+3225550101"


def test_a_record_that_vanished_before_it_is_written_is_on_record_and_stays_rebuildable(
    hub: App, systems: dict[str, Simulator]
) -> None:
    systems["shop"].remove("1")
    systems["erp"].edit("1", name="Ada Lovelace")

    entrypoints.sync(hub)

    gone = [task for task in entrypoints.tasks(hub) if task["kind"] == "gone"]
    assert [task["subject"] for task in gone] == ["shop/customers/1"]
    assert not systems["shop"].records, "nothing is made anew in its place"
    assert systems["desk"].field("1", "name") == "Ada Lovelace"
    assert entrypoints.rebuild(hub).equal


def test_replayed_dead_letters_leave_the_journal_as_it_was(
    hub: App, systems: dict[str, Simulator]
) -> None:
    """A letter about one field belongs to a row that was applied: it must not be taken out of its place."""
    key = systems["erp"].add(email="eve@example.org", name="Eve", phone="not a number")
    entrypoints.sync(hub)
    assert [task["subject"] for task in entrypoints.tasks(hub, dead=True)] == [
        f"erp/customers/{key}:phone"
    ]

    assert entrypoints.replay(hub)["requeued"] == 1
    entrypoints.sync(hub)

    assert entrypoints.rebuild(hub).equal
    assert entrypoints.verify(hub).converged


def test_an_old_row_is_not_replayed_over_a_newer_one(
    hub: App, systems: dict[str, Simulator]
) -> None:
    key = systems["erp"].add(email="eve@example.org", name="Eve", phone="not a number")
    entrypoints.sync(hub)
    systems["erp"].edit(key, name="Eva")
    entrypoints.sync(hub)

    assert entrypoints.replay(hub)["requeued"] == 0
    entrypoints.sync(hub)

    assert entrypoints.show(hub, f"erp/customers/{key}")["fields"]["name"]["value"] == "Eva"


def test_nothing_to_compare_is_not_converged(systems: dict[str, Simulator], tmp_path: Path) -> None:
    app = open_hub(systems, files_for(systems), f"sqlite:///{tmp_path / 'fresh.db'}")
    try:
        verdict = entrypoints.verify(app)
        assert not verdict.converged
        assert list(verdict.reasons) == ["no system has joined yet: nothing was compared"]
        assert "has not been read completely" in entrypoints.preview(app)["not_ready"]["erp"]
    finally:
        for name in systems:
            app.connect(name).close()  # type: ignore[attr-defined]
        app.store.close()

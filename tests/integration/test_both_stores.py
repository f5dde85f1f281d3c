"""The whole path over simulated systems, on SQLite and on PostgreSQL: one story, one result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from connectors.testing.profiles import Profile, lowered, truncated
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from tests.hubs import files_for, open_hub

PEOPLE = 30
POLICIES = {"website": "manual", "owner": {"rule": "owner", "owner": "erp"}}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty master database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'master.db'}"
    url: str = request.getfixturevalue("postgres_url")
    name = f"test_{tmp_path.name}".lower().replace("-", "_").replace("[", "_").replace("]", "")
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    return f"{url.rpartition('/')[0]}/{name}"


@pytest.fixture
def systems() -> Iterator[dict[str, Simulator]]:
    """An ERP that keeps everything, and a shop that cuts names and lowers e-mails."""
    made = {
        "erp": Simulator(Profile(name="erp", unique=())),
        "shop": Simulator(
            Profile(
                name="shop", lossy={"name": truncated(10), "email": lowered}, unique=(), etag=True
            )
        ),
    }
    for number in range(PEOPLE):
        if number % 3:
            made["erp"].add(
                email=f"P{number}@Example.org", name=f" Person  {number}", phone="02 555 01 01"
            )
        if number % 2:
            made["shop"].add(email=f"p{number}@example.org", name=f"person {number}", city="Gent")
    for system in made.values():
        system.start()
    yield made
    for system in made.values():
        system.stop()


@pytest.fixture
def hub(systems: dict[str, Simulator], database: str) -> Iterator[App]:
    """The two systems behind one master; whoever has an e-mail is created in the other."""
    app = open_hub(systems, files_for(systems, POLICIES, options={"create": "everybody"}), database)
    yield app
    for name in systems:
        app.connect(name).close()  # type: ignore[attr-defined]
    app.store.close()


def key_of(system: Simulator, email: str) -> str:
    return next(key for key, found in system.records.items() if found["email"].lower() == email)


def test_a_first_sync_links_who_is_in_both_and_creates_who_is_in_one(
    hub: App, systems: dict[str, Simulator]
) -> None:
    entrypoints.sync(hub)
    emails = {f"p{number}@example.org" for number in range(PEOPLE) if number % 3 or number % 2}
    for system in systems.values():
        assert sorted(found["email"].lower() for found in system.records.values()) == sorted(emails)
    before = [len(system.writes) for system in systems.values()]
    entrypoints.sync(hub, full=True)
    assert [len(system.writes) for system in systems.values()] == before
    assert entrypoints.verify(hub).converged
    assert entrypoints.rebuild(hub).equal


def test_edits_on_both_sides_meet_and_contradictions_wait_for_a_person(
    hub: App, systems: dict[str, Simulator]
) -> None:
    entrypoints.sync(hub)
    erp, shop = systems["erp"], systems["shop"]
    ours, theirs = key_of(erp, "p5@example.org"), key_of(shop, "p5@example.org")
    erp.edit(ours, phone="+32 475 12 34 56", status="https://a.example", note="Anna")
    shop.edit(theirs, city="Brugge", status="https://b.example", note="Bert")
    entrypoints.sync(hub)
    assert shop.field(theirs, "phone") == "+32475123456"
    assert erp.field(ours, "city") == "Brugge"
    assert shop.field(theirs, "note") == "Anna", "the owner's value comes back"
    assert (erp.field(ours, "status"), shop.field(theirs, "status")) == (
        "https://a.example",
        "https://b.example",
    )
    kinds = {task["kind"]: task for task in entrypoints.tasks(hub)}
    assert kinds["reverted"]["lost"] == "Bert"
    conflict = kinds["conflict"]
    entrypoints.decide(hub, conflict["id"], f"shop/customers/{theirs}", "steward")
    entrypoints.sync(hub)
    assert erp.field(ours, "status") == "https://b.example"
    assert entrypoints.verify(hub).converged
    assert entrypoints.rebuild(hub).equal


def test_a_lost_answer_to_a_create_makes_no_second_record(
    hub: App, systems: dict[str, Simulator]
) -> None:
    entrypoints.sync(hub)
    key = systems["erp"].add(email="new@example.org", name="New One")
    systems["shop"].fail_next("reset", methods={"POST"}, after=True)
    entrypoints.sync(hub)
    with hub.store() as uow:  # the wait before it is looked up is over at once
        for message in uow.outbox.claim("shop", 10, 1 << 60, -(1 << 60), 2):
            message.not_before = 0
            uow.outbox.save([message])
        uow.commit()
    entrypoints.sync(hub)
    entrypoints.sync(hub)
    assert (
        sum(found["email"] == "new@example.org" for found in systems["shop"].records.values()) == 1
    )
    shown = entrypoints.show(hub, f"erp/customers/{key}")
    assert len(shown["records"]) == 2
    assert entrypoints.verify(hub).converged

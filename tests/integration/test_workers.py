"""Workers side by side: eight processes on one master, under faults, some of them killed, do what one does (RULES 23)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.testing.profiles import Profile
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.engine.attempt import LEASE
from tests.crew import Crew, Target, Told
from tests.hubs import files_for, open_hub

NAMES = ("erp", "shop", "desk")
PEOPLE = 24
POLICIES = {"owner": {"rule": "owner", "owner": "erp"}, "website": {"rule": "most_recent"}}


@dataclass
class Office:
    """Three systems, a master, and whoever works on it."""

    url: str
    size: int
    clock: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.crew = Crew(self.size, self.clock)
        patience: dict[str, Any] = {"longest_wait": 0, "attempts": 2, "page_size": 7}
        self.systems = {
            name: Target(Profile(name=name, etag=name != "shop", **patience), self.clock, self.crew)
            for name in NAMES
        }
        for number in range(PEOPLE):
            self.meet(number, number)
        for system in self.systems.values():
            system.start()
        files = files_for(self.systems, POLICIES, creating=NAMES)
        self.app: App = open_hub(self.systems, files, self.url)
        connections = {name: system.connection for name, system in self.systems.items()}
        self.crew.open(files, self.url, connections)

    def meet(self, number: int, place: int) -> None:
        """Two systems come to know the same person in the same moment."""
        for name in {NAMES[place % 3], NAMES[(place + 1) % 3]}:
            self.systems[name].add(
                email=f"p{number}@example.org", name=f"Person {number}", city=f"{name} city"
            )

    def edit(self, number: int, place: int, **values: str) -> None:
        """A person edits a record that one of those two systems has had from the beginning."""
        system = self.systems[NAMES[(number + place % 2) % 3]]
        key = min(
            (
                key
                for key, found in system.snapshot().items()
                if found["email"] == f"p{number}@example.org"
            ),
            key=int,
        )
        system.edit(key, **values)

    def history(self, *, turns: int = 3, storm: bool = False, deaths: int = 0) -> None:
        """People come and edit, while rounds are done; each field of each person in one system only."""
        if storm:
            for seed, system in enumerate(self.systems.values()):
                system.storm(seed, reads=0.03, writes=0.25)
        self._round(deaths)
        for turn in range(turns):
            self.clock.sleep(60)
            for number in range(PEOPLE):
                self.edit(
                    number, turn, **{("phone", "status", "note")[turn]: f"0475{number:02}{turn:04}"}
                )
            self.meet(100 + turn, turn)
            self._round(deaths)
        for system in self.systems.values():
            system.calm()
        for _ in range(12):
            self.clock.sleep(2 * LEASE / 1_000_000 + 7200)
            self.crew.round()
            if self.settled():
                return
        raise AssertionError("it does not come to rest")

    def _round(self, deaths: int) -> None:
        if deaths:
            self.crew.doom(deaths, within=150)
        self.crew.round()

    def settled(self) -> bool:
        status = entrypoints.status(self.app)
        with self.app.store() as uow:
            return (
                not uow.inbox.pending()
                and not uow.outbox.count()
                and "customer" in status["customers"]
            )

    def close(self) -> None:
        self.crew.close()
        for name, system in self.systems.items():
            self.app.connect(name).close()  # type: ignore[attr-defined]
            system.stop()
        self.app.store.close()

    # --- what came of it

    def held(self) -> dict[str, list[dict[str, Any]]]:
        """What each system holds, keys and times aside."""
        shown = ("name", "email", "phone", "city", "status", "note")
        return {
            name: sorted(
                ({part: found.get(part) for part in shown} for found in system.snapshot().values()),
                key=lambda found: str(found["email"]),
            )
            for name, system in self.systems.items()
        }

    def golden(self) -> list[dict[str, Any]]:
        with self.app.store() as uow:
            customers = uow.customers.scan("customer", "", 10_000)
        return sorted((c.golden for c in customers), key=lambda golden: str(golden.get("email")))

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())


@pytest.fixture
def master(postgres_url: str, tmp_path: Path) -> str:
    """The URL of an empty PostgreSQL database."""
    name = "workers_" + "".join(letter for letter in tmp_path.name.lower() if letter.isalnum())
    with psycopg.connect(
        postgres_url.replace("postgresql+psycopg", "postgresql"), autocommit=True
    ) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    return f"{postgres_url.rpartition('/')[0]}/{name}"


def deadlocks(url: str) -> int:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Office]:
    """What one worker makes of the history, undisturbed."""
    office = Office(f"sqlite:///{tmp_path / 'alone.db'}", 1)
    office.history()
    yield office
    office.close()


def test_rule_23_eight_workers_of_whom_some_are_killed_do_what_one_does(
    master: str, alone: Office
) -> None:
    office = Office(master, 8)
    try:
        office.history(storm=True, deaths=2)

        assert office.crew.killed >= 4
        assert [system.duplicates() for system in office.systems.values()] == [[], [], []]
        assert office.golden() == alone.golden()
        assert office.held() == alone.held()
        before = office.writes()
        office.clock.sleep(7200)
        office.crew.round()
        assert office.writes() == before
        assert entrypoints.verify(office.app).converged
        assert entrypoints.rebuild(office.app).equal
    finally:
        office.close()
    assert deadlocks(master) == 0


def test_rule_23_on_sqlite_they_queue(tmp_path: Path) -> None:
    """No worker is told that the database is locked, and nothing is done twice."""
    office = Office(f"sqlite:///{tmp_path / 'master.db'}", 4)
    try:
        office.history(turns=1)

        assert [system.duplicates() for system in office.systems.values()] == [[], [], []]
        assert [len(system.records) for system in office.systems.values()] == [PEOPLE + 1] * 3
        assert entrypoints.verify(office.app).converged
    finally:
        office.close()

"""A scenario played again and again: each time its process is killed at another point, and another one goes on."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from connectors.testing import Profile, Simulator
from crm_master import entrypoints
from crm_master.engine.explain import NotFound
from tests.crash.nursery import Clock, End, Nursery, Order, empty_master
from tests.defects.hub import Hub

ROUNDS = 6
LATER = 1200
"""Seconds between rounds: longer than a lease, and than any wait before a delivery is tried again."""


@dataclass(frozen=True)
class Scenario:
    """What there is before (``prepare`` notes what the errand has to know), and what is right afterwards.

    The errand is the function of the same name in ``tests.crash.errands``; whoever restarts it begins at its beginning.
    """

    name: str
    prepare: Callable[[Hub], Mapping[str, Any] | None]
    expect: Callable[[Hub], None]
    systems: Mapping[str, Any] = field(
        default_factory=lambda: {"shop": Profile(), "crm": Profile()}
    )
    options: Mapping[str, Any] = field(default_factory=dict)
    made: bool = True
    """Whether there is a master before."""


@dataclass(frozen=True)
class Ending:
    """How a play ended: in the systems, by their own count, and in the hub."""

    systems: Mapping[str, Any]
    """Of each: its records, and how often which write took effect."""
    idle: int
    """Writes that changed nothing."""
    afterwards: int
    """Writes of a further round, a full one."""
    hub: Mapping[str, Any]
    asked: int
    """Questions that a person answered between the rounds."""


class Master(Protocol):
    """Where a master is, and how it is brought back to what it was."""

    url: str

    def save(self) -> None: ...
    def restore(self) -> None: ...
    def drop(self) -> None: ...


class SqliteMaster:
    """A file."""

    def __init__(self, folder: Path, *, made: bool = True) -> None:
        self._file, self._kept = folder / "master.db", folder / "kept.db"
        self.url = f"sqlite:///{self._file}"
        if made:
            self._file.write_bytes(empty_master())

    def save(self) -> None:
        if self._file.exists():
            shutil.copyfile(self._file, self._kept)

    def restore(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        if self._kept.exists():
            shutil.copyfile(self._kept, self._file)

    def drop(self) -> None:
        """It goes with its folder."""


class PostgresMaster:
    """A database of its own, and a copy of it."""

    def __init__(self, server_url: str, name: str) -> None:
        self._engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
        self._name = name
        self.url = sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
        self._run(f"CREATE DATABASE {name}")

    def save(self) -> None:
        self._run(f"CREATE DATABASE {self._name}_kept TEMPLATE {self._name}")

    def restore(self) -> None:
        self._run(f"DROP DATABASE {self._name} WITH (FORCE)")
        self._run(f"CREATE DATABASE {self._name} TEMPLATE {self._name}_kept")

    def drop(self) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        self._run(f"DROP DATABASE IF EXISTS {self._name}_kept WITH (FORCE)")
        self._engine.dispose()

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(sa.text(statement))


class Stage:
    """One scenario over simulated systems that outlive every process of the hub. Close it at the end."""

    def __init__(self, scenario: Scenario, home: Path, nursery: Nursery, master: Master) -> None:
        self.scenario, self.home, self._nursery, self.master = scenario, home, nursery, master
        self.clock = Clock(home / "clock")
        self.hub = Hub(
            home,
            scenario.systems,
            clock=self.clock,
            url=master.url,
            initialised=scenario.made,
            **scenario.options,
        )
        (home / "files.json").write_text(json.dumps(self.hub.files), encoding="utf-8")
        self._notes = dict(scenario.prepare(self.hub) or {})
        self.hub.app.store.close()
        self.master.save()
        self._began = self.clock.peek()
        self._systems = {name: _kept(system) for name, system in self.hub.systems.items()}
        self._key = (home / "erasure.key").read_bytes() if (home / "erasure.key").exists() else b""

    def close(self) -> None:
        self.hub.close()
        self.master.drop()

    def warm_up(self) -> None:
        """Let the nursery itself do once what its children will do."""
        for errand in (self.scenario.name, "further_round", "closing"):
            self._send(errand, warm_up=True)

    def rehearse(self) -> tuple[tuple[str, ...], Ending]:
        """The play without a death: the points where one can be, and how it ends."""
        self._restore()
        end = self._send(self.scenario.name)
        assert not end.error, end.error
        return end.points, self._end()

    def play(self, doomed: int) -> tuple[str, Ending]:
        """The play with a death, after which another process does the errand again: where it was, and how it ends."""
        self._restore()
        first = self._send(self.scenario.name, doomed)
        assert first.killed, f"it lived on: {first.error or first.given}"
        self.clock.sleep(1)
        again = self._send(self.scenario.name)
        assert not again.error, again.error
        return first.killed_at, self._end()

    def _end(self) -> Ending:
        """Rounds until nothing is left to do, questions answered; then one more, in which all is read."""
        asked = 0
        for _ in range(ROUNDS):
            asked += self._answer()
            self.clock.sleep(LATER)
            if not self._send("further_round").given and not self._questions():
                break
        before = self.hub.writes()
        self.clock.sleep(LATER)
        closing = self._send("closing")
        assert not closing.error, closing.error
        self.scenario.expect(self.hub)
        return Ending(
            systems={name: _seen(system) for name, system in self.hub.systems.items()},
            idle=sum(system.idle for system in self.hub.systems.values()),
            afterwards=self.hub.writes() - before,
            hub=closing.given,
            asked=asked,
        )

    def _questions(self) -> list[dict[str, Any]]:
        return [task for kind in ("fuse", "unknown", "refused") for task in self.hub.tasks(kind)]

    def _answer(self) -> int:
        """What an operator does: lets pass what stopped, and looks for creates that may have been made. How often."""
        questions = self._questions()
        for task in questions:
            if task["kind"] == "fuse":
                with suppress(NotFound):  # one answer is for all that stopped a run
                    entrypoints.approve_run(self.hub.app, task["run"], "ada")
            else:
                made = task["kind"] == "unknown" and self._is_there(task)
                entrypoints.decide(self.hub.app, task["id"], "drop" if made else "retry", "ada")
        return len(questions)

    def _is_there(self, task: Mapping[str, Any]) -> bool:
        shown = entrypoints.show(self.hub.app, task["entity"])
        email = shown["fields"]["email"]["value"]
        records = self.hub.systems[task["target"].partition("/")[0]].records
        return any(record["email"] == email for record in records.values())

    def _send(self, errand: str, doomed: int | None = None, *, warm_up: bool = False) -> End:
        addresses = {name: system.url for name, system in self.hub.systems.items()}
        where = (str(self.home), self.master.url, addresses)
        return self._nursery.send(Order(errand, *where, self._notes, doomed, warm_up))

    def _restore(self) -> None:
        self.hub.app.store.close()
        self.master.restore()
        self.clock.set(self._began)
        for name, system in self.hub.systems.items():
            state, faults = copy.deepcopy(self._systems[name])
            vars(system._state).update(state)
            vars(system._faults).update(faults)
        key = self.home / "erasure.key"
        key.unlink(missing_ok=True)
        if self._key:
            key.write_bytes(self._key)


def _kept(system: Simulator) -> tuple[dict[str, Any], dict[str, Any]]:
    """A copy of all that changes in a system."""
    fixed = ("profile", "clock")
    state = {name: of for name, of in vars(system._state).items() if name not in fixed}
    return copy.deepcopy((state, vars(system._faults)))


def _seen(system: Simulator) -> dict[str, Any]:
    """The records of a system and the writes that it took, by who they are of: keys and times may differ."""

    def who(key: str, body: Mapping[str, Any]) -> str:
        record = system.records.get(key) or system.trash.get(key) or body
        return str(record.get("email") or record.get("name") or key)

    hidden = ("id", "ref", "updated", "version")
    return {
        "records": sorted(
            json.dumps({name: value for name, value in record.items() if name not in hidden})
            for record in system.records.values()
        ),
        "writes": Counter(
            f"{write.method} {who(write.key, write.body)} "
            + json.dumps(
                {name: of for name, of in write.body.items() if name != "ref"}, sort_keys=True
            )
            for write in system.writes
        ),
    }

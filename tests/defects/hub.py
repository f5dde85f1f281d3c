"""A hub over simulated systems on one clock that a test moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from connectors.testing import Profile, Simulator
from connectors.testing.simulator import TOKEN
from crm_master import entrypoints
from crm_master.bootstrap import App, erasure_key
from crm_master.store import Database
from crm_master.store.schema import observation
from tests.clock import Clock
from tests.hubs import compiled, files_for, write_files

LEASE = 600
"""Seconds after which what a dead worker had begun is taken over."""


class Hub:
    """Simulated systems, the hub between them, and what an operator can see of it.

    Everybody with an e-mail address is created everywhere. ``**systems`` are profiles, or simulators of a test's own kind.
    """

    def __init__(
        self,
        folder: Path,
        systems: Mapping[str, Profile | Callable[[Clock], Simulator]],
        *,
        policies: Mapping[str, Any] | None = None,
        create: Any = None,
        mappings: Mapping[str, Mapping[str, Any]] | None = None,
        edit: Callable[[dict[str, str]], None] | None = None,
        clock: Any = None,
        url: str = "",
        initialised: bool = True,
        **params: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.systems = {
            name: Simulator(system, self.clock.moment)
            if isinstance(system, Profile)
            else system(self.clock)
            for name, system in systems.items()
        }
        self.create = {"when": {"email": "present"}} if create is None else create
        files = files_for(
            self.systems,
            policies,
            options={"create": self.create},
            mappings=mappings,
            params=params,
        )
        if edit is not None:
            edit(files)
        self.files = files
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'master.db'}"
        for system in self.systems.values():
            system.start()
        self._apps: list[App] = []
        self.app = self.worker()
        if initialised:
            entrypoints.init(self.app)

    def worker(self) -> App:
        """Another process of the hub: the same files and master, connections of its own."""
        app = App(
            self.folder,
            compiled(self.files),
            Database(self.url, erasure_key(self.folder, {})),
            lambda connection: self.systems[connection].connection,
            self.clock,
        )
        self._apps.append(app)
        return app

    def __getattr__(self, name: str) -> Simulator:
        try:
            return self.__dict__["systems"][name]
        except KeyError:
            raise AttributeError(name) from None

    def close(self) -> None:
        for app in self._apps:
            for opened in app._open.values():
                opened.close()  # type: ignore[attr-defined]
            app.store.close()
        for system in self.systems.values():
            system.stop()

    def write_files(self, home: Path) -> None:
        """The deployment as a folder, for a process that is started."""
        write_files(self.files, home)

    @property
    def environ(self) -> dict[str, str]:
        """What such a process has to know."""
        found = {
            f"AIRFLOW_CONN_{name.upper()}": json.dumps({"host": system.url, "password": TOKEN})
            for name, system in self.systems.items()
        }
        return found | {"CONCORD_DATABASE_URL": self.url}

    # --- what is done

    def sync(self, *, full: bool = False, later: float = 60) -> dict[str, dict[str, int]]:
        """A round, a while later; the counts of each run. Raises what ``concord sync`` would tell."""
        self.clock.sleep(later)
        ran: dict[str, dict[str, int]] = {}

        def report(run: entrypoints.Ran) -> None:
            counts = ran.setdefault(f"{run.verb} {run.target}", {})
            for name, number in run.counts.items():
                counts[name] = counts.get(name, 0) + number

        entrypoints.sync(self.app, full=full, report=report)
        return ran

    def ingest(self, system: str, *, full: bool = False, by: App | None = None) -> dict[str, int]:
        return entrypoints.ingest(by or self.app, system, "customers", full=full).counts

    def reconcile(self) -> dict[str, int]:
        return entrypoints.reconcile(self.app, "customer").counts

    def deliver(self, system: str, *, by: App | None = None) -> dict[str, int]:
        return entrypoints.deliver(by or self.app, system).counts

    # --- what can be seen

    def golden(self, record: str) -> dict[str, Any]:
        """The golden record behind ``system/key``."""
        system, key = record.split("/", 1)
        shown = entrypoints.show(self.app, f"{system}/customers/{key}")
        return {name: facts["value"] for name, facts in shown["fields"].items()}

    def customers(self) -> int:
        number: int = entrypoints.status(self.app)["customers"].get("customer", 0)
        return number

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

    def tasks(self, kind: str = "") -> list[dict[str, Any]]:
        found = entrypoints.tasks(self.app) + entrypoints.tasks(self.app, dead=True)
        return [task for task in found if not kind or task["kind"] == kind]

    def cursor(self, system: str) -> str:
        with self.app.store() as uow:
            return uow.states.stream(system, "customers").cursor or ""

    def observations(self) -> int:
        with self.app.store.engine.connect() as connection:
            found = connection.execute(sa.select(sa.func.count()).select_from(observation))
            return int(found.scalar_one())

    def key_of(self, system: str, **fields: Any) -> str:
        """The one record of a system that holds these values."""
        found = [
            key
            for key, record in self.systems[system].records.items()
            if all(record.get(name) == value for name, value in fields.items())
        ]
        assert len(found) == 1, f"{len(found)} records in {system}"
        return found[0]

    def converged(self) -> bool:
        return entrypoints.verify(self.app).converged


def edited(change: Callable[[str, dict[str, Any]], None]) -> Callable[[dict[str, str]], None]:
    """An edit of every system's manifest, as its YAML is read: ``change(system, manifest)``."""

    def edit(files: dict[str, str]) -> None:
        for name in [name for name in files if name.startswith("systems/")]:
            manifest = json.loads(files[name].split("\n", 1)[1])
            change(name.removeprefix("systems/").removesuffix(".yaml"), manifest)
            files[name] = "# A simulated system.\n" + json.dumps(manifest, indent=1)

    return edit

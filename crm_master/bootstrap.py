"""Wiring: a compiled deployment, a store, and connections. The one composition root."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from connectors.contract import Sink
from connectors.registry import open_system
from connectors.runtime.budget import Budget, Standing, TokenBucket
from connectors.runtime.connection import Connection, connection_from_environment
from connectors.runtime.manifest import HttpManifest
from crm_master.deployment import (
    Deployment,
    compile_deployment,
    home_files,
    recorded_files,
    same_effect,
)
from crm_master.domain import ids
from crm_master.domain.claims import Instant
from crm_master.domain.processes import OWN_SYSTEM
from crm_master.engine.ingest import moment
from crm_master.engine.plan import Hub
from crm_master.engine.processes import Processes
from crm_master.engine.transactions import transact
from crm_master.ports import Clock, UnitOfWork, UnitOfWorkFactory
from crm_master.settings import HubSettings
from crm_master.store import Database, SuppressionKeyWrong

DATABASE_VARIABLE = "CONCORD_DATABASE_URL"
HOME_VARIABLE = "CONCORD_HOME"
ERASURE_KEY_VARIABLE = "CONCORD_ERASURE_KEY"
ERASURE_KEY_FILE = "erasure.key"
ERASURE_KEY_LENGTH = 32

T = TypeVar("T")


def now() -> Instant:
    """The hub's clock."""
    return time.time_ns() // 1_000


def new_id() -> ids.EntityId:
    """A new surrogate that sorts by time."""
    return ids.entity_id(time.time_ns() // 1_000_000, secrets.token_bytes(10))


@dataclass(frozen=True, slots=True)
class App:
    """Everything that a verb needs."""

    home: Path
    deployment: Deployment
    store: Database
    connection: Callable[[str], Connection] = connection_from_environment
    clock: Clock = now
    new_id: Callable[[], ids.EntityId] = new_id
    proposed: Deployment | None = None
    """What the files say, where that is not in force yet: then ``deployment`` is what is."""
    _open: dict[str, Sink] = field(default_factory=dict)

    @property
    def hub(self) -> Hub:
        return self.deployment.hub

    @property
    def settings(self) -> HubSettings:
        """What the files say: for settings that touch no data, and so count at once."""
        return (self.proposed or self.deployment).settings

    def connect(self, system: str) -> Sink:
        """The system's connector, opened once. Raises ``connectors.errors.BadConfiguration``."""
        if system not in self._open and system == OWN_SYSTEM:
            self._open[system] = Processes(self.deployment.processes, self.store, self.clock)
        if system not in self._open:
            connection = self.connection(self.deployment.settings.systems[system].connection)
            manifest = self.deployment.manifests[system]
            self._open[system] = open_system(
                manifest, connection, lambda: moment(self.clock()), budget=self._budget(system)
            )
        return self._open[system]

    def _budget(self, system: str) -> Budget | None:
        """The budget of the system's credential, if its manifest names one: all processes share it."""
        manifest = self.deployment.manifests[system]
        if not isinstance(manifest, HttpManifest) or manifest.limits.per_second is None:
            return None
        return TokenBucket(
            manifest.limits,
            longest_wait=manifest.http.longest_wait,
            keep=Shared(self.store, self.deployment.settings.systems[system].connection),
            clock=time.time,
            now=lambda: moment(self.clock()),
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """Keeps in the master how the budget of a credential stands (``connectors.runtime.budget.Keeper``)."""

    store: UnitOfWorkFactory
    credential: str

    def __call__(self, change: Callable[[Standing], T]) -> T:
        def once(uow: UnitOfWork) -> T:
            standing = Standing(**uow.states.budget(self.credential))
            found = change(standing)
            uow.states.save_budget(self.credential, asdict(standing))
            return found

        return transact(self.store, once)


def open_app(
    home: Path,
    connection: Callable[[str], Connection] = connection_from_environment,
    environ: Mapping[str, str] | None = None,
    clock: Clock = now,
) -> App:
    """Compile the deployment in ``home`` and open its store. The caller closes that.

    Raises ``ConfigurationMistakes`` with every mistake, or ``BadDatabaseUrl``.
    """
    deployment = compile_deployment(home_files(home))
    store = Database(database_url(home, environ), erasure_key(home, environ))
    return App(home, deployment, store, connection, clock)


@contextmanager
def opened(
    home: Path,
    connection: Callable[[str], Connection] = connection_from_environment,
    *,
    fresh: bool = False,
) -> Iterator[App]:
    """An app for the time of one command or task; ``fresh`` if its master need not have been made yet.

    Raises what ``open_app`` raises, ``SchemaOutdated``, and ``DatabaseUnavailable`` whenever the database goes away.
    """
    app = open_app(home, connection)
    try:
        with app.store.explaining():
            if not fresh:
                app.store.check()
                app = in_force(app)
            yield app
    finally:
        app.store.close()


def in_force(app: App) -> App:
    """The app under the configuration that was applied last, if the files say something else that matters (RULES 21).

    A new system, a schedule, or another connection touch nothing that was read: they count at once. Raises
    ``ConfigurationMistakes`` if this release cannot read the applied configuration; the files' is then to be applied.
    """
    files = app.proposed or app.deployment
    with app.store() as uow:
        applied = uow.journal.applied()
        content = None if applied is None else uow.journal.config(applied.hash)
    if applied is None or content is None or applied.hash == files.hub.hash:
        return replace(app, deployment=files, proposed=None)
    former = compile_deployment(recorded_files(content))
    if same_effect(former, files):
        return replace(app, deployment=files, proposed=None)
    return replace(app, deployment=former, proposed=files)


def database_url(home: Path, environ: Mapping[str, str] | None = None) -> str:
    """Where the master is: ``CONCORD_DATABASE_URL``, else a SQLite file in the deployment's folder."""
    found = (os.environ if environ is None else environ).get(DATABASE_VARIABLE, "")
    return found or f"sqlite:///{home / 'concord.db'}"


def erasure_key(
    home: Path, environ: Mapping[str, str] | None = None
) -> Callable[[bool], bytes | None]:
    """Where the key of the erased is: ``CONCORD_ERASURE_KEY``, else a file in the deployment's folder, made when needed.

    It stands apart from the database: who has only that, or its backup, cannot try out whether somebody was erased.
    """

    def key(make: bool) -> bytes | None:
        found = (os.environ if environ is None else environ).get(ERASURE_KEY_VARIABLE, "")
        if found and len(found) < ERASURE_KEY_LENGTH:
            raise SuppressionKeyWrong(
                f"{ERASURE_KEY_VARIABLE} has fewer than {ERASURE_KEY_LENGTH} characters"
            )
        path = home / ERASURE_KEY_FILE
        if make and not found and not path.exists():
            _write_once(path, secrets.token_hex(ERASURE_KEY_LENGTH))
        return found.encode() or (path.read_bytes().strip() if path.exists() else b"") or None

    return key


def _write_once(path: Path, text: str) -> None:
    """Write a file of its owner alone, whole or not at all, unless another process was faster."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as opened_file:
        opened_file.write(text)
        opened_file.flush()
        os.fsync(file)
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()

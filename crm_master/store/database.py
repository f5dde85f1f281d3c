"""Connections, transactions and migrations of the master database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from crm_master.domain.entities import EntitySpec
from crm_master.ports import Level
from crm_master.store.customers import CustomerRepository
from crm_master.store.erasures import ErasureRepository
from crm_master.store.facts import FactRepository
from crm_master.store.inbox import InboxRepository
from crm_master.store.journal import JournalRepository
from crm_master.store.locks import LockBook
from crm_master.store.operations import OperationsRepository
from crm_master.store.outage import explained, parsed
from crm_master.store.outbox import OutboxRepository
from crm_master.store.records import RecordRepository
from crm_master.store.runs import RunRepository
from crm_master.store.sightings import SightingRepository
from crm_master.store.sql import execute
from crm_master.store.states import StateRepository
from crm_master.store.suppressions import Key, SuppressionRepository, no_key
from crm_master.store.tasks import TaskRepository
from crm_master.store.views import drop_views, make_views

BUSY_TIMEOUT_MS = 60_000
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    # keys by which people are matched are hashes: their rows go to pages all over the file; of those SQLite keeps 2 MB, and
    # 4 MB in its log, and would read and copy the same ones again and again; 64 MB each, at 4 kB a page
    "cache_size=-65536",
    "wal_autocheckpoint=16384",
    # what a savepoint keeps of the pages that change would go to a file: as much again as is written to the log
    "temp_store=MEMORY",
)


class SchemaOutdated(Exception):
    """The database was made by another release. Migrate it (``concord init``) before use."""


class Database:
    """The master database at a SQLAlchemy ``url``; ``database()`` opens a unit of work."""

    def __init__(self, url: str, key: Key = no_key) -> None:
        """``key`` is that of the erased. Raises ``BadDatabaseUrl``. Whether the database answers shows when it is used."""
        self.engine = _engine(url)
        self._key = key

    def __call__(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self.engine, self._key)

    def migrate(self) -> None:
        """Bring the schema to this release. Safe to call again."""
        with self.engine.begin() as connection:
            config = _alembic()
            config.attributes["connection"] = connection
            drop_views(connection)
            command.upgrade(config, "head")

    def make_views(self, entities: Sequence[EntitySpec]) -> list[str]:
        """Make the SQL views of these entities anew. Gives their names."""
        with self.engine.begin() as connection:
            return make_views(connection, entities)

    def check(self) -> None:
        """Raise ``SchemaOutdated`` unless the schema is that of this release."""
        with self.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        wanted = ScriptDirectory.from_config(_alembic()).get_current_head()
        if found != wanted:
            raise SchemaOutdated(
                f"the master database is at revision {found or 'none'}, this release needs {wanted}: "
                "run `concord init`"
            )

    def purge(self, patience_ms: int = BUSY_TIMEOUT_MS) -> bool:
        """Leave nothing of deleted rows in the files of a SQLite database. Gives whether that was possible now.

        It is not while another process reads. On PostgreSQL the files are the operator's: nothing is done there.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        raw = self.engine.raw_connection()
        cursor = raw.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout={patience_ms}")
            cursor.execute("VACUUM")
            # what the write-ahead log holds, old pages among it, goes into the new file, and the log is emptied
            busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            return False
        finally:
            raw.close()
        return not busy

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """For whoever talks to people: an outage ends the block as ``DatabaseUnavailable``, not in the driver's words."""
        try:
            yield
        except Exception as error:
            outage = explained(error, self.engine.url)
            if outage is None:
                raise
            raise outage from error

    def close(self) -> None:
        self.engine.dispose()


class SqlUnitOfWork:
    """One transaction; see ``crm_master.ports.UnitOfWork``."""

    def __init__(self, engine: Engine, key: Key) -> None:
        self._engine = engine
        self._key = key

    def __enter__(self) -> Self:
        self._connection: Connection = self._engine.connect()
        self._transaction = self._connection.begin()
        self._locks = LockBook(self._connection)
        self.inbox = InboxRepository(self._connection, self._locks)
        self.records = RecordRepository(self._connection, self._locks)
        self.sightings = SightingRepository(self._connection)
        self.customers = CustomerRepository(self._connection, self._locks)
        self.facts = FactRepository(self._connection)
        self.outbox = OutboxRepository(self._connection, self._locks)
        self.tasks = TaskRepository(self._connection)
        self.journal = JournalRepository(self._connection, self._locks)
        self.states = StateRepository(self._connection, self._locks)
        self.erasures = ErasureRepository(self._connection)
        self.suppressions = SuppressionRepository(self._connection, self._key)
        self.runs = RunRepository(self._connection)
        self.operations = OperationsRepository(self._connection)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._transaction.is_active:
            self._transaction.rollback()
        self._connection.close()

    def commit(self) -> None:
        self._locks.release()
        self._transaction.commit()

    def lock(self, level: Level, ids: Collection[str]) -> None:
        self._locks.take(level, ids)

    def savepoint(self) -> AbstractContextManager[Any]:
        return self._locks.savepoint()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _engine(url: str) -> Engine:
    # an error of the database must not show the personal data that was on its way there
    engine = sa.create_engine(parsed(url), hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _make_private)
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _open_postgres)
    return engine


def _make_private(_dialect: Any, _record: Any, args: Any, _options: Any) -> None:
    # the master holds everybody's data: a new file is its owner's alone, and so is what SQLite puts beside it
    name = str(args[0]) if args else ""
    if name and not name.startswith((":", "file:")):
        with suppress(OSError):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _open_sqlite(connection: Any, _record: Any) -> None:
    # the driver's own transaction control would begin late and deferred: two writers could then deadlock
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _open_postgres(connection: Any, _record: Any) -> None:
    # a plan that is kept is one of an empty table, in a first load, and has no values: each row of the table is compared
    # with each of a list, one by one, while of known values a hash is made
    connection.execute("SET plan_cache_mode = force_custom_plan")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    execute(connection, "BEGIN IMMEDIATE")

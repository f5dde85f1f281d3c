"""The schema that migrations make is the one that the code declares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from crm_master.store import Database
from crm_master.store.database import SchemaOutdated
from crm_master.store.schema import metadata

NewDatabase = Callable[[], Database]


def test_migrations_give_exactly_the_declared_schema(store: Database) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_does_nothing(store: Database) -> None:
    store.migrate()
    store.check()


def test_a_database_that_was_never_migrated_is_refused_with_what_to_do(
    new_database: NewDatabase,
) -> None:
    with pytest.raises(SchemaOutdated, match="concord init"):
        new_database().check()


def test_a_database_of_another_release_is_refused(store: Database) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = 'other'"))
    with pytest.raises(SchemaOutdated, match="is at revision other"):
        store.check()

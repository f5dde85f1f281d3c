"""The schema that migrations make is the one that the code declares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from crm_master.domain.claims import FieldShadow, Seen, Shadow
from crm_master.store import Database
from crm_master.store.database import SchemaOutdated, _alembic
from crm_master.store.schema import metadata
from tests.contract.rows import record_of, saved

NewDatabase = Callable[[], Database]


def test_migrations_give_exactly_the_declared_schema(store: Database) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_does_nothing(store: Database) -> None:
    store.migrate()
    store.check()


def test_a_record_of_an_earlier_release_keeps_its_shadow(store: Database) -> None:
    left, right = record_of("a", "E1"), record_of("b")
    left.shadow = Shadow({"name": FieldShadow("Ada")}, (Seen(3, 4),), confirmed_at=5, read_at=6)
    saved(store, left, right)
    with store() as uow:
        uow.erasures.begin_anew(["E1"], 1)
        uow.commit()
    with store.engine.begin() as connection:
        config = _alembic()
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        assert connection.scalar(sa.text("SELECT confirmed_at FROM shadow WHERE doc LIKE '%Ada%'"))
    store.migrate()
    with store() as uow:
        assert uow.records.get([left.rec_id, right.rec_id]) == {
            record.rec_id: record for record in (left, right)
        }
        kept = uow.erasures.baseline(1)
        uow.erasures.forget([], [left.rec_id])
        uow.erasures.restore(kept)
        assert uow.records.get([left.rec_id])[left.rec_id] == left


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

"""One empty master database for each test, on each database that Concord runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_master.store import Database, sql

_schemas = count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'master.db'}"
        return
    url = sa.make_url(request.getfixturevalue("postgres_url"))
    schema = f"contract_{next(_schemas)}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    yield url.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(
        hide_password=False
    )
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture
def new_database(empty_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the database that is not migrated yet."""
    opened: list[Database] = []

    def make() -> Database:
        opened.append(Database(empty_url))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def store(new_database: Callable[[], Database]) -> Database:
    database = new_database()
    database.migrate()
    return database


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Database], list[str]]:
    """Notes every statement that is sent to a database, by SQLAlchemy or by the store itself."""

    def listen(store: Database) -> list[str]:
        sent: list[str] = []

        @sa.event.listens_for(store.engine, "before_cursor_execute")
        def note(_c: object, _k: object, text: str, _p: object, _x: object, _many: bool) -> None:
            sent.append(text)

        execute = sql.execute

        def noted(connection: sa.Connection, text: str, *values: Any, **how: Any) -> Any:
            if connection.engine is store.engine:
                sent.append(text)
            return execute(connection, text, *values, **how)

        monkeypatch.setattr(sql, "execute", noted)
        return sent

    return listen


@pytest.fixture
def statements(store: Database, spy: Callable[[Database], list[str]]) -> list[str]:
    """Every statement that is sent to the database."""
    return spy(store)

"""A database that goes away is told in words that a person can act on; a fault of ours is not dressed up as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_master.store import Database, DatabaseUnavailable, database
from crm_master.store.outage import explained
from crm_master.store.sql import Query

pytestmark = pytest.mark.integration


def test_a_fault_of_ours_keeps_its_own_words(store: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError), store.explaining(), store.engine.connect() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))
    with pytest.raises(KeyError), store.explaining():
        raise KeyError("name")


@pytest.mark.parametrize(
    "ask",
    [lambda connection: connection.execute(sa.text("SELECT 1")), Query(sa.select(sa.literal(1)))],
    ids=["asked through SQLAlchemy", "asked by the store"],
)
def test_a_server_that_ends_the_connection_is_told(
    ask: Callable[[sa.Connection], object], postgres_url: str
) -> None:
    store, operator = Database(postgres_url), Database(postgres_url)

    def query(connection: sa.Connection) -> None:
        with store.explaining():
            ask(connection)

    with closing(store), closing(operator), store.engine.connect() as connection:
        number = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with operator.engine.begin() as other:
            other.execute(sa.text(f"SELECT pg_terminate_backend({number})"))
        with pytest.raises(DatabaseUnavailable, match="cannot be used: terminating connection"):
            query(connection)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": "nobodys"}, r'nobodys cannot be used: .* "nobodys" does not exist'),
        (
            {"password": "s3cret"},
            r"cannot be used: .* authentication failed .* are user, password,",
        ),
        ({"port": 1, "query": {}}, r":1/.* refused\. Is it running, and"),
    ],
    ids=["no such database", "the wrong password", "nothing listens"],
)
def test_a_server_that_does_not_let_us_in_is_told(
    change: dict[str, object], said: str, postgres_url: str
) -> None:
    url = sa.make_url(postgres_url).set(**change)  # type: ignore[arg-type]
    store = Database(url.render_as_string(hide_password=False))
    with (
        closing(store),
        pytest.raises(DatabaseUnavailable, match=said) as told,
        store.explaining(),
    ):
        store.check()
    assert "s3cret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_driver_that_repeats_the_password_is_not_repeated() -> None:
    url = sa.make_url("postgresql+psycopg://hub:s3cret@db.example.org/hub?password=t0psecret")
    error = sa.exc.OperationalError(None, None, Exception("no use of s3cret\n or t0psecret.\n"))
    assert str(explained(error, url)).startswith(
        "the master database db.example.org/hub cannot be used: no use of *** or ***. "
    )


def test_a_server_that_goes_while_a_connection_is_made_is_told(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as store:

        @sa.event.listens_for(store.engine, "connect", insert=True)
        def lose(connection: Any, _record: object) -> None:
            connection.close()

        with (
            pytest.raises(DatabaseUnavailable, match=r"is closed\. Is it running"),
            store.explaining(),
        ):
            store.check()


def test_a_file_that_another_process_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    url = f"sqlite:///{tmp_path / 'master.db'}"
    holder, waiter = Database(url), Database(url)

    def write() -> None:
        with waiter.explaining(), waiter():
            pass

    with closing(holder), closing(waiter):
        holder.migrate()
        with holder(), pytest.raises(DatabaseUnavailable, match=r"is locked\. Another process"):
            write()

"""What a measurement needs around it: a database, and a hub over systems that are elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from connectors.runtime.connection import Connection
from connectors.testing.api import TOKEN
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import compile_deployment, home_files
from crm_master.store import Database
from examples import peers


@contextmanager
def databases(kind: str) -> Iterator[Callable[[], str]]:
    """Gives addresses of new, empty databases."""
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as name:
        folder, made = Path(name), iter(range(1000))
        if kind == "sqlite":
            yield lambda: f"sqlite:///{folder / f'{next(made)}.db'}"
            return
        with peers.postgres(folder / "postgres") as server:

            def new() -> str:
                database = f"bench_{next(made)}"
                with psycopg.connect(plain(server.url), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {database}")
                return server.url.rpartition("/")[0] + f"/{database}"

            yield new


def plain(url: str) -> str:
    """The address as drivers know it, without SQLAlchemy's name of the driver."""
    return url.replace("+psycopg", "")


@contextmanager
def opened(texts: Mapping[str, str], database: str, urls: Mapping[str, str]) -> Iterator[App]:
    """A hub of these files, and what ships, over an empty database and simulated systems at these addresses."""
    shipped = home_files(Path("/nonexistent"))
    deployment = compile_deployment(lambda name: texts.get(name) or shipped(name))
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as home:
        app = App(
            Path(home),
            deployment,
            Database(database),
            lambda system: Connection(urls[system], "hub", TOKEN),
        )
        try:
            entrypoints.init(app)
            yield app
        finally:
            app.store.close()

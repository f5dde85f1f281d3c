"""Fixtures for all tests: real systems, started only when a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from examples import peers
from examples.peers.database import debian_binaries

# how long an example takes says something of the machine, not of the code
settings.register_profile(
    "tests", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[peers.Postgres]:
    """One PostgreSQL for the whole session; tests make schemas or databases of their own."""
    with peers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: peers.Postgres) -> str:
    """The SQLAlchemy URL (driver psycopg) of the session's PostgreSQL."""
    return postgres_server.url


@pytest.fixture(scope="session")
def debian_postgres_url() -> Iterator[str]:
    """The same of Debian's own PostgreSQL; for tests marked `debian`."""
    with peers.postgres(binaries=debian_binaries()) as server:
        yield server.url


@pytest.fixture
def tryton(tmp_path: Path) -> Iterator[peers.Tryton]:
    """A Tryton of this test alone, with an empty customer base."""
    with peers.tryton(tmp_path / "tryton") as server:
        yield server


@pytest.fixture
def mailman(tmp_path: Path) -> Iterator[peers.Mailman]:
    """A Mailman of this test alone, with an empty list."""
    with peers.mailman(tmp_path / "mailman") as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param(peers.BackOffice, id="node"),
        pytest.param(peers.PhpBackOffice, id="php", marks=pytest.mark.debian),
    ]
)
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[peers.BackOffice]:
    """A back office of this test alone, empty: npm's SOAP server, and PHP's in `make test-debian`."""
    with request.param(tmp_path / "office") as server:
        yield server


@pytest.fixture(scope="module")
def module_vendure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Vendure]:
    """A Vendure shared by the tests of one module."""
    with peers.vendure(tmp_path_factory.mktemp("vendure")) as server:
        yield server


@pytest.fixture(scope="module")
def module_tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Tryton]:
    """A Tryton shared by the tests of one module."""
    with peers.tryton(tmp_path_factory.mktemp("tryton")) as server:
        yield server


@pytest.fixture(scope="module")
def module_mailman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Mailman]:
    """A Mailman shared by the tests of one module."""
    with peers.mailman(tmp_path_factory.mktemp("mailman")) as server:
        yield server

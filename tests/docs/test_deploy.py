"""docs/deploy.md is true: its commands name services that there are, its secrets are enough, a restore loses nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from connectors.testing.simulator import Simulator
from examples import peers
from examples.peers.processes import HOST
from tests.desk import Desk
from tests.docs.pages import ROOT, blocks, commands
from tests.docs.test_docs import test_a_command_exists_with_its_options as check_command
from tests.e2e.composed import COMPOSE, filled_in
from tests.hubs import files_for, write_files

PAGE = ROOT / "docs" / "deploy.md"
COMPOSED = ["docker", "compose", "-f", "docker/compose.yaml"]
BLOCKS = blocks(PAGE)


def _lines(*words: str) -> list[str]:
    """The console lines of the page; of the blocks that are called so."""
    return [
        line
        for block in BLOCKS
        if block.language == "console" and set(words) <= set(block.words)
        for line, _ in commands(block.body)
    ]


@pytest.mark.parametrize("line", _lines())
def test_a_command_is_one_of_compose_for_services_that_there_are(line):
    words = shlex.split(line)
    assert words[:4] == COMPOSED
    verb, *rest = words[4:]
    named = [word for word in rest if not word.startswith("-")]
    options = set(rest) - set(named)
    allowed = {"build": set(), "up": {"--detach"}, "logs": set(), "stop": set()}
    services = named
    if verb in ("run", "exec"):
        services, inside = named[:1], rest[rest.index(named[0]) + 1 :]
        options -= {word for word in inside if word.startswith("-")}
        allowed = {"run": {"--rm", "--no-deps"}, "exec": {"-T"}}
        if inside[:1] == ["concord"]:
            check_command(str(PAGE), shlex.join(inside))
    assert options <= allowed[verb]
    assert set(services) <= yaml.safe_load(COMPOSE.read_text())["services"].keys()


def test_the_secrets_of_the_page_are_those_of_the_file(tmp_path):
    (secrets,) = (block for block in BLOCKS if block.words == ("secrets",))
    (tmp_path / "docker").mkdir()
    subprocess.run(["sh", "-e"], input=secrets.body, text=True, cwd=tmp_path, check=True)
    made = tmp_path / "docker" / ".env"
    pairs = dict(line.split("=", 1) for line in made.read_text().splitlines())

    assert made.stat().st_mode & 0o777 == 0o600
    assert filled_in(yaml.safe_load(COMPOSE.read_text()), pairs)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[peers.Postgres]:
    """A server as the compose file has it: with a database for the master."""
    with peers.postgres(tmp_path / "postgres") as server:
        with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute("CREATE DATABASE concord")
        yield server


@pytest.mark.integration
def test_after_a_restore_as_the_page_has_it_all_converges(tmp_path, postgres):
    """Its lines are run: those inside of `postgres` with PostgreSQL's own programs, those inside of `worker` here."""
    with Simulator() as shop, Simulator() as crm:
        systems = {"shop": shop, "crm": crm}
        files = files_for(systems, creating=["crm"])
        write_files(
            {name: text.replace("join: auto", "join: ask") for name, text in files.items()},
            tmp_path,
        )
        url = postgres.url.rpartition("/")[0] + "/concord"
        desk = Desk(tmp_path, shop, crm, {"CONCORD_DATABASE_URL": url})
        before = shop.add(name="Ada Example", email="ada@example.org")
        for verb in ("init", "sync", "approve", "sync"):
            desk.concord(verb, answer="y\n")

        _follow(desk, postgres, "backup")
        shop.add(name="Grace Example", email="grace@example.org")
        shop.edit(before, name="Ada Lovelace")
        desk.concord("sync")
        (in_crm,) = (key for key, found in crm.snapshot().items() if "Ada" in found["name"])
        crm.edit(in_crm, city="Ghent")
        written = len(shop.writes), len(crm.writes)
        _follow(desk, postgres, "restore")
        assert (len(shop.writes), len(crm.writes)) == written, "nobody has approved it"
        _follow(desk, postgres, "approve")

        assert shop.duplicates() == crm.duplicates() == []
        for system in (shop, crm):
            told = {
                found["name"]: found.get("city") or None for found in system.snapshot().values()
            }
            assert told == {"Ada Lovelace": "Ghent", "Grace Example": None}
        desk.concord("verify")


def _follow(desk: Desk, postgres: peers.Postgres, words: str) -> None:
    for line in _lines(words):
        verb, *rest = shlex.split(line)[4:]
        if verb == "exec":
            command = line.partition(" postgres ")[2]
            subprocess.run(
                ["sh", "-ec", command],
                cwd=desk.home,
                env=os.environ | _reached(postgres),
                check=True,
            )
        elif "concord" in rest:
            desk.concord(*rest[rest.index("concord") + 1 :], answer="y\n")
        elif verb == "run":
            assert rest[-1] == "init"
            desk.concord("init")  # what dags.setup does to the master


def _reached(postgres: peers.Postgres) -> dict[str, str]:
    """Where the programs of PostgreSQL are, and the server that they reach."""
    return {
        "PATH": f"{postgres.programs}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": HOST,
        "PGPORT": str(postgres.port),
        "PGPASSWORD": postgres.password,
    }

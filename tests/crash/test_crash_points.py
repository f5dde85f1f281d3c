"""The process is killed at every boundary of the path, and another one goes on: nothing lost, nothing twice.

Commits and requests with effect are found in the source; what no scenario passes is named. Each play ends with the systems
holding what they hold without a death, by the same writes, counted by the systems; a further round writes nothing, and the
golden records made again from the journal are equal (promises 1, 3, 4, 7).
"""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.boundaries import found_in, passed, sites
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import PostgresMaster, SqliteMaster
from tests.crash.theatre import Theatre, upright

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ON_POSTGRES = ("lost_answers", "changed_files")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder in memory, where there is one."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def theatre(home: Path) -> Iterator[Theatre]:
    made = Theatre(home, lambda folder, of: SqliteMaster(folder, made=of.made))
    yield made
    made.close()


def test_every_boundary_of_the_code_is_passed(theatre: Theatre) -> None:
    missing = {site.name for site in sites()} - passed(theatre.points)
    assert not missing, f"no scenario of tests/crash/scenarios.py passes {sorted(missing)}"
    assert all(point.split(": ", 1)[1] for point in theatre.points), "a boundary without a place"


def test_without_a_death_every_scenario_ends_as_it_should(theatre: Theatre) -> None:
    for play in theatre.plays.values():
        upright(play.ending)


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_whoever_is_killed_loses_nothing_and_does_nothing_twice(
    theatre: Theatre, name: str
) -> None:
    for number in dict(theatre.chosen())[name]:
        theatre.plays[name].die_at(number)


def test_the_same_on_postgresql(postgres_url: str, home: Path) -> None:
    folder = home / "postgres"
    folder.mkdir()
    few = tuple(scenario for scenario in SCENARIOS if scenario.name in ON_POSTGRES)
    theatre = Theatre(folder, lambda _, of: PostgresMaster(postgres_url, f"crash_{of.name}"), few)
    try:
        for name, numbers in theatre.chosen():
            for number in numbers[::4]:
                theatre.plays[name].die_at(number)
    finally:
        theatre.close()


NEW = """
class Engine:
    def verb(self):
        with self.store() as uow:
            uow.commit()
            uow.journal.commit("merge", at)
        with self.store() as uow:
            uow.commit()

    def other(self):
        def inside():
            with recorded(app, "verb"):
                sink.write([command])
        inside()
"""


def test_a_new_boundary_is_found_in_the_source() -> None:
    names = [site.name for site in found_in("m", "m.py", ast.parse(NEW), frozenset({"recorded"}))]
    assert names == [
        "m:Engine.verb #1",
        "m:Engine.verb #2",
        "m:Engine.other.<locals>.inside #1",
        "m:Engine.other.<locals>.inside #2",
    ]

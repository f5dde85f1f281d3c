"""All scenarios on their stages, rehearsed: which points there are, and at which of them a process is to be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.nursery import Nursery
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Ending, Master, Scenario, Stage

EFFECTS = ("after POST", "after PATCH", "after DELETE")
"""Behind a remote effect every scenario is killed; else one death at each boundary is enough for a quick run."""


@dataclass(frozen=True)
class Rehearsed:
    """A scenario that was played once without a death."""

    stage: Stage
    points: tuple[str, ...]
    ending: Ending

    def die_at(self, number: int) -> None:
        """Play it with a death at this point. Raises ``AssertionError`` unless it ends as without."""
        name = f"{self.stage.scenario.name}, killed {self.points[number]} (point {number})"
        try:
            killed_at, ending = self.stage.play(number)
            assert killed_at == self.points[number], f"it was {killed_at}"
            upright(ending)
            other = list(_differences(_comparable(self.ending), _comparable(ending)))
            assert not other, "\n".join(other)
            if ending.asked == self.ending.asked:
                assert ending.hub["made_by_us"] == self.ending.hub["made_by_us"]
        except AssertionError as error:
            error.add_note(name)
            raise


def _comparable(ending: Ending) -> dict[str, Any]:
    """What is the same whether a person had to look or not: a record that they have found is nobody's that we made."""
    hub = {name: value for name, value in ending.hub.items() if name != "made_by_us"}
    return {"systems": ending.systems, "hub": hub}


def _differences(wanted: Any, found: Any, at: str = "") -> Iterator[str]:
    """What differs, each with its place."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in wanted.keys() | found.keys():
            yield from _differences(wanted.get(name), found.get(name), f"{at}/{name}")
    elif wanted != found:
        yield f"{at}: {found}, without a death {wanted}"


def upright(ending: Ending) -> None:
    """What holds at every end: nothing to do, nothing that differs, nothing written without need, all of it on record."""
    assert ending.idle == 0, "a write that changed nothing"
    assert ending.afterwards == 0, "a further round writes"
    assert ending.hub["entries_afterwards"] == 0, "a further round does something"
    assert not any(number for part in ending.hub["waiting"].values() for number in part.values())
    assert ending.hub["differences"] == {}
    assert ending.hub["rebuilt"], "made again from the journal, a golden record is another"


class Theatre:
    """Every scenario, rehearsed. Close it at the end."""

    def __init__(
        self,
        home: Path,
        master: Callable[[Path, Scenario], Master],
        scenarios: tuple[Scenario, ...] = SCENARIOS,
    ) -> None:
        self._nursery = Nursery()
        self._stages: list[Stage] = []
        self.plays: dict[str, Rehearsed] = {}
        try:
            for scenario in scenarios:
                self._rehearse(scenario, home / scenario.name, master)
        except BaseException:
            self.close()
            raise

    def _rehearse(
        self, scenario: Scenario, folder: Path, master: Callable[[Path, Scenario], Master]
    ) -> None:
        folder.mkdir()
        stage = Stage(scenario, folder, self._nursery, master(folder, scenario))
        self._stages.append(stage)
        if len(self._stages) == 1:
            stage.warm_up()
        try:
            self.plays[scenario.name] = Rehearsed(stage, *stage.rehearse())
        except AssertionError as error:
            error.add_note(f"the rehearsal of {scenario.name}")
            raise

    def close(self) -> None:
        for stage in self._stages:
            stage.close()
        self._nursery.close()

    @property
    def points(self) -> list[str]:
        return [point for play in self.plays.values() for point in play.points]

    def chosen(self) -> Iterator[tuple[str, list[int]]]:
        """Of each scenario the points for a quick run: every one that no scenario before it has, and what is at stake."""
        seen: set[str] = set()
        for name, play in self.plays.items():
            mine: dict[str, int] = {}
            for number, point in enumerate(play.points):
                if point not in seen or point.startswith(EFFECTS):
                    mine.setdefault(point, number)
            seen |= mine.keys()
            yield name, sorted(mine.values())

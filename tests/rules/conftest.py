"""Fixtures for the tests of the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_master.domain.survivorship import FieldPolicy
from tests.rules.world import Setting, World

MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes a hub of some systems; those that come first win ties."""
    made: list[World] = []

    def make(*names: str, policies: dict[str, FieldPolicy] | None = None, **settings: Any) -> World:
        options = {key: settings.pop(key) for key in ("within_system", "same") if key in settings}
        systems = {name: settings.pop(name, Setting()) for name in names}
        assert not settings, f"no such systems: {settings}"
        made.append(World(tmp_path, systems, policies, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()

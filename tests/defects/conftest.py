"""Fixtures for the table of defects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.testing import Profile
from tests.defects.hub import Hub

MakeHub = Callable[..., Hub]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[MakeHub]:
    """Makes a hub; ``hub()`` over a shop and a crm that behave well, others by ``hub(shop=Profile(...), ...)``."""
    made: list[Hub] = []

    def make(**given: Any) -> Hub:
        options = {
            name: given.pop(name)
            for name in ("policies", "create", "mappings", "edit", "size")
            if name in given
        }
        systems = {"shop": Profile(), "crm": Profile(), **given}
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Hub(folder, systems, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()

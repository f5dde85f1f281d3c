"""A terminal for each test: at a hub that is new, or at rest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.testing.simulator import Simulator
from tests.desk import Desk
from tests.hubs import files_for, write_files
from tests.integration.spoiling import MAPPING, World

CREATE = {"create": {"when": {"email": "present"}}}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A hub over shop and crm that nobody has initialised, with three customers in the shop and one in both."""
    with Simulator() as shop, Simulator() as crm:
        systems = {"shop": shop, "crm": crm}
        files = files_for(systems, {"name": "manual"}, options=CREATE)
        write_files(files, tmp_path)
        for number in (1, 2, 3):
            shop.add(name=f"Person {number}", email=f"p{number}@example.org")
        crm.add(name="Person 1", email="p1@example.org", phone="02 512 34 56")
        yield Desk(tmp_path, shop, crm)


@pytest.fixture
def running(desk: Desk) -> Desk:
    """The same, at rest: initialised and synchronised twice."""
    desk.concord("init")
    desk.concord("sync")
    desk.concord("sync")
    return desk


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """A hub over shop and desk whose answers and files can be spoilt, and which must tell no secret."""
    caplog.set_level(logging.DEBUG)
    with Simulator() as shop, Simulator() as desk:
        systems = {"shop": shop, "desk": desk}
        files = files_for(systems, mappings=dict.fromkeys(systems, MAPPING), params={"size": 2})
        write_files(files, tmp_path)
        found = World(tmp_path, shop, desk, caplog)
        yield found
        found.close()

"""A hub over two systems whose answers and files are spoilt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connectors.testing.simulator import TOKEN, Simulator
from crm_master import entrypoints
from tests.hubs import FIELDS

SECRET = "Geheimrat"
"""Stands for personal data: it may be in golden records and dead letters, and nowhere else."""


STATUS = {"at": "status", "as": {"enum": {"active": "A", "inactive": "I"}}}


MAPPING = {
    **{name: lens for name, lens in FIELDS.items() if name != "website"},
    "lifecycle": STATUS,
}


@dataclass
class World:
    """Two systems, shop and desk, a hub in a folder, and everything that it told or logged."""

    home: Path
    shop: Simulator
    desk: Simulator
    log: pytest.LogCaptureFixture
    told: list[str] = field(default_factory=list)
    _app: entrypoints.App | None = None

    @property
    def app(self) -> entrypoints.App:
        if self._app is None:
            of = {"shop": self.shop.connection, "desk": self.desk.connection}
            self._app = entrypoints.open_app(self.home, of.__getitem__, {})
            entrypoints.init(self._app)
        return self._app

    def close(self) -> None:
        if self._app is not None:
            self._app.store.close()

    def sync(self, *, full: bool = False) -> str:
        """A round; what it complained about."""
        try:
            entrypoints.sync(self.app, full=full)
        except entrypoints.EXPECTED as error:
            self.told.append(str(error))
            return str(error)
        return ""

    def letters(self) -> list[dict[str, Any]]:
        return entrypoints.tasks(self.app, dead=True)

    def raw(self, letter: dict[str, Any]) -> bytes:
        found = entrypoints.raw(self.app, letter["id"])
        assert found is not None
        return found

    def golden(self, key: str) -> dict[str, Any]:
        shown = entrypoints.show(self.app, f"shop/customers/{key}")
        return {name: facts["value"] for name, facts in shown["fields"].items()}

    def customers(self) -> int:
        number: int = entrypoints.status(self.app)["customers"]["customer"]
        return number

    def assert_discreet(self) -> None:
        """No message, run or log line holds personal data or a secret."""
        reasons = [json.dumps(letter) for letter in self.letters()]
        runs = [json.dumps(run) for run in entrypoints.status(self.app)["runs"]]
        for text in [*self.told, *reasons, *runs, self.log.text]:
            assert SECRET not in text
            assert TOKEN not in text

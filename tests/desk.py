"""Somebody at a terminal, over simulated systems."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from connectors.testing.simulator import TOKEN, Simulator
from crm_master import cli


@dataclass
class Desk:
    """Somebody at a terminal."""

    home: Path
    shop: Simulator
    crm: Simulator
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        found = {"CONCORD_HOME": str(self.home), "CONCORD_USER": "steward", "COLUMNS": "200"}
        for name, system in (("SHOP", self.shop), ("CRM", self.crm)):
            found[f"AIRFLOW_CONN_{name}"] = json.dumps({"host": system.url, "password": TOKEN})
        return found | self.settings

    def concord(self, *words: str, status: int = 0, said: str = "", answer: str = "") -> Result:
        """``concord``; its exit status, and text that it must say."""
        result = CliRunner().invoke(cli.app, words, env=self.environ, input=answer)
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        assert "Traceback" not in result.output
        assert " ".join(said.split()) in " ".join(result.output.split())
        assert TOKEN not in result.output
        return result

    def json(self, *words: str, status: int = 0) -> Any:
        """The one JSON document that ``--json`` writes on standard output."""
        return json.loads(self.concord(*words, "--json", status=status).stdout)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.home / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

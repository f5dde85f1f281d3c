"""What was measured, beside its yardstick and its goal; as a table, and as ``bench/results/latest.json``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``ratio`` is what ``goal`` speaks of; a figure without a goal is for information."""

    name: str
    value: float
    unit: str
    yardstick: str = ""
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; ``None`` without one."""
        if self.ratio is None:
            return None
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return None if self.at_most is None else self.ratio <= self.at_most

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        del found["at_least"], found["at_most"]
        return found | {"goal": self.goal, "met": self.met}


def table(figures: Iterable[Figure]) -> None:
    """Print them."""
    shown = Table("figure", "value", "yardstick", "ratio", "goal", "met")
    for of in figures:
        met = {True: "yes", False: "NO", None: ""}[of.met]
        ratio = "" if of.ratio is None else f"{of.ratio:.2f}"
        shown.add_row(of.name, f"{of.value:,.4g} {of.unit}", of.yardstick, ratio, of.goal, met)
    Console().print(shown)


def write(
    part: str,
    rows: int,
    figures: Sequence[Figure],
    curve: Sequence[dict[str, Any]],
    path: Path = LATEST,
) -> None:
    """Write the figures of a part of the benchmark in the place of its former ones, with what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    how = {"part": part, "rows": rows, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    others = [figure for figure in kept.get("figures", ()) if figure["part"] != part]
    content = {
        "on": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
        "figures": others + [figure.as_dict() | how for figure in figures],
        "curve": list(curve) or kept.get("curve", []),
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

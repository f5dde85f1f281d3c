"""How commands talk: results on standard output, as text or as one JSON document; messages on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

# what is piped on is not wrapped, and a value shows as it is: neither [bold] nor :phone: is an instruction in it
out = Console(soft_wrap=not sys.stdout.isatty(), markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)


def printed(result: Any, as_json: bool) -> bool:
    """Print JSON if asked to. Gives whether it did."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False, default=str) + "\n")
    return as_json


def counted(counts: Mapping[str, int]) -> str:
    """Counts in words."""
    return (
        ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        or "nothing to do"
    )


def ago(seconds: float) -> str:
    """A length of time, roughly."""
    for length, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def brief(value: Any, longest: int = 60) -> str:
    """A value as it would be typed, or its beginning."""
    text = literal(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def literal(value: Any) -> str:
    """A value as it would be typed."""
    return json.dumps(value, ensure_ascii=False)

"""The fault table: from a status and a text to a verdict. A table, not a ladder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from connectors.runtime.manifest import Fault, Verdict
from connectors.runtime.paths import get

# What the standards say. A manifest's lines come first.
_STANDARD = {
    401: Verdict.BAD_CREDENTIALS,
    403: Verdict.REFUSED,
    404: Verdict.GONE,
    408: Verdict.RETRY,
    409: Verdict.EXISTS,
    410: Verdict.GONE,
    412: Verdict.STALE,
    425: Verdict.RETRY,
    428: Verdict.STALE,
    429: Verdict.RETRY,
    503: Verdict.RETRY,
}


def verdict(status: int, text: str, body: Any, tables: Iterable[Iterable[Fault]]) -> Verdict:
    """What an answer means; the first line that fits counts.

    ``body`` is the parsed answer or ``None``. A server error that no line explains is ``UNKNOWN``:
    a gateway may have given up on a request that took effect.
    """
    for table in tables:
        for fault in table:
            if fault.covers(status) and _fits(fault, text, body):
                return fault.then
    if 200 <= status < 300:
        return Verdict.OK
    if status >= 500:
        return _STANDARD.get(status, Verdict.UNKNOWN)
    return _STANDARD.get(status, Verdict.REFUSED)


def _fits(fault: Fault, text: str, body: Any) -> bool:
    if fault.at is not None:
        found = get(body, fault.at)
        if found is None:
            return False
        text = str(found)
    return fault.matches is None or re.search(fault.matches, text) is not None

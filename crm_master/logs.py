"""Log lines as data: what ran and how it ended, as text for people or as one JSON object a line for machines.

They hold ids, names out of the configuration, counts, and the kinds of errors. No value of a record, and no words of an
error: these may name a record, and a log cannot be erased. The run's ledger has them (``concord runs show``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

import orjson
import structlog

LOGGER = "concord"
logging.getLogger(LOGGER).addHandler(
    logging.NullHandler()
)  # else Python itself prints the errors of a silent program
Form = Literal["text", "json"]


def logger(form: Form, **names: str) -> Any:
    """A logger whose every line has these names. Where lines go is the business of ``logging``: of whoever runs us.

    It is a logger of its own kind: Airflow has set up structlog for itself.
    """
    wrapped = structlog.wrap_logger(
        logging.getLogger(LOGGER),
        processors=_JSON if form == "json" else _TEXT,
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return wrapped.bind(**{name: value for name, value in names.items() if value})


def _line(_logger: Any, _method: str, event: Mapping[str, Any]) -> str:
    """The event first, then names and counts: ``run ended: run=01K2Z verb=ingest read=3``."""
    counts = event.get("counts", {})
    rest = {name: value for name, value in event.items() if name not in ("event", "counts")}
    return f"{event['event']}: " + " ".join(f"{n}={v}" for n, v in {**rest, **counts}.items())


_TEXT: list[Any] = [structlog.stdlib.filter_by_level, _line]
_JSON: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.JSONRenderer(lambda event, **_: orjson.dumps(event).decode()),
]

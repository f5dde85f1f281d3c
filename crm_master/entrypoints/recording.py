"""A run on record, as every verb that does something needs one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from connectors.errors import ConnectorError
from crm_master.bootstrap import App
from crm_master.engine.ledger import Progress, Run, labels, running, silent
from crm_master.entrypoints import otlp
from crm_master.logs import logger

_GENERATIONS = (50_000, 20, 100)


@contextmanager
def unhurried() -> Iterator[None]:
    """Let Python look for cycles less often: batches make many objects and few cycles. It took a fifth of the time."""
    before = gc.get_threshold()
    if before[0]:  # whoever has turned it off knows why
        gc.set_threshold(*map(max, before, _GENERATIONS))
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def recorded(app: App, verb: str, target: str = "", progress: Progress = silent) -> Iterator[Run]:
    """A run that is in the ledger, in the log and in a trace however it ends.

    What a connector raises in it says where that was.
    """
    with (
        unhurried(),
        running(verb, target, app.store, app.clock, app.new_id, progress) as run,
        _told(app, run, verb, target),
    ):
        yield run


@contextmanager
def _told(app: App, run: Run, verb: str, target: str) -> Iterator[None]:
    """In the log and in a trace."""
    names = {"run": run.id, **labels(verb, target)}
    log = logger(app.settings.log, hub=app.settings.name, **names)
    with otlp.span(f"concord {verb}", names) as span:
        began = monotonic()
        log.info("run started")
        try:
            yield
        except BaseException as error:
            if isinstance(error, ConnectorError):
                error.add_note(run.what)
            ended = {"status": "failed", "error": type(error).__name__}
            raise
        else:
            ended = {"status": "done"}
        finally:
            counts = {name: number for name, number in run.counts.items() if number}
            span.set_attributes({f"concord.count.{name}": n for name, n in counts.items()})
            tell = log.info if ended["status"] == "done" else log.error
            tell("run ended", **ended, seconds=round(monotonic() - began, 3), counts=counts)

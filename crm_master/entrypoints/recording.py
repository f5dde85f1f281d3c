"""A run on record, as every verb that does something needs one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.errors import ConnectorError
from crm_master.bootstrap import App
from crm_master.engine.ledger import Progress, Run, running, silent


@contextmanager
def recorded(app: App, verb: str, target: str = "", progress: Progress = silent) -> Iterator[Run]:
    """A run that is in the ledger however it ends. What a connector raises in it says where that was."""
    with running(verb, target, app.store, app.clock, app.new_id, progress) as run:
        try:
            yield run
        except ConnectorError as error:
            error.add_note(run.what)
            raise

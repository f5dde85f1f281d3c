"""Is everything as it should be: in the systems, and in the journal?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from crm_master.bootstrap import App
from crm_master.deployment import compile_deployment, recorded_files
from crm_master.engine.ledger import Progress, silent
from crm_master.engine.plan import Hub
from crm_master.engine.rebuild import Rebuilder, Rebuilt
from crm_master.engine.verify import Verdict, Verifier
from crm_master.entrypoints.recording import recorded
from crm_master.store import Database


def verify(app: App, *, progress: Progress = silent) -> Verdict:
    """Read every system live and compare it with the projection of the golden records."""
    with recorded(app, "verify", progress=progress) as run:
        return Verifier(app.hub, app.store, run)(
            {name: app.connect(name) for name in app.hub.systems}
        )


def rebuild(app: App, *, progress: Progress = silent) -> Rebuilt:
    """Make the golden records again from the journal, in a scratch store, and compare."""
    with tempfile.TemporaryDirectory(prefix="concord-rebuild-") as folder:
        scratch = Database(f"sqlite:///{Path(folder) / 'scratch.db'}")
        scratch.migrate()
        try:
            with recorded(app, "rebuild", progress=progress) as run:
                return Rebuilder(app.store, scratch, _recorded_hub, run)()
        finally:
            scratch.close()


def _recorded_hub(content: str) -> Hub:
    return compile_deployment(recorded_files(content)).hub

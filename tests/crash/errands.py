"""What the processes of the hub do that are killed: as an operator or a schedule would do it, and do it again.

An errand has the name of its scenario. What it finds done already when it is restarted, it leaves.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from connectors.errors import ConnectorError
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import compile_deployment, recorded_files
from crm_master.domain.lifecycle import Origin
from crm_master.engine.explain import NotFound
from crm_master.engine.ledger import Run, silent
from crm_master.engine.linking import NotLinkable
from crm_master.engine.plan import Hub
from crm_master.engine.rebuild import Rebuilder
from crm_master.ports import RunEntry
from crm_master.store import Database
from tests.crash.nursery import Desk, empty_master
from tests.defects.hub import LEASE
from tests.hubs import with_files

TROUBLE = (ConnectorError, entrypoints.RunFailed, entrypoints.SyncFailed, entrypoints.FuseBlown)
"""What a round tells and the next one takes care of."""


def begin(desk: Desk) -> None:
    """A master is made where none was, and everything read for the first time."""
    entrypoints.init(desk.app)
    entrypoints.sync(desk.app)


def first_sight(desk: Desk) -> None:
    entrypoints.sync(desk.app)


def edits(desk: Desk) -> None:
    entrypoints.sync(desk.app)


def lost_answers(desk: Desk) -> None:
    """What may have been made is looked for; what was bound is read again by the next round."""
    entrypoints.sync(desk.app)
    entrypoints.sync(desk.app)


def no_search(desk: Desk) -> None:
    """What may have been made is a question to a person: the round says so."""
    with suppress(*TROUBLE):
        entrypoints.sync(desk.app)


def unwanted(desk: Desk) -> None:
    entrypoints.ingest(desk.app, "shop", "customers", full=True)
    entrypoints.sync(desk.app)


def unconfirmed(desk: Desk) -> None:
    entrypoints.sync(desk.app)


def moved(desk: Desk) -> None:
    entrypoints.sync(desk.app)


def busy(desk: Desk) -> None:
    """A system that has no time, and is asked again in the next round."""
    with suppress(*TROUBLE):
        entrypoints.deliver(desk.app, "crm")


def locked_out(desk: Desk) -> None:
    busy(desk)


def garbled(desk: Desk) -> None:
    busy(desk)


def defective(desk: Desk) -> None:
    """A connector that cannot look for what it made."""
    sink = desk.app.connect("crm")

    class Defective:
        def __getattr__(self, name: str) -> Any:
            return getattr(sink, name)

        def find(self, *_: Any) -> Any:
            raise ValueError("a defect")

    desk.app._open["crm"] = Defective()
    busy(desk)
    desk.app._open["crm"] = sink


def deadly(desk: Desk) -> None:
    """What has taken three workers along goes to a person, who has it tried again."""
    busy(desk)
    for task in entrypoints.tasks(desk.app):
        entrypoints.decide(desk.app, task["id"], "retry", "ada")
    busy(desk)


def merge(desk: Desk) -> None:
    propose = entrypoints.merging("shop/customers/1", "crm/customers/1")
    with suppress(NotLinkable):
        entrypoints.link(desk.app, propose, "ada")
    entrypoints.sync(desk.app)


def split(desk: Desk) -> None:
    with suppress(NotLinkable):
        propose = entrypoints.splitting("shop/customers/1", ["crm/customers/1"])
        entrypoints.link(desk.app, propose, "ada")
    entrypoints.sync(desk.app)


def questions(desk: Desk) -> None:
    """Each open question is answered as its scenario says."""
    for task in entrypoints.tasks(desk.app):
        if task["kind"] in desk.notes:
            entrypoints.decide(desk.app, task["id"], desk.notes[task["kind"]], "ada")
    entrypoints.sync(desk.app)


def changed_files(desk: Desk) -> None:
    """Other files are put in force, over a fuse."""
    app = with_files(desk.app, desk.notes["files"])
    try:
        app, _ = entrypoints.apply(app)
    except entrypoints.FuseBlown:
        _approve_all(app)
        app, _ = entrypoints.apply(app)
    _sync_past_fuses(app)


def fuses(desk: Desk) -> None:
    """Too many links at once, then too many deliveries."""
    _sync_past_fuses(desk.app)


def deletions(desk: Desk) -> None:
    """Records that a full read no longer shows, more than a fuse allows, and what follows elsewhere.

    Who finds that the shop was read whole does not read it whole again: what was found missing then must not be forgotten.
    """
    for _ in range(2):
        full = fulls(desk.app) == desk.notes["fulls"]
        with suppress(entrypoints.FuseBlown):
            entrypoints.ingest(desk.app, "shop", "customers", full=full)
        _approve_all(desk.app)
    _sync_past_fuses(desk.app)


def erasure(desk: Desk) -> None:
    """One person is erased and the systems told; another is let in again."""
    with suppress(NotFound):
        entrypoints.erase(desk.app, desk.notes["customer"], "ada")
    for task in entrypoints.tasks(desk.app):
        if task["kind"] == "erase":
            entrypoints.decide(desk.app, task["id"], "kept", "ada")
    entrypoints.lift(desk.app, desk.notes["receipt"], "ada", records=True)
    entrypoints.sync(desk.app, full=True)


def deleting(desk: Desk) -> None:
    """One person is erased, in a system by Concord itself, which has no time at first."""
    with suppress(NotFound):
        entrypoints.erase(desk.app, desk.notes["customer"], "ada")
    for task in entrypoints.tasks(desk.app):
        entrypoints.decide(desk.app, task["id"], "kept", "ada")
    for _ in range(2):
        busy(desk)
        desk.clock.sleep(2 * LEASE)


def taken_back(desk: Desk) -> None:
    """A run is undone."""
    entrypoints.undo_run(desk.app, desk.notes["run"], "ada")
    entrypoints.sync(desk.app)


def replayed(desk: Desk) -> None:
    """A run is replayed, and so are the dead letters."""
    entrypoints.replay_run(desk.app, desk.notes["run"])
    entrypoints.replay(desk.app)
    entrypoints.replay_run(desk.app, desk.notes["delivered"])
    with suppress(*TROUBLE):
        entrypoints.sync(desk.app)


def watched(desk: Desk) -> None:
    """An alert comes, is told, and goes: who dies over it tells it once more at most."""
    entrypoints.stop(desk.app, "crm", on=True)
    entrypoints.watch(desk.app, {})
    entrypoints.stop(desk.app, "crm", on=False)
    entrypoints.watch(desk.app, {})


def restored(desk: Desk) -> None:
    """Writes stopped, everything joined anew as after a backup, and let in again."""
    entrypoints.stop(desk.app, "crm", on=True)
    entrypoints.rejoin(desk.app)
    entrypoints.sync(desk.app, full=True)
    entrypoints.stop(desk.app, "crm", on=False)
    entrypoints.sync(desk.app)


def proof(desk: Desk) -> None:
    """Everything is compared, and made again from the journal."""
    assert entrypoints.verify(desk.app).converged
    assert entrypoints.rebuild(desk.app).equal


def fulls(app: App) -> int:
    """How often the shop was read whole."""
    with app.store() as uow:
        return uow.states.stream("shop", "customers").fulls


def _sync_past_fuses(app: App) -> None:
    for _ in range(4):
        with suppress(entrypoints.SyncFailed, entrypoints.FuseBlown):
            entrypoints.sync(app)
        if not _approve_all(app):
            return


def _approve_all(app: App) -> bool:
    stopped = [task for task in entrypoints.tasks(app) if task["kind"] == "fuse"]
    for run in sorted({task["run"] for task in stopped}):
        with suppress(NotFound):
            entrypoints.approve_run(app, run, "ada")
    return bool(stopped)


# --- what every scenario ends with -----------------------------------------------------------


def further_round(desk: Desk) -> bool:
    """A round; whether there is still something to do afterwards."""
    before = _done(desk)
    with suppress(*TROUBLE):
        entrypoints.sync(desk.app)
    waiting = entrypoints.waiting(desk.app)
    return any(number for part in waiting.values() for number in part.values()) or before != _done(
        desk
    )


def _done(desk: Desk) -> int:
    with desk.app.store() as uow:
        return sum(1 for _ in uow.journal.commits())


def closing(desk: Desk) -> dict[str, Any]:
    """A further round, a full one; and what there is to see then."""
    before = _done(desk)
    entrypoints.sync(desk.app, full=True)
    again = _done(desk) - before
    verdict = entrypoints.verify(desk.app)
    with desk.app.store() as uow:
        customers = list(uow.customers.scan("customer", "", 1000))
        records = uow.records.of_entities([customer.id for customer in customers])
    return {
        "entries_afterwards": again,
        "golden": sorted(
            repr(sorted(c.golden.items())) for c in customers if c.redirect_to is None
        ),
        "records": sorted(f"{r.ref.system} {r.status} {r.primary}" for r in records),
        "made_by_us": sum(r.origin is Origin.HUB for r in records),
        "waiting": entrypoints.waiting(desk.app),
        "tasks": sorted(
            f"{task['kind']}"
            for task in entrypoints.tasks(desk.app) + entrypoints.tasks(desk.app, dead=True)
        ),
        "receipts": sorted(receipt["state"] for receipt in entrypoints.receipts(desk.app)),
        "differences": dict(verdict.reasons),
        "rebuilt": _rebuilt(desk),
    }


def _rebuilt(desk: Desk) -> bool:
    """Whether the golden records made again from the journal are the same."""
    with tempfile.TemporaryDirectory(dir=desk.app.home) as folder:
        path = Path(folder) / "scratch.db"
        path.write_bytes(empty_master())
        scratch = Database(f"sqlite:///{path}")
        run = Run(RunEntry("rebuild", "rebuild", "", desk.clock()), silent)

        def hub(content: str) -> Hub:
            now = desk.app.hub
            return (
                now if content == now.content else compile_deployment(recorded_files(content)).hub
            )

        return Rebuilder(desk.app.store, scratch, hub, run)().equal

"""Putting a changed configuration in force: the question of its fuses first, then the switch, then the sweep."""

from __future__ import annotations

from collections.abc import Mapping

from crm_master.domain.lifecycle import TaskKind
from crm_master.engine import fuses
from crm_master.engine.foresight import Foresight
from crm_master.engine.fuses import FuseBlown
from crm_master.engine.plan import Hub
from crm_master.ports import Clock, Task, UnitOfWork, UnitOfWorkFactory


def put_in_force(
    hub: Hub, foreseen: Foresight, store: UnitOfWorkFactory, clock: Clock, run_id: str
) -> None:
    """Have everything from now on run under ``hub``. What it does to the records is the sweep's business.

    Raises ``FuseBlown`` before anything has changed.
    """
    subject = f"apply {hub.hash[:12]}"
    with store() as uow:
        blown = foreseen.blown
        if blown and not uow.states.allowance(subject):
            payload = {
                "run": run_id,
                "configuration": hub.hash,
                "fuses": [reading.as_dict() for reading in blown],
                "most": 1,
            }
            uow.tasks.open([Task(TaskKind.FUSE, subject, payload)], clock())
            uow.commit()
            raise FuseBlown(blown[0], run_id)
        for reading in blown:
            place = fuses.subject(reading.fuse, reading.place)
            uow.states.allow(place, max(reading.found, uow.states.allowance(place)))
        uow.states.allow(subject, 0)
        switch(hub, uow, clock, run_id, swept=False)
        uow.commit()


def switch(hub: Hub, uow: UnitOfWork, clock: Clock, run_id: str, *, swept: bool) -> None:
    """Record that ``hub`` is in force; ``swept`` if nothing that was read or decided is any different under it."""
    done: Mapping[str, Mapping[str, str]]
    at = clock()
    former = uow.journal.applied()
    uow.journal.save_config(hub.hash, hub.content, at)
    uow.journal.commit("configure", at, run_id, {"config": hub.hash})
    if not swept:
        done = {}
    elif former is None:
        done = {entity: hub.mapping_hashes(entity) for entity in hub.entities}
    else:
        done = dict(former.swept)  # what was left to sweep still is
    uow.journal.apply(hub.hash, at, done)

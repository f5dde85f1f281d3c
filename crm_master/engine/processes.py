"""The hub's own processes as a system that is read like any other: its records are the reasons to act.

What a process raises is an entity of its own, such as an interaction. It comes in through the inbox, is reconciled, and is
made in whichever system the routing names for it; so it is raised once, and closed when its cause is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.contract import (
    Capabilities,
    Health,
    Outcome,
    Page,
    RawRecord,
    Refused,
    Scan,
    WriteCommand,
)
from crm_master.domain.ids import EntityId, ExternalRef, record_id
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.processes import OWN_SYSTEM, Golden, Process
from crm_master.engine.ingest import moment
from crm_master.ports import Clock, Customer, UnitOfWork, UnitOfWorkFactory

PAGE = 500


class Processes:
    """See ``connectors.contract.Sink``. Every read is full: time alone can be a cause."""

    def __init__(
        self, processes: Mapping[str, Process], store: UnitOfWorkFactory, clock: Clock
    ) -> None:
        self._processes = processes
        self._store = store
        self._clock = clock

    def capabilities(self, stream: str) -> Capabilities:
        return Capabilities(delta=False)

    def check(self, stream: str) -> Health:
        return Health(True, f"looks at every {self._processes[stream].of}")

    def read(self, stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        after = cursor or ""
        while True:
            started = self._now()
            with self._store() as uow:
                page = uow.customers.scan(self._processes[stream].of, after, PAGE)
                records = tuple(self._told(self._processes[stream], page, uow))
            complete = len(page) < PAGE
            after = "" if complete else page[-1].id
            yield Page(records, after or None, complete, Scan.FULL, started, self._now())
            if complete:
                return

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        with self._store() as uow:
            found = uow.customers.get(keys).values()
            told = {of.key: of for of in self._told(self._processes[stream], list(found), uow)}
        return {key: told.get(key) for key in keys}

    def find(self, stream: str, command: WriteCommand) -> Sequence[RawRecord]:
        return ()

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        return [Refused("the hub's own processes are changed in hub.yaml") for _ in commands]

    def close(self) -> None:
        """There is nothing to close."""

    def _now(self) -> datetime:
        return moment(self._clock())

    def _told(
        self, process: Process, causes: Sequence[Customer], uow: UnitOfWork
    ) -> Iterator[RawRecord]:
        """What calls for action, and what did so before and does not any more."""
        at = self._clock()
        ids = {cause.id for cause in causes}
        facts = _facts(process, ids, uow)
        refs = {id_: record_id(ExternalRef(OWN_SYSTEM, process.name, id_)) for id_ in ids}
        raised = uow.records.get(refs.values())
        itself = _records(ids, uow)
        for cause in causes:
            there = cause.redirect_to is None and cause.version > 0 and not cause.archived
            called = there and process.calls(cause.golden, facts.get(cause.id, {}), at)
            if called or refs[cause.id] in raised:
                told = process.told(cause.golden, itself.get(cause.id), called=called)
                yield RawRecord(cause.id, told)


def _facts(
    process: Process, ids: Iterable[EntityId], uow: UnitOfWork
) -> dict[EntityId, dict[str, list[Golden]]]:
    found: dict[EntityId, dict[str, list[Golden]]] = {}
    for fact in {volume.fact for volume in process.volumes}:
        for parent, golden in uow.facts.about(list(ids), fact):
            found.setdefault(parent, {}).setdefault(fact, []).append(golden)
    return found


def _records(ids: Iterable[EntityId], uow: UnitOfWork) -> dict[EntityId, str]:
    """One record of each, by which it can be referred to: the one that was known first."""
    found: dict[EntityId, str] = {}
    members = uow.records.of_entities(list(ids))
    for record in sorted(members, key=lambda record: (record.since, record.rec_id)):
        if record.status is RecordStatus.LIVE and record.entity_id is not None:
            found.setdefault(record.entity_id, str(record.ref))
    return found

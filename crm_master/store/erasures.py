"""Erasure: the one place where rows of the journal are deleted. docs/erasure.md says of each table what happens to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from orjson import dumps
from sqlalchemy.engine import Connection

from crm_master.domain.erasure import Traces
from crm_master.domain.ids import EntityId, RecordId
from crm_master.domain.lifecycle import InboxState
from crm_master.ports import Receipt
from crm_master.store.schema import (
    apart,
    baseline,
    block_key,
    commit_log,
    delivery_log,
    entity,
    entity_history,
    erasure,
    link_log,
    observation,
    outbox,
    reference,
    run,
    sighting,
    source_record,
    stream_state,
    task,
)
from crm_master.store.sql import chunks, insert, locking, unindexed, upsert

_PAGE = 1_000
_OF_CUSTOMERS = (
    *(outbox.c.entity_id, delivery_log.c.entity_id, link_log.c.entity_id, baseline.c.entity_id),
    *(entity_history.c.id, entity.c.id),
)
_OF_RECORDS = (
    *(outbox.c.rec_id, delivery_log.c.rec_id, link_log.c.rec_id, observation.c.rec_id),
    *(baseline.c.rec_id, block_key.c.rec_id, source_record.c.rec_id),
    *(apart.c.rec_id, apart.c.other, sighting.c.rec_id),
    *(reference.c.rec_id, reference.c.target),
)
_NO_RECORDS = (
    *("reconcile", "sweep", "intent", "settle", "activate", "configure"),
    *("erase", "erased"),
)
"""Kinds of commits whose detail holds customers' ids and names of systems, and no ids of records: those are plain hashes."""


class ErasureRepository:
    """See ``crm_master.ports.Erasures``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def forget(
        self,
        customers: Collection[EntityId],
        records: Collection[RecordId],
        letters: Collection[tuple[str, str, str]] = (),
    ) -> None:
        for columns, ids in ((_OF_CUSTOMERS, set(customers)), (_OF_RECORDS, set(records))):
            for column in columns:
                for part in chunks(ids):
                    self._connection.execute(sa.delete(column.table).where(column.in_(part)))
        for part in chunks(set(records)):
            merged = source_record.c.alias_of.in_(part)
            self._connection.execute(sa.update(source_record).where(merged).values(alias_of=None))
        for system, stream, key in sorted(set(letters)):
            self._connection.execute(
                sa.delete(observation).where(
                    observation.c.system == system,
                    observation.c.stream == stream,
                    observation.c.key == key,
                )
            )

    def ever_linked(self, customers: Collection[EntityId]) -> list[EntityId]:
        found, newest = set(customers), set(customers)
        while newest:
            records: set[RecordId] = set()
            for part in chunks(newest):
                query = sa.select(link_log.c.rec_id).where(link_log.c.entity_id.in_(part))
                records.update(self._connection.execute(query).scalars())
            newest = set()
            for part in chunks(records):
                query = sa.select(link_log.c.entity_id).where(link_log.c.rec_id.in_(part))
                newest.update(self._connection.execute(query).scalars())
            newest -= found
            found |= newest
        return sorted(found)

    def begin_anew(self, customers: Collection[EntityId], pos: int) -> None:
        if not customers:
            return
        owners: dict[RecordId, EntityId] = dict(self._owners(customers))
        rows: list[dict[str, Any]] = []
        for table, column, ids in (
            (entity, entity.c.id, set(customers)),
            (source_record, source_record.c.rec_id, set(owners)),
        ):
            for part in chunks(ids):
                query = sa.select(table).where(column.in_(part))
                for row in self._connection.execute(query).mappings():
                    rec_id = row.get("rec_id")
                    rows.append(
                        {
                            "pos": pos,
                            "entity_id": owners[rec_id] if rec_id else row["id"],
                            "rec_id": rec_id,
                            "kind": table.name,
                            "row": {
                                name: value.hex() if isinstance(value, bytes) else value
                                for name, value in row.items()
                            },
                        }
                    )
        self._forget_past(customers, owners.keys())
        insert(self._connection, baseline, rows)

    def _owners(self, customers: Collection[EntityId]) -> Iterator[tuple[RecordId, EntityId]]:
        for part in chunks(set(customers)):
            query = sa.select(source_record.c.rec_id, source_record.c.entity_id)
            rows = self._connection.execute(query.where(source_record.c.entity_id.in_(part)))
            yield from ((row.rec_id, row.entity_id) for row in rows)

    def _forget_past(self, customers: Collection[EntityId], records: Collection[RecordId]) -> None:
        for column, ids in (
            *((of, customers) for of in (entity_history.c.id, baseline.c.entity_id)),
            *((of, customers) for of in (delivery_log.c.entity_id, link_log.c.entity_id)),
            *((of, records) for of in (delivery_log.c.rec_id, link_log.c.rec_id)),
        ):
            for part in chunks(set(ids)):
                self._connection.execute(sa.delete(column.table).where(column.in_(part)))
        for part in chunks(set(records)):
            done = unindexed(observation.c.state) == InboxState.DONE.value
            self._connection.execute(
                sa.delete(observation).where(observation.c.rec_id.in_(part), done)
            )
        refs = {f"{row.system}/{row.stream}/{row.key}" for row in self._refs(records)}
        self._decisions(Traces(frozenset(customers), frozenset({*records, *refs})))

    def _refs(self, records: Collection[RecordId]) -> Iterator[Any]:
        for part in chunks(set(records)):
            query = sa.select(source_record.c.system, source_record.c.stream, source_record.c.key)
            yield from self._connection.execute(query.where(source_record.c.rec_id.in_(part)))

    def baseline(self, pos: int) -> list[dict[str, Any]]:
        query = sa.select(baseline.c.kind, baseline.c.row).where(baseline.c.pos == pos)
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def restore(self, baseline: Sequence[Mapping[str, Any]]) -> None:
        for table in (entity, source_record):
            binary = [c.name for c in table.columns if isinstance(c.type, sa.LargeBinary)]
            rows = [
                dict(found["row"]) | {name: bytes.fromhex(found["row"][name]) for name in binary}
                for found in baseline
                if found["kind"] == table.name
            ]
            upsert(
                self._connection, table, rows, [c.name for c in table.columns if not c.primary_key]
            )

    def scrub(self, traces: Traces, receipt: str) -> None:
        self._tasks(traces)
        self._decisions(traces)
        self._whose(traces)
        self._evidence(traces)
        self._dead_rows(traces)
        self._errors(traces, receipt)
        self._cursors(traces)

    def _tasks(self, traces: Traces) -> None:
        columns = [task.c.subject, task.c.payload, task.c.decision]
        for row in self._naming(task.c.id, columns, traces):
            this = task.c.id == row.id
            if traces.about({"subject": row.subject, "payload": row.payload}):
                self._connection.execute(sa.delete(task).where(this))
            else:
                kept = {"payload": traces.pruned(row.payload)}
                self._connection.execute(sa.update(task).where(this).values(kept))

    def _decisions(self, traces: Traces) -> None:
        """The position stays, so that those of others keep their order; what was decided there goes."""
        for row in self._naming(commit_log.c.pos, [commit_log.c.detail], traces):
            if row.kind not in _NO_RECORDS:
                kept = {"detail": traces.pruned(_without_steps(row.detail, traces))}
                gone = {"kind": "erased", "detail": {}}
                self._connection.execute(
                    sa.update(commit_log)
                    .where(commit_log.c.pos == row.pos)
                    .values(gone if traces.about(row.detail) else kept)
                )

    def _whose(self, traces: Traces) -> None:
        """The history of others forgets that a value came from a record that was the person's."""
        for row in self._naming(entity_history.c.id, [entity_history.c.superseded], traces):
            kept = {"superseded": _without_winners(row.superseded, traces)}
            this = (entity_history.c.id == row.id) & (entity_history.c.version == row.version)
            self._connection.execute(sa.update(entity_history).where(this).values(kept))

    def _evidence(self, traces: Traces) -> None:
        for row in self._naming(link_log.c.seq, [link_log.c.evidence], traces):
            kept = {"evidence": traces.pruned(row.evidence)}
            self._connection.execute(
                sa.update(link_log).where(link_log.c.seq == row.seq).values(kept)
            )

    def _naming(self, key: Any, columns: Collection[Any], traces: Traces) -> Iterator[Any]:
        """The rows in which a name of the person stands somewhere."""
        names = {
            form
            for name in traces.ids | traces.records
            for form in (name, dumps(name).decode()[1:-1])
        }
        seen: set[tuple[Any, ...]] = set()
        for part in chunks(names, 50):
            hits = [
                sa.type_coerce(column, sa.Text).contains(name, autoescape=True)
                for column in columns
                for name in part
            ]
            query = sa.select(key.table).where(sa.or_(*hits)).order_by(key)
            for row in self._connection.execute(query).all():
                place = tuple(getattr(row, column.name) for column in key.table.primary_key)
                if place not in seen:
                    seen.add(place)
                    yield row

    def _dead_rows(self, traces: Traces) -> None:
        where = observation.c.state == InboxState.DEAD.value
        names = [observation.c.raw, observation.c.system, observation.c.stream, observation.c.key]
        for row in self._scan(observation.c.seq, names, where):
            if traces.shown(bytes(row.raw)):
                letter = f"{row.system}/{row.stream}/{row.key}"
                for gone in (
                    sa.delete(observation).where(observation.c.seq == row.seq),
                    sa.delete(task).where(task.c.subject == letter),
                ):
                    self._connection.execute(gone)

    def _errors(self, traces: Traces, receipt: str) -> None:
        said = {"error": f"taken out by erasure {receipt}"}
        for row in self._scan(run.c.id, [run.c.error], run.c.error != ""):
            if traces.quoted(row.error):
                self._connection.execute(sa.update(run).where(run.c.id == row.id).values(said))

    def _cursors(self, traces: Traces) -> None:
        """A cursor that quotes the person: that stream is read from its beginning next time."""
        for row in self._connection.execute(sa.select(stream_state)).all():
            if row.cursor and traces.quoted(row.cursor):
                self._connection.execute(
                    sa.update(stream_state)
                    .where(stream_state.c.system == row.system, stream_state.c.stream == row.stream)
                    .values(cursor=None, scan_started=0)
                )

    def _scan(
        self, key: Any, columns: Collection[Any], where: sa.ColumnElement[bool]
    ) -> Iterator[Any]:
        """Rows of a table that may be changed meanwhile, a page at a time."""
        query = sa.select(key, *columns).where(where).order_by(key).limit(_PAGE)
        rows = self._connection.execute(query).all()
        while rows:
            yield from rows
            rows = self._connection.execute(query.where(key > rows[-1][0])).all()

    def save(self, receipt: Receipt) -> None:
        columns = ("state", "systems", "lifted_at", "lifted_by")
        upsert(self._connection, erasure, [asdict(receipt)], columns)

    def get(self, receipt: str, *, lock: bool = False) -> Receipt | None:
        query = sa.select(erasure).where(erasure.c.id == receipt)
        if lock:
            query = locking(self._connection, query)
        row = self._connection.execute(query).mappings().one_or_none()
        return None if row is None else Receipt(**row)

    def of_customer(self, id_: EntityId) -> Receipt | None:
        return next((found for found in self.list() if id_ in found.customers), None)

    def list(self, state: str = "") -> list[Receipt]:
        query = sa.select(erasure).order_by(erasure.c.at, erasure.c.id)
        if state:
            query = query.where(erasure.c.state == state)
        return [Receipt(**row) for row in self._connection.execute(query).mappings()]


def _without_steps(detail: dict[str, Any], traces: Traces) -> dict[str, Any]:
    """An undo without the steps that are about the person; any other detail as it is."""
    if "steps" not in detail:
        return detail
    gone = traces.ids | traces.records
    steps = [s for s in detail["steps"] if s["customer"] not in gone and s["record"] not in gone]
    return {**detail, "steps": steps}


def _without_winners(superseded: dict[str, Any], traces: Traces) -> dict[str, Any]:
    return {
        name: [
            old[0],
            {part: won for part, won in old[1].items() if won[0] not in traces.records},
        ]
        if len(old) > 1 and old[1]
        else old
        for name, old in superseded.items()
    }

"""The schema that migrations make is the one that the code declares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from crm_master.domain.claims import Claim, ClaimKey, FieldShadow, Seen, Shadow
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.ports import Customer
from crm_master.store import Database
from crm_master.store.database import SchemaOutdated, _alembic
from crm_master.store.schema import metadata
from tests.contract.rows import land, message_for, put, record_of, ref_of, row, saved

NewDatabase = Callable[[], Database]


def test_migrations_give_exactly_the_declared_schema(store: Database) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_does_nothing(store: Database) -> None:
    store.migrate()
    store.check()


def test_a_record_of_an_earlier_release_keeps_its_shadow(store: Database) -> None:
    left, right = record_of("a", "E1"), record_of("b")
    left.shadow = Shadow({"name": FieldShadow("Ada")}, (Seen(3, 4),), confirmed_at=5, read_at=6)
    saved(store, left, right)
    with store() as uow:
        uow.erasures.begin_anew(["E1"], 1)
        uow.commit()
    with store.engine.begin() as connection:
        _go_back(connection, "0007")
        assert connection.scalar(sa.text("SELECT confirmed_at FROM shadow WHERE doc LIKE '%Ada%'"))
    store.migrate()
    with store() as uow:
        assert uow.records.get([left.rec_id, right.rec_id]) == {
            record.rec_id: record for record in (left, right)
        }
        kept = uow.erasures.baseline(1)
        uow.erasures.forget([], [left.rec_id])
        uow.erasures.restore(kept)
        assert uow.records.get([left.rec_id])[left.rec_id] == left


def test_whatever_names_a_record_of_an_earlier_release_names_it_by_its_new_id(
    store: Database,
) -> None:
    """And goes back: both ways no row has an id of the other kind."""
    _named_everywhere(store)
    before = _everything(store)
    with store.engine.begin() as connection:
        _go_back(connection, "0008")
        found = _rows(connection)
    keys = ("a", "b", "into", "wanted", "laid aside")
    new = {record_id(ref_of(key)): hash_alone(ref_of(key)) for key in keys}
    assert [id_ for id_ in new if id_ in found] == []
    assert [id_ for id_ in new.values() if id_ not in found] == []
    store.migrate()
    assert _everything(store) == before
    with store() as uow:
        assert uow.records.get([record_id(ref_of("a"))])[record_id(ref_of("a"))].ref == ref_of("a")


def test_whose_records_only_their_ids_told_apart_are_decided_anew(store: Database) -> None:
    saved(store, record_of("a", "E1"), record_of("b", "E1"), record_of("c", "E2"))
    with store() as uow:
        uow.customers.save([Customer(id_, "customer") for id_ in ("E1", "E2")], 1)
        uow.commit()
    with store.engine.begin() as connection:
        _go_back(connection, "0008")
    store.migrate()
    with store() as uow:
        assert list(uow.customers.take_dirty("customer", 10)) == ["E1"]


def _go_back(connection: sa.Connection, revision: str) -> None:
    config = _alembic()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


def hash_alone(ref: ExternalRef) -> str:
    """The id of a record until revision 0008."""
    text = f"{ref.system}\x00{ref.stream}\x00{ref.key}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _everything(store: Database) -> str:
    with store.engine.connect() as connection:
        return _rows(connection)


def _rows(connection: sa.Connection) -> str:
    tables = [table for table in metadata.sorted_tables if table.name != "alembic_version"]
    return "\n".join(
        f"{table.name} {sorted(map(str, connection.execute(sa.select(table))))}" for table in tables
    )


def _named_everywhere(store: Database) -> None:
    """A row in each table that names records by their ids, of some of whom it is all that there is."""
    a, b, into, wanted, aside = (
        record_of(key) for key in ("a", "b", "into", "wanted", "laid aside")
    )
    a.entity_id, b.alias_of = "E1", into.rec_id
    a.claims = {ClaimKey("customer"): Claim(str(wanted.ref), 1, 2, 3, past=(b.rec_id,))}
    doubt = Claim("Ada", 1, 2, 3, past=(b.rec_id,))
    sources = {"": b.rec_id}
    a.shadow = Shadow({"name": FieldShadow("Ada", source=sources, coming=sources, doubt=doubt)})
    saved(store, a, b)
    land(store, replace(row("b"), deleted=True, merged_into="into"))
    put(store, message_for(rec_id=a.rec_id))
    rows: dict[str, dict[str, Any]] = {
        "apart": {"rec_id": a.rec_id, "other": b.rec_id},
        "baseline": {
            "pos": 1,
            "entity_id": "E1",
            "rec_id": aside.rec_id,
            "kind": "source_record",
            "row": {
                "rec_id": aside.rec_id,
                "system": "erp",
                "stream": "people",
                "key": "laid aside",
            },
        },
        "block_key": {"hash": "0" * 32, "rec_id": a.rec_id},
        "commit_log": {"at": 1, "kind": "decision", "run_id": "r", "detail": {"of": [a.rec_id]}},
        "delivery_log": {
            "pos": 1,
            "at": 1,
            "rec_id": a.rec_id,
            "key": "a",
            "entity_id": "E1",
            "system": "erp",
            "stream": "people",
            "version": 1,
            "operation": "update",
            "outcome": "applied",
            "sent": {},
            "held": {},
            "reason": "",
            "sources": {"name": [b.rec_id, 1]},
        },
        "entity": {
            "id": "E1",
            "type": "customer",
            "version": 1,
            "golden": {},
            "withheld": [],
            "config_hash": "0" * 64,
            "dirty": False,
            "archived": False,
            "created": 1,
            "changed": 1,
            "winners": {"name": [a.rec_id, 1, "most_recent"]},
        },
        "entity_history": {
            "id": "E1",
            "version": 1,
            "at": 1,
            "causes": [],
            "run_id": "r",
            "superseded": {"name": ["Ada", {"": [b.rec_id, 1, "most_recent"]}]},
        },
        "link_log": {
            "pos": 1,
            "at": 1,
            "verb": "link",
            "rec_id": a.rec_id,
            "entity_id": "E1",
            "author": "policy",
            "evidence": {"with": b.rec_id},
        },
        "reference": {"rec_id": a.rec_id, "field": "customer", "target": wanted.rec_id},
        "sighting": {"rec_id": a.rec_id, "system": "erp", "stream": "people", "gone_at": 0},
        "task": {
            "kind": "refused",
            "subject": f"E1:{a.rec_id}",
            "open": True,
            "run_id": "r",
            "payload": {"with": a.rec_id},
            "decision": None,
            "opened": 1,
            "closed": 0,
        },
    }
    with store.engine.begin() as connection:
        for name, values in rows.items():
            connection.execute(metadata.tables[name].insert().values(values))


def test_a_database_that_was_never_migrated_is_refused_with_what_to_do(
    new_database: NewDatabase,
) -> None:
    with pytest.raises(SchemaOutdated, match="concord init"):
        new_database().check()


def test_a_database_of_another_release_is_refused(store: Database) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = 'other'"))
    with pytest.raises(SchemaOutdated, match="is at revision other"):
        store.check()

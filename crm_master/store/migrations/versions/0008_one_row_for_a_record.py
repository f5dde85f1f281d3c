"""A record's shadow stands in its row, and few rows are found by what few of them are.

Rows of records go to pages all over the file, as ids are hashes: each table and index less is a page less for every record.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_baseline = sa.table(
    "baseline", *map(sa.column, ("seq", "pos", "entity_id", "rec_id", "kind", "row"))
)
_IS_RECORD = _baseline.c.kind == "source_record"


def upgrade() -> None:
    op.add_column("source_record", sa.Column("shadow", sa.Text()))
    op.add_column(
        "source_record",
        sa.Column("confirmed_at", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.execute(
        "UPDATE source_record SET shadow = s.doc, confirmed_at = s.confirmed_at"
        " FROM shadow s WHERE s.rec_id = source_record.rec_id"
    )
    op.drop_table("shadow")
    _join_baselines(op.get_bind())
    op.drop_index(op.f("ix_source_record_system_stream_rec_id"), "source_record")
    reread = "reread = 1" if op.get_bind().dialect.name == "sqlite" else "reread"
    _index("reread", ["system", "stream", "key"], reread)
    _index("alias_of", ["alias_of"], "alias_of IS NOT NULL")


def downgrade() -> None:
    for name in ("alias_of", "reread"):
        op.drop_index(op.f(f"ix_source_record_{name}"), "source_record")
    op.create_index(
        op.f("ix_source_record_system_stream_rec_id"),
        "source_record",
        ["system", "stream", "rec_id"],
    )
    op.create_table(
        "shadow",
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", name=op.f("pk_shadow")),
    )
    op.execute(
        "INSERT INTO shadow SELECT rec_id, shadow, confirmed_at FROM source_record"
        " WHERE shadow IS NOT NULL"
    )
    _part_baselines(op.get_bind())
    op.drop_column("source_record", "confirmed_at")
    op.drop_column("source_record", "shadow")


def _index(name: str, columns: list[str], which: str) -> None:
    where = sa.text(which)
    op.create_index(
        op.f(f"ix_source_record_{name}"),
        "source_record",
        columns,
        sqlite_where=where,
        postgresql_where=where,
    )


def _join_baselines(bind: sa.Connection) -> None:
    """What an erasure took the history of: a record and its shadow are one row from now on."""
    for record in bind.execute(sa.select(_baseline).where(_IS_RECORD)).all():
        of = (_baseline.c.pos == record.pos, _baseline.c.rec_id == record.rec_id)
        shadow = bind.execute(sa.select(_baseline).where(*of, _baseline.c.kind == "shadow")).first()
        held = {} if shadow is None else json.loads(shadow.row)
        row = {"shadow": held.get("doc"), "confirmed_at": held.get("confirmed_at", 0)}
        _write(bind, record.seq, json.loads(record.row) | row)
    bind.execute(sa.delete(_baseline).where(_baseline.c.kind == "shadow"))


def _part_baselines(bind: sa.Connection) -> None:
    for record in bind.execute(sa.select(_baseline).where(_IS_RECORD)).all():
        row = json.loads(record.row)
        doc, confirmed_at = row.pop("shadow"), row.pop("confirmed_at")
        _write(bind, record.seq, row)
        if doc is not None:
            shadow = {"rec_id": record.rec_id, "doc": doc, "confirmed_at": confirmed_at}
            values = {"pos": record.pos, "entity_id": record.entity_id, "rec_id": record.rec_id}
            values |= {"kind": "shadow", "row": json.dumps(shadow)}
            bind.execute(sa.insert(_baseline).values(values))


def _write(bind: sa.Connection, seq: int, row: dict[str, Any]) -> None:
    bind.execute(sa.update(_baseline).where(_baseline.c.seq == seq).values(row=json.dumps(row)))

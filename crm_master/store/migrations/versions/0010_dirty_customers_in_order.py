"""Customers of a type, and the dirty ones of them, are found in the order of their ids; those that were merged, by it.

The index that is gone held every customer, and none in order: each batch of a sweep, and each page of a scan, sorted them
all.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_entity_type_dirty"), "entity")
    dirty = "dirty = 1" if op.get_bind().dialect.name == "sqlite" else "dirty"
    _index("dirty", ["type", "id"], dirty)
    _index("redirect_to", ["redirect_to"], "redirect_to IS NOT NULL")
    _index("type", ["type", "id"], "redirect_to IS NULL")


def downgrade() -> None:
    for name in ("type", "redirect_to", "dirty"):
        op.drop_index(op.f(f"ix_entity_{name}"), "entity")
    op.create_index(op.f("ix_entity_type_dirty"), "entity", ["type", "dirty"])


def _index(name: str, columns: list[str], which: str) -> None:
    where = sa.text(which)
    op.create_index(
        op.f(f"ix_entity_{name}"), "entity", columns, sqlite_where=where, postgresql_where=where
    )

"""Leases of observations, and rows for the locks of block keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "observation",
        sa.Column("lease_until", sa.BigInteger(), server_default="0", nullable=False),
    )
    # locks need not outlive the database, nor be written to its log
    op.create_table(
        "block_lock",
        sa.Column("hash", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_block_lock")),
        prefixes=["UNLOGGED"] if op.get_bind().dialect.name == "postgresql" else [],
    )


def downgrade() -> None:
    op.drop_table("block_lock")
    op.drop_column("observation", "lease_until")

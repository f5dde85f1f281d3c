"""Tallies of runs, and the alerts that were raised."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tally",
        sa.Column("verb", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("verb", "target", name=op.f("pk_tally")),
    )
    op.create_table(
        "alert",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("place", sa.String(length=300), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "place", name=op.f("pk_alert")),
    )


def downgrade() -> None:
    op.drop_table("alert")
    op.drop_table("tally")

"""What facts refer to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reference",
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("field", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", "field", name=op.f("pk_reference")),
    )
    op.create_index(op.f("ix_reference_target"), "reference", ["target"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_reference_target"), table_name="reference")
    op.drop_table("reference")

"""What all processes have used of the budgets that they share."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget",
        sa.Column("credential", sa.String(length=200), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("credential", name=op.f("pk_budget")),
    )


def downgrade() -> None:
    op.drop_table("budget")

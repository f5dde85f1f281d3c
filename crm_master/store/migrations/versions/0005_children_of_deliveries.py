"""Under which keys a system holds the elements of the lists that were delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "delivery_log", sa.Column("children", sa.Text(), server_default="{}", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("delivery_log", "children")

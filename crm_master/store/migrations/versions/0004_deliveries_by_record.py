"""What is under way is found by its record, and open creates by their state, however much waits to be delivered."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_outbox_entity_state"), "outbox", ["entity", "state"])
    op.create_index(op.f("ix_outbox_rec_id"), "outbox", ["rec_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_outbox_rec_id"), table_name="outbox")
    op.drop_index(op.f("ix_outbox_entity_state"), table_name="outbox")

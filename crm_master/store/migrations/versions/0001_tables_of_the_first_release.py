"""Tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "allowance",
        sa.Column("subject", sa.String(length=220), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_allowance")),
    )
    op.create_table(
        "apart",
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("other", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", "other", name=op.f("pk_apart")),
    )
    op.create_table(
        "baseline",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("pos", sa.BigInteger(), nullable=False),
        sa.Column("entity_id", sa.String(length=32), nullable=False),
        sa.Column("rec_id", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_baseline")),
    )
    op.create_index(op.f("ix_baseline_entity_id"), "baseline", ["entity_id"], unique=False)
    op.create_index(op.f("ix_baseline_pos"), "baseline", ["pos"], unique=False)
    op.create_table(
        "block_key",
        sa.Column("hash", sa.String(length=32), nullable=False),
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("hash", "rec_id", name=op.f("pk_block_key")),
    )
    op.create_index(op.f("ix_block_key_rec_id"), "block_key", ["rec_id"], unique=False)
    op.create_table(
        "commit_log",
        sa.Column(
            "pos",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pos", name=op.f("pk_commit_log")),
    )
    op.create_index(op.f("ix_commit_log_run_id"), "commit_log", ["run_id"], unique=False)
    op.create_table(
        "config_version",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("swept", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_config_version")),
    )
    op.create_table(
        "delivery_log",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("pos", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("rec_id", sa.String(length=32), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("entity_id", sa.String(length=32), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("sent", sa.Text(), nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_delivery_log")),
    )
    op.create_index(op.f("ix_delivery_log_entity_id"), "delivery_log", ["entity_id"], unique=False)
    op.create_index(op.f("ix_delivery_log_pos"), "delivery_log", ["pos"], unique=False)
    op.create_table(
        "entity",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("golden", sa.Text(), nullable=False),
        sa.Column("winners", sa.Text(), nullable=False),
        sa.Column("withheld", sa.Text(), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.Column("redirect_to", sa.String(length=32), nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entity")),
    )
    op.create_index(op.f("ix_entity_type_dirty"), "entity", ["type", "dirty"], unique=False)
    op.create_table(
        "entity_history",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("superseded", sa.Text(), nullable=False),
        sa.Column("causes", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_entity_history")),
    )
    op.create_index(
        op.f("ix_entity_history_run_id_id"), "entity_history", ["run_id", "id"], unique=False
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("entity", sa.String(length=100), nullable=False),
        sa.Column("customers", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("systems", sa.Text(), nullable=False),
        sa.Column("shared", sa.Text(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_table(
        "link_log",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("pos", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("verb", sa.String(length=100), nullable=False),
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("entity_id", sa.String(length=32), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_link_log")),
    )
    op.create_index(op.f("ix_link_log_entity_id"), "link_log", ["entity_id"], unique=False)
    op.create_index(op.f("ix_link_log_pos"), "link_log", ["pos"], unique=False)
    op.create_index(op.f("ix_link_log_rec_id"), "link_log", ["rec_id"], unique=False)
    op.create_table(
        "observation",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=100), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("entity", sa.String(length=100), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=True),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("pos", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_observation")),
    )
    op.create_index(op.f("ix_observation_pos"), "observation", ["pos"], unique=False)
    op.create_index(
        op.f("ix_observation_rec_id_seq"), "observation", ["rec_id", "seq"], unique=False
    )
    op.create_index(
        op.f("ix_observation_run_id_seq"), "observation", ["run_id", "seq"], unique=False
    )
    op.create_index(
        op.f("ix_observation_state_entity_seq"),
        "observation",
        ["state", "entity", "seq"],
        unique=False,
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(length=280), nullable=False),
        sa.Column("entity_id", sa.String(length=32), nullable=False),
        sa.Column("entity", sa.String(length=100), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=100), nullable=False),
        sa.Column("rec_id", sa.String(length=32), nullable=True),
        sa.Column("verb", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        op.f("ix_outbox_system_queued_at_id"),
        "outbox",
        ["system", "queued_at", "id"],
        unique=False,
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("verb", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=100), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_started"), "run", ["started"], unique=False)
    op.create_index(op.f("ix_run_verb_started"), "run", ["verb", "started"], unique=False)
    op.create_table(
        "shadow",
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", name=op.f("pk_shadow")),
    )
    op.create_table(
        "sighting",
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=100), nullable=False),
        sa.Column("gone_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", name=op.f("pk_sighting")),
    )
    op.create_index(
        op.f("ix_sighting_system_stream_gone_at"),
        "sighting",
        ["system", "stream", "gone_at"],
        unique=False,
    )
    op.create_table(
        "source_record",
        sa.Column("rec_id", sa.String(length=32), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=100), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("entity", sa.String(length=100), nullable=False),
        sa.Column("entity_id", sa.String(length=32), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("gone_lo", sa.BigInteger(), nullable=True),
        sa.Column("gone_hi", sa.BigInteger(), nullable=True),
        sa.Column("alias_of", sa.String(length=32), nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("placed", sa.String(length=32), nullable=True),
        sa.Column("origin", sa.String(length=10), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("raw_hash", sa.LargeBinary(), nullable=False),
        sa.Column("mapping_hash", sa.String(length=64), nullable=False),
        sa.Column("reread", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", name=op.f("pk_source_record")),
        sa.UniqueConstraint(
            "system", "stream", "key", name=op.f("uq_source_record_system_stream_key")
        ),
    )
    op.create_index(
        op.f("ix_source_record_entity_id"), "source_record", ["entity_id"], unique=False
    )
    op.create_index(
        op.f("ix_source_record_system_stream_rec_id"),
        "source_record",
        ["system", "stream", "rec_id"],
        unique=False,
    )
    op.create_table(
        "stream_state",
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=100), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("scan_started", sa.BigInteger(), nullable=False),
        sa.Column("complete_at", sa.BigInteger(), nullable=False),
        sa.Column("fulls", sa.Integer(), nullable=False),
        sa.Column("scan_errors", sa.Integer(), nullable=False),
        sa.Column("full", sa.Boolean(), nullable=False),
        sa.Column("absences", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", "stream", name=op.f("pk_stream_state")),
    )
    op.create_table(
        "suppression",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.String(length=32), nullable=False),
        sa.Column("entity", sa.String(length=100), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("unless", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("hash", "receipt", name=op.f("pk_suppression")),
    )
    op.create_index(op.f("ix_suppression_entity"), "suppression", ["entity"], unique=False)
    op.create_index(op.f("ix_suppression_receipt"), "suppression", ["receipt"], unique=False)
    op.create_table(
        "system_state",
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=100), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", name=op.f("pk_system_state")),
    )
    op.create_table(
        "task",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_index(
        op.f("ix_task_kind_subject_open"), "task", ["kind", "subject", "open"], unique=False
    )
    op.create_index(op.f("ix_task_run_id"), "task", ["run_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_task_run_id"), table_name="task")
    op.drop_index(op.f("ix_task_kind_subject_open"), table_name="task")
    op.drop_table("task")
    op.drop_table("system_state")
    op.drop_index(op.f("ix_suppression_receipt"), table_name="suppression")
    op.drop_index(op.f("ix_suppression_entity"), table_name="suppression")
    op.drop_table("suppression")
    op.drop_table("stream_state")
    op.drop_index(op.f("ix_source_record_system_stream_rec_id"), table_name="source_record")
    op.drop_index(op.f("ix_source_record_entity_id"), table_name="source_record")
    op.drop_table("source_record")
    op.drop_index(op.f("ix_sighting_system_stream_gone_at"), table_name="sighting")
    op.drop_table("sighting")
    op.drop_table("shadow")
    op.drop_index(op.f("ix_run_verb_started"), table_name="run")
    op.drop_index(op.f("ix_run_started"), table_name="run")
    op.drop_table("run")
    op.drop_index(op.f("ix_outbox_system_queued_at_id"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_observation_state_entity_seq"), table_name="observation")
    op.drop_index(op.f("ix_observation_run_id_seq"), table_name="observation")
    op.drop_index(op.f("ix_observation_rec_id_seq"), table_name="observation")
    op.drop_index(op.f("ix_observation_pos"), table_name="observation")
    op.drop_table("observation")
    op.drop_index(op.f("ix_link_log_rec_id"), table_name="link_log")
    op.drop_index(op.f("ix_link_log_pos"), table_name="link_log")
    op.drop_index(op.f("ix_link_log_entity_id"), table_name="link_log")
    op.drop_table("link_log")
    op.drop_table("erasure")
    op.drop_index(op.f("ix_entity_history_run_id_id"), table_name="entity_history")
    op.drop_table("entity_history")
    op.drop_index(op.f("ix_entity_type_dirty"), table_name="entity")
    op.drop_table("entity")
    op.drop_index(op.f("ix_delivery_log_pos"), table_name="delivery_log")
    op.drop_index(op.f("ix_delivery_log_entity_id"), table_name="delivery_log")
    op.drop_table("delivery_log")
    op.drop_table("config_version")
    op.drop_index(op.f("ix_commit_log_run_id"), table_name="commit_log")
    op.drop_table("commit_log")
    op.drop_index(op.f("ix_block_key_rec_id"), table_name="block_key")
    op.drop_table("block_key")
    op.drop_index(op.f("ix_baseline_pos"), table_name="baseline")
    op.drop_index(op.f("ix_baseline_entity_id"), table_name="baseline")
    op.drop_table("baseline")
    op.drop_table("apart")
    op.drop_table("allowance")

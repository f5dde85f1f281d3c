"""The tables. Times are microseconds since 1970 on the hub's clock; documents are JSON text.

The journal is made of ``observation``, ``delivery_log``, ``link_log``, and what ``commit_log`` holds itself (decisions,
undos, who was let in), in its order; of ``config_version``; and of ``baseline``, where an erasure took the rest. Golden
records and what they are made from (claims, shadows, links) can be rebuilt from it. What cannot, and has to come from
a backup: ``erasure`` and ``suppression``, the kill switch, cursors, and the ledgers of ``run``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from crm_master.store.columns import Json

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


def _only(sqlite: str, postgresql: str = "") -> dict[str, Any]:
    return {"sqlite_where": text(sqlite), "postgresql_where": text(postgresql or sqlite)}


_Id = String(32)
_Name = String(100)
_Serial = BigInteger().with_variant(Integer(), "sqlite")

run = Table(
    "run",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("verb", _Name, nullable=False),
    Column("target", String(200), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("finished", BigInteger, nullable=False),
    Column("status", _Name, nullable=False),
    Column("counts", Json, nullable=False),
    Column("error", Text, nullable=False),
    Index(None, "started"),
    Index(None, "verb", "started"),
)

tally = Table(
    "tally",
    metadata,
    Column("verb", _Name, primary_key=True),
    Column("target", String(200), primary_key=True),
    Column("sums", Json, nullable=False),
)
"""The sums of the ledgers, by verb and place; they would be read from all runs else."""

alert = Table(
    "alert",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("place", String(300), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("told", Json, nullable=False),
    Column("ended", BigInteger, nullable=False),
)

config_version = Table(
    "config_version",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Column("swept", Json, nullable=False),
)

system_state = Table(
    "system_state",
    metadata,
    Column("system", _Name, primary_key=True),
    Column("state", _Name, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False),
)

stream_state = Table(
    "stream_state",
    metadata,
    Column("system", _Name, primary_key=True),
    Column("stream", _Name, primary_key=True),
    Column("cursor", Text),
    Column("watermark", BigInteger, nullable=False),
    Column("scan_started", BigInteger, nullable=False),
    Column("complete_at", BigInteger, nullable=False),
    Column("fulls", Integer, nullable=False),
    Column("scan_errors", Integer, nullable=False),
    Column("full", Boolean, nullable=False),
    Column("absences", BigInteger, nullable=False),
)

sighting = Table(
    "sighting",
    metadata,
    Column("rec_id", _Id, primary_key=True),
    Column("system", _Name, nullable=False),
    Column("stream", _Name, nullable=False),
    Column("gone_at", BigInteger, nullable=False),
    Index(None, "system", "stream", "gone_at"),
)

allowance = Table(
    "allowance",
    metadata,
    Column("subject", String(220), primary_key=True),
    Column("number", Integer, nullable=False),
)

budget = Table(
    "budget",
    metadata,
    Column("credential", String(200), primary_key=True),
    Column("standing", Json, nullable=False),
)

commit_log = Table(
    "commit_log",
    metadata,
    Column("pos", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", _Name, nullable=False),
    Column("run_id", String(40), nullable=False),
    Column("detail", Json, nullable=False),
    Index(None, "run_id"),
)

observation = Table(
    "observation",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("rec_id", _Id, nullable=False),
    Column("system", _Name, nullable=False),
    Column("stream", _Name, nullable=False),
    Column("key", Text, nullable=False),
    Column("entity", _Name, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("stamp", BigInteger),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("watermark", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("merged_into", Text),
    Column("attempts", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("lease_until", BigInteger, nullable=False, server_default="0"),
    Column("pos", BigInteger, nullable=False),
    Column("run_id", String(40), nullable=False),
    Index(None, "state", "entity", "seq"),
    Index(None, "pos"),
    Index(None, "rec_id", "seq"),
    Index(None, "run_id", "seq"),
)

source_record = Table(
    "source_record",
    metadata,
    Column("rec_id", _Id, primary_key=True),
    Column("system", _Name, nullable=False),
    Column("stream", _Name, nullable=False),
    Column("key", Text, nullable=False),
    Column("entity", _Name, nullable=False),
    Column("entity_id", _Id),
    Column("status", String(10), nullable=False),
    Column("gone_lo", BigInteger),
    Column("gone_hi", BigInteger),
    Column("alias_of", _Id),
    Column("is_primary", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("placed", _Id),
    Column("origin", String(10), nullable=False),
    Column("claims", Json, nullable=False),
    Column("raw_hash", LargeBinary, nullable=False),
    Column("mapping_hash", String(64), nullable=False),
    Column("reread", Boolean, nullable=False),
    Column("shadow", Json),
    Column("confirmed_at", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("system", "stream", "key"),
    Index(None, "entity_id"),
    # few records are either: these cost those that are not nothing
    Index("ix_source_record_reread", "system", "stream", "key", **_only("reread = 1", "reread")),
    Index("ix_source_record_alias_of", "alias_of", **_only("alias_of IS NOT NULL")),
)

reference = Table(
    "reference",
    metadata,
    Column("rec_id", _Id, primary_key=True),
    Column("field", _Name, primary_key=True),
    Column("target", _Id, nullable=False),
    Index(None, "target"),
)

entity = Table(
    "entity",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("type", _Name, nullable=False),
    Column("version", Integer, nullable=False),
    Column("golden", Json, nullable=False),
    Column("winners", Json, nullable=False),
    Column("withheld", Json, nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("redirect_to", _Id),
    Column("dirty", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Index("ix_entity_type", "type", "id", **_only("redirect_to IS NULL")),
    Index("ix_entity_dirty", "type", "id", **_only("dirty = 1", "dirty")),
    Index("ix_entity_redirect_to", "redirect_to", **_only("redirect_to IS NOT NULL")),
)

entity_history = Table(
    "entity_history",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("superseded", Json, nullable=False),
    Column("causes", Json, nullable=False),
    Column("run_id", String(40), nullable=False),
    Index(None, "run_id", "id"),
)

link_log = Table(
    "link_log",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("pos", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("verb", _Name, nullable=False),
    Column("rec_id", _Id, nullable=False),
    Column("entity_id", _Id, nullable=False),
    Column("author", _Name, nullable=False),
    Column("evidence", Json, nullable=False),
    Index(None, "entity_id"),
    Index(None, "rec_id"),
    Index(None, "pos"),
)

apart = Table(
    "apart",
    metadata,
    Column("rec_id", _Id, primary_key=True),
    Column("other", _Id, primary_key=True),
)

block_key = Table(
    "block_key",
    metadata,
    Column("hash", _Id, primary_key=True),
    Column("rec_id", _Id, primary_key=True),
    Index(None, "rec_id"),
)

block_lock = Table("block_lock", metadata, Column("hash", _Id, primary_key=True))
"""A row for each block key that a transaction holds, and only while it does."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(280), primary_key=True),
    Column("entity_id", _Id, nullable=False),
    Column("entity", _Name, nullable=False),
    Column("system", _Name, nullable=False),
    Column("stream", _Name, nullable=False),
    Column("rec_id", _Id),
    Column("verb", String(10), nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sent", Json, nullable=False),
    Index(None, "system", "queued_at", "id"),
    Index(None, "entity", "state"),
    Index(None, "rec_id"),
)

delivery_log = Table(
    "delivery_log",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("pos", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("rec_id", _Id),
    Column("key", Text),
    Column("entity_id", _Id, nullable=False),
    Column("system", _Name, nullable=False),
    Column("stream", _Name, nullable=False),
    Column("version", Integer, nullable=False),
    Column("operation", String(10), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("sent", Json, nullable=False),
    Column("held", Json, nullable=False),
    Column("sources", Json, nullable=False),
    Column("reason", Text, nullable=False),
    Column("children", Json, nullable=False, server_default="{}"),
    Index(None, "pos"),
    Index(None, "entity_id"),
)

task = Table(
    "task",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(20), nullable=False),
    Column("subject", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("payload", Json, nullable=False),
    Column("decision", Json),
    Column("opened", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=False),
    Column("run_id", String(40), nullable=False),
    Index(None, "kind", "subject", "open"),
    Index(None, "run_id"),
)

erasure = Table(
    "erasure",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("entity", _Name, nullable=False),
    Column("customers", Json, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("author", _Name, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("systems", Json, nullable=False),
    Column("shared", Json, nullable=False),
    Column("lifted_at", BigInteger, nullable=False),
    Column("lifted_by", _Name, nullable=False),
)

baseline = Table(
    "baseline",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("pos", BigInteger, nullable=False),
    Column("entity_id", _Id, nullable=False),
    Column("rec_id", _Id),
    Column("kind", _Name, nullable=False),
    Column("row", Json, nullable=False),
    Index(None, "pos"),
    Index(None, "entity_id"),
)

suppression = Table(
    "suppression",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("receipt", _Id, primary_key=True),
    Column("entity", _Name, nullable=False),
    Column("names", Json, nullable=False),
    Column("unless", Json, nullable=False),
    Column("key_id", String(16), nullable=False),
    Index(None, "entity"),
    Index(None, "receipt"),
)

"""Ids of records of which the keys are neighbours stand side by side: a batch of new rows goes to few pages of an index.

Whatever names a record by its id names it by the new one afterwards. Of a record that nothing but its id is left of (it was
never read, and no row has its key), the id stays as it was.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BATCH = 1000
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")

_IDS = {
    "apart": ("rec_id", "other"),
    "baseline": ("rec_id",),
    "block_key": ("rec_id",),
    "delivery_log": ("rec_id",),
    "link_log": ("rec_id",),
    "observation": ("rec_id",),
    "outbox": ("rec_id",),
    "reference": ("rec_id", "target"),
    "sighting": ("rec_id",),
    "source_record": ("rec_id", "alias_of"),
}
"""Columns that hold an id."""

_TEXTS = {
    "baseline": (("seq",), ("row",)),
    "commit_log": (("pos",), ("detail",)),
    "delivery_log": (("seq",), ("sources",)),
    "entity": (("id",), ("winners",)),
    "entity_history": (("id", "version"), ("superseded",)),
    "link_log": (("seq",), ("evidence",)),
    "source_record": (("rec_id",), ("claims", "shadow")),
    "task": (("id",), ("subject", "payload", "decision")),
}
"""Primary keys, and columns in which ids stand: JSON, and the subject of a task, which may be a delivery's id."""

T = TypeVar("T")
Key = tuple[str, str, str]
Hash = Callable[[Key], str]


def upgrade() -> None:
    _rename(_hash_alone, _beside_neighbours)


def downgrade() -> None:
    _rename(_beside_neighbours, _hash_alone)


def _hash_alone(of: Key) -> str:
    return _digest(of, of[2], 16)


def _beside_neighbours(of: Key) -> str:
    return _digest(of, of[2][:-2], 2) + _digest(of, of[2], 14)


def _digest(of: Key, text: str, size: int) -> str:
    place = f"{of[0]}\x00{of[1]}\x00{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(place, digest_size=size).hexdigest()


def _rename(before: Hash, after: Hash) -> None:
    bind = op.get_bind()
    renamed = sa.Table(
        "renamed",
        sa.MetaData(),
        sa.Column("old", sa.String(32), primary_key=True),
        sa.Column("new", sa.String(32), nullable=False),
    )
    renamed.create(bind)
    for keys in _batches(_keys(bind)):
        _remember(bind, {before(key): after(key) for key in keys})
    op.execute(
        "UPDATE outbox SET id = entity_id || ':' || (SELECT new FROM renamed WHERE old = rec_id)"
        " WHERE rec_id IN (SELECT old FROM renamed)"
    )
    for table, (primary, columns) in _TEXTS.items():
        for rows in _pages(bind, table, primary, columns):
            _rewrite(bind, table, primary, columns, rows)
    for table, columns in _IDS.items():
        for column in columns:
            op.execute(
                f"UPDATE {table} SET {column} = (SELECT new FROM renamed WHERE old = {column})"
                f" WHERE {column} IN (SELECT old FROM renamed)"
            )
    renamed.drop(bind)
    # of two records of one system that cannot be told apart in time, the one with the lower id wins
    op.execute(
        "UPDATE entity SET dirty = true WHERE id IN (SELECT entity_id FROM source_record"
        " WHERE entity_id IS NOT NULL GROUP BY entity_id, system HAVING count(*) > 1)"
    )


def _keys(bind: sa.Connection) -> Iterator[Key]:
    """Every external key that a row has; again, where several have it."""
    place = ("system", "stream", "key")
    for page in _pages(bind, "source_record", ("rec_id",), place):
        yield from (tuple(row[1:]) for row in page)
    for page in _pages(bind, "observation", ("seq",), (*place, "merged_into")):
        for _, system, stream, key, into in page:
            yield system, stream, key
            if into is not None:
                yield system, stream, into
    for page in _pages(bind, "delivery_log", ("seq",), place):
        yield from (tuple(row[1:]) for row in page if row[3] is not None)
    for table, (primary, columns) in _TEXTS.items():
        for page in _pages(bind, table, primary, columns):
            for text in (text for row in page for text in row[len(primary) :] if text):
                yield from _named(json.loads(text) if text[0] in "{[" else text)


def _named(found: Any) -> Iterator[Key]:
    """Records that JSON names, and rows of them that an erasure has laid aside."""
    match found:
        case str():
            if found.count("/") >= 2:
                system, stream, key = found.split("/", 2)
                yield system, stream, key
        case list():
            for of in found:
                yield from _named(of)
        case dict():
            if {"system", "stream", "key"} <= found.keys() and found["key"] is not None:
                yield found["system"], found["stream"], found["key"]
            for of in found.values():
                yield from _named(of)


def _remember(bind: sa.Connection, ids: dict[str, str]) -> None:
    bind.execute(
        sa.text("INSERT INTO renamed (old, new) VALUES (:old, :new) ON CONFLICT DO NOTHING"),
        [{"old": old, "new": new} for old, new in ids.items()],
    )


def _rewrite(
    bind: sa.Connection,
    table: str,
    primary: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> None:
    texts = [text for row in rows for text in row[len(primary) :] if text]
    ids = sorted({id_ for text in texts for id_ in _ID.findall(text)})
    query = sa.text("SELECT old, new FROM renamed WHERE old IN :ids").bindparams(
        sa.bindparam("ids", expanding=True)
    )
    new: dict[str, str] = {}
    for part in _batches(iter(ids)):
        new |= {row.old: row.new for row in bind.execute(query, {"ids": part})}
    changed = [
        dict(zip((*primary, *columns), (*row[: len(primary)], *texts), strict=True))
        for row in rows
        if (texts := [_renamed(text, new) for text in row[len(primary) :]])
        != list(row[len(primary) :])
    ]
    if changed:
        values = ", ".join(f"{name} = :{name}" for name in columns)
        where = " AND ".join(f"{name} = :{name}" for name in primary)
        bind.execute(sa.text(f"UPDATE {table} SET {values} WHERE {where}"), changed)


def _renamed(text: str | None, new: dict[str, str]) -> str | None:
    return text and _ID.sub(lambda found: new.get(found[0], found[0]), text)


def _pages(
    bind: sa.Connection, table: str, primary: Sequence[str], columns: Sequence[str]
) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a table by primary key, which comes first, so that no more than a batch is in memory."""
    order = ", ".join(primary)
    names = ", ".join((*primary, *columns))
    after = ", ".join(f":{name}" for name in primary)
    query, at = f"SELECT {names} FROM {table}", dict[str, Any]()
    while True:
        where = f" WHERE ({order}) > ({after})" if at else ""
        page = bind.execute(sa.text(f"{query}{where} ORDER BY {order} LIMIT {BATCH}"), at).all()
        if not page:
            return
        yield page
        at = dict(zip(primary, page[-1], strict=False))


def _batches(of: Iterator[T]) -> Iterator[list[T]]:
    return iter(lambda: list(islice(of, BATCH)), [])

"""The few statements in which every repository speaks to both databases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

CHUNK = 1_000
"""Values in one ``IN``: far below what either database takes, and few enough to be planned well."""

T = TypeVar("T")


def chunks(values: Collection[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The values in sorted order, so that row locks are always taken in the same one, in lists of ``size``."""
    ordered = iter(sorted(values))  # type: ignore[type-var]
    while part := list(islice(ordered, size)):
        yield part


def unindexed(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """A text column that chooses among rows already found, and by which no index is entered.

    Without statistics SQLite takes a state for rarer than a list of keys, and reads everything that is in that state.
    """
    return column.concat("")


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    update: Sequence[str],
) -> None:
    """Insert rows, or update the named columns of those that are there already: one statement for all."""
    if not rows:
        return
    upserting = _upserting(connection.dialect.name, table, tuple(update))
    connection.execute(upserting, list(rows))


@cache
def _upserting(dialect: str, table: sa.Table, update: tuple[str, ...]) -> sa.Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    if not update:
        return statement.on_conflict_do_nothing(index_elements=keys)
    changed = {name: statement.excluded[name] for name in update}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def locking(connection: Connection, query: sa.Select[Any], *, skip: bool = False) -> sa.Select[Any]:
    """The query with row locks, where the database has them; SQLite's transaction holds the one lock already."""
    return (
        query.with_for_update(skip_locked=skip)
        if connection.dialect.name == "postgresql"
        else query
    )

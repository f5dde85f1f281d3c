"""The few statements in which every repository speaks to both databases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.engine.default import DefaultDialect

CHUNK = 1_000
"""Values in one ``IN``: far below what either database takes, and few enough to be planned well."""

T = TypeVar("T")


def chunks(values: Collection[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The values in sorted order, so that row locks are always taken in the same one, in lists of ``size``."""
    ordered = iter(sorted(values))  # type: ignore[type-var]
    while part := list(islice(ordered, size)):
        yield part


def among(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Whether a column is one of the values of the named parameter: for statements that are made once."""
    return column.in_(sa.bindparam(name, expanding=True))


def unindexed(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """A text column that chooses among rows already found, and by which no index is entered.

    Without statistics SQLite takes a state for rarer than a list of keys, and reads everything that is in that state.
    """
    return column.concat("")


def insert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, which all name the same columns."""
    if rows:
        _many(connection, table, tuple(rows[0]), None, rows)


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    update: Sequence[str],
) -> None:
    """Insert rows, or update the named columns of those that are there already: one statement for all."""
    if rows:
        _many(connection, table, tuple(rows[0]), tuple(update), rows)


def _many(
    connection: Connection,
    table: sa.Table,
    columns: tuple[str, ...],
    update: tuple[str, ...] | None,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    statement = _compiled(connection.dialect, table, columns, update)
    connection.exec_driver_sql(statement.text, [statement.values(row) for row in rows])


class _Compiled:
    """A statement for many rows. Their values go to the driver as it wants them: SQLAlchemy would look at each row anew."""

    def __init__(self, dialect: Dialect, statement: sa.Insert, columns: tuple[str, ...]) -> None:
        by_place = cast(type[DefaultDialect], type(dialect))(
            paramstyle="qmark" if dialect.name == "sqlite" else "format"
        )
        compiled = statement.inline().compile(dialect=by_place, column_keys=list(columns))
        self.text = str(compiled)
        kinds = {
            column.name: column.type.dialect_impl(dialect) for column in statement.table.columns
        }
        self._places = [
            (name, kinds[name].bind_processor(dialect)) for name in compiled.positiontup or ()
        ]

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(
            [row[name] if made is None else made(row[name]) for name, made in self._places]
        )


_statements: dict[tuple[str, sa.Table, tuple[str, ...], tuple[str, ...] | None], _Compiled] = {}
"""By the name of the dialect: each engine has one of its own, which must not stay for the sake of a statement."""


def _compiled(
    dialect: Dialect, table: sa.Table, columns: tuple[str, ...], update: tuple[str, ...] | None
) -> _Compiled:
    known = _statements.get((dialect.name, table, columns, update))
    if known is not None:
        return known
    made = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    statement = made(table)
    keys = [column.name for column in table.primary_key]
    if update:
        changed = {name: statement.excluded[name] for name in update}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    elif update is not None:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    compiled = _Compiled(dialect, statement, columns)
    return _statements.setdefault((dialect.name, table, columns, update), compiled)


def locking(connection: Connection, query: sa.Select[Any], *, skip: bool = False) -> sa.Select[Any]:
    """The query with row locks, where the database has them; SQLite's transaction holds the one lock already."""
    return (
        query.with_for_update(skip_locked=skip)
        if connection.dialect.name == "postgresql"
        else query
    )

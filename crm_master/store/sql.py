"""The few statements in which every repository speaks to both databases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
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
    connection.exec_driver_sql(statement.text, statement.parameters(rows))


class _Compiled:
    """A statement for many rows. Their values go to the driver as it wants them: SQLAlchemy would look at each row anew.

    PostgreSQL is sent a list for each column, in one statement; SQLite a tuple for each row.
    """

    def __init__(self, dialect: Dialect, statement: sa.Insert, columns: tuple[str, ...]) -> None:
        self._by_column = dialect.name == "postgresql"
        by_place = cast(type[DefaultDialect], type(dialect))(
            paramstyle="format" if self._by_column else "qmark"
        )
        compiled = statement.inline().compile(dialect=by_place, column_keys=list(columns))
        self.text = str(compiled)
        kinds = {
            column.name: column.type.dialect_impl(dialect) for column in statement.table.columns
        }
        self._places = [
            (name, kinds[name].bind_processor(dialect)) for name in compiled.positiontup or ()
        ]

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        if self._by_column:
            return tuple(
                [row[name] if made is None else made(row[name]) for row in rows]
                for name, made in self._places
            )
        return [
            tuple([row[name] if made is None else made(row[name]) for name, made in self._places])
            for row in rows
        ]


@cache
def _compiled(
    dialect: Dialect, table: sa.Table, columns: tuple[str, ...], update: tuple[str, ...] | None
) -> _Compiled:
    statement: postgresql.Insert | sqlite.Insert
    if dialect.name == "postgresql":
        statement = postgresql.insert(table).from_select(
            columns, _from_lists(dialect, table, columns)
        )
    else:
        statement = sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    if update:
        changed = {name: statement.excluded[name] for name in update}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    elif update is not None:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    return _Compiled(dialect, statement, columns)


def _from_lists(dialect: Dialect, table: sa.Table, columns: tuple[str, ...]) -> sa.Select[Any]:
    """Rows out of a list for each column, in their order: by it rows are locked, and numbered."""
    lists = []
    for name in columns:
        kind: Any = table.columns[name].type
        item = kind.load_dialect_impl(dialect) if isinstance(kind, sa.TypeDecorator) else kind
        if isinstance(item, sa.String):
            item = sa.Text()  # a cast to a length would cut what is too long, in silence
        lists.append(sa.bindparam(name, type_=postgresql.ARRAY(item)))
    rows = (
        sa.func.unnest(*lists).table_valued(*columns, with_ordinality="its_place").render_derived()
    )
    return sa.select(*(rows.columns[name] for name in columns)).order_by(rows.columns["its_place"])


def locking(connection: Connection, query: sa.Select[Any], *, skip: bool = False) -> sa.Select[Any]:
    """The query with row locks, where the database has them; SQLite's transaction holds the one lock already."""
    return (
        query.with_for_update(skip_locked=skip)
        if connection.dialect.name == "postgresql"
        else query
    )

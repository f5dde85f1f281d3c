"""The few statements in which every repository speaks to both databases."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.engine.default import DefaultDialect

CHUNK = 1_000
"""Values in one ``IN``: far below what either database takes, and few enough to be planned well."""

T = TypeVar("T")

_Statement: TypeAlias = sa.Select[Any] | sa.UpdateBase
_Processor: TypeAlias = Callable[[Any], Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_GAP = "\0"


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


def counts(of: Mapping[str, sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """How many rows meet each of these conditions, by its name, in one row.

    To group them, SQLite would sort them all in memory.
    """
    found: list[sa.ColumnElement[Any]] = [
        sa.func.count().filter(those).label(name) for name, those in of.items()
    ]
    return sa.select(*found)


def counted(connection: Connection, query: Query, values: Mapping[str, Any]) -> dict[str, int]:
    """What a query of ``counts`` finds, without the names of which there is none."""
    [row] = query(connection, values)
    return {name: number for name, number in row._asdict().items() if number}


def insert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, which all name the same columns."""
    if rows:
        _inserting(connection.dialect.name, table, tuple(rows[0]), None).many(connection, rows)


def upsert(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    update: Sequence[str],
) -> None:
    """Insert rows, or update the named columns of those that are there already: one statement for all."""
    if rows:
        names = tuple(rows[0]), tuple(update)
        _inserting(connection.dialect.name, table, *names).many(connection, rows)


@cache
def _inserting(
    dialect: str, table: sa.Table, columns: tuple[str, ...], update: tuple[str, ...] | None
) -> Query:
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    keys = [column.name for column in table.primary_key]
    if update:
        changed = {name: statement.excluded[name] for name in update}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    elif update is not None:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    return Query(statement.inline(), columns)


class Query:
    """A statement that is asked again and again: compiled once for each database, and given to the driver itself.

    SQLAlchemy takes longer over each than SQLite over its answer.
    """

    def __init__(
        self,
        statement: _Statement,
        columns: Sequence[str] | None = None,
        *,
        lock: bool = False,
        skip: bool = False,
    ) -> None:
        """``columns``: those that an insert fills. ``lock`` the rows, ``skip`` what others have locked: see ``locking``."""
        self._statement, self._columns, self._lock, self._skip = statement, columns, lock, skip
        # by the name of the dialect: each engine has one of its own, which must not stay for the sake of a statement
        self._compiled: dict[str, _Compiled] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> list[Any]:
        """The rows for these values of its parameters: tuples, whose columns have their names."""
        made = self._made(connection)
        return made.rows(execute(connection, *made.asked(values)))

    def column(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self(connection, values)]

    def one(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> Any:
        """The first column of the first row; ``None`` if there is none."""
        return next(iter(self.column(connection, values)), None)

    def many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do it once for each of these values of its parameters, none of which is a list."""
        made = self._made(connection)
        execute(connection, made.text, [made.values(row) for row in rows], many=True)

    def _made(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        made = self._compiled.get(dialect.name)
        if made is None:
            statement = self._statement
            if self._lock and isinstance(statement, sa.Select):
                statement = locking(connection, statement, skip=self._skip)
            made = self._compiled[dialect.name] = _Compiled(dialect, statement, self._columns)
        return made


class _Compiled:
    """A statement in the words of one database, and its values as the driver wants them."""

    def __init__(
        self, dialect: Dialect, statement: _Statement, columns: Sequence[str] | None
    ) -> None:
        self._mark = "?" if dialect.name == "sqlite" else "%s"
        by_place = cast(type[DefaultDialect], type(dialect))(
            paramstyle="qmark" if dialect.name == "sqlite" else "format"
        )
        names = None if columns is None else list(columns)
        compiled = statement.compile(dialect=by_place, column_keys=names)
        text = str(compiled)
        self._places: list[tuple[str, _Processor | None, list[Any] | None]] = []
        """Of each place its parameter, what makes its value the driver's, and the values that are always the same."""
        self._lists: list[str] = []
        for name in compiled.positiontup or ():
            bound = compiled.binds[name]
            made = bound.type.dialect_impl(dialect).bind_processor(dialect)
            if bound.required:
                self._places.append((name, made, None))
                self._lists += [name] * bound.expanding
                continue
            given: list[Any] = [*(bound.value or ())] if bound.expanding else [bound.value]
            self._places.append((name, None, given if made is None else [*map(made, given)]))
            text = text.replace(_list(name), self._marks(len(given)))
        self._plain = not self._lists and all(fixed is None for *_, fixed in self._places)
        for name in self._lists:
            text = text.replace(_list(name), _GAP)
        self.text, *self._rest = text.split(_GAP)
        found = list(statement.exported_columns)
        row: Any = namedtuple("Row", [str(column.key) for column in found], rename=True)  # type: ignore[misc]
        self._row: Callable[[Sequence[Any]], Any] = row._make
        readers = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in found
        ]
        self._readers = [(place, reader) for place, reader in enumerate(readers) if reader]

    def _marks(self, number: int) -> str:
        return ", ".join([self._mark] * number)

    def asked(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The text, with as many places for a list as there are values in it, and all values."""
        parts = [self.text]
        for name, rest in zip(self._lists, self._rest, strict=True):
            parts += (self._marks(len(values[name])), rest)
        return "".join(parts), self.values(values)

    def values(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in their places."""
        if self._plain:
            return [
                values[name] if made is None else made(values[name])
                for name, made, _ in self._places
            ]
        found: list[Any] = []
        for name, made, fixed in self._places:
            if fixed is not None:
                found += fixed
            elif name in self._lists:
                found += values[name] if made is None else map(made, values[name])
            else:
                value = values[name]
                found.append(value if made is None else made(value))
        return found

    def rows(self, cursor: Any) -> list[Any]:
        if cursor.description is None:
            return []
        rows = cursor.fetchall()
        if self._readers:
            rows = [list(row) for row in rows]
            for place, reader in self._readers:
                for row in rows:
                    row[place] = reader(row[place])
        return [*map(self._row, rows)]


def _list(name: str) -> str:
    return f"__[POSTCOMPILE_{name}]"


def execute(connection: Connection, text: str, values: Any = (), *, many: bool = False) -> Any:
    """Give a statement to the driver, and get its cursor. Its errors are SQLAlchemy's, without what was sent."""
    raw, dialect = connection.connection, connection.dialect
    cursor = raw.cursor()
    try:
        (cursor.executemany if many else cursor.execute)(text, values)
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, raw.driver_connection, cursor)
        if lost:
            connection.invalidate(error)
        raise sa.exc.DBAPIError.instance(
            text,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        ) from error
    return cursor


def locking(connection: Connection, query: sa.Select[Any], *, skip: bool = False) -> sa.Select[Any]:
    """The query with row locks, where the database has them; SQLite's transaction holds the one lock already."""
    return (
        query.with_for_update(skip_locked=skip)
        if connection.dialect.name == "postgresql"
        else query
    )

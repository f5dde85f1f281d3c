"""Read-only SQL views of the master, for reports and business systems; docs/views.md describes them.

They are made from the entities' catalogues, so that a field of your own is a column of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.domain.entities import EntitySpec, FieldSpec
from crm_master.domain.fields import Cardinality

PREFIX = "v_"


def make_views(connection: Connection, entities: Sequence[EntitySpec]) -> list[str]:
    """Make the views anew, for these entities. Gives their names."""
    drop_views(connection)
    views = dict(_views(_DIALECTS[connection.dialect.name], entities))
    for name, query in views.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {query}")
    return list(views)


def drop_views(connection: Connection) -> None:
    """Remove the views: what they read may be about to change."""
    names = sa.inspect(connection).get_view_names()
    # one view reads others: the last that was made goes first
    for name in sorted(names, key=lambda name: not name.startswith(f"{PREFIX}whole_")):
        if name.startswith(PREFIX):
            connection.exec_driver_sql(f"DROP VIEW {name}")


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a database reads JSON text."""

    at: str  # the text at a path
    path: str
    step: str
    time: str
    each: str  # rows of key and value
    rows: str  # rows of value
    part: str  # a member of such a value
    listed: str

    def text(self, column: str, *steps: str) -> str:
        path = self.path.format(self.step.join(steps))
        return self.at.format(column=column, path=path)


_DIALECTS: Mapping[str, _Dialect] = {
    "sqlite": _Dialect(
        at="json_extract({column}, '{path}')",
        path="$.{}",
        step=".",
        time="strftime('%Y-%m-%dT%H:%M:%SZ', {} / 1000000, 'unixepoch')",
        each="json_each({}) AS part",
        rows="json_each({}, '$.{}') AS part",
        part="json_extract(part.value, '$.{}')",
        listed="group_concat(DISTINCT {})",
    ),
    "postgresql": _Dialect(
        at="({column}::jsonb #>> '{path}')",
        path="{{{}}}",
        step=",",
        time="to_char(to_timestamp({} / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
        each="jsonb_each({}::jsonb) AS part",
        rows="jsonb_array_elements({}::jsonb -> '{}') AS part(value)",
        part="(part.value ->> '{}')",
        listed="string_agg(DISTINCT {}, ',')",
    ),
}


def _views(to: _Dialect, entities: Sequence[EntitySpec]) -> Iterator[tuple[str, str]]:
    for entity in entities:
        yield f"{PREFIX}{entity.name}s", _entity(to, entity)
        for field in entity.fields.values():
            if field.rows:
                yield f"{PREFIX}{entity.name}_{field.name}", _rows(to, entity, field)
    yield f"{PREFIX}records", _RECORDS.format(since=to.time.format("r.since"))
    yield f"{PREFIX}provenance", _provenance(to)
    facts = [entity for entity in entities if entity.references]
    for entity in entities:
        if not entity.references:
            about = [fact for fact in facts if any(of.to == entity.name for of in fact.references)]
            yield f"{PREFIX}whole_{entity.name}s", _whole(to, entity, about)


_RECORDS = """
SELECT r.rec_id, r.entity, r.entity_id AS id, r.system, r.stream, r.key, r.status, r.origin,
       r.is_primary, {since} AS since
FROM source_record r WHERE r.entity_id IS NOT NULL"""


def _columns(to: _Dialect, entity: EntitySpec) -> Iterator[tuple[str, str]]:
    for name, field in entity.fields.items():
        if field.cardinality is Cardinality.GROUP:
            for member in field.members:
                yield f"{name}_{member}", to.text("e.golden", name, member)
        else:
            yield name, to.text("e.golden", name)


def _entity(to: _Dialect, entity: EntitySpec) -> str:
    selected = [f"{text} AS {_quoted(name)}" for name, text in _columns(to, entity)]
    joins = []
    for number, field in enumerate(entity.references):
        # whose the record is of which the winning claim speaks
        winner = to.text("e.winners", f"{field.name}", "0").replace(".0'", "[0]'")
        joins.append(
            f"LEFT JOIN reference f{number} ON f{number}.rec_id = {winner}"
            f" AND f{number}.field = '{field.name}'"
            f" LEFT JOIN source_record p{number} ON p{number}.rec_id = f{number}.target"
        )
        selected.append(f"p{number}.entity_id AS {field.name}_id")
    times = [f"{to.time.format(f'e.{name}')} AS {name}_at" for name in ("created", "changed")]
    columns = ", ".join(["e.id", "e.version", *times, "e.archived", *selected])
    return (
        f"SELECT {columns} FROM entity e {' '.join(joins)} WHERE e.type = '{entity.name}'"
        " AND e.redirect_to IS NULL AND e.version > 0"
    )


def _rows(to: _Dialect, entity: EntitySpec, field: FieldSpec) -> str:
    members = ", ".join(f"{to.part.format(name)} AS {_quoted(name)}" for name in field.rows)
    # an order whose lines nobody speaks of has none
    return (
        f"SELECT e.id AS {entity.name}_id, {members} FROM entity e"
        f" CROSS JOIN {to.rows.format('e.golden', field.name)} WHERE e.type = '{entity.name}'"
        " AND e.redirect_to IS NULL AND e.version > 0"
    )


def _provenance(to: _Dialect) -> str:
    record, seq, rule = (
        to.text("part.value", str(place)).replace(f"$.{place}'", f"$[{place}]'")
        for place in range(3)
    )
    return f"""
SELECT e.type AS entity, e.id, part.key AS field, r.system, r.stream, r.key AS record,
       {rule} AS rule, o.run_id, {to.time.format("o.ended")} AS read_at
FROM entity e CROSS JOIN {to.each.format("e.winners")}
LEFT JOIN source_record r ON r.rec_id = {record}
LEFT JOIN observation o ON o.seq = CAST({seq} AS BIGINT)
WHERE e.redirect_to IS NULL"""


def _whole(to: _Dialect, entity: EntitySpec, facts: Sequence[EntitySpec]) -> str:
    columns = ["e.*", "coalesce(r.records, 0) AS records", "r.systems"]
    joins = [
        f"LEFT JOIN (SELECT id, count(*) AS records, {to.listed.format('system')} AS systems"
        f" FROM {PREFIX}records WHERE status = 'live' GROUP BY id) r ON r.id = e.id"
    ]
    for fact in facts:
        for field in fact.references:
            if field.to == entity.name:
                name = (
                    f"{fact.name}s" if field.name == entity.name else f"{fact.name}s_{field.name}"
                )
                columns.append(f"coalesce({name}.number, 0) AS {name}")
                columns.append(f"{name}.last AS last_{name}_at")
                joins.append(
                    f"LEFT JOIN (SELECT {field.name}_id AS id, count(*) AS number,"
                    f" max(changed_at) AS last FROM {PREFIX}{fact.name}s GROUP BY {field.name}_id)"
                    f" {name} ON {name}.id = e.id"
                )
    return f"SELECT {', '.join(columns)} FROM {PREFIX}{entity.name}s e {' '.join(joins)}"


def _quoted(name: str) -> str:
    return f'"{name}"'

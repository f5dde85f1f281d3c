"""Canonical values: what the rules know of an entity, and whether a value is one.

The published JSON Schema serves the edges; ``checker`` gives the same answer fast, for the hot path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from crm_master.domain.entities import EntitySpec, FieldSpec
from crm_master.domain.fields import Cardinality
from mappings.spec import EntityFile, FieldDef, FieldType, MemberDef

LONGEST = 100_000
_PATTERNS = {
    FieldType.DATE: (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "a date such as 2026-01-31"),
    FieldType.DATETIME: (
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z$",
        "a time such as 2026-01-31T12:00:00Z",
    ),
    FieldType.DECIMAL: (
        r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{0,11}[1-9])?$",
        "a decimal number as text, such as 12.5",
    ),
    FieldType.COUNTRY: (r"^[A-Z]{2}$", "a two-letter country code such as BE"),
    FieldType.LANGUAGE: (r"^[a-z]{2}$", "a two-letter language code such as nl"),
    FieldType.REFERENCE: (
        r"^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*/.+$",
        "a record as system/stream/key, such as erp/parties/17",
    ),
}
_INTEGER = 10**18


def entity_spec(entity: EntityFile) -> EntitySpec:
    """The entity as the rules of reconciliation see it."""
    return EntitySpec(
        entity.entity, {name: _field_spec(name, entity.field(name)) for name in entity.fields}
    )


def _field_spec(name: str, defined: FieldDef) -> FieldSpec:
    # what moves as one is one value, however many elements it has
    rows = tuple(defined.members) if defined.key else ()
    members = () if rows else tuple(defined.members)
    many = defined.many and not defined.key
    cardinality = Cardinality.MANY if many else Cardinality.GROUP if members else Cardinality.ONE
    observed = tuple(m for m in members if defined.member(m).default == "observed")
    own = tuple(m for m in members if defined.member(m).own)
    waits = defined.to is not None and not defined.optional
    return FieldSpec(
        name, cardinality, members, observed, own, defined.personal, defined.to, waits, rows
    )


Check = Callable[[Any], str | None]
"""Gives what is allowed if a value is not, else ``None``."""


def problem_of(target: MemberDef, value: Any) -> str | None:
    """What is allowed, if ``value`` is no canonical value of ``target``; else ``None``."""
    return _single(target)(value)


def checker(entity: EntityFile) -> Callable[[Mapping[str, Any]], list[str]]:
    """A compiled check of canonical records: gives ``path: what is allowed`` for each fault, and never a value."""
    checks = {name: _field(entity.field(name)) for name in entity.fields}
    known = ", ".join(checks)

    def problems(record: Mapping[str, Any]) -> list[str]:
        out = []
        for name, value in record.items():
            check = checks.get(name)
            problem = f"a field of {entity.entity}: {known}" if check is None else check(value)
            if problem is not None:
                out.append(f"{name}: allowed: {problem}")
        return out

    return problems


def _field(defined: FieldDef) -> Check:
    one = _group(defined) if defined.members else _single(defined)
    if not defined.many:
        return one
    if defined.key:
        return _rows(one)

    def many(value: Any) -> str | None:
        if type(value) is not dict:
            return "an object of element key to element"
        for element in value.values():
            problem = one(element)
            if problem is not None:
                return problem
        return None

    return many


def _rows(one: Check) -> Check:
    def rows(value: Any) -> str | None:
        if type(value) is not list or not value:
            return "a list of rows"
        return next((problem for row in value if (problem := one(row)) is not None), None)

    return rows


def _group(defined: FieldDef) -> Check:
    checks = {name: _single(defined.member(name)) for name in defined.members}
    known = ", ".join(checks)

    def group(value: Any) -> str | None:
        if type(value) is not dict or not value:
            return f"an object with any of {known}"
        for name, part in value.items():
            check = checks.get(name)
            if check is None:
                return f"an object with any of {known}"
            problem = check(part)
            if problem is not None:
                return f"{name}: {problem}"
        return None

    return group


def _single(target: MemberDef | FieldDef) -> Check:
    kind = target.type
    if kind is FieldType.BOOLEAN:
        return lambda value: None if isinstance(value, bool) else "true, false"
    if kind is FieldType.INTEGER:
        return _integer
    if kind is FieldType.ENUM:
        values, allowed = frozenset(target.values), ", ".join(target.values)
        return lambda value: None if isinstance(value, str) and value in values else allowed
    if kind in _PATTERNS:
        pattern, allowed = _PATTERNS[FieldType(kind)]
        match = re.compile(pattern.replace("$", r"\Z")).match
        return lambda value: None if isinstance(value, str) and match(value) else allowed
    longest = target.max or LONGEST
    said = f"text of 1 to {longest} characters"
    return lambda value: None if isinstance(value, str) and 0 < len(value) <= longest else said


def _integer(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and -_INTEGER < value < _INTEGER
    return None if good else "a whole number of at most 18 digits"


def record_schema(entity: EntityFile) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a canonical record of the entity."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": entity.entity,
        "description": entity.doc or f"The golden record of a {entity.entity}.",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _field_schema(entity.field(name)) for name in entity.fields},
    }


def _field_schema(defined: FieldDef) -> dict[str, Any]:
    if defined.members:
        one: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {name: _single_schema(defined.member(name)) for name in defined.members},
        }
    else:
        one = _single_schema(defined)
    many = (
        {"type": "array", "minItems": 1, "items": one}
        if defined.key
        else {"type": "object", "additionalProperties": one}
    )
    schema = many if defined.many else one
    if defined.doc:
        schema = {**schema, "description": defined.doc}
    return schema


def _single_schema(target: MemberDef) -> dict[str, Any]:
    kind = target.type
    doc = {"description": target.doc} if target.doc and not isinstance(target, FieldDef) else {}
    if kind is FieldType.BOOLEAN:
        return {"type": "boolean", **doc}
    if kind is FieldType.INTEGER:
        limits = {"exclusiveMinimum": -_INTEGER, "exclusiveMaximum": _INTEGER}
        return {"type": "integer", **limits, **doc}
    if kind is FieldType.ENUM:
        return {"enum": list(target.values), **doc}
    if kind in _PATTERNS:
        return {"type": "string", "pattern": _published(FieldType(kind)), **doc}
    return {"type": "string", "minLength": 1, "maxLength": target.max or LONGEST, **doc}


def _published(kind: FieldType) -> str:
    """The pattern for validators of any language: in Python ``$`` alone would let a line feed pass."""
    return _PATTERNS[kind][0] + r"(?!\n)"

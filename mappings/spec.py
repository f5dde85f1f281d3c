"""The shape of the files a user writes: entity catalogues and mappings.

What can be said about a file without knowing another one is checked here; what needs the entity, the codecs or the
parameters of a system is checked by ``mappings.compiler``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from connectors.yamlfile import Configured, load_model, mistake
from crm_master.domain.fields import Clear

Scalar = str | int | float | bool
NAME = r"^[a-z][a-z0-9_]*$"
Name = Annotated[str, Field(pattern=NAME)]


class FieldType(StrEnum):
    """What a canonical value can be."""

    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    ENUM = "enum"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    DECIMAL = "decimal"
    INTEGER = "integer"
    COUNTRY = "country"
    LANGUAGE = "language"
    TAX_ID = "tax_id"
    REFERENCE = "reference"


class Direction(StrEnum):
    """Which way a mapping line works."""

    BOTH = "both"
    READ = "read"
    WRITE = "write"


class Absent(StrEnum):
    """What a key that a full payload lacks means."""

    EMPTY = "empty"
    KEEP = "keep"


class Many(StrEnum):
    """Which of the selected elements a list field covers."""

    ALL = "all"
    REST = "rest"  # all but the first, which another line reads as a single value


def _short_or_long(value: Any) -> str:
    return "long" if isinstance(value, Mapping | Configured) else "short"


class MemberDef(Configured):
    """A single value: its type and the limits of that type."""

    type: FieldType
    max: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Longest text, in characters."""
    values: tuple[str, ...] = ()
    """What an enum can be."""
    own: bool = False
    """A member of a group that is never completed from another system's claim, such as a consent's legal basis."""
    default: Literal["observed"] | None = None
    """``observed``: where a system does not say, the time at which the claim was seen."""
    to: Name | None = None
    """The entity that a reference names a record of."""
    doc: str = ""

    @model_validator(mode="after")
    def _fits_type(self) -> MemberDef:
        if self.type is FieldType.ENUM and (
            not self.values or len(set(self.values)) < len(self.values)
        ):
            raise mistake("an enum without distinct values", "values: [one, another]")
        if self.type is not FieldType.ENUM and self.values:
            raise mistake(f"values on type {self.type}", "values only on type enum")
        if self.default and self.type is not FieldType.DATETIME:
            raise mistake("default: observed", "on type datetime only")
        if (self.type is FieldType.REFERENCE) != bool(self.to):
            found = "a reference to nothing" if self.to is None else f"to on type {self.type}"
            raise mistake(found, "to: {entity} on type reference, and there only")
        if self.max and self.type not in (FieldType.TEXT, FieldType.EMAIL, FieldType.TAX_ID):
            raise mistake(f"max on type {self.type}", "max only on text, email and tax_id")
        return self


def _member(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _says_enough(kind: FieldType) -> FieldType:
    if kind is FieldType.REFERENCE:
        raise mistake("a reference to nothing", "{type: reference, to: entity}")
    if kind is FieldType.ENUM:
        raise mistake("an enum without distinct values", "{type: enum, values: [one, another]}")
    return kind


ShortMember = Annotated[FieldType, AfterValidator(_says_enough), Tag("short")]
Member = Annotated[
    ShortMember | Annotated[MemberDef, Tag("long")],
    Discriminator(_short_or_long),
]


class FieldDef(MemberDef):
    """A field of an entity: one value, a group of members that moves as one, or many of either."""

    type: FieldType | Literal["group"]  # type: ignore[assignment]
    members: dict[Name, Member] = Field(default_factory=dict)
    many: bool = False
    key: tuple[Name, ...] = ()
    """Of rows that move as one, such as an order's lines: the members by which a row is known."""
    optional: bool = False
    """A reference for which nothing waits: what it names may never be known."""
    personal: bool = True

    @model_validator(mode="after")
    def _key_is_of_members(self) -> FieldDef:
        if self.key and not self.many:
            raise mistake("a key on a single value", "key on `many: true` only")
        if self.key and self.type != "group":
            raise mistake("a key of single values", "key on type group only")
        if unknown := sorted(set(self.key) - set(self.members)):
            raise mistake(f"a key of {unknown}", f"any of {', '.join(self.members)}")
        if self.type is FieldType.REFERENCE and self.many:
            raise mistake("many references", "one reference a field")
        if self.optional and self.type is not FieldType.REFERENCE:
            raise mistake(f"optional on type {self.type}", "optional on type reference only")
        if any(self.member(name).type is FieldType.REFERENCE for name in self.members):
            raise mistake("a reference within a group", "a reference as a field of its own")
        return self

    @model_validator(mode="after")
    def _group_has_members(self) -> FieldDef:
        if (self.type == "group") != bool(self.members):
            raise mistake(
                "members on a single value" if self.members else "a group without members",
                "members: {name: type} on type group, and there only",
            )
        return self

    def member(self, name: str) -> MemberDef:
        """The definition of a member. Raises ``KeyError``."""
        found = self.members[name]
        return found if isinstance(found, MemberDef) else MemberDef(type=found)


Defined = Annotated[
    ShortMember | Annotated[FieldDef, Tag("long")],
    Discriminator(_short_or_long),
]


class EntityFile(Configured):
    """``mappings/entities/<entity>.yaml``: the fields that every system's values are compared in."""

    entity: Name
    doc: str = ""
    fields: Annotated[dict[Name, Defined], Field(min_length=1)]

    def field(self, name: str) -> FieldDef:
        """The definition of a field. Raises ``KeyError``."""
        found = self.fields[name]
        return found if isinstance(found, FieldDef) else FieldDef(type=found)


As = str | dict[str, Any]


class EachLine(Configured):
    """One member of the elements of a list field."""

    at: str
    as_: As | None = Field(default=None, alias="as")
    max: Annotated[int, Field(ge=1)] | None = None

    @field_validator("as_")
    @classmethod
    def _one_codec(cls, value: As | None) -> As | None:
        if isinstance(value, dict) and len(value) != 1:
            raise mistake(f"{len(value)} codecs", "as: codec, or as: {codec: {option: value}}")
        return value


class Line(EachLine):
    """One mapping line, read and written at once.

    Exactly one of ``at`` (a path), ``parts`` (two paths whose texts are the value, joined by a space), ``query`` (a
    JMESPath, read only) and ``const`` (a canonical value, read only) says where the value is.
    """

    at: str | None = None  # type: ignore[assignment]
    parts: tuple[str, str] | None = None
    query: str | None = None
    const: Scalar | None = None
    direction: Direction | None = None
    clear: Clear | None = None
    when_absent: Absent | None = None
    many: Many | None = None
    each: dict[
        Name,
        Annotated[
            Annotated[str, Tag("short")] | Annotated[EachLine, Tag("long")],
            Discriminator(_short_or_long),
        ],
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> Line:
        places = ("at", "parts", "query", "const")
        given = [key for key in places if getattr(self, key) is not None]
        if len(given) != 1:
            raise mistake(" and ".join(given) or "no place", f"exactly one of {', '.join(places)}")
        computed = given[0] in ("query", "const")
        if computed and self.direction not in (None, Direction.READ):
            raise mistake(f"direction: {self.direction} on a {given[0]}", "direction: read")
        if computed and (self.clear or self.max or self.each):
            raise mistake(f"clear, max or each on a {given[0]}", "these only with at")
        if self.const is not None and (self.as_ or self.many or self.when_absent):
            raise mistake("as, many or when_absent on a const", "a canonical value alone")
        return self

    @property
    def reads(self) -> bool:
        return self.direction is not Direction.WRITE

    @property
    def writes(self) -> bool:
        placed = self.at is not None or self.parts is not None
        return placed and self.direction is not Direction.READ


FieldPath = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]


class MappingSpec(Configured):
    """``mappings/<system>/<stream>.yaml``: how the records of one stream say what an entity is."""

    entity: Name
    doc: str = ""
    fields: Annotated[
        dict[
            FieldPath,
            Annotated[
                Annotated[str, Tag("short")] | Annotated[Line, Tag("long")],
                Discriminator(_short_or_long),
            ],
        ],
        Field(min_length=1),
    ]

    def line(self, name: str) -> Line:
        """The line of a field or member, in its long form. Raises ``KeyError``."""
        found = self.fields[name]
        return found if isinstance(found, Line) else Line(at=found)


def load_entity(source: Path | str, *, name: str | None = None) -> EntityFile:
    """An entity catalogue file. Raises ``ConfigurationMistakes``."""
    return load_model(source, EntityFile, name=name)


def load_mapping(source: Path | str, *, name: str | None = None) -> MappingSpec:
    """A mapping file, checked as far as it can be alone. Raises ``ConfigurationMistakes``."""
    return load_model(source, MappingSpec, name=name)

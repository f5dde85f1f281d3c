"""Codecs that choose: enumerations, and the presence of a child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from connectors.yamlfile import did_you_mean, mistake
from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import Codec, Options, kind_of, register, target_of, wrong_kind
from mappings.spec import FieldType, MemberDef, Scalar

_CODED = frozenset(
    {FieldType.ENUM, FieldType.TEXT, FieldType.BOOLEAN, FieldType.COUNTRY, FieldType.LANGUAGE}
)


def _canonical(name: str, info: ValidationInfo) -> str:
    """A canonical value of the field. Checked one by one, so that each wrong one is reported."""
    target = target_of(info)
    allowed: tuple[str, ...] = ()
    if target is not None and target.type is FieldType.ENUM:
        allowed = target.values
    elif target is not None and target.type is FieldType.BOOLEAN:
        allowed = ("true", "false")
    elif not name:
        raise mistake("empty text", "a value")
    if allowed and name not in allowed:
        raise mistake(f"the value {name!r}", ", ".join(allowed), did_you_mean(name, allowed))
    return name


class EnumOptions(Options):
    """Options of ``enum``: canonical value to system value. Written out, or directly in place of the options.

    A list of system values is read as one canonical value; the first of them is written.
    """

    values: dict[Annotated[str, AfterValidator(_canonical)], Scalar | tuple[Scalar, ...]] = Field(
        default_factory=dict
    )
    """Canonical value to system value, or to a list of them, of which the first is written. The key may be left out."""
    lossy: bool = False
    """Several canonical values may share a system value, which is read as the first of them."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data and not isinstance(data.get("values"), Mapping):
            return {"values": data}
        return data

    @model_validator(mode="after")
    def _apart(self) -> EnumOptions:
        seen: dict[tuple[bool, Scalar], str] = {}
        for name, native in _pairs(self.values):
            if native == "":
                raise mistake("empty text", "a value; what is empty is empty by itself")
            other = seen.setdefault(_typed(native), name)
            if other != name and not self.lossy:
                raise mistake(
                    f"{native!r} for both {other!r} and {name!r}",
                    "one canonical value for each system value",
                    "Or write {values: {...}, lossy: true}: then the first is read.",
                )
        return self


def _pairs(values: Mapping[str, Scalar | tuple[Scalar, ...]]) -> Iterator[tuple[str, Scalar]]:
    for name, natives in values.items():
        for native in natives if isinstance(natives, tuple) else (natives,):
            yield name, native


def _typed(native: Scalar) -> tuple[bool, Scalar]:
    """``True`` and ``1`` are different values."""
    return (isinstance(native, bool), native)


@register
class Enum(Codec):
    """One of the canonical values, each with the system's value for it. Without a map both are the same."""

    name = "enum"
    gives = _CODED
    options_model = EnumOptions

    def __init__(self, options: EnumOptions, target: MemberDef) -> None:
        values: Mapping[str, Any] = options.values or {name: name for name in target.values}
        if not values:
            raise ValueError("an enum without values; allowed: {canonical: system value}")
        truth = target.type is FieldType.BOOLEAN
        self._write: dict[Any, Scalar] = {}
        self._read: dict[tuple[bool, Any], Canonical] = {}
        for name, native in _pairs(values):
            canonical: Canonical = (name == "true") if truth else name
            self._write.setdefault(canonical, native)
            self._read.setdefault(_typed(native), canonical)
        self.lossy = options.lossy
        self._allowed = ", ".join(str(native) for _, native in _pairs(values))

    def decode(self, native: Native) -> Canonical:
        if isinstance(native, str):
            known = self._read.get((False, native))
            if known is None:
                native = native.strip() if len(native) < 1000 else native
                known = self._read.get((False, native))
                if not native:
                    return None
        elif native is None:
            return None
        elif isinstance(native, int | float):
            known = self._read.get(_typed(native))
        else:
            raise wrong_kind(native, self._allowed)
        if known is None:
            raise ValueError(f"{kind_of(native)} that is no known value; allowed: {self._allowed}")
        return known

    def encode(self, value: Canonical) -> Native:
        try:
            return self._write[value]
        except (KeyError, TypeError):
            known = ", ".join(map(str, self._write))
            raise ValueError(f"the system has no value for this; allowed: {known}") from None


class PresentOptions(Options):
    """Options of ``present``."""

    yes: Scalar
    """The canonical value where the element is there."""
    no: Scalar | None = None
    """The canonical value where it is not; left out, its absence asserts nothing."""

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> PresentOptions:
        target = target_of(info)
        for value in (self.yes, self.no):
            if value is None or target is None:
                continue
            if target.type is FieldType.ENUM and value not in target.values:
                word = str(value)
                raise mistake(
                    repr(value), ", ".join(target.values), did_you_mean(word, target.values)
                )
            if isinstance(value, bool) != (target.type is FieldType.BOOLEAN):
                raise mistake(repr(value), f"a value of type {target.type}")
        if self.yes == self.no:
            raise mistake("the same value for yes and no", "two values")
        return self


@register
class Present(Codec):
    """Whether an element is there: ``at`` selects it (``categories[id=7]``); writing creates or removes it.

    With ``no`` the native value is true or false. Without it the native value is true or null: absence asserts nothing,
    and every canonical value other than ``yes`` removes the element.
    """

    name = "present"
    gives = frozenset({FieldType.ENUM, FieldType.BOOLEAN, FieldType.TEXT})
    options_model = PresentOptions

    def __init__(self, options: PresentOptions, target: MemberDef) -> None:
        self._yes, self._no = options.yes, options.no
        self.lossy = options.no is None

    def decode(self, native: Native) -> Canonical:
        if native is None:
            return None
        if not isinstance(native, bool):
            raise wrong_kind(native, "true, false")
        return self._yes if native else self._no

    def encode(self, value: Canonical) -> Native:
        if value == self._yes:
            return True
        if self._no is None:
            return None
        if value == self._no:
            return False
        raise ValueError(f"presence cannot express this; allowed: {self._yes}, {self._no}")


class SplitOptions(Options):
    """Options of ``split``."""

    separator: Annotated[str, Field(min_length=1, max_length=8)] = ","
    """What stands between the parts."""
    of: str | dict[str, Any] = "text"
    """The codec of one part."""


@register
class Split(Codec):
    """The parts of a delimited text (``red, green``), each with its own codec: for list fields only."""

    name = "split"
    gives = frozenset(FieldType)
    options_model = SplitOptions

    def __init__(self, options: SplitOptions, target: MemberDef) -> None:
        self.separator = options.separator

    def decode(self, native: Native) -> Canonical:
        raise ValueError("the parts of a text are read one by one")

    def encode(self, value: Canonical) -> Native:
        raise ValueError("the parts of a text are written one by one")

"""Codecs for truth values, whole numbers and amounts."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from connectors.yamlfile import mistake
from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import Codec, Options, register, text_of, wrong_kind
from mappings.spec import FieldType, MemberDef, Scalar

_EXACT = Context(prec=80)
_FINEST = Decimal("1e-12")


class BooleanOptions(Options):
    """Options of ``boolean``. The first word of a list is the one that is written."""

    true: Annotated[tuple[Scalar, ...], Field(min_length=1)] = (
        True, "true", "yes", "y", "t", "on", "1", 1,
    )  # fmt: skip
    """The system's words for true, in any case."""
    false: Annotated[tuple[Scalar, ...], Field(min_length=1)] = (
        False, "false", "no", "n", "f", "off", "0", 0,
    )  # fmt: skip
    """The system's words for false, in any case."""

    @model_validator(mode="after")
    def _apart(self) -> BooleanOptions:
        if {_word(w) for w in self.true} & {_word(w) for w in self.false}:
            raise mistake("a word that is both true and false", "different words")
        return self


def _word(value: Any) -> tuple[str, str]:
    """Type-aware (``True`` is not ``1``), case-blind."""
    return (type(value).__name__, str(value).strip().casefold())


@register
class Boolean(Codec):
    """True or false, from JSON's own or from words; ``true`` and ``false`` list the system's words."""

    name = "boolean"
    gives = frozenset({FieldType.BOOLEAN})
    options_model = BooleanOptions

    def __init__(self, options: BooleanOptions, target: MemberDef) -> None:
        self._write = {True: options.true[0], False: options.false[0]}
        self._read = {_word(w): True for w in options.true} | {
            _word(w): False for w in options.false
        }
        self._read.setdefault(_word(True), True)
        self._read.setdefault(_word(False), False)
        self._allowed = ", ".join(repr(w) for w in (*options.true, *options.false))

    def decode(self, native: Native) -> Canonical:
        if native is None or (isinstance(native, str) and not text_of(native, self._allowed)):
            return None
        if isinstance(native, str | int | float):
            known = self._read.get(_word(native)) if len(str(native)) < 100 else None
            if known is not None:
                return known
        raise wrong_kind(native, self._allowed)

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, bool):
            raise wrong_kind(value, "true, false")
        return self._write[value]


class IntegerOptions(Options):
    """Options of ``integer``."""

    write: Literal["number", "text"] = "number"
    """The JSON kind that the system takes."""


@register
class Integer(Codec):
    """A whole number of at most 18 digits."""

    name = "integer"
    gives = frozenset({FieldType.INTEGER})
    options_model = IntegerOptions

    def __init__(self, options: IntegerOptions, target: MemberDef) -> None:
        self._text = options.write == "text"

    def decode(self, native: Native) -> Canonical:
        if isinstance(native, float) and native.is_integer():
            native = int(native)
        text = text_of(native, "a whole number")
        if not text:
            return None
        if not re.fullmatch(r"[-+]?[0-9]{1,18}", text, re.ASCII):
            raise ValueError("no whole number; allowed: at most 18 digits")
        return int(text)

    def encode(self, value: Canonical) -> Native:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_kind(value, "a whole number")
        return str(value) if self._text else value


class DecimalOptions(Options):
    """Options of ``decimal``."""

    point: Literal[".", ","] = "."
    """The decimal sign of the system."""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """A separator to pass over when reading; none is written."""
    places: Annotated[int, Field(ge=0, le=12)] | None = None
    """Digits after the point that the system keeps: amounts are rounded (half to even) when written."""
    write: Literal["text", "number"] = "text"
    """The JSON kind that the system takes."""
    minor: Annotated[int, Field(ge=0, le=6)] = 0
    """The system's amounts are in a minor unit, of so many digits: `1250` is `12.5` with 2."""

    @model_validator(mode="after")
    def _apart(self) -> DecimalOptions:
        if self.point == self.thousands:
            raise mistake("one sign as point and thousands", "different signs")
        return self


@register
class Amount(Codec):
    """A decimal number, kept exactly, as text without needless zeros (``12.5``); never rounded through binary."""

    name = "decimal"
    gives = frozenset({FieldType.DECIMAL})
    options_model = DecimalOptions
    _ALLOWED = "a decimal number of at most 18 digits before and 12 after the point"

    def __init__(self, options: DecimalOptions, target: MemberDef) -> None:
        self._point, self._thousands = options.point, options.thousands
        self._minor = options.minor
        self._places, self._number = options.places, options.write == "number"
        if self._minor and self._places is None:
            self._places = self._minor  # there is nothing smaller
        self.lossy = self._places is not None

    def decode(self, native: Native) -> Canonical:
        value = self._major(native)
        if value is None or not self._minor:
            return value
        return _plain(Decimal(value).scaleb(-self._minor), self._ALLOWED)

    def _major(self, native: Native) -> str | None:
        if isinstance(native, float):
            # A JSON number such as 19.990000000000002 is a system's own rounding slip.
            exact = Decimal(repr(native))
            small = exact.is_finite() and exact.adjusted() < 18
            rounded = exact.quantize(_FINEST, context=_EXACT) if small else exact
            return _plain(rounded, self._ALLOWED)
        is_text = isinstance(native, str)
        text = text_of(native, self._ALLOWED)
        if not text:
            return None
        if is_text:
            if self._thousands:
                text = text.replace(self._thousands, "")
            if self._point != ".":
                if "." in text:
                    raise ValueError(f"no decimal number; allowed: {self._ALLOWED}")
                text = text.replace(self._point, ".")
        if len(text) > 60 or not re.fullmatch(
            r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?", text, re.ASCII
        ):
            raise ValueError(f"no decimal number; allowed: {self._ALLOWED}")
        return _plain(Decimal(text), self._ALLOWED)

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, self._ALLOWED)
        text = value
        if self._places is not None:
            step = Decimal(1).scaleb(-self._places)
            text = format(Decimal(value).quantize(step, ROUND_HALF_EVEN, _EXACT), "f")
            if Decimal(text) == 0:
                text = text.removeprefix("-")
        if self._minor:
            text = format(
                Decimal(text).scaleb(self._minor).quantize(Decimal(1), ROUND_HALF_EVEN), "f"
            )
        if not self._number:
            return text.replace(".", self._point)
        exact = _plain(Decimal(text), self._ALLOWED)
        number: int | float = int(exact) if "." not in exact else float(exact)
        if _plain(Decimal(repr(number)), self._ALLOWED) != exact:
            raise ValueError("too many digits for a JSON number; use `write: text`")
        return number


def _plain(number: Decimal, allowed: str) -> str:
    if not number.is_finite() or (number and not -13 < number.adjusted() < 18):
        raise ValueError(f"no such number; allowed: {allowed}")
    text = format(number, "f")
    if "." in text:
        whole, _, rest = text.partition(".")
        rest = rest.rstrip("0")
        if len(rest) > 12:
            raise ValueError(f"too many digits after the point; allowed: {allowed}")
        text = f"{whole}.{rest}" if rest else whole
    sign, body = ("-", text[1:]) if text[:1] == "-" else ("", text)
    body = body.lstrip("0") or "0"
    body = f"0{body}" if body.startswith(".") else body
    return body if not body.strip("0.") else sign + body

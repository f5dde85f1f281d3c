"""Codecs for dates and times."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import field_validator

from connectors.yamlfile import mistake
from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import Codec, Options, register, text_of, wrong_kind
from mappings.spec import FieldType, MemberDef

_YEARS = (1000, 9999)
_DATE = "a date such as 2026-01-31"
_TIME = "a time such as 2026-01-31T12:00:00Z"
_DIRECTIVES = {
    "date": frozenset("dmYy"),
    "datetime": frozenset("dmYyHIpMSfz"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTS = {"epoch": 1_000_000, "epoch_ms": 1_000}
"""Times that are a count from 1970 on: microseconds in one unit. The words are those of a manifest's ``stamp``."""


def _formats(kind: str, value: tuple[str, ...]) -> tuple[str, ...]:
    for form in value:
        if kind == "datetime" and form in _COUNTS:
            continue
        used = re.findall(r"%(.)", form.replace("%%", ""))
        allowed = _DIRECTIVES[kind]
        if not set(used) <= allowed or not {"d", "m"} <= set(used) or not {"Y", "y"} & set(used):
            names = ", ".join(f"%{x}" for x in sorted(allowed))
            counts = f", or {', '.join(_COUNTS)}" if kind == "datetime" else ""
            raise mistake(f"the format {form!r}", f"year, month and day out of {names}{counts}")
    return value


class DateOptions(Options):
    """Options of ``date``."""

    formats: tuple[str, ...] = ()
    """The system's formats, as for ``strptime`` (``%d/%m/%Y``). The first is the one that is written; none: ISO."""

    @field_validator("formats")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _formats("date", value)


@register
class Date(Codec):
    """A calendar date, kept as ``2026-01-31``. A time of exactly midnight is taken for its date."""

    name = "date"
    gives = frozenset({FieldType.DATE})
    options_model = DateOptions

    def __init__(self, options: DateOptions, target: MemberDef) -> None:
        self._formats = options.formats
        self._write = options.formats[0] if options.formats else None
        self.lossy = bool(self._write and "%y" in self._write)

    def decode(self, native: Native) -> Canonical:
        if not isinstance(native, str | None):
            raise wrong_kind(native, _DATE)
        text = text_of(native, _DATE)
        if not text:
            return None
        found = _by_formats(text, self._formats) or _iso(text)
        if found is None or not _YEARS[0] <= found.year <= _YEARS[1]:
            raise ValueError(f"no date; allowed: {', '.join(self._formats) or _DATE}")
        if (found.hour, found.minute, found.second, found.microsecond) != (0, 0, 0, 0):
            raise ValueError(f"a time within the day; allowed: {_DATE}")
        return found.date().isoformat()

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, _DATE)
        return date.fromisoformat(value).strftime(self._write) if self._write else value


class DateTimeOptions(Options):
    """Options of ``datetime``."""

    zone: str = "UTC"
    """The IANA zone of times that name none."""
    formats: tuple[str, ...] = ()
    """As for ``date``, with ``%H %M %S %f %z %I %p`` besides; or ``epoch``, ``epoch_ms``: seconds, milliseconds since
    1970 began, a number or its digits; whole numbers are written."""

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise mistake(f"the zone {value!r}", "an IANA zone, such as Europe/Brussels") from None
        return value

    @field_validator("formats")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _formats("datetime", value)


@register
class DateTime(Codec):
    """A moment, kept in UTC as ``2026-01-31T12:00:00Z`` (with a fraction if there is one); a bare date is its midnight.

    A time without a zone is read in the ``zone`` option; of a repeated hour in autumn, the first is meant.
    """

    name = "datetime"
    gives = frozenset({FieldType.DATETIME})
    options_model = DateTimeOptions

    def __init__(self, options: DateTimeOptions, target: MemberDef) -> None:
        self._formats = options.formats
        self._zone: Any = UTC if options.zone == "UTC" else ZoneInfo(options.zone)
        self._write = write = options.formats[0] if options.formats else None
        self._count = _COUNTS.get(write or "")
        exact = write is None or ("%f" in write and "%S" in write and "%y" not in write)
        exact = exact and (
            write is None or "%H" in write or {"%I", "%p"} <= set(re.findall("%.", write))
        )
        # Local time without an offset does not tell the two passes through an autumn hour apart.
        self.lossy = not exact or bool(write and "%z" not in write and self._zone is not UTC)

    def decode(self, native: Native) -> Canonical:
        if isinstance(native, int | float):
            if _COUNTS.keys().isdisjoint(self._formats):
                raise wrong_kind(native, f"{_TIME}, or a number with `formats: [epoch]`")
            native = str(native)
        if not isinstance(native, str | None):
            raise wrong_kind(native, _TIME)
        text = text_of(native, _TIME)
        if not text:
            return None
        found = _by_formats(text, self._formats) or _iso(text)
        if found is None:
            raise ValueError(f"no time; allowed: {', '.join(self._formats) or _TIME}")
        return _utc(found, self._zone)

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, _TIME)
        if self._write is None:
            return value
        if self._count:
            return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=self._count)
        return datetime.fromisoformat(value).astimezone(self._zone).strftime(self._write)


def _utc(found: datetime, zone: Any) -> str:
    try:
        moment = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC)
    # A day's room at both ends: the year is the same in every zone that a system may write it in.
    if not _YEARS[0] <= moment.year <= _YEARS[1] or _at_the_edge(moment):
        raise ValueError(f"no time between the years {_YEARS[0]} and {_YEARS[1]}; allowed: {_TIME}")
    return moment.isoformat().replace("+00:00", "Z")


def _at_the_edge(moment: datetime) -> bool:
    first = (moment.year, moment.month, moment.day) == (_YEARS[0], 1, 1)
    last = (moment.year, moment.month, moment.day) == (_YEARS[1], 12, 31)
    return first or last


def _by_formats(text: str, formats: tuple[str, ...]) -> datetime | None:
    for form in formats:
        try:
            if form in _COUNTS:
                return _counted(text, _COUNTS[form])
            return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is set by the caller
        except (ValueError, OverflowError):
            continue
    return None


def _counted(text: str, unit: int) -> datetime:
    if not re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?", text, re.ASCII):
        raise ValueError("no number")
    return _EPOCH + timedelta(microseconds=int(Decimal(text) * unit))


def _iso(text: str) -> datetime | None:
    if not text.isascii() or len(text) > 40 or text[4:5] != "-":
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

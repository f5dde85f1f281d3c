"""The codec for telephone numbers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberDesc, PhoneNumberFormat
from pydantic import field_validator

from connectors.yamlfile import mistake
from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import CACHE, Codec, Lenient, register, text_of, wrong_kind
from mappings.spec import FieldType, MemberDef

_PHONE = "a telephone number such as +32 2 555 12 12"
_FORMATS = {
    "international": PhoneNumberFormat.INTERNATIONAL,
    "national": PhoneNumberFormat.NATIONAL,
}


class PhoneOptions(Lenient):
    """Options of ``phone``."""

    region: str | None = None
    """Two-letter country whose national numbers are meant where a number has no ``+``."""
    format: Literal["e164", "international", "national"] = "e164"
    """How numbers are written to the system. What ``national`` could not tell apart is written international."""
    check: Literal["valid", "possible"] = "valid"
    """``possible`` looks at the length only, for numbering plans that are newer than the library."""

    @field_validator("region")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in phonenumbers.SUPPORTED_REGIONS:
            raise mistake(f"region {value!r}", "a two-letter country code in capitals, such as BE")
        return value


@register
class Phone(Codec):
    """A telephone number, kept as E.164 (``+3225551212``); an extension follows as ``;ext=12``."""

    name = "phone"
    gives = frozenset({FieldType.PHONE, FieldType.TEXT})
    options_model = PhoneOptions

    def __init__(self, options: PhoneOptions, target: MemberDef) -> None:
        self._region = options.region
        self._format = options.format
        self._lenient = options.lenient
        self._possible = options.check == "possible"

    def decode(self, native: Native) -> Canonical:
        text = text_of(native, _PHONE)
        if not text:
            return None
        value = canonical_phone(text, self._region, self._possible)
        if value is None:
            if not self._lenient:
                raise ValueError(f"no valid telephone number; allowed: {_PHONE}")
            return text
        return value

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, _PHONE)
        if self._format == "e164":
            return value
        return _written(value, self._region, self._format, self._possible)


@lru_cache(CACHE)
def canonical_phone(text: str, region: str | None, possible: bool = False) -> str | None:
    """E.164 with ``;ext=``, or ``None`` if ``text`` is no valid number. ``region`` is that of national numbers."""
    if not possible:
        quick = _quick(text, region)
        if quick is not None:
            return quick
    once = parsed(text, region, possible)
    return once if once is not None and parsed(once, region, possible) == once else None


def parsed(text: str, region: str | None, possible: bool = False) -> str | None:
    """What phonenumbers makes of ``text``, without a short cut."""
    if len(text) > 250:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    judge = phonenumbers.is_possible_number if possible else phonenumbers.is_valid_number
    if not judge(number):
        return None
    value = str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    return f"{value};ext={number.extension}" if number.extension else value


@lru_cache(CACHE)
def _written(value: str, region: str | None, form: str, possible: bool) -> str:
    try:
        number = phonenumbers.parse(value, None)
    except NumberParseException:
        return value  # kept leniently
    for name in dict.fromkeys((form, "international")):
        text = str(phonenumbers.format_number(number, _FORMATS[name]))
        if canonical_phone(text, region, possible) == value:
            return text
    return value


# The short cut. Nearly all numbers are digits with a little punctuation, in a numbering plan whose prefixes do not
# interfere. For those the metadata's own patterns, compiled once, give the library's answer at a tenth of the cost;
# for all others the library is asked. A property test holds the two against each other.

_PUNCTUATION = str.maketrans("", "", " -./()")
_TYPES = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
    "voicemail",
)  # fmt: skip


class _Plan:
    """The numbers of one country code: what is valid, and which digits the library would take for a prefix."""

    def __init__(self, code: int) -> None:
        found = [
            PhoneMetadata.metadata_for_region_or_calling_code(code, region)
            for region in phonenumbers.region_codes_for_country_code(code)
        ]
        regions = [metadata for metadata in found if metadata is not None]
        self.regions = [
            (_start(metadata.leading_digits), _whole(metadata.general_desc), _types(metadata))
            for metadata in regions
        ]
        # The first region is the main one: its prefix is the one that the library looks for.
        self.prefix = _start(regions[0].national_prefix_for_parsing) if regions else None

    def valid(self, digits: str) -> bool:
        """As the library: a region's leading digits decide, else the first region whose patterns match."""
        size = len(digits)
        for leading, general, types in self.regions:
            if leading is not None and not leading.match(digits):
                continue
            fits = general is not None and general.match(digits) is not None
            if fits and any(size in sizes and kind.match(digits) for sizes, kind in types):
                return True
            if leading is not None:
                return False
        return False


def _start(pattern: str | None) -> re.Pattern[str] | None:
    return re.compile(pattern) if pattern else None


def _whole(desc: PhoneNumberDesc | None) -> re.Pattern[str] | None:
    pattern = desc.national_number_pattern if desc is not None else None
    return re.compile(rf"(?:{pattern})\Z") if pattern else None


def _types(found: PhoneMetadata) -> list[tuple[frozenset[int], re.Pattern[str]]]:
    desc: PhoneNumberDesc | None = found.general_desc
    general = tuple(desc.possible_length) if desc is not None else ()
    out = []
    for name in _TYPES:
        desc = getattr(found, name, None)
        pattern = _whole(desc)
        if desc is not None and pattern is not None:
            sizes = tuple(desc.possible_length) or general
            out.append((frozenset(sizes), pattern))
    return out


_PLANS: dict[int, _Plan] = {}


def _plan(code: int) -> _Plan:
    plan = _PLANS.get(code)
    if plan is None:
        plan = _PLANS[code] = _Plan(code)
    return plan


_CODES: dict[str, int] = {str(code): code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE}


def _quick(text: str, region: str | None) -> str | None:
    """The canonical form where it is certain, else ``None``."""
    plus = text[:1] == "+"
    digits = text[plus:].translate(_PUNCTUATION) if not text[plus:].isdigit() else text[plus:]
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        return None
    if plus:
        for size in (1, 2, 3):
            code = _CODES.get(digits[:size])
            if code is not None:
                return _certain(code, digits[size:])
        return None
    home = _home(region)
    if home is None:
        return None
    code, exit_code, trunk = home
    if exit_code.match(digits) or digits.startswith(str(code)):
        return None
    if trunk and digits.startswith(trunk):
        rest = digits[len(trunk) :]
        # A number that is valid with its trunk prefix would keep it.
        return None if _plan(code).valid(digits) else _certain(code, rest)
    return _certain(code, digits)


def _certain(code: int, digits: str) -> str | None:
    plan = _plan(code)
    if digits[:1] == "0" or (plan.prefix and plan.prefix.match(digits)):
        return None
    return f"+{code}{digits}" if plan.valid(digits) else None


@lru_cache(512)
def _home(region: str | None) -> tuple[int, re.Pattern[str], str] | None:
    """Country code, pattern of the exit code, and trunk prefix of a region whose prefix is plain digits."""
    found = PhoneMetadata.metadata_for_region(region) if region else None
    if found is None or not found.international_prefix or found.national_prefix_transform_rule:
        return None
    trunk = found.national_prefix_for_parsing or ""
    if trunk and not trunk.isdigit():
        return None
    if found.country_code is None:
        return None
    return found.country_code, re.compile(found.international_prefix), trunk

"""Codecs for countries, languages and tax ids."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import pycountry
from babel import Locale, UnknownLocaleError
from pydantic import Field, field_validator
from stdnum import get_cc_module
from stdnum.exceptions import ValidationError as InvalidNumber

from connectors.yamlfile import did_you_mean, mistake
from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import CACHE, Codec, Lenient, Options, register, text_of, wrong_kind
from mappings.spec import FieldType, MemberDef

_KOSOVO = {"XK": "XKX"}  # in use everywhere, though not in ISO 3166


@lru_cache(1)
def alpha3() -> dict[str, str]:
    """Two-letter to three-letter country codes."""
    return {c.alpha_2: c.alpha_3 for c in pycountry.countries} | _KOSOVO


@lru_cache(1)
def languages() -> dict[str, str]:
    """Two-letter to three-letter language codes."""
    return {
        found.alpha_2: found.alpha_3 for found in pycountry.languages if hasattr(found, "alpha_2")
    }


@lru_cache(64)
def country_names(language: str) -> dict[str, str]:
    """Two-letter code to the country's name in a language."""
    known = alpha3()
    return {
        code: name for code, name in Locale.parse(language).territories.items() if code in known
    }


class CountryOptions(Options):
    """Options of ``country``."""

    form: Literal["alpha2", "alpha3", "name"] = "alpha2"
    """How a country is written to the system."""
    language: str = "en"
    """The language of names."""

    @field_validator("language")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            Locale.parse(value)
        except (UnknownLocaleError, ValueError):
            raise mistake(f"the language {value!r}", "a language such as en or nl") from None
        return value


@register
class Country(Codec):
    """A country, kept as its two-letter ISO code; reads either code, and names in English and in ``language``."""

    name = "country"
    gives = frozenset({FieldType.COUNTRY})
    options_model = CountryOptions

    def __init__(self, options: CountryOptions, target: MemberDef) -> None:
        codes = alpha3()
        names = country_names(options.language)
        self._allowed = f"an ISO country code, or a name in {options.language}"
        self._read: dict[str, str] = {}
        for country in pycountry.countries:
            for attribute in ("name", "official_name", "common_name"):
                if text := getattr(country, attribute, None):
                    self._read[text.casefold()] = country.alpha_2
        self._read |= {name.casefold(): code for code, name in country_names("en").items()}
        self._read |= {name.casefold(): code for code, name in names.items()}
        self._read |= {three.casefold(): code for code, three in codes.items()}
        self._read |= {code.casefold(): code for code in codes}
        forms = {"alpha2": {c: c for c in codes}, "alpha3": codes, "name": names}
        self._write = {
            code: text if self._read.get(text.casefold()) == code else code
            for code in codes
            for text in (forms[options.form].get(code, code),)
        }

    def decode(self, native: Native) -> Canonical:
        if not isinstance(native, str | None):
            raise wrong_kind(native, self._allowed)
        text = text_of(native, self._allowed)
        if not text:
            return None
        found = self._read.get(text.casefold())
        if found is None:
            raise ValueError(f"no known country; allowed: {self._allowed}")
        return found

    def encode(self, value: Canonical) -> Native:
        try:
            return self._write[value]
        except (KeyError, TypeError):
            raise ValueError(f"no known country; allowed: {self._allowed}") from None


class LanguageOptions(Options):
    """Options of ``language``."""

    codes: dict[str, str] = Field(default_factory=dict)
    """The system's codes where they are not the two letters: ``{nl: nl_BE}``."""

    @field_validator("codes")
    @classmethod
    def _same(cls, value: dict[str, str]) -> dict[str, str]:
        for name, code in value.items():
            if _two_letters(code) != name:
                raise mistake(
                    f"{code!r} for {name!r}",
                    "a code that begins with the language, as nl_BE for nl",
                )
        return value


@register
class Language(Codec):
    """A language, kept as its two-letter ISO code. ``nl_BE``, ``nl-BE`` and ``nld`` are all read as ``nl``."""

    name = "language"
    gives = frozenset({FieldType.LANGUAGE})
    options_model = LanguageOptions
    _ALLOWED = "a language code such as nl, nl_BE or nld"

    def __init__(self, options: LanguageOptions, target: MemberDef) -> None:
        self._codes = dict(options.codes)

    def decode(self, native: Native) -> Canonical:
        if not isinstance(native, str | None):
            raise wrong_kind(native, self._ALLOWED)
        text = text_of(native, self._ALLOWED)
        if not text:
            return None
        found = _two_letters(text)
        if found is None:
            raise ValueError(f"no known language; allowed: {self._ALLOWED}")
        return found

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str) or value not in languages():
            raise ValueError(f"no known language; allowed: {self._ALLOWED}")
        return self._codes.get(value, value)


@lru_cache(4096)
def _two_letters(text: str) -> str | None:
    head = text.replace("-", "_").split("_")[0].lower() if len(text) <= 35 else ""
    if head in languages():
        return head
    found: Any = pycountry.languages.get(alpha_3=head) if len(head) == 3 else None
    two = getattr(found, "alpha_2", None)
    return str(two) if two else None


_TAX = "a valid tax number with its country, such as BE0428759497"


class TaxIdOptions(Lenient):
    """Options of ``tax_id``."""

    country: str | None = None
    """Two-letter country of numbers that name none."""
    form: Literal["prefixed", "bare"] = "prefixed"
    """``bare``: numbers of ``country`` are written without its letters."""

    @field_validator("country")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and (not value.isupper() or tax_module(value) is None):
            raise mistake(
                f"the country {value!r}",
                "a two-letter code in capitals with known tax numbers, such as BE",
                did_you_mean(value, ["BE", "NL", "FR", "DE", "ES", "IT", "GB"]),
            )
        return value


@register
class TaxId(Codec):
    """A VAT or other business tax number, checked offline, kept compact with its country: ``BE0428759497``."""

    name = "tax_id"
    gives = frozenset({FieldType.TAX_ID, FieldType.TEXT})
    options_model = TaxIdOptions

    def __init__(self, options: TaxIdOptions, target: MemberDef) -> None:
        self._country, self._lenient = options.country, options.lenient
        self._bare = options.form == "bare" and options.country is not None
        self._longest = target.max or 1000

    def decode(self, native: Native) -> Canonical:
        text = text_of(native, _TAX, self._longest)
        if not text:
            return None
        value = canonical_tax_id(text, self._country)
        if value is None and not self._lenient:
            raise ValueError(f"no valid tax number; allowed: {_TAX}")
        return value or text

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, _TAX)
        if self._bare and self._country and value.startswith(self._country):
            bare = value.removeprefix(self._country)
            if canonical_tax_id(bare, self._country) == value:
                return bare
        return value


@lru_cache(512)
def tax_module(country: str) -> Any:
    """The checker of a country's numbers, or ``None``. Greece is known as EL in its numbers, Northern Ireland as XI."""
    code = {"el": "gr", "xi": "gb", "eu": "eu", "im": "eu"}.get(country.lower(), country.lower())
    if code == "eu":
        from stdnum.eu import oss

        return oss
    if len(code) != 2 or not (code.isascii() and code.isalpha()):
        return None
    return get_cc_module(code, "vat") or get_cc_module(code, "tin")


@lru_cache(CACHE)
def canonical_tax_id(text: str, country: str | None) -> str | None:
    """The compact number with its country, or ``None`` if it is not valid."""
    if len(text) > 40:
        return None
    for code in (country, text[:2].upper()):
        once = _tax(text, code) if code else None
        if once is not None and _tax(once, once[:2]) == once:
            return once
    return None


def _tax(text: str, code: str) -> str | None:
    module = tax_module(code)
    if module is None:
        return None
    letters = "EL" if code == "GR" else code
    bare = text.upper()
    for number in dict.fromkeys((bare, bare.removeprefix(letters), bare.removeprefix(code))):
        try:
            found = str(module.validate(number))
        except InvalidNumber:
            continue
        return found if found.startswith(letters) else letters + found
    return None

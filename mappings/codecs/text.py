"""Codecs for text, names, e-mail addresses."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, Literal

from email_validator import EmailNotValidError, validate_email

from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import (
    CACHE,
    LONGEST,
    Codec,
    Lenient,
    Options,
    register,
    text_of,
    wrong_kind,
)
from mappings.spec import FieldType, MemberDef

_EMAIL = "an e-mail address such as name@example.com"


class TextOptions(Options):
    """Options of ``text``."""

    lines: Literal["join", "keep"] = "join"
    """``keep``: line breaks stay (as a line feed). ``join``: they become spaces."""


@register
class Text(Codec):
    """Text as is: trimmed, white space collapsed, Unicode composed (NFC). Control characters are refused."""

    name = "text"
    gives = frozenset({FieldType.TEXT})
    options_model: ClassVar[type[Options]] = TextOptions

    def __init__(self, options: Options, target: MemberDef) -> None:
        self._longest = target.max or LONGEST
        self._keep = isinstance(options, TextOptions) and options.lines == "keep"

    def decode(self, native: Native) -> Canonical:
        if self._keep and isinstance(native, str) and ("\n" in native or "\r" in native):
            lines = [text_of(line) for line in native[: LONGEST + 1].splitlines()]
            text = "\n".join(lines).strip("\n")
            if len(native) > LONGEST or len(text) > self._longest:
                raise ValueError(f"text too long; allowed: at most {self._longest} characters")
            return text or None
        return text_of(native, "text", self._longest) or None

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, "text")
        return value


@register
class NameText(Text):
    """The name of a person or organisation: like ``text``, on one line; upper and lower case stay as they are."""

    name = "name"
    options_model: ClassVar[type[Options]] = Options


class EmailOptions(Lenient):
    """Options of ``email``."""

    idn: Literal["unicode", "ascii"] = "unicode"
    """How an international domain is written to the system."""


@register
class Email(Codec):
    """An e-mail address, checked by syntax only (no look-up), compared and kept in lower case.

    An international domain is kept in Unicode, whichever form the system uses.
    """

    name = "email"
    gives = frozenset({FieldType.EMAIL, FieldType.TEXT})
    options_model = EmailOptions

    def __init__(self, options: EmailOptions, target: MemberDef) -> None:
        self._longest = target.max or LONGEST
        self._lenient = options.lenient
        self._ascii = options.idn == "ascii"

    def decode(self, native: Native) -> Canonical:
        if type(native) is not str and native is not None:
            raise wrong_kind(native, _EMAIL)
        text = text_of(native, _EMAIL)
        if not text:
            return None
        value = canonical_email(text)
        if value is None:
            if not self._lenient:
                raise ValueError(f"no valid e-mail address; allowed: {_EMAIL}")
            value = text
        if len(value) > self._longest:
            raise ValueError(
                f"an address of {len(value)} characters; allowed: at most {self._longest}"
            )
        return value

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, _EMAIL)
        return _ascii_domain(value) if self._ascii and not value.isascii() else value


# Plain addresses, which are nearly all: what this accepts, the library accepts too and only lower-cases.
_PLAIN = re.compile(
    r"(?=.{6,254}\Z)(?=[^@]{1,64}@)"
    r"[a-z0-9_+&'=-]+(?:\.[a-z0-9_+&'=-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9]|-(?!-)){0,60}(?<!-)\.)+[a-z]{2,24}\Z"
)


@lru_cache(CACHE)
def canonical_email(text: str) -> str | None:
    """The canonical form of an address, or ``None`` if it is none."""
    lower = text.lower()
    if text.isascii() and _PLAIN.match(lower):
        return lower
    once = _checked(text)
    return once if once is not None and _checked(once) == once else None


def _checked(text: str) -> str | None:
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return None
    if "." not in found.domain:
        return None
    return found.normalized.lower()


@lru_cache(CACHE)
def _ascii_domain(value: str) -> str:
    try:
        found = validate_email(value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return value
    text = f"{found.local_part}@{found.ascii_domain}"
    return text if canonical_email(text) == value else value

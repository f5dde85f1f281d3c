"""What a codec is, and the registry of them.

A codec translates one value both ways, purely. ``decode`` gives ``None`` for what says "empty", and raises
``ValueError`` for what cannot be understood; the text of the error names what is allowed and never quotes the value,
because that is a customer's.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationInfo

from connectors.yamlfile import Configured
from crm_master.domain.fields import Canonical, Native
from mappings.spec import FieldType, MemberDef

CACHE = 65_536
LONGEST = 100_000
"""The longest text that is looked at, in characters."""


class Options(Configured):
    """Base of a codec's options."""


class Lenient(Options):
    """Options of a codec that checks a format."""

    lenient: bool = False
    """Keep what is no valid value as trimmed text, instead of reporting it as unreadable."""


class Codec(ABC):
    """A named, pure, two-way translation of a single value.

    Law (RULES 8): ``decode(encode(x)) == x`` for every canonical ``x``; where ``lossy`` is true,
    ``encode(decode(encode(x))) == encode(x)``. A canonical value is one that ``decode`` gives.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Counts up when the meaning of the codec changes: part of a mapping's hash."""
    gives: ClassVar[frozenset[FieldType]]
    """The canonical types that it can stand for."""
    options_model: ClassVar[type[Options]] = Options
    doc: ClassVar[str]

    lossy: bool = False

    def __init__(self, options: Any, target: MemberDef) -> None:  # noqa: B027 - nothing to keep
        """``options`` is an instance of ``options_model``; ``target`` the canonical value it decodes to.

        Raises ``ValueError`` where the two do not go together.
        """

    @abstractmethod
    def decode(self, native: Native) -> Canonical:
        """Native to canonical. ``None`` for empty. Raises ``ValueError`` for the unreadable."""

    @abstractmethod
    def encode(self, value: Canonical) -> Native:
        """Canonical (never ``None``) to native. Raises ``ValueError`` if the system cannot hold it."""


CODECS: dict[str, type[Codec]] = {}
_C = TypeVar("_C", bound=type[Codec])


def register(codec: _C) -> _C:
    """Make a codec known by its name. Raises ``ValueError`` if the name is taken or the codec is not documented."""
    doc = (codec.__doc__ or "").strip()
    if codec.name in CODECS or not doc:
        raise ValueError(f"codec {codec.name!r}: taken, or without a docstring")
    codec.doc = doc
    CODECS[codec.name] = codec
    return codec


def default_codec(kind: FieldType) -> str:
    """The codec of a mapping line that names none: the one of the field's type."""
    return str(kind)


def make(name: str, options: Mapping[str, Any] | Options | None, target: MemberDef) -> Codec:
    """The codec ``name``. Raises ``KeyError`` for an unknown name, pydantic's ``ValidationError`` or ``ValueError``."""
    codec = CODECS[name]
    if not isinstance(options, Options):
        options = codec.options_model.model_validate(
            dict(options or {}), context={"target": target}
        )
    return codec(options, target)


def target_of(info: ValidationInfo) -> MemberDef | None:
    """The canonical value for which options are validated, if any."""
    target = (info.context or {}).get("target")
    return target if isinstance(target, MemberDef) else None


def kind_of(native: Native) -> str:
    """The JSON kind of a value, in words."""
    if native is None:
        return "nothing"
    if isinstance(native, bool):
        return "a boolean"
    if isinstance(native, int | float):
        return "a number"
    if isinstance(native, str):
        return "text"
    return "a list" if isinstance(native, list | tuple) else "an object"


def wrong_kind(native: Native, allowed: str) -> ValueError:
    return ValueError(f"{kind_of(native)}; allowed: {allowed}")


_REFUSED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def text_of(native: Native, allowed: str = "text", longest: int = LONGEST) -> str:
    """Text (or a whole number, as text), trimmed, in NFC, white space collapsed; ``""`` if empty.

    Raises ``ValueError`` for other kinds, control characters, lone surrogates and what is longer than ``longest``.
    """
    if type(native) is not str:
        if native is None:
            return ""
        if isinstance(native, bool) or not isinstance(native, int | str) or _huge(native):
            raise wrong_kind(native, allowed)
        native = str(native)
    if len(native) > LONGEST:
        raise ValueError(f"text longer than {LONGEST} characters; allowed: {allowed}")
    if not (native.isascii() and native.isprintable()):
        if _REFUSED.search(native):
            raise ValueError(f"text with control characters; allowed: {allowed}")
        native = unicodedata.normalize("NFC", native)
    text = " ".join(native.split())
    if len(text) > longest:
        raise ValueError(f"text of {len(text)} characters; allowed: at most {longest}")
    return text


def _huge(native: int | str) -> bool:
    return isinstance(native, int) and not -(10**30) < native < 10**30

"""The codec of references: which record of which stream a value names."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import Codec, Options, register, text_of, wrong_kind
from mappings.spec import FieldType, MemberDef


class ReferenceOptions(Options):
    """Options of ``reference``."""

    stream: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*)?$")] = ""
    """The stream whose keys the values are."""
    system: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*)?$")] = ""
    """The system whose stream that is; the system of the mapping if not given."""
    number: bool = False
    """Keys are written as whole numbers, not as text."""
    whole: bool = False
    """The values name system and stream, too, as `shop/customers/12`; read only."""


@register
class Reference(Codec):
    """The key of a record of another stream, as the customer of an order.

    Kept as `system/stream/key`: what a system says of its own records stays true, whoever they turn out to belong to. A
    record of another system is written as the key of the record that the same customer has here.
    """

    name = "reference"
    gives = frozenset({FieldType.REFERENCE})
    options_model: ClassVar[type[Options]] = ReferenceOptions

    def __init__(self, options: Options, target: MemberDef) -> None:
        assert isinstance(options, ReferenceOptions)
        if options.whole == bool(options.stream):
            raise ValueError(
                "stream and whole, or neither; allowed: stream: the stream of the keys"
            )
        self.place = (options.system, options.stream)
        self._prefix = "" if options.whole else f"{options.system}/{options.stream}/"
        self._number = options.number

    def decode(self, native: Native) -> Canonical:
        key = text_of(native, "the key of a record")
        if key and not self._prefix and key.count("/") < 2:
            raise ValueError("a key alone; allowed: system/stream/key")
        return f"{self._prefix}{key}" if key else None

    def encode(self, value: Canonical) -> Native:
        if not isinstance(value, str):
            raise wrong_kind(value, "a record as system/stream/key")
        if not value.startswith(self._prefix):
            raise ValueError(f"not known here yet; allowed: a record of {self._prefix[:-1]}")
        key = value.removeprefix(self._prefix)
        if not self._number:
            return key
        if not (key.isascii() and key.isdigit()) or (key[0] == "0" and key != "0"):
            raise ValueError("a key that is no number; allowed: digits, the first no zero")
        return int(key)

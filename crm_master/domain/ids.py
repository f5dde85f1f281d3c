"""Identifiers. A source record's id is a function of its external key; a master id is a sortable surrogate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

RecordId: TypeAlias = str
EntityId: TypeAlias = str

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class ExternalRef:
    """A record of a system, by the system's own key."""

    system: str
    stream: str
    key: str

    def __str__(self) -> str:
        return f"{self.system}/{self.stream}/{self.key}"


def record_id(ref: ExternalRef) -> RecordId:
    """The id of a source record: 128 bits of BLAKE2b over its external key, as hex. No look-up is needed to know it."""
    text = "\x00".join((ref.system, ref.stream, ref.key))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def entity_id(milliseconds: int, entropy: bytes) -> EntityId:
    """A ULID (github.com/ulid/spec): 48 bits of time and 80 of ``entropy`` (10 bytes), 26 characters that sort by time."""
    number = milliseconds << 80 | int.from_bytes(entropy[:10], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

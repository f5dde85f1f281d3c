"""Identifiers. A source record's id is a function of its external key; a master id is a sortable surrogate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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
    """The id of a source record: 128 bits of BLAKE2b, as hex. No look-up is needed to know it.

    Most systems count their keys, and records that are near each other come together. So do their ids: the first 16 bits are
    those of the key without its last two characters, the others those of the whole key. An index over ids that were nothing
    but hashes would have a page to read and to write for each new row.
    """
    return record_ids(ref.system, ref.stream, [ref.key])[ref.key]


def record_ids(system: str, stream: str, keys: Iterable[str]) -> dict[str, RecordId]:
    """The ids of many records of one stream, by their keys."""
    place = _bytes(f"{system}\x00{stream}\x00")
    stems = hashlib.blake2b(place, digest_size=2)
    wholes = hashlib.blake2b(place, digest_size=14)
    shelves: dict[str, str] = {}
    found = {}
    for key in keys:
        stem = key[:-2]
        shelf = shelves.get(stem)
        if shelf is None:
            shelf = shelves[stem] = _digest(stems, stem)
        found[key] = shelf + _digest(wholes, key)
    return found


def _digest(begun: hashlib.blake2b, text: str) -> str:
    hashed = begun.copy()
    hashed.update(_bytes(text))
    return hashed.hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def entity_id(milliseconds: int, entropy: bytes) -> EntityId:
    """A ULID (github.com/ulid/spec): 48 bits of time and 80 of ``entropy`` (10 bytes), 26 characters that sort by time."""
    number = milliseconds << 80 | int.from_bytes(entropy[:10], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

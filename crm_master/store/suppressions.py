"""What must not come back: hashes under a key that is not in the database, so that nobody can try out e-mails on them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crm_master.ports import Suppression
from crm_master.store.schema import suppression
from crm_master.store.sql import Query, among, chunks, upsert

# asked for every page: made once
_WATCHED = Query(
    sa.select(suppression.c.names, suppression.c.key_id)
    .distinct()
    .where(suppression.c.entity == sa.bindparam("of"))
)
_STANDING = Query(
    sa.select(suppression.c.hash, suppression.c.unless).where(among(suppression.c.hash, "of"))
)

Key: TypeAlias = Callable[[bool], bytes | None]
"""Gives the key of the keyed hashes; ``True`` makes one if there is none."""


class SuppressionKeyWrong(Exception):
    """Erased customers cannot be kept out, because the key of their hashes is not at hand. Nothing is read until it is."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"erased customers cannot be kept out: {found}. Restore erasure.key in the deployment's folder "
            "(or CONCORD_ERASURE_KEY) as it was when they were erased; docs/erasure.md says more"
        )


def no_key(_make: bool) -> bytes | None:
    """Of a store that nobody is ever erased in."""
    return None


class SuppressionRepository:
    """See ``crm_master.ports.Suppressions``."""

    def __init__(self, connection: Connection, key: Key) -> None:
        self._connection = connection
        self._key = key

    def watched(self, entity: str) -> frozenset[tuple[str, ...]]:
        rows = _WATCHED(self._connection, {"of": entity})
        if rows and {row.key_id for row in rows} != {_key_id(self._secret())}:
            raise SuppressionKeyWrong("the key is another one than theirs")
        return frozenset(tuple(row.names) for row in rows)

    def digest(self, texts: Collection[str]) -> dict[str, str]:
        if not texts:
            return {}
        key = self._secret()
        return {text: _hash(key, text) for text in texts}

    def add(self, entries: Sequence[Suppression], receipt: str) -> None:
        key = self._secret(make=True)
        rows = {
            (hash_ := _hash(key, entry.text)): {
                "hash": hash_,
                "receipt": receipt,
                "entity": entry.entity,
                "names": list(entry.names),
                "unless": {
                    name: [_hash(key, text) for text in texts]
                    for name, texts in entry.unless.items()
                },
                "key_id": _key_id(key),
            }
            for entry in entries
        }
        upsert(self._connection, suppression, [rows[hash_] for hash_ in sorted(rows)], ())

    def standing(self, hashes: Collection[str]) -> dict[str, list[Mapping[str, list[str]]]]:
        found: dict[str, list[Mapping[str, list[str]]]] = {}
        for part in chunks(set(hashes)):
            for hash_, unless in _STANDING(self._connection, {"of": part}):
                found.setdefault(hash_, []).append(unless)
        return found

    def receipts(self, hashes: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in chunks(set(hashes)):
            query = sa.select(suppression.c.hash, suppression.c.receipt)
            for row in self._connection.execute(query.where(suppression.c.hash.in_(part))):
                found[row.hash] = row.receipt
        return found

    def lift(self, receipt: str, *, records: bool) -> int:
        gone = sa.delete(suppression).where(suppression.c.receipt == receipt)
        if not records:
            gone = gone.where(suppression.c.names != [])
        return self._connection.execute(gone).rowcount

    def _secret(self, *, make: bool = False) -> bytes:
        key = self._key(make)
        if key is None:
            raise SuppressionKeyWrong("their key is not there")
        return key


def _hash(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _key_id(key: bytes) -> str:
    """Tells whether two keys are the same, and nothing else about them."""
    return _hash(key, "id")[:16]

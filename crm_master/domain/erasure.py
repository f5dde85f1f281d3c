"""Erasing a person (RULES 25): what is kept out afterwards, and how a text speaks of somebody.

What is kept out is named by texts that only ever leave memory as keyed hashes: one for each external id, and one for each
combination of identity values on which policy would take a record for the same customer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from crm_master.domain.identity import MatchRules, Profile
from crm_master.domain.ids import ExternalRef, record_id

Combination: TypeAlias = tuple[str, ...]
"""Names of identity keys that together mean the same customer; the empty one stands for external ids."""

EXTERNAL_ID: Combination = ()
SHORTEST = 4
"""Characters that a value must have to be looked for in texts: shorter ones are found everywhere."""


def external_id(ref: ExternalRef) -> str:
    """A source record, as a text to be hashed."""
    return "\x1f".join(("record", ref.system, ref.stream, ref.key))


def identities(
    entity: str, of: Profile, combinations: Iterable[Combination]
) -> Iterator[tuple[Combination, str]]:
    """The combinations of a profile's values, as texts to be hashed. By names: a policy may be put in another order."""
    for names in sorted(set(combinations)):
        if not names:
            continue
        for values in product(*(sorted(of.get(name, ())) for name in names)):
            parts = (f"{name}\x1e{value}" for name, value in zip(names, values, strict=True))
            yield names, "\x1f".join(("keys", entity, *parts))


def distinctions(entity: str, of: Profile, names: Iterable[str]) -> dict[str, list[str]]:
    """By name, the values that would show that somebody is another person, as texts to be hashed."""
    return {
        name: [f"value\x1f{entity}\x1f{name}\x1f{value}" for value in sorted(of[name])]
        for name in names
        if name in of
    }


def differs(unless: Mapping[str, Collection[str]], shown: Mapping[str, Collection[str]]) -> bool:
    """Whether known values (here: their hashes) show that a record is not the person who was erased."""
    return any(
        name in shown and not set(hashes) & set(shown[name]) for name, hashes in unless.items()
    )


def combinations(rules: MatchRules) -> list[Combination]:
    """What policy takes for the same customer now."""
    return [tuple(names) for names in rules.same]


@dataclass(frozen=True, slots=True)
class Traces:
    """How the hub's own rows may speak of a person.

    ``ids`` are those of the customer, no personal data; ``records`` those of its records, and their names
    (``system/stream/key``). ``values`` are plain texts that give the person away wherever they stand. ``known_by`` are sets
    of words of which one set has to be there whole: what policy takes for the same person.
    """

    ids: frozenset[str]
    records: frozenset[str]
    values: frozenset[str] = frozenset()
    known_by: tuple[frozenset[str], ...] = ()

    def about(self, document: Mapping[str, Any]) -> bool:
        """Whether a task or a decision is about the person, and not only mentions them.

        That is told by its ``subject`` and its payload's ``entity``, or, where records were moved, by ``from`` and ``to``.
        """
        payload = document.get("payload") or {}
        theirs = [document.get(part) for part in ("subject", "from", "to")]
        theirs.append(payload.get("entity"))
        return any(_names(text, self.ids | self.records) for text in theirs)

    def pruned(self, document: Any) -> Any:
        """A JSON document without what is the person's: parts of lists that are or name them, and names of their records."""
        if isinstance(document, Mapping):
            return {
                part: self.pruned(value)
                for part, value in document.items()
                if not _names(value, self.records)
            }
        if isinstance(document, list | tuple):
            return [self.pruned(value) for value in document if not self._theirs(value)]
        return document

    def _theirs(self, part: Any) -> bool:
        names = self.ids | self.records
        if isinstance(part, Mapping):
            return any(_names(part.get(of), names) for of in ("customer", "entity", "record"))
        return _names(part, names)

    def quoted(self, text: str) -> bool:
        """Whether a text holds a value of the person."""
        plain = _plain(text)
        return any(value in plain for value in self.values)

    def shown(self, raw: bytes) -> bool:
        """Whether bytes that nobody could read as a record show the person."""
        plain = _plain(raw.decode("utf-8", "replace"))
        return any(all(word in plain for word in words) for words in self.known_by)


def traces(
    ids: Iterable[str],
    records: Iterable[ExternalRef],
    profiles: Iterable[Profile],
    rules: MatchRules,
) -> Traces:
    """The traces of a customer with these ids, records and identity profiles."""
    refs = list(records)
    found: set[frozenset[str]] = set()
    values = {_plain(ref.key) for ref in refs if not ref.key.isdigit()}
    for of in profiles:
        values |= {_plain(value) for forms in of.values() for value in forms}
        for combination in combinations(rules):
            for chosen in product(*(sorted(of.get(name, ())) for name in combination)):
                found.add(frozenset(word for value in chosen for word in _plain(value).split()))
    long = {value for value in values if len(value) >= SHORTEST}
    names = {str(ref) for ref in refs} | {record_id(ref) for ref in refs}
    return Traces(
        frozenset(ids), frozenset(names), frozenset(long), tuple(sorted(found, key=sorted))
    )


def _plain(text: str) -> str:
    """Without case and accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))


def _names(text: Any, names: Collection[str]) -> bool:
    """Whether a text is one of the names, or goes on after it with a colon."""
    if not isinstance(text, str):
        return False
    return text in names or any(text.startswith(f"{name}:") for name in names)

"""What a history begins with: its systems, and how the hub between them is set up."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from connectors.testing import Profile, Simulator, drawn
from tests.hubs import FIELDS as LINES
from tests.hubs import files_for

FIELDS = ("name", "email", "phone", "city", "status", "note")
CANONICAL = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "city": "address",
    "note": "owner",
    "status": "website",
}
EDITED = tuple(name for name in FIELDS if name != "email")
NAMES = ("erp", "crm", "shop", "desk", "mail")

Policies: TypeAlias = Mapping[str, tuple[str, tuple[str, ...]]]
"""Field to rule, and the systems that it names."""


@dataclass(frozen=True)
class Setting:
    """The systems of one history, and the policies of the hub between them. Equal settings are compiled once."""

    profiles: tuple[Profile, ...]
    policies: Policies = field(default_factory=dict)
    creating: frozenset[str] = frozenset()
    """The systems where everybody is created."""
    deletes: str = "ignore"
    """What a deletion in one system does in the others."""
    unmapped: frozenset[tuple[str, str]] = frozenset()
    """Fields that the mapping of a system leaves out: system, field."""
    coded: frozenset[str] = frozenset()
    """The systems whose mapping names a codec for the city, that reads it as the default one does."""

    def files(self, systems: Mapping[str, Simulator]) -> dict[str, str]:
        policies = {
            CANONICAL[name]: {"rule": rule}
            | ({"order": list(order)} if rule == "source_priority" else {})
            | ({"owner": list(order)} if rule == "owner" else {})
            for name, (rule, order) in self.policies.items()
        }
        mappings = {name: self.lines(name) for name in systems}
        return files_for(
            systems, policies, creating=self.creating, mappings=mappings, deletes=self.deletes
        )

    def lines(self, system: str) -> dict[str, Any]:
        """The fields of a system's mapping."""
        lines = dict(LINES)
        if system in self.coded:
            lines["address.city"] = {"at": "city", "as": "name"}
        for name in FIELDS:
            if (system, name) in self.unmapped:
                lines.pop("address.city" if name == "city" else CANONICAL[name])
        return lines


def drawn_setting(seed: int, wild: bool = True) -> Setting:
    """Three to five systems by chance: well-behaved ones, or with one habit of every dimension."""
    chance = random.Random(seed)
    names = NAMES[: chance.choice((3, 3, 3, 4, 5))]
    patience: dict[str, Any] = {"longest_wait": 0, "attempts": 2}
    profiles = tuple(
        drawn(chance, name=name, **patience, **_small_or_lax(chance))
        if wild
        else Profile(name=name, **patience)
        for name in names
    )
    # only where nobody is made may customers be parted
    share = chance.choice((0, 0.5, 0.5))
    creating = frozenset(name for name in names if chance.random() < share)
    deletes = chance.choice(("ignore", "ignore", "ignore", "unlink", "archive", "propagate"))
    return Setting(profiles, drawn_policies(chance, names), creating, deletes)


def _small_or_lax(chance: random.Random) -> dict[str, Any]:
    """Pages of two rows, so that something can come between them; and no watch over the hub's own key.

    Of who merges records, some manifests say how that shows; of some the budget is kept in the master, and never used up.
    """
    return {
        "page_size": chance.choice((2, 100)),
        "unique": chance.choice((("ref",), ())),
        "known_aliases": chance.random() < 0.7,
        "per_second": chance.choice((None, None, None, 100_000)),
    }


def drawn_policies(chance: random.Random, names: Sequence[str]) -> Policies:
    """A policy for every field by chance."""
    policies: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name in ("name", "phone", "city", "status", "note"):
        match chance.choice(("most_recent", "most_recent", "source_priority", "owner")):
            case "source_priority":
                order = chance.sample(names, chance.randint(1, len(names)))
                policies[name] = ("source_priority", tuple(order))
            case "owner":
                policies[name] = ("owner", (chance.choice(names),))
    return policies


def redrawn(chance: random.Random, setting: Setting) -> Setting:
    """The same with other policies by chance, and one field of a system mapped that was not, or the other way round."""
    names = [profile.name for profile in setting.profiles]
    policies = drawn_policies(chance, names) if chance.random() < 0.7 else setting.policies
    system, unmapped, coded = chance.choice(names), setting.unmapped, setting.coded
    match chance.choice(("lines", "lines", "codec", "")):
        case "lines":
            out = sorted(unmapped)
            if len(out) > 2 or (out and chance.random() < 0.5):
                unmapped ^= {chance.choice(out)}
            else:
                unmapped ^= {(system, chance.choice(EDITED))}
        case "codec":
            coded ^= {system}
    return replace(setting, policies=policies, unmapped=unmapped, coded=coded)

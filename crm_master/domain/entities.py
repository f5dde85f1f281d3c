"""The canonical model, as far as the rules need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crm_master.domain.fields import Cardinality


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of the canonical model.

    ``observed`` names the members of a group that default to the time at which a claim was seen (a consent's ``at``);
    ``own`` those that are never completed from another system's claim (a consent's legal basis). ``to`` is the entity
    that a reference names a record of; ``waits``: no record is made before what it refers to is known (RULES 18). ``rows``
    are the members of rows that move as one.
    """

    name: str
    cardinality: Cardinality = Cardinality.ONE
    members: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    personal: bool = True
    to: str | None = None
    waits: bool = False
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """An entity of the canonical model: its fields by name."""

    name: str
    fields: Mapping[str, FieldSpec] = field(default_factory=dict)

    @property
    def references(self) -> tuple[FieldSpec, ...]:
        """The fields that name records of other entities: an entity with any is a fact about those."""
        return tuple(spec for spec in self.fields.values() if spec.to is not None)

    @property
    def parents(self) -> frozenset[str]:
        """The entities that those fields name records of."""
        return frozenset(spec.to for spec in self.references if spec.to is not None)

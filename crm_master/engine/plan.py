"""A deployment as the engine sees it: compiled, validated, and free of YAML, HTTP and SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from connectors.contract import Document, Sink
from crm_master.domain.entities import EntitySpec
from crm_master.domain.fields import Canonical, Lenses, Mapped, Native, Rejected
from crm_master.domain.identity import MatchRules
from crm_master.domain.ids import ExternalRef
from crm_master.domain.lifecycle import DeletePolicy, Leaving
from crm_master.domain.survivorship import Policy


class Translator(Lenses, Protocol):
    """A compiled mapping of one stream; see ``mappings.compiler``."""

    @property
    def references(self) -> Mapping[str, tuple[str, str]]:
        """Which stream (system, stream) the fields that are references name records of."""

    @property
    def keyed(self) -> frozenset[str]:
        """The list fields whose elements have keys of the system's own."""

    def apply(self, document: Document, *, full_payload: bool) -> Mapped | Rejected: ...

    def complete(self, name: str, native: Native, held: Native) -> Native: ...

    def put(
        self,
        document: Document,
        changes: Mapping[str, Native],
        former: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    ) -> Document: ...

    def places(self, name: str) -> Mapping[str, str]:
        """Where in a document a field is, as texts to compare: by member of a group or an element, and under ``""``."""


@dataclass(frozen=True, slots=True)
class Test:
    """One condition on a golden field (or a group's member): present, or one of some values."""

    field: str
    member: str | None = None
    values: tuple[Canonical, ...] = ()  # none: any value will do

    def holds(self, golden: Mapping[str, Canonical]) -> bool:
        value = golden.get(self.field)
        if self.member is not None:
            value = (value or {}).get(self.member)
        return value in self.values if self.values else value not in (None, {}, "")


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream of one system: which entity it carries, how it is translated, which way it flows."""

    system: str
    stream: str
    entity: str
    mapping: Translator
    reads: bool = True
    writes: bool = True
    creates: tuple[Test, ...] | None = None  # None: nobody is created there (RULES 17)
    leaving: Leaving = Leaving.KEEP
    deletes: bool = False  # the manifest says how a record is deleted there
    full_payload: bool = True
    skew: int = 0  # microseconds by which the system's stamps may be off
    schedule: str | None = None

    @property
    def name(self) -> str:
        return f"{self.system}/{self.stream}"


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """One system: its streams, and how it joins (RULES 16)."""

    name: str
    streams: Mapping[str, StreamPlan]
    observe: bool = False
    join: str = "ask"  # ask: an operator approves the preview; auto: policy does
    erase: str = "request"  # of an erased customer: a person is asked to, Concord deletes, or (keep) the records stay
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class Fuses:
    """The shares of an entity's customers or records above which a run stops and asks. Below ``floor`` it never does."""

    deletes: float = 0.05
    links: float = 0.2
    writes: float = 0.5
    floor: int = 25


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """One entity with its policies. ``validate`` names what is wrong with a canonical record, if anything."""

    spec: EntitySpec
    policy: Policy
    match: MatchRules
    failures_allowed: float = (
        0.0  # share of a batch's records that may fail before the run counts as failed
    )
    fuses: Fuses = field(default_factory=Fuses)
    deletes: DeletePolicy = DeletePolicy.IGNORE


def _unconnected(name: str) -> Any:
    raise RuntimeError(f"this hub was built without connections; {name} cannot be reached")


class NotConfigured(Exception):
    """The deployment has nothing of this name; the text says what it has."""


def _no_former(_content: str) -> Hub | None:
    return None


@dataclass(frozen=True, slots=True)
class Hub:
    """A whole deployment. ``hash`` and ``content`` identify its configuration in the journal.

    ``recompile`` makes a hub of another recorded content; ``None`` if this release cannot read it any more.
    """

    systems: Mapping[str, SystemPlan]
    entities: Mapping[str, EntityPlan]
    hash: str
    content: str = "{}"
    connect: Callable[[str], Sink] = field(default=_unconnected)
    recompile: Callable[[str], Hub | None] = field(default=_no_former)

    def mapping_hashes(self, entity: str) -> dict[str, str]:
        """The mapping of each stream of an entity, by its content."""
        return {stream.name: stream.mapping.hash for stream in self.streams(entity)}

    def system(self, name: str) -> SystemPlan:
        """Raises ``NotConfigured``."""
        if name not in self.systems:
            raise NotConfigured(
                f"no system {name!r} in hub.yaml; there are: {', '.join(self.systems)}"
            )
        return self.systems[name]

    def stream(self, system: str, stream: str) -> StreamPlan:
        """Raises ``NotConfigured``."""
        streams = self.system(system).streams
        if stream not in streams:
            raise NotConfigured(
                f"no stream {stream!r} in {system}; there are: {', '.join(streams)}"
            )
        return streams[stream]

    def known(self, ref: ExternalRef) -> StreamPlan | None:
        """The stream of a record; ``None`` if it is not configured any more."""
        system = self.systems.get(ref.system)
        return system.streams.get(ref.stream) if system else None

    def entity(self, name: str) -> EntityPlan:
        """Raises ``NotConfigured``."""
        if name not in self.entities:
            raise NotConfigured(f"no entity {name!r} here; there are: {', '.join(self.entities)}")
        return self.entities[name]

    def streams(self, entity: str | None = None) -> Iterator[StreamPlan]:
        for system in self.systems.values():
            for stream in system.streams.values():
                if entity is None or stream.entity == entity:
                    yield stream

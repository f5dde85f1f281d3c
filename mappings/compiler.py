"""Compiled mappings: what a mapping file says, as functions that are prepared once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.contract import Document
from connectors.yamlfile import ConfigurationMistakes, Mistake, Tree, check, read_tree
from crm_master.domain.fields import Canonical, Clear, Mapped, Native, Presence, Rejected
from mappings.codecs import CODECS
from mappings.codecs.references import Reference
from mappings.lenses import GroupLens, Phase, ValueLens
from mappings.lists import Former, ManyLens
from mappings.plan import Params, Planned, Planner
from mappings.spec import EntityFile, MappingSpec

_WHERE = ("at", "parts", "query", "const", "many")
_VERSION = 2  # counts up when the compiler itself comes to read or write differently


@dataclass(frozen=True, slots=True)
class Broken:
    """A field of a sample document for which the lens law does not hold (RULES 8). Holds no value."""

    field: str
    reason: str


class CompiledMapping:
    """One stream's mapping, both ways: ``Lenses`` for the rules, and whole documents for the engine.

    Natives have one form, so that ``==`` compares them: ``None`` for nothing there; a group is a dict of its members,
    ``None`` where empty, and is ``None`` itself when a whole document says that all are; a list field is a dict of
    element key to element.
    """

    def __init__(
        self,
        entity: str,
        planned: Mapping[str, Planned],
        hash_: str,
        places: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.entity = entity
        self._places = dict(places or {})
        self.fields: tuple[str, ...] = tuple(planned)
        self._planned = dict(planned)
        self._readers = [(name, plan.lens.read) for name, plan in planned.items() if plan.reads]
        self._writable = frozenset(name for name, plan in planned.items() if plan.writes)
        self._hash = hash_
        self._children = _children_of(planned)
        self._references = {
            name: plan.lens.codec.place
            for name, plan in planned.items()
            if isinstance(plan.lens, ValueLens) and isinstance(plan.lens.codec, Reference)
        }

    @property
    def hash(self) -> str:
        """Content hash of the mapping, its parameters, codecs and the fields of the entity that it maps."""
        return self._hash

    @property
    def references(self) -> Mapping[str, tuple[str, str]]:
        """Which stream (system, stream) the fields that are references name records of."""
        return self._references

    @property
    def keyed(self) -> frozenset[str]:
        """The list fields whose elements have keys of the system's own."""
        return frozenset(self._children)

    @property
    def writable(self) -> frozenset[str]:
        """The fields that may be written to the system."""
        return self._writable

    def places(self, name: str) -> Mapping[str, str]:
        """Where in a document a field is, as texts to compare: by member of a group or an element, and under ``""`` its own.

        That is what its lines say of paths alone: all else is of how the same place is read and written.
        """
        return self._places.get(name, {})

    def clear(self, name: str) -> Clear:
        """What an emptied field means. Raises ``KeyError`` for a field that is not mapped."""
        return self._planned[name].clear

    def apply(self, document: Document, *, full_payload: bool) -> Mapped | Rejected:
        """What a document says of each field that the mapping reads.

        ``full_payload``: a key that the document lacks is empty, not unknown. A field that cannot be read is an
        ``UNREADABLE`` reading; only what is no document at all is ``Rejected``.
        """
        if type(document) is not dict:
            return Rejected("", f"{type(document).__name__}; allowed: an object")
        return Mapped({name: read(document, full_payload) for name, read in self._readers})

    def decode(self, name: str, native: Native) -> Canonical:
        """Native to canonical; ``None`` stays ``None``. Raises ``ValueError``, ``KeyError`` for no such field."""
        return self._planned[name].lens.decode(native)

    def encode(self, name: str, value: Canonical) -> Native:
        """Canonical to native: of a group the writable members. ``None`` stays ``None``.

        Raises ``ValueError`` if the system cannot hold the value, ``KeyError`` for no such field.
        """
        return self._planned[name].lens.encode(value)

    def complete(self, name: str, native: Native, held: Native) -> Native:
        """``native`` with the members that its payload did not speak of taken from ``held``."""
        lens = self._planned[name].lens
        if isinstance(lens, GroupLens) and isinstance(native, dict) and isinstance(held, dict):
            return {**held, **native}
        return native

    def put(
        self,
        document: Document,
        changes: Mapping[str, Native],
        former: Mapping[str, Former] | None = None,
    ) -> Document:
        """A new document in which the changed fields hold the native values; all else stays as it is.

        Missing children are made, with the attributes of their selector and no key; a child of which nothing mapped
        remains is removed. A value that is there already is not touched. Of a group, members that the native dict
        does not name stay. ``former`` has, for list fields, under which keys an element may be there that is to be
        rewritten instead of being made. Raises ``ValueError`` for a field that is not writable, or where the document
        has another shape than the mapping's path.
        """
        for name in changes:
            if name not in self._writable:
                raise ValueError(
                    f"{name}: not writable; allowed: {', '.join(sorted(self._writable))}"
                )
        after: Document = _copy(document)
        for phase in Phase:
            for name, native in changes.items():
                lens = self._planned[name].lens
                if former and name in former and isinstance(lens, ManyLens):
                    if phase is Phase.LISTS:
                        lens.lay(after, native, former[name])
                else:
                    lens.store(after, native, phase, document)
        return after

    def broken_laws(self, document: Document) -> list[Broken]:
        """The fields of a sample document that a write of what was read would change: for checks of a mapping."""
        found = []
        mapped = self.apply(document, full_payload=True)
        readings = mapped.readings if isinstance(mapped, Mapped) else {}
        for name, reading in readings.items():
            if reading.presence is not Presence.VALUE or name not in self._writable:
                continue
            try:
                sent = self.encode(name, reading.value)
                again = self.encode(name, self.decode(name, sent))
            except ValueError as fault:
                found.append(Broken(name, f"cannot be written back: {fault}"))
                continue
            if again != sent:
                found.append(Broken(name, "what is written is not read back as the same"))
        return found


def compile_mapping(
    spec: MappingSpec,
    entity: EntityFile,
    params: Params | None = None,
    children: Mapping[str, str] | None = None,
) -> CompiledMapping:
    """The compiled form of ``spec`` against ``entity``, with the system's ``params``.

    ``children`` names the lists whose elements have a key of the system's own, and where in them it is. Raises
    ``ConfigurationMistakes`` with all mistakes.
    """
    compiled, mistakes = _compile(spec, entity, params or {}, children or {})
    if mistakes:
        raise ConfigurationMistakes(mistakes)
    return compiled


def compile_file(
    source: Path | str,
    entity: EntityFile,
    params: Params | None = None,
    *,
    name: str | None = None,
    children: Mapping[str, str] | None = None,
) -> CompiledMapping:
    """The compiled mapping of a file (or YAML text): reports the mistakes of shape and of meaning together."""
    tree = read_tree(source, name=name)
    spec, mistakes = check(tree, MappingSpec)
    if spec is not None:
        return compile_mapping(spec, entity, params, children)
    rest, _ = check(_without(tree, mistakes), MappingSpec)
    if rest is not None:
        mistakes += _compile(rest, entity, params or {}, {})[1]
    raise ConfigurationMistakes(mistakes)


def _without(tree: Tree, mistakes: list[Mistake]) -> Tree:
    """``tree`` without the lines that have a mistake, so that the others can still be looked at."""
    data = tree.data if isinstance(tree.data, dict) else {}
    kept = {}
    for name, line in tree.mapping("fields").items():
        place = tree.origin.mistake(("fields", name), "", "").path
        if not any(
            m.path == place or m.path.startswith((f"{place}.", f"{place}[")) for m in mistakes
        ):
            kept[name] = line
    return Tree({"entity": data.get("entity"), "fields": kept}, tree.origin)


def _compile(
    spec: MappingSpec, entity: EntityFile, params: Params, children: Mapping[str, str]
) -> tuple[CompiledMapping, list[Mistake]]:
    planner = Planner(spec, entity, params, children)
    planned = planner.fields()
    heads = sorted({name.partition(".")[0] for name in planner.used})
    content = {
        "version": _VERSION,
        "entity": entity.entity,
        "lines": planner.used,
        "codecs": {name: CODECS[name].version for name in sorted(planner.codecs)},
        "fields": {n: entity.field(n).model_dump(mode="json") for n in heads},
    }
    if keyed := _children_of(planned):
        content["children"] = keyed
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    places: dict[str, dict[str, str]] = {}
    for name, line in planner.used.items():
        head, _, member = name.partition(".")
        where = {key: of for key, of in line.items() if key in _WHERE}
        places.setdefault(head, {})[member] = json.dumps(where, sort_keys=True)
        # a member's line is a path, or says more than that
        for part, of in line.get("each", {}).items():
            places[head][part] = of if isinstance(of, str) else of["at"]
    return CompiledMapping(entity.entity, planned, digest, places), planner.mistakes


def _children_of(planned: Mapping[str, Planned]) -> dict[str, str]:
    """The list fields whose elements have keys of the system's own, and where in an element its key is."""
    return {
        name: plan.lens.child
        for name, plan in planned.items()
        if isinstance(plan.lens, ManyLens) and plan.lens.child is not None
    }


def _copy(node: Any) -> Any:
    if type(node) is dict:
        return {key: _copy(value) for key, value in node.items()}
    if type(node) is list:
        return [_copy(value) for value in node]
    return node

"""Whether what ``hub.yaml`` asks of golden records and of streams can ever be: creates, and the causes of processes.

What was applied once is not looked at: it is in force, whatever this release would say of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from connectors.yamlfile import Location, Mistake, Origin, did_you_mean
from crm_master.settings import (
    ConditionSettings,
    Create,
    HubSettings,
    ProcessSettings,
    StreamSettings,
)
from mappings.compiler import CompiledMapping
from mappings.spec import EntityFile, FieldDef, FieldType, MemberDef
from mappings.values import problem_of

_NUMBERS = (FieldType.DECIMAL, FieldType.INTEGER)
_TIMES = (FieldType.DATE, FieldType.DATETIME)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def able(declared: Any, verb: str) -> bool:
    """Whether a stream of a manifest says how records are made (``create``) or taken away (``delete``)."""
    kept = getattr(declared, "write", None) is not None  # a file that the hub keeps
    return kept or bool(getattr(getattr(declared, "writes", None), verb, ()))


def wrong_creates(
    settings: HubSettings,
    mappings: Mapping[tuple[str, str], CompiledMapping],
    streams: Mapping[str, Mapping[str, Any] | None],
    entities: Mapping[str, EntityFile],
) -> Iterator[Mistake]:
    """A mistake for each ``create`` that makes nobody: of a stream that is not made in, or of what no record can be.

    ``streams`` are those of each system's manifest; ``None`` where that has mistakes of its own.
    """
    for (system, stream), mapping in mappings.items():
        chosen = settings.systems[system].streams[stream]
        path: Location = ("systems", system, "streams", stream, "create")
        if chosen.create == "nobody":
            continue
        declared = (streams[system] or {}).get(stream)
        if found := _made_nowhere(system, stream, chosen, declared):
            do = "Write `create: nobody`, or leave it out."
            yield settings.origin.mistake(path, *found, do)
        if isinstance(chosen.create, Create):
            entity = entities[mapping.entity]
            for name, values in chosen.create.when.items():
                if values != ["present"]:
                    here = (*path, "when", name)
                    yield from _wrong_values(here, name, values, entity, settings.origin)
                elif _defined(name, entity) is None:
                    yield from _no_member((*path, "when", name), name, entity, settings.origin)


def _made_nowhere(
    system: str, stream: str, chosen: StreamSettings, declared: Any
) -> tuple[str, str] | None:
    if chosen.direction == "read":
        return "create on a stream that is only read", "with direction both or write"
    if declared is not None and not able(declared, "create"):
        return (
            f"create, and the manifest of {system} does not say how {stream} are made",
            "a stream with steps that create, or a file that is kept",
        )
    return None


def wrong_causes(settings: HubSettings, entities: Mapping[str, EntityFile]) -> Iterator[Mistake]:
    """A mistake for each condition of a process that always or never holds, and for texts that name no field."""
    for name, process in settings.processes.items():
        cause = entities.get(process.of)
        if cause is not None:
            yield from _Cause(("processes", name), process, cause, entities, settings.origin)()


class _Cause:
    def __init__(
        self,
        here: Location,
        process: ProcessSettings,
        cause: EntityFile,
        entities: Mapping[str, EntityFile],
        origin: Origin,
    ) -> None:
        self.here, self.process, self.cause = here, process, cause
        self.entities, self.origin = entities, origin

    def __call__(self) -> Iterator[Mistake]:
        for path, said in self.process.when.items():
            yield from self._condition((*self.here, "when", path), path, said)
        for name, volume in self.process.facts.items():
            fact = self.entities.get(name)
            for key, field, types in (("sum", volume.sum, _NUMBERS), ("by", volume.by, _TIMES)):
                if fact is not None and field is not None:
                    here = (*self.here, "facts", name, key)
                    yield from self._of_type(here, field, _defined(field, fact), types)
        raised = self.entities.get(self.process.raises.entity)
        for name, value in self.process.raises.fields.items():
            here = (*self.here, "raises", "fields", name)
            target = None if raised is None else _defined(name, raised)
            if target is not None and target.type is not FieldType.REFERENCE:
                yield from self._text(here, value, target)

    def _condition(self, here: Location, path: str, said: ConditionSettings) -> Iterator[Mistake]:
        target = _defined(path, self.cause)
        if target is None:
            return  # told where processes are compiled
        if not said.model_dump(exclude_defaults=True):
            allowed = ", ".join(ConditionSettings.model_fields)
            yield self.origin.mistake(here, "a condition that says nothing", f"any of {allowed}")
        if said.values:
            yield from _wrong_values(here, path, said.values, self.cause, self.origin)
        if said.past is not None:
            yield from self._of_type((*here, "past"), path, target, _TIMES)
        for key in ("above", "below"):
            if getattr(said, key) is not None:
                yield from self._of_type((*here, key), path, target, _NUMBERS)

    def _of_type(
        self, here: Location, name: str, target: MemberDef | None, types: Collection[FieldType]
    ) -> Iterator[Mistake]:
        if target is not None and target.type not in types:
            found = f"{here[-1]} of {name!r}, which is of type {target.type}"
            yield self.origin.mistake(here, found, f"a field of type {' or '.join(types)}")

    def _text(self, here: Location, value: Any, target: MemberDef) -> Iterator[Mistake]:
        named = _PLACEHOLDER.findall(value) if isinstance(value, str) else []
        single = [name for name in self.cause.fields if _is_single(self.cause.field(name))]
        for name in named:
            if name not in single:
                found = f"{{{name}}}, which is no single field of {self.cause.entity}"
                do = did_you_mean(name, single)
                yield self.origin.mistake(here, found, ", ".join(single), do)
        if not named and (problem := problem_of(target, value)):
            yield self.origin.mistake(here, repr(value), problem)


def _is_single(defined: FieldDef) -> bool:
    return not defined.many and not defined.members


def _defined(path: str, entity: EntityFile) -> MemberDef | None:
    """The definition of a field, or of a group's member; ``None`` if there is no such."""
    name, _, member = path.partition(".")
    defined = entity.field(name) if name in entity.fields else None
    if defined is None or not member:
        return defined
    return defined.member(member) if member in defined.members else None


def _no_member(here: Location, path: str, entity: EntityFile, origin: Origin) -> Iterator[Mistake]:
    name, _, member = path.partition(".")
    if name in entity.fields:  # else told where the create is compiled
        known = entity.field(name).members
        allowed = ", ".join(known) or f"no member: {name} is no group"
        do = did_you_mean(member, known)
        yield origin.mistake(here, f"no member {member!r} in {name}", allowed, do)


def _wrong_values(
    here: Location, path: str, values: Iterable[Any], entity: EntityFile, origin: Origin
) -> Iterator[Mistake]:
    """Those values that the field of a golden record is never equal to."""
    target = _defined(path, entity)
    if target is None:
        yield from _no_member(here, path, entity, origin)
    elif isinstance(target, FieldDef) and not _is_single(target):
        kind = "a list field" if target.many else "a group"
        allowed = "present" if target.many else f"present, or one of its members: {path}.MEMBER"
        yield origin.mistake(here, f"values of {kind}", allowed)
    else:
        for value in values:
            if problem := problem_of(target, value):
                do = did_you_mean(str(value), target.values)
                yield origin.mistake(here, repr(value), problem, do)

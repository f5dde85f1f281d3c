"""The processes of ``hub.yaml``, compiled: each is a stream of the hub's own system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import orjson

from connectors.yamlfile import did_you_mean
from crm_master.domain.fields import Canonical
from crm_master.domain.processes import OWN_SYSTEM, Condition, Process, Volume
from crm_master.engine.plan import StreamPlan, SystemPlan
from crm_master.settings import ConditionSettings, HubSettings, ProcessSettings
from mappings.compiler import CompiledMapping, compile_file
from mappings.spec import EntityFile, FieldType
from mappings.values import problem_of

ITSELF = "itself"
_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000}

Mistaken = Callable[[tuple[str, ...], str, str, str], None]


def own_system(
    settings: HubSettings, entities: Mapping[str, EntityFile], mistaken: Mistaken
) -> tuple[SystemPlan | None, dict[str, Process]]:
    """The hub's own system with its processes; none where there are none. Tells each mistake: path, found, allowed, do."""
    processes: dict[str, Process] = {}
    streams: dict[str, StreamPlan] = {}
    for name, process in settings.processes.items():
        made = _Compiling(name, process, entities, mistaken)()
        if made is not None:
            processes[name], mapping = made
            streams[name] = StreamPlan(
                system=OWN_SYSTEM,
                stream=name,
                entity=process.raises.entity,
                mapping=mapping,
                writes=False,
                schedule=process.schedule,
            )
    if not streams:
        return None, {}
    return SystemPlan(OWN_SYSTEM, streams, join="auto", erase="keep"), processes


class _Compiling:
    def __init__(
        self,
        name: str,
        process: ProcessSettings,
        entities: Mapping[str, EntityFile],
        mistaken: Mistaken,
    ) -> None:
        self.name, self.process, self.entities = name, process, entities
        self.here: tuple[str, ...] = ("processes", name)
        self.mistaken = mistaken
        self.sound = True

    def __call__(self) -> tuple[Process, CompiledMapping] | None:
        raises = self.process.raises
        cause = self._entity(("of",), self.process.of)
        raised = self._entity(("raises", "entity"), raises.entity)
        if cause is None or raised is None:
            return None
        conditions = [
            found
            for path, settings in self.process.when.items()
            if (found := self._condition(cause, path, settings)) is not None
        ]
        volumes = list(self._volumes(cause))
        says: dict[str, Canonical] = {}
        names: dict[str, str] = {}
        for name, value in raises.fields.items():
            place = ("raises", "fields", name)
            if not self._known(place, name, raised):
                continue
            if raised.field(name).type is FieldType.REFERENCE:
                names[name] = self._named(place, str(value), cause, raised.field(name).to)
            else:
                says[name] = value
        for part, values in (("open", raises.open), ("closed", raises.closed)):
            for name, value in values.items():
                place = ("raises", part, name)
                if self._known(place, name, raised) and (
                    problem := problem_of(raised.field(name), value)
                ):
                    self._wrong(place, repr(value), problem)
        if not self.sound:
            return None
        process = Process(
            self.name,
            self.process.of,
            conditions,
            volumes,
            raises.entity,
            says,
            names,
            raises.open,
            raises.closed,
            self.process.schedule,
        )
        lines = {name: name for name in (*says, *raises.open, *raises.closed)}
        whole = {
            name: {"at": name, "as": {"reference": {"whole": True}}, "direction": "read"}
            for name in names
        }
        # JSON is YAML
        text = orjson.dumps({"entity": raises.entity, "fields": lines | whole}).decode()
        return process, compile_file(text, raised, {}, name=f"hub.yaml: {self.name}")

    def _entity(self, path: tuple[str, ...], name: str) -> EntityFile | None:
        if name not in self.entities:
            known = ", ".join(self.entities)
            found = f"no entity {name!r} in any stream"
            self._wrong(path, found, known, did_you_mean(name, self.entities))
            return None
        return self.entities[name]

    def _known(self, path: tuple[str, ...], name: str, entity: EntityFile) -> bool:
        if name in entity.fields and entity.field(name).type != "group":
            return True
        known = [of for of in entity.fields if entity.field(of).type != "group"]
        found = f"no single field {name!r} in {entity.entity}"
        self._wrong(path, found, ", ".join(known), did_you_mean(name, known))
        return False

    def _condition(self, cause: EntityFile, path: str, said: ConditionSettings) -> Condition | None:
        name, _, member = path.partition(".")
        members = cause.field(name).members if name in cause.fields else {}
        if name not in cause.fields or (member and member not in members):
            known = ", ".join(members or cause.fields)
            self._wrong(("when", path), f"no field {path!r} in {cause.entity}", known)
            return None
        return Condition(
            name,
            member or None,
            said.present,
            tuple(said.values),
            None if said.past is None else _length(said.past),
            None if said.above is None else Decimal(str(said.above)),
            None if said.below is None else Decimal(str(said.below)),
        )

    def _volumes(self, cause: EntityFile) -> Iterator[Volume]:
        for name, said in self.process.facts.items():
            fact = self._entity(("facts", name), name)
            if fact is None:
                continue
            if cause.entity not in {fact.field(field).to for field in fact.fields}:
                self._wrong(
                    ("facts", name), f"{name} refers to no {cause.entity}", "an entity that does"
                )
            for key, field in (("sum", said.sum), ("by", said.by)):
                if field is not None:
                    self._known(("facts", name, key), field, fact)
            since = None if said.within is None else _length(said.within)
            yield Volume(name, Decimal(str(said.above)), said.sum, said.by, since)

    def _named(self, path: tuple[str, ...], value: str, cause: EntityFile, to: str | None) -> str:
        """What a reference of what is raised is to: a field of the cause, or (empty) the cause itself."""
        fields = [name for name in cause.fields if cause.field(name).to == to]
        if value == ITSELF and cause.entity == to:
            return ""
        if value not in fields:
            allowed = ", ".join([ITSELF] * (cause.entity == to) + fields)
            self._wrong(path, repr(value), allowed or f"nothing: {cause.entity} names no {to}")
        return value

    def _wrong(self, path: tuple[str, ...], found: str, allowed: str, do: str = "") -> None:
        self.sound = False
        self.mistaken((*self.here, *path), found, allowed, do)


def _length(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]

"""From the files of a deployment to a compiled hub, or to every mistake in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

import orjson
from pydantic import ValidationError

from connectors.registry import check_manifest
from connectors.runtime.manifest import Manifest
from connectors.yamlfile import (
    ConfigurationMistakes,
    Mistake,
    Origin,
    check,
    did_you_mean,
    load_model,
    read_tree,
)
from crm_master.deployment.alerts import wrong_places
from crm_master.deployment.conditions import able, wrong_causes, wrong_creates
from crm_master.deployment.files import FileReader, RecordedFiles, recorded_files
from crm_master.deployment.processes import own_system
from crm_master.deployment.sense import wrong_entities, wrong_references, wrong_rules
from crm_master.deployment.unheard import unheard
from crm_master.domain.identity import KeySpec, MatchRules
from crm_master.domain.lifecycle import Leaving
from crm_master.domain.processes import OWN_SYSTEM, Process
from crm_master.domain.survivorship import ORIGINATOR, FieldPolicy, Policy, Rule
from crm_master.engine.plan import EntityPlan, Fuses, Hub, StreamPlan, SystemPlan, Test
from crm_master.settings import (
    Create,
    FieldSettings,
    HubSettings,
    PolicySettings,
    StreamSettings,
    SystemSettings,
)
from mappings.compiler import CompiledMapping, compile_file
from mappings.plan import SYSTEM_PARAM
from mappings.spec import EntityFile, load_entity
from mappings.values import entity_spec


@dataclass(frozen=True, slots=True)
class Deployment:
    """A compiled deployment with what it was compiled from."""

    hub: Hub
    settings: HubSettings
    manifests: Mapping[str, Manifest]
    mappings: Mapping[tuple[str, str], CompiledMapping]
    entities: Mapping[str, EntityFile]
    files: Mapping[str, str]
    processes: Mapping[str, Process] = field(default_factory=dict)


@lru_cache(maxsize=4)  # asked for again with every batch that was read under an earlier one
def recompiled(content: str) -> Hub | None:
    """The hub of a recorded configuration; ``None`` if this release cannot read it any more."""
    try:
        return compile_deployment(recorded_files(content)).hub
    except (ConfigurationMistakes, orjson.JSONDecodeError):
        return None


def compile_deployment(read: FileReader) -> Deployment:
    """Compile a deployment. Raises ``ConfigurationMistakes`` with all mistakes of all files."""
    return _Compiler(read).compile()


class _Compiler:
    def __init__(self, read: FileReader) -> None:
        self._read = read
        self._files: dict[str, str] = {}
        self._mistakes: list[Mistake] = []
        self._entities: dict[str, EntityFile] = {}
        self._manifests: dict[str, Manifest] = {}
        self._mappings: dict[tuple[str, str], CompiledMapping] = {}
        self._origins: dict[tuple[str, str], Origin] = {}
        self._applied = isinstance(read, RecordedFiles)

    def compile(self) -> Deployment:
        text = self._file("hub.yaml", "Write one: `concord init` makes an example.")
        if text is None:
            raise ConfigurationMistakes(self._mistakes)
        settings = self._settings(text)
        systems = {
            name: self._system(name, system, settings) for name, system in settings.systems.items()
        }
        own, processes = own_system(settings, self._entities, self._mistaken(settings))
        # Also those whose streams have mistakes: the policies are looked at all the same.
        plans = {entity: self._entity(entity, settings) for entity in self._parents_first()}
        if not self._applied:
            self._mistakes += dict.fromkeys(self._senseless(settings))
        if self._mistakes:
            raise ConfigurationMistakes(self._mistakes)
        content = orjson.dumps(self._files, option=orjson.OPT_SORT_KEYS)
        hub = Hub(
            systems={name: plan for name, plan in systems.items() if plan}
            | ({} if own is None else {own.name: own}),
            entities={name: plan for name, plan in plans.items() if plan},
            hash=hashlib.sha256(content).hexdigest(),
            content=content.decode(),
            recompile=recompiled,
        )
        if wrong := list(wrong_places(settings, hub)):
            raise ConfigurationMistakes(wrong)
        return Deployment(
            hub, settings, self._manifests, self._mappings, self._entities, self._files, processes
        )

    def _senseless(self, settings: HubSettings) -> Iterator[Mistake]:
        """References that lead nowhere, creates that make nobody, conditions that never hold, options that nothing hears."""
        streams = {
            name: getattr(self._manifests.get(name), "streams", None) for name in settings.systems
        }
        used = {name: system.streams for name, system in settings.systems.items()}
        own = {OWN_SYSTEM: settings.processes} if settings.processes else {}
        yield from wrong_references(
            self._mappings, self._origins, self._entities, {**streams, **own}, {**used, **own}
        )
        yield from wrong_creates(settings, self._mappings, streams, self._entities)
        yield from wrong_causes(settings, self._entities)
        yield from unheard(self._manifests.values(), self._files)
        yield from wrong_entities(
            self._entities, lambda name: self._read(f"entities/{name}.yaml") is not None
        )

    def _mistaken(self, settings: HubSettings) -> Callable[[tuple[str, ...], str, str, str], None]:
        def note(path: tuple[str, ...], found: str, allowed: str, do: str) -> None:
            self._mistakes.append(settings.origin.mistake(path, found, allowed, do))

        return note

    def _parents_first(self) -> list[str]:
        """The entities, each behind those that it refers to: so a round reconciles them in that order."""
        parents = {
            name: sorted(entity_spec(catalogue).parents & self._entities.keys() - {name})
            for name, catalogue in sorted(self._entities.items())
        }
        try:
            return list(TopologicalSorter(parents).static_order())
        except CycleError as error:
            cycle = " to ".join(error.args[1])
            self._mistakes.append(
                Mistake(
                    f"entities/{error.args[1][0]}.yaml",
                    1,
                    "",
                    f"references in a circle: {cycle}",
                    "one way",
                )
            )
            return sorted(parents)

    def _settings(self, text: str) -> HubSettings:
        """``hub.yaml``, or those of its systems that have no mistake: their files are looked at all the same."""
        tree = read_tree(text, name="hub.yaml")
        found, mistakes = check(tree, HubSettings)
        if found is not None:
            return found
        self._mistakes += mistakes
        named = tree.mapping("systems")
        systems = {}
        for name, content in named.items():
            with suppress(ValidationError):
                systems[name] = SystemSettings.model_validate(content)
        part = HubSettings.model_construct(name="", rank=list(named), systems=systems)
        part._origin = tree.origin
        return part

    def _file(self, name: str, do: str) -> str | None:
        try:
            text = self._read(name)
        except ConfigurationMistakes as error:
            self._mistakes += error.mistakes
            return None
        if text is None:
            self._mistakes.append(Mistake(name, 1, "", "no such file", "a YAML file", do))
        else:
            self._files[name] = text
        return text

    def _beside(self, name: str) -> str | None:
        """A file that belongs to a manifest: part of the configuration, too."""
        text = self._read(f"systems/{name}")
        if text is not None:
            self._files[f"systems/{name}"] = text
        return text

    def _system(self, name: str, system: SystemSettings, hub: HubSettings) -> SystemPlan | None:
        kind = system.system
        text = self._file(f"systems/{kind}.yaml", "Write a manifest, or name one that ships.")
        if text is None:
            return None
        try:
            tree = read_tree(text, name=f"systems/{kind}.yaml")
        except ConfigurationMistakes as error:
            self._mistakes += error.mistakes
            return None
        asked = (hub.origin, ("systems", name, "params"))
        manifest, params, mistakes = check_manifest(tree, system.params, asked, self._beside)
        self._mistakes += mistakes
        if manifest is not None:
            self._manifests[name] = manifest
        # Where it has mistakes, the mappings of the streams that it names are looked at all the same.
        named = dict.fromkeys(tree.mapping("streams") or system.streams)
        declared: Mapping[str, Any] = getattr(manifest, "streams", named)
        streams: dict[str, StreamPlan] = {}
        for stream, chosen in system.streams.items():
            if stream not in declared:
                path = ("systems", name, "streams", stream)
                do = did_you_mean(stream, declared)
                self._mistakes.append(
                    hub.origin.mistake(
                        path,
                        f"no stream {stream!r} in systems/{kind}.yaml",
                        ", ".join(declared),
                        do,
                    )
                )
                continue
            keyed = getattr(declared[stream], "children", {})
            children = {of: child.key for of, child in keyed.items() if not child.single}
            mapping = self._mapping(kind, stream, {**params, SYSTEM_PARAM: name}, children)
            if mapping is not None:
                self._mappings[name, stream] = mapping
                file = f"mappings/{kind}/{stream}.yaml"
                self._origins[name, stream] = read_tree(self._files[file], name=file).origin
                streams[stream] = self._stream(name, stream, chosen, mapping, declared[stream], hub)
        if system.erase == "delete" and not any(plan.deletes for plan in streams.values()):
            self._mistakes.append(
                hub.origin.mistake(
                    ("systems", name, "erase"),
                    f"delete, and no stream of systems/{kind}.yaml has steps that delete",
                    "request (a person deletes), keep",
                    "Write writes.delete into the manifest, or choose another.",
                )
            )
        return SystemPlan(name, streams, system.observe, system.join, system.erase, system.schedule)

    def _mapping(
        self, kind: str, stream: str, params: Mapping[str, Any], children: Mapping[str, str]
    ) -> CompiledMapping | None:
        name = f"mappings/{kind}/{stream}.yaml"
        text = self._file(name, "Write a mapping for this stream.")
        if text is None:
            return None
        try:
            found = read_tree(text, name=name).data
            entity = self._entity_file(str(found.get("entity")) if isinstance(found, dict) else "")
            if entity is None:
                return None
            return compile_file(text, entity, params, name=name, children=children)
        except ConfigurationMistakes as error:
            self._mistakes += error.mistakes
            return None

    def _entity_file(self, name: str) -> EntityFile | None:
        if name not in self._entities:
            text = self._file(f"entities/{name}.yaml", "Write the entity's catalogue.")
            if text is None:
                return None
            self._entities[name] = load_entity(text, name=f"entities/{name}.yaml")
        return self._entities[name]

    def _stream(
        self,
        system: str,
        stream: str,
        chosen: StreamSettings,
        mapping: CompiledMapping,
        declared: Any,
        hub: HubSettings,
    ) -> StreamPlan:
        observes = hub.systems[system].observe
        stamp = getattr(declared, "stamp", None)
        skew = getattr(stamp, "skew", 0) or 0
        return StreamPlan(
            system=system,
            stream=stream,
            entity=mapping.entity,
            mapping=mapping,
            reads=chosen.direction != "write",
            writes=chosen.direction != "read" and not observes,
            creates=self._creates(system, stream, chosen, mapping.entity, hub),
            leaving=chosen.create.leaving if isinstance(chosen.create, Create) else Leaving.KEEP,
            deletes=able(declared, "delete"),
            full_payload=not getattr(declared, "partial", False),
            skew=int(float(skew) * 1_000_000),
            schedule=chosen.schedule or hub.systems[system].schedule,
        )

    def _creates(
        self, system: str, stream: str, chosen: StreamSettings, entity: str, hub: HubSettings
    ) -> tuple[Test, ...] | None:
        if chosen.direction == "read" or chosen.create == "nobody":
            return None
        if not isinstance(chosen.create, Create):
            return ()
        tests = []
        for path, values in chosen.create.when.items():
            name, _, member = path.partition(".")
            known = self._entities[entity].fields
            if name not in known:
                place = ("systems", system, "streams", stream, "create", "when", path)
                self._mistakes.append(
                    hub.origin.mistake(
                        place,
                        f"no field {name!r} in {entity}",
                        ", ".join(known),
                        did_you_mean(name, known),
                    )
                )
            tests.append(Test(name, member or None, () if values == ["present"] else tuple(values)))
        return tuple(tests)

    def _entity(self, name: str, hub: HubSettings) -> EntityPlan | None:
        file = f"policies/{name}.yaml"
        text = self._file(file, "Write the entity's policies.")
        catalogue = self._entities.get(name)
        if text is None or catalogue is None:
            return None
        try:
            settings = load_model(text, PolicySettings, name=file)
        except ConfigurationMistakes as error:
            self._mistakes += error.mistakes
            return None
        spec = entity_spec(catalogue)
        used: set[tuple[tuple[str, ...], str]] = {
            (("fields", field), field) for field in settings.fields
        }
        used |= {
            (("match", "keys", key, "fields"), field)
            for key, made_of in settings.match.keys.items()
            for field in made_of.fields
        }
        for path, field_name in sorted(used):
            if field_name not in spec.fields:
                do = did_you_mean(field_name, spec.fields)
                self._mistakes.append(
                    settings.origin.mistake(
                        path, f"no field {field_name!r} in {name}", ", ".join(spec.fields), do
                    )
                )
        if not self._applied:
            self._mistakes += wrong_rules(settings, catalogue)
        rank = {system: place for place, system in enumerate([*hub.rank, OWN_SYSTEM])}
        policies = {
            field: self._policy(field, chosen, settings, rank)
            for field, chosen in settings.fields.items()
        }
        match = MatchRules(
            keys={
                key: KeySpec(tuple(made_of.fields), made_of.compare == "words")
                for key, made_of in settings.match.keys.items()
            },
            same=[tuple(names) for names in settings.match.same],
            differ=tuple(settings.match.unless_differ),
            within_system=settings.match.within_system,
        )
        return EntityPlan(
            spec,
            Policy(spec, rank, policies),
            match,
            settings.failures_allowed,
            Fuses(**settings.fuses.model_dump()),
            settings.deletes,
        )

    def _policy(
        self, field: str, chosen: FieldSettings, settings: PolicySettings, rank: Mapping[str, int]
    ) -> FieldPolicy:
        strictness: tuple[str, ...] = ()
        standing: dict[str, int] = {}
        if chosen.rule is Rule.MOST_RESTRICTIVE:
            strictness = tuple(str(value) for value in chosen.order)
        else:
            owners = [chosen.owner] if isinstance(chosen.owner, str) else chosen.owner
            tiers = chosen.order or ([owners] if owners else [])
            for place, tier in enumerate(tiers):
                standing |= dict.fromkeys([tier] if isinstance(tier, str) else tier, place)
            for system in sorted(standing.keys() - rank.keys() - {ORIGINATOR}):
                self._mistakes.append(
                    settings.origin.mistake(
                        ("fields", field),
                        f"no system {system!r}",
                        ", ".join(rank),
                        did_you_mean(system, rank),
                    )
                )
        return FieldPolicy(chosen.rule, standing, strictness, chosen.member)

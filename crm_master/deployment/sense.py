"""Whether policies, references and entities make sense together: what is right in each file, and never works.

What was applied once is not looked at: it is in force, whatever this release would say of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from connectors.yamlfile import Mistake, Origin, did_you_mean
from crm_master.domain.survivorship import Rule
from crm_master.settings import FieldSettings, PolicySettings
from mappings.compiler import CompiledMapping
from mappings.spec import EntityFile, FieldDef
from mappings.values import problem_of

Place = tuple[str, str]
"""A system and one of its streams."""

_HEARD = {
    "order": (Rule.SOURCE_PRIORITY, Rule.MOST_RESTRICTIVE),
    "owner": (Rule.OWNER,),
    "member": (Rule.MOST_RESTRICTIVE,),
}
"""The rules that hear an option; all others go on as if it were not there."""


def wrong_rules(settings: PolicySettings, entity: EntityFile) -> Iterator[Mistake]:
    """A mistake for each field whose rule cannot decide it, would not be heard, or does not hear what is said to it."""
    if settings.entity != entity.entity:
        found = f"the entity {settings.entity!r}"
        yield settings.origin.mistake(("entity",), found, f"{entity.entity}, as its file is named")
    for name, chosen in settings.fields.items():
        yield from _unheard(name, chosen, settings.origin)
        if name not in entity.fields:
            continue
        defined = entity.field(name)
        allowed = _rules_for(defined)
        if chosen.rule not in allowed:
            kind = "rows" if defined.key else "a list field" if defined.many else "a single value"
            found = f"{chosen.rule.value} on {kind}"
            yield settings.origin.mistake(("fields", name), found, ", ".join(allowed))
        elif chosen.rule is Rule.MOST_RESTRICTIVE:
            yield from _wrong_strictness(name, chosen, defined, settings.origin)


def _unheard(name: str, chosen: FieldSettings, origin: Origin) -> Iterator[Mistake]:
    for option, rules in _HEARD.items():
        if getattr(chosen, option) and chosen.rule not in rules:
            found = f"{option} under the rule {chosen.rule.value}, which does not look at it"
            allowed = f"{option} under {' or '.join(rules)}"
            do = "Leave it out, or choose such a rule."
            yield origin.mistake(("fields", name, option), found, allowed, do)


def _rules_for(defined: FieldDef) -> list[Rule]:
    if defined.many and not defined.key:
        return [Rule.UNION]
    never = {Rule.UNION} | ({Rule.MOST_RESTRICTIVE} if defined.key else set())
    return [rule for rule in Rule if rule not in never]


def _wrong_strictness(
    name: str, chosen: FieldSettings, defined: FieldDef, origin: Origin
) -> Iterator[Mistake]:
    path, member = ("fields", name), chosen.member
    if member is None and defined.members:
        found = "most_restrictive on a group without a member"
        yield origin.mistake(path, found, f"with `member:`, one of {', '.join(defined.members)}")
        return
    if member is not None and member not in defined.members:
        allowed = ", ".join(defined.members) or f"no member: {name} is no group"
        do = did_you_mean(member, defined.members)
        yield origin.mistake((*path, "member"), f"no member {member!r} in {name}", allowed, do)
        return
    target = defined if member is None else defined.member(member)
    for place, value in enumerate(chosen.order):
        problem = problem_of(target, value)
        if problem is not None:
            do = did_you_mean(str(value), target.values)
            yield origin.mistake((*path, "order", place), repr(value), problem, do)


def wrong_references(
    mappings: Mapping[Place, CompiledMapping],
    origins: Mapping[Place, Origin],
    entities: Mapping[str, EntityFile],
    streams: Mapping[str, Collection[str] | None],
    used: Mapping[str, Collection[str]],
) -> Iterator[Mistake]:
    """A mistake for each mapped reference to a stream that there is not, that is not used, or is of another entity.

    ``streams`` names those of each system's manifest, ``None`` where that has mistakes of its own; ``used`` names those
    that take part. An ``optional`` reference may be to what never does.
    """
    for here, mapping in mappings.items():
        for name, (system, stream) in mapping.references.items():
            known = streams.get(system, ())
            if not stream or known is None:
                continue
            path, field = ("fields", name), entities[mapping.entity].field(name)
            there = mappings.get((system, stream))
            if system not in streams:
                do = did_you_mean(system, streams)
                found, allowed = f"no system {system!r} in hub.yaml", ", ".join(streams)
            elif stream not in known:
                do = did_you_mean(stream, known)
                found, allowed = f"no stream {stream!r} in {system}", ", ".join(known)
            elif there is not None and there.entity != field.to:
                do = "Name another stream, or another entity in the catalogue."
                found = f"{system}/{stream}, whose records are of {there.entity}"
                allowed = f"a stream of {field.to}, as entities/{mapping.entity}.yaml says"
            elif stream not in used[system] and not field.optional:
                do = f"Add {stream} to the streams of {system} in hub.yaml, or take this line out."
                found = (
                    f"{system}/{stream}, which hub.yaml does not use: nothing is ever known there"
                )
                allowed = ", ".join(f"{system}/{other}" for other in used[system])
            else:
                continue
            yield origins[here].mistake(path, found, allowed, do)


def wrong_entities(
    entities: Mapping[str, EntityFile], exists: Callable[[str], bool]
) -> Iterator[Mistake]:
    """A mistake for each reference to an entity that has no catalogue."""
    for entity in entities.values():
        for name in entity.fields:
            to = entity.field(name).to
            if to is not None and to not in entities and not exists(to):
                do = did_you_mean(to, entities) or f"Write entities/{to}.yaml."
                found, allowed = f"no entity {to!r}", f"{', '.join(entities)}, or one with a file"
                yield entity.origin.mistake(("fields", name, "to"), found, allowed, do)

"""From a mapping file to lenses: resolves names, parameters, paths and codecs, and collects every mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import ValidationError

from connectors.yamlfile import Mistake, Step, did_you_mean, fill, mistakes_of, no_param
from crm_master.domain.fields import Clear
from mappings.codecs import CODECS, Codec, make
from mappings.codecs.choice import Present, Split, SplitOptions
from mappings.codecs.references import Reference
from mappings.lenses import ConstLens, GroupLens, Lens, PresentLens, QueryLens, ValueLens
from mappings.lists import ItemLens, ListLens, ManyLens, SplitLens
from mappings.paths import All, Joined, Key, Place, Steps, Where, family, parse, split_many
from mappings.spec import (
    Absent,
    EachLine,
    EntityFile,
    FieldDef,
    FieldType,
    Line,
    Many,
    MappingSpec,
    MemberDef,
)
from mappings.tables import TableLens
from mappings.values import problem_of

Params = Mapping[str, str | int | bool]
SYSTEM_PARAM = "system"
"""The parameter that every mapping has: the name of the system that it belongs to."""

_TRUNCATED = ("text", "name")


class _Wrong(Exception):
    """A line cannot be used; its mistakes are noted."""


@dataclass(slots=True)
class Planned:
    """One canonical field with its lens."""

    lens: Lens
    reads: bool
    writes: bool
    clear: Clear


class Planner:
    """Builds the lenses of one mapping. ``mistakes`` is complete after ``fields()``."""

    def __init__(
        self,
        spec: MappingSpec,
        entity: EntityFile,
        params: Params,
        children: Mapping[str, str] | None = None,
    ) -> None:
        self.spec, self.entity, self.params = spec, entity, params
        self.children = children or {}
        self.mistakes: list[Mistake] = []
        self.used: dict[str, Any] = {}  # the lines as they are used: parameters filled in
        self.codecs: set[str] = set()
        self._places: list[Place] = []
        self._lists: list[tuple[Steps, All | Where, list[Steps]]] = []
        self._writers: dict[tuple[Steps, str], str] = {}

    def fields(self) -> dict[str, Planned]:
        if self.spec.entity != self.entity.entity:
            found = f"the entity {self.spec.entity!r}"
            self._note(("entity",), found, self.entity.entity)
            return {}
        grouped: dict[str, dict[str, tuple[Line, Lens]]] = {}
        out: dict[str, Planned] = {}
        for name in self.spec.fields:
            try:
                head, member, defined = self._target(name)
                line = self._filled(name)
                if member:
                    lens = self._value(name, line, defined.member(member))
                    grouped.setdefault(head, {})[member] = (line, lens)
                else:
                    lens = self._field(name, line, defined)
                    clear = line.clear or Clear.ALLOWED
                    out[head] = Planned(lens, line.reads, line.writes, clear)
            except _Wrong:
                continue
        for head, members in grouped.items():
            out[head] = self._group(head, members)
        self._families()
        return {name: out[name] for name in self._order() if name in out}

    def _order(self) -> Iterator[str]:
        yield from dict.fromkeys(name.partition(".")[0] for name in self.spec.fields)

    # Names and parameters

    def _target(self, name: str) -> tuple[str, str, FieldDef]:
        head, _, member = name.partition(".")
        here = ("fields", name)
        known = self.entity.fields
        if head not in known:
            self._fail(here, f"the field {head!r}", ", ".join(known), did_you_mean(head, known))
        defined = self.entity.field(head)
        if defined.type == "group" and not defined.many:
            if not member or member not in defined.members:
                allowed = ", ".join(f"{head}.{m}" for m in defined.members)
                do = (
                    did_you_mean(member, defined.members)
                    if member
                    else "Map its members, one line each."
                )
                self._fail(here, repr(name), allowed, do)
        elif member:
            self._fail(
                here, f"a member {member!r}", f"{head}, which has no members to map one by one"
            )
        return head, member, defined

    def _filled(self, name: str) -> Line:
        here = ("fields", name)
        line = self.spec.line(name)
        data = line.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        try:
            data = fill(data, self.params, self._no_param, here)
            filled = Line.model_validate(data)
        except ValidationError as fault:
            self.mistakes += mistakes_of(fault, Line, self.spec.origin, here)
            raise _Wrong from fault
        self.used[name] = data
        return filled

    def _no_param(self, here: tuple[Step, ...], name: str) -> NoReturn:
        self._fail(here, *no_param(name, self.params))

    # Lenses

    def _field(self, name: str, line: Line, defined: FieldDef) -> Lens:
        here = ("fields", name)
        if defined.many:
            return self._many(name, line, defined)
        if line.many or line.each:
            key = "many" if line.many else "each"
            self._fail(
                (*here, key), f"{key} on {name!r}", "list fields only: the entity says `many: true`"
            )
        return self._value(name, line, MemberDef.model_validate(_scalar(defined)))

    def _value(self, name: str, line: Line, target: MemberDef) -> Lens:
        here = ("fields", name)
        if line.const is not None:
            problem = problem_of(target, line.const)
            if problem:
                self._fail((*here, "const"), repr(line.const), problem)
            return ConstLens(line.const)
        if line.each or line.many:
            self._fail(here, "many or each on a single value", "list fields only")
        codec = self._codec(line, target, here)
        keep = line.when_absent is Absent.KEEP
        if line.query is not None:
            return QueryLens(self._query(line.query, here), codec, line.query, keep=keep)
        if line.parts is not None:
            if isinstance(codec, Present):
                self._fail((*here, "as"), "present with parts", "a codec of text")
            first, second = (self._place(name, line, part) for part in line.parts)
            joined = Joined(first, second)
            return ValueLens(joined, codec, " ".join(line.parts), keep=keep, longest=line.max)
        place = self._place(name, line, line.at or "")
        steps = place.steps
        if isinstance(codec, Present):
            return PresentLens(place, codec, line.at or "", keep=keep)
        if isinstance(steps[-1], Where):
            self._fail(
                (*here, "at"),
                "a selected element as a value",
                "as: {present: {yes: …}}, or a key behind it",
            )
        return ValueLens(place, codec, line.at or "", keep=keep, longest=line.max)

    def _place(self, name: str, line: Line, path: str) -> Place:
        here = ("fields", name)
        steps = self._path(EachLine(at=path), here)
        if any(isinstance(step, All) for step in steps):
            self._fail((*here, "at"), "[*] in the path of a single value", "[0], [key=value]")
        place = Place(steps)
        self._places.append(place)
        if line.writes:
            self._written(steps, name, "")
        return place

    def _many(self, name: str, line: Line, defined: FieldDef) -> ManyLens:
        here = ("fields", name)
        if line.at is None:
            self._fail(here, "a list field without a path", "at: path to a list")
        steps = self._path(line, here)
        keep = line.when_absent is Absent.KEEP
        rest = line.many is Many.REST
        group = defined.type == "group"
        if group != bool(line.each):
            allowed = "each: {street: path, …}" if group else "at: path of the values, without each"
            self._fail(here, "no each" if group else "each on single values", allowed)
        path = line.at or ""
        before, selector, inner = split_many(steps)
        if any(isinstance(step, All) for step in before):
            self._fail((*here, "at"), "two selections of many", "one")
        if group:
            element, relatives = self._each(here, line, defined, inner)
            fold = True
        else:
            target = MemberDef.model_validate(_scalar(defined))
            codec = self._codec(line, target, here)
            fold = target.type is FieldType.TEXT
            if isinstance(codec, Present):
                self._fail((*here, "as"), "present on a list field", "a codec of its elements")
            if isinstance(codec, Split):
                return self._split(line, steps, target, here, rest)
            relatives = [inner] if inner else []
            element = (
                ValueLens(Place(inner), codec, "element", keep=False, longest=line.max)
                if inner
                else ItemLens(codec, "element")
            )
        self._lists.append((before, selector, relatives))
        if line.writes:
            for relative in relatives or [()]:
                self._written((*before, selector, *relative), name, "rest" if rest else "")
        if defined.key:
            if missing := [member for member in defined.key if member not in line.each]:
                allowed = "each: all members of the key"
                self._fail((*here, "each"), f"lines without {missing}", allowed)
            if rest:
                self._fail((*here, "many"), "many: rest on rows that move as one", "many: all")
            return TableLens(Place(before), selector, element, path, by=defined.key, keep=keep)
        lens = ListLens(Place(before), selector, element, path, rest=rest, fold=fold, keep=keep)
        if len(before) == 1 and isinstance(before[0], Key) and not isinstance(element, ItemLens):
            lens.child = self.children.get(before[0].name)
        return lens

    def _each(
        self, here: tuple[Step, ...], line: Line, defined: FieldDef, inner: Steps
    ) -> tuple[Lens, list[Steps]]:
        members: dict[str, Lens] = {}
        relatives = []
        for member, short in line.each.items():
            there = (*here, "each", member)
            if member not in defined.members:
                known = defined.members
                self._fail(there, repr(member), ", ".join(known), did_you_mean(member, known))
            part = short if isinstance(short, EachLine) else EachLine(at=short)
            codec = self._codec(part, defined.member(member), there)
            steps = inner + self._path(part, there)
            if any(isinstance(step, All) for step in steps) or isinstance(codec, Present | Split):
                self._fail(there, "a list within a list", "a path to one value")
            relatives.append(steps)
            members[member] = ValueLens(Place(steps), codec, part.at, keep=False, longest=part.max)
        return GroupLens(members, frozenset(members)), relatives

    def _split(
        self, line: Line, steps: Steps, target: MemberDef, here: tuple[Step, ...], rest: bool
    ) -> SplitLens:
        options = SplitOptions.model_validate(
            line.as_["split"] if isinstance(line.as_, dict) else {}
        )
        if rest or line.max:
            self._fail(here, "many: rest or max with split", "many: all")
        part = self._codec(EachLine.model_validate({"at": "part", "as": options.of}), target, here)
        if any(isinstance(step, All) for step in steps) or isinstance(part, Present | Split):
            self._fail(here, "split of a list", "split of one text")
        place = Place(steps)
        self._places.append(place)
        if line.writes:
            self._written(steps, str(here[-1]), "")
        fold = target.type is FieldType.TEXT
        element = ItemLens(part, "part")
        keep = line.when_absent is Absent.KEEP
        return SplitLens(place, options.separator, element, line.at or "", fold=fold, keep=keep)

    def _group(self, head: str, members: Mapping[str, tuple[Line, Lens]]) -> Planned:
        lines = {name: line for name, (line, _) in members.items()}
        lenses = {name: lens for name, (_, lens) in members.items()}
        here = ("fields", f"{head}.{next(iter(members))}")
        if all(isinstance(lens, ConstLens) for lens in lenses.values()):
            self._note(here, f"constants only in {head!r}", "at least one member with a path")
        write_only = [name for name, line in lines.items() if not line.reads]
        with_path = [name for name, line in lines.items() if line.const is None]
        if write_only and len(write_only) < len(with_path):
            there = ("fields", f"{head}.{write_only[0]}", "direction")
            self._note(
                there, "direction: write on some members", "on all members of a group, or on none"
            )
        clears = {line.clear for line in lines.values() if line.clear is not None}
        if len(clears) > 1:
            self._note(here, f"different clear on members of {head!r}", "one: a group moves as one")
        writable = frozenset(name for name, line in lines.items() if line.writes)
        clear = next(iter(clears), Clear.ALLOWED)
        return Planned(GroupLens(lenses, writable), not write_only, bool(writable), clear)

    # Parts of a line

    def _codec(self, line: EachLine, target: MemberDef, here: tuple[Step, ...]) -> Codec:
        there = (*here, "as")
        name, options = str(target.type), None
        if isinstance(line.as_, str):
            name = line.as_
        elif isinstance(line.as_, dict):
            name, options = next(iter(line.as_.items()))
        if name not in CODECS:
            self._fail(
                there, f"the codec {name!r}", ", ".join(sorted(CODECS)), did_you_mean(name, CODECS)
            )
        kind = CODECS[name]
        if target.type not in kind.gives:
            fitting = ", ".join(sorted(n for n, c in CODECS.items() if target.type in c.gives))
            self._fail(there, f"the codec {name!r} for a field of type {target.type}", fitting)
        if line.max is not None and name not in _TRUNCATED:
            self._fail((*here, "max"), f"max with the codec {name!r}", ", ".join(_TRUNCATED))
        if kind is Reference and isinstance(options, dict) and "system" not in options:
            options = {**options, "system": self.params.get(SYSTEM_PARAM, "")}
        if options is not None and not isinstance(options, dict):
            self._fail(
                (*there, name), f"options that are no mapping: {options!r}", "{option: value}"
            )
        try:
            codec = make(name, options, target)
        except ValidationError as fault:
            self.mistakes += mistakes_of(
                fault, kind.options_model, self.spec.origin, (*there, name)
            )
            raise _Wrong from fault
        except ValueError as fault:
            found, _, allowed = str(fault).partition("; allowed: ")
            self._fail(there, found, allowed)
        self.codecs.add(name)
        return codec

    def _path(self, line: EachLine, here: tuple[Step, ...]) -> Steps:
        try:
            return parse(line.at or "")
        except ValueError as fault:
            found, _, allowed = str(fault).partition("; allowed: ")
            self._fail((*here, "at"), f"{found} in {line.at!r}", allowed)

    def _query(self, text: str, here: tuple[Step, ...]) -> Any:
        try:
            return jmespath.compile(text)
        except JMESPathError as fault:
            problem = str(fault).splitlines()[0]
            self._fail((*here, "query"), f"no valid query ({problem})", "a JMESPath expression")

    # Mistakes of lines together

    def _written(self, steps: Steps, name: str, how: str) -> None:
        other = self._writers.setdefault((steps, how), name)
        if other != name:
            found = f"{name!r} writes where {other!r} writes"
            self._note(
                ("fields", name),
                found,
                "one line for each place",
                "Set many: rest on the list field, or direction: read on one of them.",
            )

    def _families(self) -> None:
        """Tell each place what else the mapping knows of the children that it selects."""
        known: dict[Any, set[Steps]] = {}
        for place in self._places:
            for _, kin, inner in place.families():
                known.setdefault(kin, set()).add(inner)
        for before, selector, relatives in self._lists:
            known.setdefault(family(before, selector), set()).update(relatives)
        for place in self._places:
            place.keep({i: known[kin] for i, kin, _ in place.families()})

    def _note(self, here: tuple[Step, ...], found: str, allowed: str, do: str = "") -> None:
        origin = self.spec.origin
        if here[-1] == "at" and here not in origin.lines:
            here = here[:-1]  # the short form has no such key
        self.mistakes.append(origin.mistake(here, found, allowed, do))

    def _fail(self, here: tuple[Step, ...], found: str, allowed: str, do: str = "") -> NoReturn:
        self._note(here, found, allowed, do)
        raise _Wrong


def _scalar(defined: FieldDef) -> dict[str, Any]:
    return defined.model_dump(include=set(MemberDef.model_fields) - {"doc"})

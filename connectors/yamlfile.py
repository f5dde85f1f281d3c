"""YAML configuration that is right, or says everything that is wrong with it.

Every file that a user writes is read here: manifests, mappings, entities, policies, ``hub.yaml``. ``read_tree`` reads the
text with the line of each key, and refuses what YAML would silently bend (a key given twice, ``no`` read as false, a
clock time read as a number); ``check`` compares the content with a pydantic model. All mistakes of a file are collected.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import PydanticCustomError

from connectors.shapes import keys_at, missing_or_extra

Step = str | int
Location = tuple[Step, ...]
MAX_NODES = 200_000
TEXT = "<text>"
_SECRET = re.compile(r"pass|secret|token|credential|api_?key", re.I)
_PARAM = re.compile(r"\$\{([^}]*)\}")
_WORDS = {
    **dict.fromkeys(("model_type", "dict_type", "mapping_type"), "a mapping"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "string_type": "text",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in one place: what was found, what is allowed there, and what to do about it."""

    file: str
    line: int
    path: str
    found: str
    allowed: str
    do: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.file}:{self.line}: {self.path or 'file'}: {self.found}; allowed: {self.allowed}"
        )
        return f"{text}. {self.do}" if self.do else text


class ConfigurationMistakes(ValueError):
    """A configuration file (or several) cannot be used. ``mistakes`` holds all that is wrong, in order of lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        unique = dict.fromkeys(mistakes)
        self.mistakes = tuple(sorted(unique, key=lambda m: (m.file, m.line, m.path)))
        count = len(self.mistakes)
        head = f"{count} mistake{'' if count == 1 else 's'} in the configuration"
        super().__init__("\n  ".join([head, *map(str, self.mistakes)]))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a configuration came from: its file, and the line of every key and list item in it."""

    file: str = TEXT
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, path: Sequence[Step]) -> int:
        """The line of the deepest part of ``path`` that the file has."""
        for end in range(len(path), -1, -1):
            line = self.lines.get(tuple(path[:end]))
            if line is not None:
                return line
        return 1

    def mistake(self, path: Sequence[Step], found: str, allowed: str, do: str = "") -> Mistake:
        return Mistake(self.file, self.line(path), dotted(path), found, allowed, do)


class Configured(BaseModel):
    """Base of all configuration shapes: unknown keys are mistakes, values do not change, the origin is remembered."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """The file and lines that this was read from; an empty origin for one made in code."""
        return self._origin


@dataclass(frozen=True, slots=True)
class Tree:
    """The plain content of a YAML text, with its origin."""

    data: Any
    origin: Origin

    def mapping(self, key: str) -> dict[str, Any]:
        """What stands at ``key``, if it is a mapping; else an empty one."""
        found = self.data.get(key) if isinstance(self.data, dict) else None
        return found if isinstance(found, dict) else {}


Loaded = TypeVar("Loaded", bound=BaseModel)


def load_model(
    source: Path | str,
    model: type[Loaded],
    *,
    context: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Loaded:
    """The content of ``source`` (a ``Path`` to a file, or the YAML text itself) as a ``model``.

    ``context`` is handed to the model's validators; ``name`` stands for the file in messages. Raises
    ``ConfigurationMistakes`` with every mistake of the file.
    """
    found, mistakes = check(read_tree(source, name=name), model, context=context)
    if found is None:
        raise ConfigurationMistakes(mistakes)
    return found


def read_tree(source: Path | str, *, name: str | None = None) -> Tree:
    """The plain content of a YAML file or text. Raises ``ConfigurationMistakes``.

    Keys are text, as written. Only ``true`` and ``false`` are booleans, dates stay text (YAML 1.2).
    """
    file = name or (str(source) if isinstance(source, Path) else TEXT)
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    except (OSError, UnicodeDecodeError) as fault:
        what = (
            "no such file" if isinstance(fault, FileNotFoundError) else "a file that cannot be read"
        )
        raise ConfigurationMistakes(
            [Mistake(file, 1, "", what, "a YAML file in UTF-8", "Check the path.")]
        ) from fault
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as fault:
        raise ConfigurationMistakes([_syntax(file, fault)]) from fault
    reader = _Reader(file)
    data = reader.value(root, ()) if root is not None else None
    if root is None:
        reader.mistakes.append(Mistake(file, 1, "", "an empty file", "YAML content"))
    if reader.mistakes:
        raise ConfigurationMistakes(reader.mistakes)
    return Tree(data, Origin(file, reader.lines))


def check(
    tree: Tree, model: type[Loaded], *, context: Mapping[str, Any] | None = None
) -> tuple[Loaded | None, list[Mistake]]:
    """``tree`` as a ``model`` and no mistake, or no model and all mistakes."""
    try:
        found = model.model_validate(tree.data, context=dict(context or {}))
    except ValidationError as fault:
        return None, mistakes_of(fault, model, tree.origin)
    if isinstance(found, Configured):
        found._origin = tree.origin
    return found, []


def mistake(found: str, allowed: str, do: str = "", at: Location = ()) -> PydanticCustomError:
    """An error of a validator, in the parts that a ``Mistake`` has; ``at`` leads on from what is validated."""
    context = {"found": found, "allowed": allowed, "do": do, "at": at}
    return PydanticCustomError("concord", "{found}; allowed: {allowed}", context)


def together(errors: Iterable[PydanticCustomError]) -> PydanticCustomError:
    """Several of ``mistake`` as one error, because a validator can raise but one."""
    return PydanticCustomError("concord", "several", {"all": [e.context for e in errors]})


def mistakes_of(
    fault: ValidationError, model: type[BaseModel], origin: Origin, prefix: Location = ()
) -> list[Mistake]:
    """The mistakes behind a pydantic error, for content that stands at ``prefix`` in the file of ``origin``."""
    return _merged(
        _mistake(error, context, model, origin, prefix)
        for error in fault.errors(include_url=False)
        for context in error.get("ctx", {}).get("all", [error.get("ctx", {})])
    )


def _mistake(
    error: Any, context: Mapping[str, Any], model: type[BaseModel], origin: Origin, prefix: Location
) -> Mistake:
    loc = prefix + _real(error["loc"], error, origin, prefix) + context.get("at", ())
    if error["type"] == "extra_forbidden":
        known = sorted(keys_at(model, error["loc"][:-1]))
        do = did_you_mean(str(loc[-1]), known) or "Remove it."
        return origin.mistake(loc, f"unknown key {loc[-1]!r}", ", ".join(known), do)
    if error["type"] == "missing":
        allowed = f"a value for the required key {loc[-1]!r}"
        return origin.mistake(loc, "nothing", allowed, f"Add {loc[-1]!r}.")
    value = error.get("input")
    found = str(context.get("found") or _shown(value, loc))
    allowed = str(context.get("allowed") or context.get("expected") or _plain(error))
    do = str(context.get("do") or "")
    if not do and isinstance(value, str) and "expected" in context:
        do = did_you_mean(value, re.findall(r"'([^']*)'", str(context["expected"])))
    return origin.mistake(loc, found, allowed, do)


def _merged(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """One mistake for each place: the branches of a union fail one by one."""
    out: dict[tuple[str, str], Mistake] = {}
    for mistake in mistakes:
        other = out.get(key := (mistake.path, mistake.found))
        if other is not None:
            allowed = " or ".join(dict.fromkeys((other.allowed, mistake.allowed)))
            mistake = replace(other, allowed=allowed, do=other.do or mistake.do)
        out[key] = mistake
    return list(out.values())


def fill(
    value: Any,
    params: Mapping[str, Any],
    unknown: Callable[[Location, str], object],
    at: Location = (),
) -> Any:
    """``value`` with its params: for a text ``${name}`` the param itself, within a longer text the param as text.

    ``unknown`` is told the place and the name of each that is no param; it then counts as empty.
    """
    if isinstance(value, dict):
        # a key is a text, also where a param is a number
        keys = [_written(fill(k, params, unknown, at)) if type(k) is str else k for k in value]
        parts = [fill(part, params, unknown, (*at, key)) for key, part in value.items()]
        return dict(zip(keys, parts, strict=True))
    if isinstance(value, list):
        return [fill(part, params, unknown, (*at, place)) for place, part in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _PARAM.findall(value):
        if name not in params:
            unknown(at, name)
    whole = _PARAM.fullmatch(value)
    if whole:
        return params.get(whole[1], "")
    return _PARAM.sub(lambda found: _written(params.get(found[1])), value)


def no_param(name: str, params: Iterable[str]) -> tuple[str, str, str]:
    """The last three parts of the ``Mistake`` that ``name`` is none of the ``params``."""
    allowed = ", ".join(sorted(params)) or "none: the system has no params"
    return f"the parameter {name!r}", allowed, did_you_mean(name, params)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known word; empty if none is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""


def dotted(path: Sequence[Step]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _shown(value: Any, path: Sequence[Step]) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if any(_SECRET.search(str(step)) for step in path):
        return "a value"
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _plain(error: Mapping[str, Any]) -> str:
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return _WORDS.get(error["type"]) or text[:1].lower() + text[1:]


def _real(loc: Location, error: Mapping[str, Any], origin: Origin, prefix: Location) -> Location:
    """``loc`` without the tags that pydantic adds for unions: what the file does not have is no step."""
    out: Location = ()
    last = len(loc) - 1 if missing_or_extra(error["type"]) else -1
    for index, step in enumerate(loc):
        if prefix + out + (step,) in origin.lines or index == last or not origin.lines:
            out += (step,)
    return out


def _syntax(file: str, fault: yaml.YAMLError) -> Mistake:
    mark = getattr(fault, "problem_mark", None) or getattr(fault, "context_mark", None)
    problem = getattr(fault, "problem", None) or "unreadable text"
    line = mark.line + 1 if mark is not None else 1
    return Mistake(file, line, "", f"no valid YAML ({problem})", "one YAML document")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Scalars as YAML 1.2 reads them."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]{1,30}|0x[0-9a-fA-F]{1,24}", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"^(?:{_pattern})$"),
        [*_first.replace("\0", ""), ""],
    )


class _Reader:
    """Turns YAML nodes into plain data, noting lines and mistakes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Location, int] = {}
        self.mistakes: list[Mistake] = []
        self._open: set[int] = set()
        self._count = 0

    def wrong(self, node: yaml.Node, path: Location, found: str, allowed: str) -> None:
        line = node.start_mark.line + 1
        self.mistakes.append(Mistake(self.file, line, dotted(path), found, allowed))

    def value(self, node: yaml.Node, path: Location) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if id(node) in self._open or self._count > MAX_NODES:
            self.wrong(node, path, "an alias that repeats without end", "plain content")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        out = (
            self._mapping(node, path)
            if isinstance(node, yaml.MappingNode)
            else self._items(node, path)
        )
        self._open.discard(id(node))
        return out

    def _items(self, node: yaml.Node, path: Location) -> list[Any]:
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Location) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(key, path, "a key that is no text", "text")
                continue
            here = (*path, key.value)
            if key.value in out:
                first = self.lines[here]
                self.wrong(
                    key,
                    here,
                    f"the key {key.value!r} again (first in line {first})",
                    "each key once",
                )
                continue
            self.lines[here] = key.start_mark.line + 1
            out[key.value] = self.value(value, here)
        return out

    def _scalar(self, node: yaml.ScalarNode, path: Location) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text = str(node.value)
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text, 16) if text.startswith("0x") else int(text)
        if kind == "float":
            return float(text)
        self.wrong(node, path, f"the tag {node.tag!r}", "plain text, numbers, true, false, null")
        return None

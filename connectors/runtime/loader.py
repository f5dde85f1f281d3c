"""Reads a manifest's YAML: keeps lines, fills in ``${params}``, and lists all mistakes at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from connectors.errors import BadConfiguration

M = TypeVar("M", bound=BaseModel)
Location = tuple[str | int, ...]
_PARAM = re.compile(r"\$\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, and what is allowed instead."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.path or 'the whole file'}: {self.text}"


class ManifestError(BadConfiguration):
    """A manifest cannot be used. ``problems`` holds every mistake that was found."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(f"{name}: {problem}" for problem in self.problems))


def load(text_or_path: str | Path, params: Mapping[str, Any], model: type[M]) -> M:
    """The manifest as a ``model``, with the deployment's params filled in. Raises ManifestError."""
    name, tree, lines, problems = parse(text_or_path)
    data = _fill(tree, params, lines, problems)
    if problems:
        raise ManifestError(name, problems)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ManifestError(
            name, [_problem(mistake, model, lines) for mistake in error.errors()]
        ) from None


def parse(
    text_or_path: str | Path,
) -> tuple[str, dict[str, Any], dict[Location, int], list[Problem]]:
    """Name, plain values, the line of every path, and the mistakes of form. Raises ManifestError.

    A ``str`` with a line break is the text itself, any other one a path.
    """
    if isinstance(text_or_path, str) and "\n" in text_or_path:
        name, text = "manifest", text_or_path
    else:
        path = Path(text_or_path)
        name = path.name
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problem = Problem("", 1, f"cannot be read ({type(error).__name__})")
            raise ManifestError(name, [problem]) from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "is not YAML"
        line = mark.line + 1 if mark else 1
        raise ManifestError(name, [Problem("", line, str(what))]) from None
    lines: dict[Location, int] = {(): 1}
    problems: list[Problem] = []
    tree = _plain(loader, node, (), lines, problems) if node is not None else None
    if not isinstance(tree, dict):
        raise ManifestError(name, [Problem("", 1, "must be a mapping")])
    return name, tree, lines, problems


def _plain(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    at: Location,
    lines: dict[Location, int],
    problems: list[Problem],
) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [
            _plain(loader, item, (*at, place), lines, problems)
            for place, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            lines[(*at, key)] = key_node.start_mark.line + 1
            if key in mapping:
                problems.append(Problem(_dotted((*at, key)), lines[(*at, key)], "is there twice"))
            mapping[key] = _plain(loader, value_node, (*at, key), lines, problems)
        return mapping
    try:
        return loader.construct_object(node)
    except yaml.YAMLError:
        problems.append(Problem(_dotted(at), lines[at], f"has an unknown tag {node.tag}"))
        return None


def _fill(
    tree: dict[str, Any],
    given: Mapping[str, Any],
    lines: Mapping[Location, int],
    problems: list[Problem],
) -> dict[str, Any]:
    declared = tree.get("params") or {}
    declared = declared if isinstance(declared, dict) else {}
    allowed = ", ".join(sorted(declared)) or "none"
    for name in given:
        if name not in declared:
            problems.append(
                Problem("params", lines.get(("params",), 1), f"{name!r} is no param; {allowed} are")
            )
    values: dict[str, Any] = {}
    for name, about in declared.items():
        about = about if isinstance(about, dict) else {}
        if name in given:
            values[name] = given[name]
        elif about.get("required"):
            text = "is required: give it in hub.yaml under this system's params"
            where = ("params", name)
            problems.append(Problem(_dotted(where), lines.get(where, 1), text))
            values[name] = ""
        else:
            values[name] = about.get("default")

    def put(value: Any, at: Location) -> Any:
        if isinstance(value, dict):
            return {key: put(item, (*at, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [put(item, (*at, place)) for place, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in _PARAM.findall(value):
            if name not in values:
                text = f"${{{name}}} is not declared; the params are {allowed}"
                problems.append(Problem(_dotted(at), lines.get(at, 1), text))
        whole = _PARAM.fullmatch(value)
        if whole:
            return values.get(whole[1])
        return _PARAM.sub(lambda match: str(values.get(match[1], "")), value)

    return {key: value if key == "params" else put(value, (key,)) for key, value in tree.items()}


def _problem(mistake: Any, model: type[BaseModel], lines: Mapping[Location, int]) -> Problem:
    at: Location = tuple(mistake["loc"])
    known = at
    while known not in lines:
        known = known[:-1]
    text = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "extra_forbidden":
        allowed = _allowed(model, at[:-1])
        text = "is not known here"
        near = difflib.get_close_matches(str(at[-1]), allowed, 1)
        text += f"; did you mean {near[0]!r}?" if near else ""
        text += f" (allowed: {', '.join(allowed)})" if allowed else ""
    return Problem(_dotted(at), lines[known], text)


def _allowed(model: Any, at: Location) -> list[str]:
    """The keys that the model takes at this place."""
    for part in at:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            model = next(
                (
                    field.annotation
                    for name, field in model.model_fields.items()
                    if part in (name, field.alias)
                ),
                None,
            )
        else:  # a place in a list, or a key of a mapping
            model = next((kind for kind in reversed(get_args(model)) if kind is not str), None)
        model = _inner(model) if not isinstance(part, int) else model
    if isinstance(model, type) and issubclass(model, BaseModel):
        return sorted(field.alias or name for name, field in model.model_fields.items())
    return []


def _inner(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    choices = [kind for kind in get_args(annotation) if kind is not type(None)]
    optional = type(None) in get_args(annotation)
    return choices[0] if optional and len(choices) == 1 else annotation


def _dotted(at: Location) -> str:
    return ".".join(str(part) for part in at)

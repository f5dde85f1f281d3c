"""Writes docs/codecs.md from the codecs themselves: `.venv/bin/python docs/generate.py`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from connectors.yamlfile import Configured
from mappings.codecs import CODECS

TARGET = Path(__file__).with_name("codecs.md")
HEAD = """\
# Codecs

<!-- Written by docs/generate.py. Change the codecs' docstrings, then run it. -->

A codec translates one value between a system and the canonical form, both ways. A mapping line names it with `as`:
`as: email`, or with options, `as: {phone: {region: BE}}`. A line that names none has the codec of the field's type.

What is empty is empty for every codec. What cannot be understood is *unreadable*: a dead letter says why, without quoting
the value, and the field is not overwritten. A codec of your own is a Python class; see `mappings/codecs/`.
"""


def codecs_page() -> str:
    """The whole page."""
    parts = [HEAD, _overview()]
    for name, codec in sorted(CODECS.items()):
        parts.append(f"\n## {name}\n\n{_plain(codec.doc)}\n")
        parts.append(f"\nFor fields of type {_types(codec.gives)}.\n")
        parts.append(_options(codec.options_model))
    return "".join(parts)


def _overview() -> str:
    rows = [
        f"| [`{name}`](#{name}) | {_first(codec.doc)} |" for name, codec in sorted(CODECS.items())
    ]
    return "\n".join(["", "| Codec | What it reads and writes |", "|---|---|", *rows, ""])


def _first(doc: str) -> str:
    return _plain(doc).partition("\n\n")[0].replace("\n", " ")


def _plain(doc: str) -> str:
    """A docstring as Markdown, its paragraphs unwrapped."""
    paragraphs = inspect.cleandoc(doc).replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _types(kinds: Any) -> str:
    from mappings.spec import FieldType

    names = sorted(str(kind) for kind in kinds)
    return "any" if len(names) == len(FieldType) else ", ".join(f"`{name}`" for name in names)


def _options(model: type[BaseModel]) -> str:
    if not model.model_fields:
        return "\nNo options.\n"
    notes = _notes(model)
    rows = []
    for name, info in model.model_fields.items():
        default = (
            "required"
            if info.is_required()
            else _value(info.get_default(call_default_factory=True))
        )
        choices = ", ".join(_value(choice) for choice in _choices(info.annotation))
        note = " ".join(
            filter(None, [f"One of {choices}." if choices else "", notes.get(name, "")])
        )
        rows.append(f"| `{info.alias or name}` | {note or '–'} | {default} |")
    return "\n".join(["", "| Option | Meaning | Default |", "|---|---|---|", *rows, ""])


def _choices(annotation: Any) -> tuple[Any, ...]:
    """What a ``Literal`` allows."""
    args = get_args(annotation)
    return args if "Literal" in str(annotation)[:20] else ()


def _value(value: Any) -> str:
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(dict.fromkeys(_value(part) for part in value))
    return f'`"{value}"`' if value in ("", " ") else f"`{value}`"


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """The texts below the options, those of the classes that a model is derived from included."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Configured) and kind is not Configured:
            tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
            assert isinstance(tree, ast.ClassDef)
            for line, after in zip(tree.body, tree.body[1:], strict=False):
                text = _text(after)
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and text:
                    found[line.target.id] = _plain(text)
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


if __name__ == "__main__":
    TARGET.write_text(codecs_page(), encoding="utf-8")

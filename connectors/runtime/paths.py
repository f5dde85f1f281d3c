"""Dotted paths into documents: ``addresses.0.city``. Pure functions over plain JSON values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final


class _Missing:
    """The path leads nowhere: another thing than a null at its end."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()


def get(document: Any, path: str, default: Any = None) -> Any:
    """The value at ``path``; ``default`` where it leads nowhere. The empty path is the document."""
    if type(document) is dict and path in document and "." not in path:
        return document[path]  # by far the most frequent
    value = document
    if path:
        for part in path.split("."):
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.lstrip("-").isdigit():
                index = int(part)
                if not -len(value) <= index < len(value):
                    return default
                value = value[index]
            else:
                return default
    return value


def walk(document: Any, path: str) -> Iterator[Any]:
    """Every value at ``path``; a list on the way (or at the end) stands for each of its items."""
    if isinstance(document, list):
        for item in document:
            yield from walk(item, path)
    elif not path:
        yield document
    elif isinstance(document, dict):
        head, _, rest = path.partition(".")
        if head in document:
            yield from walk(document[head], rest)


def drop(document: Any, path: str) -> None:
    """Take ``path`` out of the document in place, in every item of a list on the way."""
    if type(document) is dict and path in document and "." not in path:
        del document[path]  # by far the most frequent
        return
    if isinstance(document, list):
        for item in document:
            drop(item, path)
    elif isinstance(document, dict):
        head, _, rest = path.partition(".")
        if not rest:
            document.pop(head, None)
        elif head in document:
            drop(document[head], rest)


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set a value in place; the objects on the way are made, or replaced by copies that hold it."""
    head, _, rest = path.partition(".")
    if rest:
        below = document.get(head)
        document[head] = dict(below) if isinstance(below, dict) else {}
        put(document[head], rest, value)
    else:
        document[head] = value


def convert(document: Any, path: str, change: Any) -> None:
    """Replace every value at ``path`` in place by ``change(value)``, through lists on the way."""
    if isinstance(document, list):
        for item in document:
            convert(item, path, change)
    elif isinstance(document, dict):
        head, _, rest = path.partition(".")
        if head not in document:
            return
        if rest:
            convert(document[head], rest, change)
        else:
            document[head] = change(document[head])


def scalars(document: Any) -> Iterator[str]:
    """Every text and number in a document, as text: what must not be seen in a log."""
    if isinstance(document, dict):
        for value in document.values():
            yield from scalars(value)
    elif isinstance(document, list):
        for value in document:
            yield from scalars(value)
    elif isinstance(document, str | int | float) and not isinstance(document, bool):
        yield str(document)

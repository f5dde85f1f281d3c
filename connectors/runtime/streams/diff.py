"""What a write command changes: top-level keys, and children one by one. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.contract import Document
from connectors.runtime.streams.writes import Children

Verb = Literal["created", "updated", "removed"]


@dataclass(frozen=True, slots=True)
class Child:
    """One changed child. ``change`` holds the attributes to write, ``id`` its key."""

    verb: Verb
    child: Document
    change: Document
    id: Any = None


@dataclass(frozen=True, slots=True)
class Diff:
    """``changed`` holds the wanted value of each changed key that is not written by child."""

    changed: Mapping[str, Any]
    children: Mapping[str, tuple[Child, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changed) or any(self.children.values())

    def touched(self) -> Iterator[str]:
        """Every top-level key with a change."""
        yield from self.changed
        yield from (name for name, changes in self.children.items() if changes)


def compare(
    before: Document,
    after: Document,
    children: Mapping[str, Children],
    named: Collection[str] = (),
) -> Diff:
    """The difference of two documents. A key that left the document is to be emptied.

    In a create, empty values are no change: there is nothing that they would empty. Of objects that are ``named``, the
    members that differ are the change.
    """
    changed: dict[str, Any] = {}
    by_child: dict[str, tuple[Child, ...]] = {}
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if old == new and type(old) is type(new):
            continue
        if name in children:
            by_child[name] = tuple(_children(_items(old), _items(new), children[name]))
        elif name in named:
            was, now = old or {}, new or {}
            changed[name] = {k: now.get(k) for k in {**was, **now} if was.get(k) != now.get(k)}
        elif old or new not in (None, "", [], {}):
            changed[name] = new
    return Diff(changed, by_child)


def _items(value: Any) -> list[Document]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) else []


def _children(old: list[Document], new: list[Document], shape: Children) -> Iterator[Child]:
    known = {item.get(shape.key): item for item in old if item.get(shape.key) is not None}
    if shape.single and len(old) == len(new) == 1:
        new = [{**new[0], shape.key: old[0].get(shape.key)}]
    stay = {item.get(shape.key) for item in new}
    for item in new:
        key = item.get(shape.key)
        if key not in known:
            yield Child("created", item, _without(item, shape, {}), key)
            continue
        change = _without(item, shape, known[key])
        if change:
            yield Child("updated", item, change, key)
    for key, item in known.items():
        if key not in stay:
            yield Child("removed", item, {}, key)


def _without(item: Document, shape: Children, old: Document) -> Document:
    """The attributes that differ from ``old``. A natural key is an attribute of a new child."""
    change = {name: value for name, value in item.items() if value != old.get(name)}
    change.update({name: None for name in old if name not in item and old[name] is not None})
    if old:
        change.pop(shape.key, None)
    return change

"""Paths into a document: keys, and selectors of children in lists.

``name``, ``lang.code``, ``"dotted.key".x``: keys. ``addresses[0].street``: the first child.
``contact_mechanisms[type=email].value``: the first child with that attribute (several: ``[type=email,main=true]``).
``tags[.=vip]``: the element that *is* that value. ``emails[*].address``: all children, in list fields only.

A path is prepared once: ``Place.get`` only walks. What is written is created with the selector's attributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mappings.codecs.base import wrong_kind


class _Absent:
    """A key that the document does not have."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""What ``get`` gives where a key is missing; ``None`` stands for null and for no matching child."""


@dataclass(frozen=True, slots=True)
class Key:
    name: str


@dataclass(frozen=True, slots=True)
class Nth:
    index: int


@dataclass(frozen=True, slots=True)
class Where:
    """Children with these attributes; a condition on ``.`` is on the element itself."""

    conditions: tuple[tuple[str, Any], ...]

    @property
    def itself(self) -> bool:
        return self.conditions[0][0] == "."

    def matches(self, element: Any) -> bool:
        """Raises ``ValueError`` if the elements are not what the selector is about."""
        if self.itself:
            return _equal(element, self.conditions[0][1])
        if not isinstance(element, dict):
            raise wrong_kind(element, "objects in this list")
        return all(_equal(element.get(key), value) for key, value in self.conditions)

    def create(self) -> Any:
        return self.conditions[0][1] if self.itself else dict(self.conditions)


@dataclass(frozen=True, slots=True)
class All:
    pass


Step = Key | Nth | Where | All
Steps = tuple[Step, ...]
_TOKEN = re.compile(r"""\s*(?:"(?P<quoted>[^"]+)"|(?P<name>[^.\[\]"\s][^.\[\]"]*))\s*""")
_LITERALS = {"true": True, "false": False}


def parse(text: str) -> Steps:
    """The steps of a path. Raises ``ValueError`` with what is wrong and what is allowed."""
    steps: list[Step] = []
    at = 0
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(
                f"no name at character {at + 1}; allowed: keys joined by dots, as address.street"
            )
        steps.append(Key(found["quoted"] or found["name"].strip()))
        at = found.end()
        while text[at : at + 1] == "[":
            end = _closing(text, at)
            steps.append(_selector(text[at + 1 : end]))
            at = end + 1
        if at == len(text):
            return tuple(steps)
        if text[at] != ".":
            raise ValueError(
                f"{text[at]!r} at character {at + 1}; allowed: a dot or a selector in brackets"
            )
        at += 1


def _closing(text: str, at: int) -> int:
    quote = ""
    for index in range(at, len(text)):
        sign = text[index]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "]":
            return index
    raise ValueError(f"no ']' for the '[' at character {at + 1}; allowed: [0], [*], [key=value]")


def _selector(text: str) -> Step:
    text = text.strip()
    if text in ("", "*"):
        return All()
    if re.fullmatch(r"[0-9]{1,6}", text):
        return Nth(int(text))
    conditions = []
    for part in re.findall(r"(?:[^,'\"]|'[^']*'|\"[^\"]*\")+", text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ValueError(f"the selector [{text}]; allowed: [0], [*], [key=value], [.=value]")
        conditions.append((key.strip(), _literal(value.strip())))
    if len(conditions) > 1 and any(key == "." for key, _ in conditions):
        raise ValueError(f"the selector [{text}]; allowed: [.=value] alone")
    return Where(tuple(conditions))


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if re.fullmatch(r"-?[1-9][0-9]{0,17}|0", text):
        return int(text)
    return _LITERALS.get(text, text)


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, str | int | float):
        return found == wanted or str(found) == str(wanted)
    return False


def getter(steps: Sequence[Step]) -> Callable[[Any], Any]:
    """A function from a node to what the steps lead to. It raises ``ValueError`` where the shape is another."""
    if len(steps) == 1 and isinstance(steps[0], Key):
        name = steps[0].name

        def key(node: Any) -> Any:
            if type(node) is not dict:
                raise wrong_kind(node, "an object")
            return node.get(name, ABSENT)

        return key
    walkers = [_walker(step) for step in steps]

    def walk(node: Any) -> Any:
        for walker in walkers:
            node = walker(node)
            if node is None or node is ABSENT:
                return node
        return node

    return walk


def _walker(step: Step) -> Callable[[Any], Any]:
    if isinstance(step, Key):
        return getter((step,))
    if isinstance(step, Nth):
        index = step.index

        def nth(node: Any) -> Any:
            items = list_of(node)
            return items[index] if index < len(items) else None

        return nth
    if isinstance(step, Where):
        matches = step.matches

        def first(node: Any) -> Any:
            for element in list_of(node):
                if matches(element):
                    return element
            return None

        return first
    raise TypeError("a path to one value selects one child")


def list_of(node: Any) -> list[Any]:
    if not isinstance(node, list):
        raise wrong_kind(node, "a list")
    return node


def is_blank(node: Any) -> bool:
    """Whether a node says nothing at all."""
    if isinstance(node, str):
        return not node.strip()
    return node is None or node is ABSENT or node in ([], {})


def split_many(steps: Steps) -> tuple[Steps, Where | All, Steps]:
    """The path to a list, the selector of its elements, and the path within an element."""
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        if isinstance(step, Where | All):
            return steps[:index], step, steps[index + 1 :]
    return steps, All(), ()


class Place:
    """One place in a document, that can be read, set and cleared.

    ``kept`` holds, for each selected child on the way, what else the mapping knows of such a child: clearing removes a
    child of which none of that remains.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.get = getter(steps)
        self.kept: dict[int, list[Callable[[Any], Any]]] = {}

    def families(self) -> Iterable[tuple[int, tuple[Steps, Step], Steps]]:
        """Each selector on the way: its index, its family (list and selector), and the path within the child."""
        for index, step in enumerate(self.steps):
            if isinstance(step, Nth | Where):
                yield index, family(self.steps[:index], step), self.steps[index + 1 :]

    def keep(self, known: Mapping[int, Iterable[Steps]]) -> None:
        """For each selector on the way, the paths within its child that the mapping knows."""
        self.kept = {i: [getter(inner) for inner in paths if inner] for i, paths in known.items()}

    def set(self, document: Any, value: Any) -> None:
        """Put a value in place, creating what is missing on the way. Raises ``ValueError`` on another shape."""
        node = document
        for index, step in enumerate(self.steps[:-1]):
            node = _descend(node, step, self.steps[index + 1])
        last = self.steps[-1]
        if isinstance(last, Key):
            _object(node)[last.name] = value
        elif isinstance(last, Nth):
            _grow(list_of(node), last.index)[last.index] = value
        else:
            raise ValueError("only as: present sets a selected element")  # noqa: TRY004

    def create(self, document: Any) -> None:
        """Make the place exist, empty: a child with its selector's attributes, or an empty object."""
        node = document
        for index, step in enumerate(self.steps[:-1]):
            node = _descend(node, step, self.steps[index + 1])
        _descend(node, self.steps[-1], Key(""))

    def clear(self, document: Any) -> None:
        """Set the value to null, and remove the children on the way of which nothing mapped remains."""
        self._prune(document, 0)

    def remove(self, document: Any) -> None:
        """Take the selected element out of its list; a plain key becomes null."""
        last = self.steps[-1]
        node = getter(self.steps[:-1])(document) if len(self.steps) > 1 else document
        if node is None or node is ABSENT:
            return
        if isinstance(last, Key):
            _object(node)[last.name] = None
        elif isinstance(last, Where):
            node[:] = [element for element in list_of(node) if not last.matches(element)]
        elif isinstance(last, Nth):
            del list_of(node)[last.index : last.index + 1]

    def _prune(self, node: Any, index: int) -> None:
        step = self.steps[index]
        child = _walker(step)(node)
        if child is None or child is ABSENT:
            return
        if index == len(self.steps) - 1:
            if isinstance(step, Key):
                node[step.name] = None
            else:
                node[:] = [element for element in node if element is not child]
            return
        self._prune(child, index + 1)
        kept = self.kept.get(index)
        if kept is not None and all(is_blank(get(child)) for get in kept):
            node[:] = [element for element in node if element is not child]


class Joined:
    """Two places whose texts are one value, joined by a space: a first and a last name.

    A place that holds the beginning or the end of what is written keeps it. Else the first word goes to the first place
    and the others to the second; a single word goes to the second.
    """

    def __init__(self, first: Place, second: Place) -> None:
        self.first, self.second = first, second

    def get(self, document: Any) -> Any:
        """The joined text; ``None`` if there is none, ``ABSENT`` if both places are. Raises ``ValueError``."""
        found = self.first.get(document), self.second.get(document)
        if found == (ABSENT, ABSENT):
            return ABSENT
        return " ".join(text for text in map(_text, found) if text) or None

    def set(self, document: Any, value: str) -> None:
        """Put a text in both places. Raises ``ValueError`` on another shape."""
        first, second = _text(self.first.get(document)), _text(self.second.get(document))
        if first and value.startswith(f"{first} "):
            second = value[len(first) :].strip()
        elif second and value.endswith(f" {second}"):
            first = value[: -len(second)].strip()
        else:
            first, _, second = value.partition(" ")
            if not second:
                first, second = "", value
        for place, text in ((self.first, first), (self.second, second)):
            if text:
                place.set(document, text)
            else:
                place.clear(document)

    def clear(self, document: Any) -> None:
        """Empty both places."""
        self.first.clear(document)
        self.second.clear(document)


def _text(part: Any) -> str:
    if part is None or part is ABSENT:
        return ""
    if not isinstance(part, str):
        raise wrong_kind(part, "text")
    return " ".join(part.split())


def family(before: Steps, step: Step) -> tuple[Steps, Step]:
    """Children that are the same to a mapping: those of one list chosen by attributes, or those chosen by position."""
    return (before, step if isinstance(step, Where) else All())


def _object(node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise wrong_kind(node, "an object")
    return node


def _grow(items: list[Any], index: int) -> list[Any]:
    if index == len(items):
        items.append({})
    elif index > len(items):
        raise ValueError(
            f"a list of {len(items)}; allowed: at least {index} elements before the new one"
        )
    return items


def _descend(node: Any, step: Step, following: Step) -> Any:
    """The child at a step, made if need be."""
    if isinstance(step, Key):
        mapping = _object(node)
        if mapping.get(step.name) is None:
            mapping[step.name] = {} if isinstance(following, Key) else []
        return mapping[step.name]
    items = list_of(node)
    if isinstance(step, Nth):
        child = _grow(items, step.index)[step.index]
        if child is None:
            child = items[step.index] = {}
        return child
    if isinstance(step, Where):
        for element in items:
            if step.matches(element):
                return element
        items.append(step.create())
        return items[-1]
    raise TypeError("a path to one value selects one child")

"""Requests as templates: ``{slot}`` is filled from a scope, and nothing else is ever evaluated.

A text that is one slot takes the value with its type (``"{size}"`` becomes ``200``); inside a longer
text the value is written out. In a mapping, an entry that is one slot without a value is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from connectors.runtime.paths import MISSING, get

_SLOT = re.compile(r"\{([a-z_]+(?:\.[\w-]+)*)\}")


class Absent(LookupError):
    """A slot has no value here; ``slot`` names it."""

    def __init__(self, slot: str) -> None:
        super().__init__(f"there is no value for {{{slot}}}")
        self.slot = slot


def slots(template: Any) -> Iterator[str]:
    """The names of all slots of a template, for checks before anything runs."""
    if isinstance(template, str):
        yield from _SLOT.findall(template)
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from slots(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from slots(value)


def render(template: Any, scope: Mapping[str, Any], *, strict: bool = False) -> Any:
    """The template with its slots filled. Raises ``Absent``.

    With ``strict`` a null counts as absent, and an absent entry of a mapping is not left out but
    raises: a lookup by nothing would find anybody.
    """
    if isinstance(template, str):
        whole = _SLOT.fullmatch(template)
        if whole:
            return _value(whole[1], scope, strict=strict)
        return _SLOT.sub(lambda slot: str(_value(slot[1], scope, strict=True)), template)
    if isinstance(template, Mapping):
        filled = {}
        for name, value in template.items():
            try:
                filled[name] = render(value, scope, strict=strict)
            except Absent:
                if strict or not (isinstance(value, str) and _SLOT.fullmatch(value)):
                    raise
        return filled
    if isinstance(template, list | tuple):
        return [render(value, scope, strict=strict) for value in template]
    return template


def render_path(template: str, scope: Mapping[str, Any]) -> str:
    """A path with its slots filled and quoted. Raises ``Absent``, for a null as well.

    Dots alone are no value: no quoting keeps them from leading to the path above.
    """

    def part(slot: re.Match[str]) -> str:
        text = quote(str(_value(slot[1], scope, strict=True)), safe="")
        if text in (".", ".."):
            raise Absent(slot[1])
        return text

    return _SLOT.sub(part, template)


def _value(slot: str, scope: Mapping[str, Any], *, strict: bool) -> Any:
    head, _, rest = slot.partition(".")
    value = get(scope[head], rest, MISSING) if head in scope else MISSING
    if value is MISSING or (strict and value is None):
        raise Absent(slot)
    return value

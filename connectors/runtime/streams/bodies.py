"""What a step sends: its slots filled, and the difference in the system's own words."""

from __future__ import annotations

from typing import Any

from connectors.runtime.paths import get, put
from connectors.runtime.streams.diff import Child, Diff
from connectors.runtime.streams.models import Stream
from connectors.runtime.streams.reader import Reader
from connectors.runtime.streams.references import References
from connectors.runtime.streams.wire import Wire
from connectors.runtime.streams.writes import Nested, Step
from connectors.runtime.templates import render


class Bodies:
    """The bodies of one stream's requests. Raises ``Absent``, ``NoReference``, and for look-ups ``connectors.errors``."""

    def __init__(self, stream: Stream, reader: Reader, wire: Wire) -> None:
        self._stream, self._reader, self._wire = stream, reader, wire
        self._references = References(stream.references, reader)

    def filled(self, step: Step, scope: dict[str, Any], child: Child | None) -> dict[str, Any]:
        """A step's scope with values as the system wants them, the step's defaults, and what it looks up."""
        if child is not None and step.each is not None:
            scope["change"] = self._change(step.each.split(" ")[1], child)
        for slot, value in step.defaults.items():
            if get(scope, slot) is None:
                put(scope, slot, value)
        looked: dict[str, Any] = {}
        for name, lookup in step.look.items():
            found = self._reader.rows_of(lookup, scope)
            looked[name] = found[0] if found else {}
        return {**scope, "look": looked}

    def body(self, step: Step, scope: dict[str, Any], diff: Diff) -> Any:
        """The template with its slots filled, and in it what the step sends of the difference."""
        body = render(step.body, scope)
        if not step.send and not step.nested:
            return body
        body = body or {}
        into = get(body, step.into)
        for name in step.send:
            if name in diff.changed:
                value = self._value(name, diff.changed[name])
                fixed = into.get(name)
                # what the template holds of an object goes with it
                both = isinstance(fixed, dict) and isinstance(value, dict)
                into[name] = {**value, **fixed} if both else value
        for name, nested in step.nested.items():
            commands = [self._command(name, nested, child) for child in diff.children.get(name, ())]
            if commands:
                into[name] = commands
        return body

    def _command(self, name: str, nested: Nested, child: Child) -> Any:
        template = getattr(nested, child.verb)
        change = self._change(name, child)
        return render(template, {"child": child.child, "change": change, "id": child.id})

    def _change(self, name: str, child: Child) -> dict[str, Any]:
        return {key: self._value(f"{name}.{key}", value) for key, value in child.change.items()}

    def _value(self, path: str, value: Any) -> Any:
        """A document's value as the system wants it: references resolved, types written out."""
        if path in self._stream.references:
            return self._references.resolve(path, value)
        kind = self._stream.types.get(path)
        if value is None:
            # what is empty in this system
            return self._stream.nothing.get(path, "" if kind == "text" else None)
        return self._wire.encode(value, kind) if kind else value


def covered(name: str, diff: Diff, steps: tuple[Step, ...]) -> bool:
    """Whether some step writes this key, and for children every way in which it changed."""
    if name in diff.children:
        verbs = {child.verb for child in diff.children[name]}
        for step in steps:
            if name in step.covers:
                return True
            if name in step.nested:
                verbs -= {v for v in set(verbs) if getattr(step.nested[name], v) is not None}
            elif step.each is not None and step.each.split(" ")[1] == name:
                verbs.discard(step.each.split(" ")[0])
        return not verbs
    return any(name in step.send or name in step.covers for step in steps)

"""The shape of writes in a manifest: which requests a difference between two documents calls for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from connectors.runtime.paths import get
from connectors.runtime.streams.calls import Call, Lookup
from connectors.yamlfile import Configured, Location, mistake


class Children(Configured):
    """A part of the document that is written child by child."""

    key: str
    single: bool = False
    """One object or null, instead of a list."""


class Reference(Lookup):
    """Turns a code in the document into the system's own key for it; slot ``{value}``."""

    code: str
    """The path of the code inside the document's value."""
    take: str = "id"
    """The path of the key in the first record of the answer."""


class Nested(Configured):
    """How changes to children are written in the parent's body: one command for each child.

    Slots: ``{child.…}`` the whole child, ``{change}`` its attributes to write, ``{id}`` its key.
    """

    created: Any = None
    updated: Any = None
    removed: Any = None


class When(Configured):
    """Conditions of a step; all must hold."""

    changed: tuple[str, ...] = ()
    """One of these keys changed."""
    without: tuple[str, ...] = ()
    """None of these keys has a value afterwards."""
    equal: tuple[str, str] | None = None
    """Two templates that give the same value."""


class Step(Call):
    """One request of a write; sent when its condition holds, once per child with ``each``.

    Slots: ``{key}``, ``{etag}``, ``{correlation}``, ``{before.…}``, ``{after.…}``, and with ``each`` also
    ``{child.…}``, ``{change.…}`` and ``{id}``.
    """

    each: str | None = Field(default=None, pattern=r"^(created|updated|removed) \w+$")
    when: When = When()
    send: tuple[str, ...] = ()
    """Document keys that go into the body if they changed."""
    into: str = ""
    """Where in the body they go; the empty path is its top."""
    defaults: Mapping[str, Any] = {}
    """Slots, and what they hold where there is no value or an empty one."""
    look: Mapping[str, Lookup] = {}
    """What the request needs and the document lacks: looked up just before; the first record fills ``{look.name.…}``."""
    nested: Mapping[str, Nested] = {}
    covers: tuple[str, ...] = ()
    """Document keys that the body's template writes."""
    needs: tuple[str, ...] = ()
    """Slots without a value of which nothing is sent: the write is refused."""
    returns: Literal["record", "nothing"] = "nothing"
    record_at: str = ""
    """Where the answer has the record that it returns; the empty path is the whole answer."""
    key_at: str | None = None
    """Where the answer has the new record's key."""
    key_in_location: str | None = None
    """A regular expression with one group, for the answer's Location header."""

    @model_validator(mode="after")
    def _sent_keys_have_a_place(self) -> Step:
        if self.into and not isinstance(get(self.body, self.into), Mapping):
            raise mistake(f"`into: {self.into}`", "the path of an object in the step's `body`")
        return self

    def templates(self) -> Iterator[Any]:
        """See ``Call.templates``; the slots with defaults are among them."""
        yield from super().templates()
        yield [f"{{{slot}}}" for slot in self.defaults]


class ActionStep(Step):
    """One request of an action. Besides a step's slots: ``{now.…}``, the record as its ``fetch`` shows it just before.

    A record is shown as the system gives it, with what ``keep`` and ``omit`` take out of the document.
    """

    over: str | None = None
    """A list in ``now``: one request for each of its items; slot ``{item.…}``."""


class Action(Configured):
    """How a value is brought about that cannot be written, such as the state of an order."""

    from_: Annotated[tuple[str, ...], Field(alias="from", min_length=1)]
    """The values from which this action leads to its own."""
    also: tuple[str, ...] = ()
    """Values that count as its own, because the system leads on to them by itself."""
    steps: Annotated[tuple[ActionStep, ...], Field(min_length=1)]


class Writes(Configured):
    """The steps of each kind of write, in order."""

    create: tuple[Step, ...] = ()
    update: tuple[Step, ...] = ()
    delete: tuple[Step, ...] = ()
    actions: Mapping[str, Mapping[str, Action]] = {}
    """Document keys whose values are brought about: for each value the action that leads to it."""

    def steps(self) -> Iterator[tuple[Location, Step]]:
        """Every step, and where it stands."""
        for kind in ("create", "update", "delete"):
            for place, step in enumerate(getattr(self, kind)):
                yield (kind, place), step
        for name, actions in self.actions.items():
            for value, action in actions.items():
                for place, step in enumerate(action.steps):
                    yield ("actions", name, value, "steps", place), step

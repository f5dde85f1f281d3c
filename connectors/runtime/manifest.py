"""The part of a manifest that every kind of system shares, as validated models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, WithJsonSchema, field_validator, model_validator

from connectors.contract import LONGEST_REQUEST
from connectors.yamlfile import (
    Configured,
    Location,
    Mistake,
    Origin,
    Tree,
    check,
    dotted,
    fill,
    mistake,
    no_param,
)

_FROM_PARAM = {"type": "string", "pattern": r"^\$\{\w+\}$"}
Count = Annotated[
    int,
    Field(ge=1),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _FROM_PARAM]}),
]
Seconds = Annotated[
    float,
    Field(ge=0),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, _FROM_PARAM]}),
]


ReadBeside = Callable[[str], str | None]
"""The text of a file beside a manifest, by its name; ``None`` if there is none."""


class Param(Configured):
    """One value that a deployment gives, used as ``${name}``."""

    about: str
    required: bool = False
    default: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _required_has_no_default(self) -> Param:
        if self.required and self.default is not None:
            raise mistake("a required param with a default", "one of the two")
        return self


class Http(Configured):
    """How requests are sent."""

    base: str = ""
    """A path between the connection's address and the paths of the calls."""
    headers: Mapping[str, Any] = {}
    message: str | tuple[str, ...] | None = None
    """Where an error answer says what is wrong, as a dotted path; of several the first that leads somewhere."""
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 60
    largest_answer_mb: Count = 64
    attempts: Count = 4
    """How often a read is tried; a write is sent once."""
    longest_wait: Seconds = 30
    """A longer ``Retry-After`` is left to the orchestrator."""

    @model_validator(mode="after")
    def _over_before_its_lease(self) -> Http:
        """Its turn, the connection, the beginning of the answer, the rest of it, and the last part of that."""
        longest = self.longest_wait + self.connect_timeout + 3 * self.read_timeout
        if longest > LONGEST_REQUEST:
            raise mistake(
                f"a write that may take {longest:g} seconds: longest_wait + connect_timeout + 3 x read_timeout",
                f"at most {LONGEST_REQUEST}",
                "Shorten one of them: whoever writes holds a lease, and must be done before another may take over.",
            )
        return self


class Login(Configured):
    """A request that trades credentials for a token; slots: login, password, extra."""

    call: str = Field(pattern=r"^(GET|POST|PUT) /\S*$")
    headers: Mapping[str, str] = {}
    format: Literal["json", "form"] = "json"
    body: Any = None
    token: str | None = None
    """Where the token is in the answer, as a dotted path."""
    token_header: str | None = None
    """The answer's header that holds the token, where its body does not."""

    @model_validator(mode="after")
    def _names_one_place(self) -> Login:
        if (self.token is None) == (self.token_header is None):
            found = "neither `token`" if self.token is None else "both `token`"
            raise mistake(f"{found} and `token_header`", "one of the two")
        return self


class Auth(Configured):
    """How requests prove who sends them; slots: login, password, extra, and token of a login."""

    kind: Literal["none", "basic", "bearer", "header", "session"] = "none"
    header: str = "Authorization"
    value: str | None = None
    login: Login | None = None

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Auth:
        if (self.kind == "session") != (self.login is not None):
            found = f"kind {self.kind} {'with' if self.login else 'without'} `login`"
            raise mistake(found, "`login` with kind session, and there only")
        if self.kind == "header" and self.value is None:
            raise mistake("kind header without `value`", 'a value such as "{password}"')
        return self


class RateHeaders(Configured):
    """The names of a system's own rate headers."""

    remaining: str | None = None
    reset: str | None = None
    """Seconds until the budget is full again, or a Unix time."""


class Limits(Configured):
    """The system's rate budget."""

    per_second: Annotated[float, Field(gt=0)] | None = None
    """No second has more requests than this."""
    burst: Count | None = None
    """Requests that may follow at once after a pause; without it, those of a second. More than those come on top of them."""
    headers: RateHeaders = RateHeaders()


class Verdict(StrEnum):
    """What an answer means."""

    OK = "ok"
    RETRY = "retry"
    GONE = "gone"
    STALE = "stale"
    EXISTS = "exists"
    REFUSED = "refused"
    BAD_CREDENTIALS = "bad_credentials"
    UNKNOWN = "unknown"


class Fault(Configured):
    """One line of the fault table: this status, and this text in the answer, mean that."""

    status: int | tuple[int, ...] | None = None
    """Without it, any status."""
    at: str | None = None
    """Dotted path into the parsed answer; without it ``matches`` looks at the whole answer."""
    matches: str | None = None
    then: Verdict

    def covers(self, status: int) -> bool:
        """Whether the line is about answers of this status."""
        if isinstance(self.status, tuple):
            return status in self.status
        return self.status in (None, status)

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise mistake(repr(pattern), f"a regular expression ({error})") from None
        return pattern


class Manifest(Configured):
    """What all manifests have. A kind adds its ``streams``."""

    system: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: str
    title: str
    about: str = ""
    params: Mapping[str, Param] = {}

    def attach(self, read: ReadBeside) -> Iterator[tuple[Location, str, str, str]]:
        """Take in what lies beside the manifest; yields mistakes: where, what was found, what is allowed, what to do."""
        yield from ()


class HttpManifest(Manifest):
    """What manifests of systems that answer over HTTP have besides."""

    http: Http = Http()
    auth: Auth = Auth()
    limits: Limits = Limits()
    faults: tuple[Fault, ...] = ()


M = TypeVar("M", bound=Manifest)


def check_manifest(
    tree: Tree,
    given: Mapping[str, Any],
    model: type[M],
    asked: tuple[Origin, Location] | None = None,
    read: ReadBeside = lambda _name: None,
) -> tuple[M | None, dict[str, Any], list[Mistake]]:
    """``tree`` as a ``model`` with the deployment's params filled in, the values of these, and all mistakes.

    ``asked`` is where the deployment gives the params: what is wrong with them is reported there. ``read`` gives the files
    that lie beside the manifest.
    """
    content = tree.data if isinstance(tree.data, dict) else {}
    params = _params(tree.mapping("params"))
    origin, place = asked or (tree.origin, ("params",))
    mistakes: list[Mistake] = []
    unusable = set()

    def unknown(at: Location, name: str) -> None:
        unusable.add(dotted(at))
        if name not in params:
            mistakes.append(tree.origin.mistake(at, *no_param(name, params)))

    for name in given.keys() - params:
        mistakes.append(origin.mistake((*place, name), *no_param(name, params)))
    missing = {name for name, param in params.items() if param.required} - given.keys()
    for name in missing:
        allowed = f"a value for the required param {name!r}"
        do = "Give it in hub.yaml, under this system's params."
        mistakes.append(origin.mistake((*place, name), "nothing", allowed, do))
    values = {
        name: given.get(name, param.default)
        for name, param in params.items()
        if name not in missing
    }
    filled = {
        key: part if key == "params" else fill(part, values, unknown, (key,))
        for key, part in content.items()
    }
    found, others = check(replace(tree, data=filled) if content else tree, model)
    mistakes += [other for other in others if other.path not in unusable]
    if found is not None and not mistakes:
        mistakes = [tree.origin.mistake(*wrong) for wrong in found.attach(read)]
    values = {name: value for name, value in values.items() if value is not None}
    return None if mistakes else found, values | dict.fromkeys(missing, ""), mistakes


def _params(declared: Mapping[str, Any]) -> dict[str, Param]:
    """The params that a manifest declares; one whose declaration has mistakes still has its name."""
    found = {}
    for name, content in declared.items():
        found[name] = Param(about="")
        with suppress(ValidationError):
            found[name] = Param.model_validate(content)
    return found

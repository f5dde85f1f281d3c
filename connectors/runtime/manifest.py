"""The part of a manifest that every kind of system shares, as validated models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from connectors.runtime.loader import load

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


class Part(BaseModel):
    """A piece of a manifest: unknown keys are mistakes, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Param(Part):
    """One value that a deployment gives, used as ``${name}``."""

    about: str
    required: bool = False
    default: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _required_has_no_default(self) -> Param:
        if self.required and self.default is not None:
            raise ValueError("a required param has no default")
        return self


class Http(Part):
    """How requests are sent."""

    base: str = ""
    """A path between the connection's address and the paths of the calls."""
    headers: Mapping[str, Any] = {}
    message: str | None = None
    """Where an error answer says what is wrong, as a dotted path."""
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 60
    largest_answer_mb: Count = 64
    attempts: Count = 4
    """How often a read is tried; a write is sent once."""
    longest_wait: Seconds = 30
    """A longer ``Retry-After`` is left to the orchestrator."""


class Login(Part):
    """A request that trades credentials for a token; slots: login, password, extra."""

    call: str = Field(pattern=r"^(GET|POST|PUT) /\S*$")
    headers: Mapping[str, str] = {}
    format: Literal["json", "form"] = "json"
    body: Any = None
    token: str
    """Where the token is in the answer, as a dotted path."""


class Auth(Part):
    """How requests prove who sends them; slots: login, password, extra, and token of a login."""

    kind: Literal["none", "basic", "bearer", "header", "session"] = "none"
    header: str = "Authorization"
    value: str | None = None
    login: Login | None = None

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Auth:
        if (self.kind == "session") != (self.login is not None):
            raise ValueError("`login` belongs to kind session, and kind session needs it")
        if self.kind == "header" and self.value is None:
            raise ValueError('kind header needs `value`, such as "{password}"')
        return self


class RateHeaders(Part):
    """The names of a system's own rate headers."""

    remaining: str | None = None
    reset: str | None = None
    """Seconds until the budget is full again, or a Unix time."""


class Limits(Part):
    """The system's rate budget."""

    per_second: Annotated[float, Field(gt=0)] | None = None
    burst: Count = 10
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


class Fault(Part):
    """One line of the fault table: this status, and this text in the answer, mean that."""

    status: int | tuple[int, ...]
    at: str | None = None
    """Dotted path into a JSON answer; without it ``matches`` looks at the whole answer."""
    matches: str | None = None
    then: Verdict

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern


class Manifest(Part):
    """What all manifests have. A kind adds its ``streams``."""

    system: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: str
    title: str
    about: str = ""
    params: Mapping[str, Param] = {}
    http: Http = Http()
    auth: Auth = Auth()
    limits: Limits = Limits()
    faults: tuple[Fault, ...] = ()


M = TypeVar("M", bound=Manifest)


def load_manifest(text_or_path: str | Path, params: Mapping[str, Any], model: type[M]) -> M:
    """A manifest with the deployment's params filled in.

    Raises ``ManifestError``, which lists every mistake with its path and line.
    """
    return load(text_or_path, params, model)

"""The shape of a REST system's manifest."""

from __future__ import annotations

from typing import ClassVar, Literal

from connectors.runtime.streams.models import StreamManifest


class RestManifest(StreamManifest):
    """A system with a REST API. A call is a method and a path: ``GET /users/{key}``."""

    form: ClassVar[str] = r"^(GET|POST|PUT|PATCH|DELETE) /\S*$"
    form_is: ClassVar[str] = "a method and a path, such as GET /users/{key}"

    kind: Literal["rest"]
    dialect: Literal["plain", "tryton"] = "plain"

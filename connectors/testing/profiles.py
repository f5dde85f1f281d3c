"""What a simulated system can do and how it spoils what it is given, and the manifest for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Lossy = Callable[[Any, Any], Any]
"""Of the value held and the value sent, the value that is kept."""


def truncated(length: int) -> Lossy:
    """A field that keeps only its beginning."""
    return lambda old, new: new[:length] if isinstance(new, str) else new


def lowered(_old: Any, new: Any) -> Any:
    """A field that is kept in lower case."""
    return new.lower() if isinstance(new, str) else new


def ineffective(old: Any, _new: Any) -> Any:
    """A field that takes a write and keeps what it had."""
    return old


@dataclass(frozen=True, slots=True)
class Profile:
    """One simulated system. The defaults are a well-behaved one."""

    name: str = "shop"
    fields: tuple[str, ...] = ("name", "email", "phone", "city", "status", "note")
    children: tuple[str, ...] = ()
    """Lists of objects with an ``id``, written child by child."""
    paging: Literal["keyset", "page", "offset", "next"] = "keyset"
    page_size: int = 100
    delta: bool = True
    overlap: float = 0
    resolution: float = 0
    """Seconds to which change times are cut off; 0 keeps microseconds."""
    etag: bool = False
    auth: Literal["none", "bearer", "session"] = "bearer"
    find: bool = True
    unique: tuple[str, ...] = ("ref",)
    """Fields of which no two records may have the same value."""
    lossy: Mapping[str, Lossy] = field(default_factory=dict)

    def manifest(self) -> str:
        """The manifest of this system, as the text of a YAML file. (JSON is YAML.)"""
        return "# A simulated system.\n" + json.dumps(self._manifest(), indent=1)

    def _manifest(self) -> dict[str, Any]:
        stream: dict[str, Any] = {
            "key": {"at": "id", "type": "integer"},
            "stamp": {"at": ["updated"]},
            "omit": ["version"],
            "read": self._read(),
            "fetch": {
                "call": "GET /customers",
                "query": {"id": "{keys}"},
                "records": "items",
                "batch": 100,
            },
            "children": {name: {"key": "id"} for name in self.children},
            "writes": self._writes(),
            "guard": "etag" if self.etag else "reread",
        }
        if self.etag:
            stream["etag"] = "version"
        if self.find:
            query = {"ref": "{correlation}"}
            stream["find"] = [{"call": "GET /customers", "query": query, "records": "items"}]
        auth: dict[str, Any] = {"kind": self.auth}
        if self.auth == "session":
            body = {"user": "{login}", "password": "{password}"}
            auth["login"] = {"call": "POST /login", "body": body, "token": "token"}
        return {
            "system": self.name,
            "kind": "rest",
            "title": f"Simulated {self.name}",
            "params": {"size": {"about": "Rows per request.", "default": self.page_size}},
            "http": {"message": "message", "longest_wait": 2, "attempts": 3},
            "auth": auth,
            "streams": {"customers": stream},
        }

    def _read(self) -> dict[str, Any]:
        slots: dict[str, dict[str, str]] = {
            "keyset": {"after": "{last}"},
            "page": {"page": "{page}"},
            "offset": {"offset": "{offset}"},
            "next": {"token": "{next}"},
        }
        paging: dict[str, Any] = {"by": self.paging, "size": "${size}"}
        if self.paging in ("page", "offset"):
            paging["total"] = "total"
        if self.paging == "keyset":
            paging["short_page_ends"] = True
        if self.paging == "next":
            paging["next"] = "next"
        read: dict[str, Any] = {
            "call": "GET /customers",
            "query": {"size": "{size}", **slots[self.paging]},
            "records": "items",
            "paging": paging,
        }
        if self.delta:
            read["delta"] = {"query": {"since": "{since}"}, "overlap": self.overlap}
        return read

    def _writes(self) -> dict[str, Any]:
        by_child = {
            "created": ["create", "{change}"],
            "updated": ["update", "{id}", "{change}"],
            "removed": ["delete", "{id}"],
        }
        body: dict[str, Any] = {
            "send": list(self.fields),
            "nested": dict.fromkeys(self.children, by_child),
            "returns": "record",
        }
        created = {**body, "body": {"ref": "{correlation}"}, "covers": ["ref"]}
        return {
            "create": [{"call": "POST /customers", **created}],
            "update": [{"call": "PATCH /customers/{key}", **body}],
            "delete": [{"call": "DELETE /customers/{key}"}],
        }

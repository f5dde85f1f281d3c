"""The manifest of a simulated system, as an engineer would write it who knows its habits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.testing.profiles import Profile

_SLOTS: dict[str, dict[str, str]] = {
    "keyset": {"after": "{last}"},
    "page": {"page": "{page}"},
    "offset": {"offset": "{offset}"},
    "next": {"token": "{next}"},
}


def manifest_of(profile: Profile) -> str:
    """The manifest as the text of a YAML file. (JSON is YAML.)"""
    return "# A simulated system.\n" + json.dumps(_manifest(profile), indent=1)


def _manifest(profile: Profile) -> dict[str, Any]:
    auth: dict[str, Any] = {"kind": profile.auth}
    if profile.auth == "session":
        body = {"user": "{login}", "password": "{password}"}
        auth["login"] = {"call": "POST /login", "body": body, "token": "token"}
    http = {
        "message": "message",
        "read_timeout": profile.timeout,
        "longest_wait": profile.longest_wait,
        "attempts": profile.attempts,
    }
    return {
        "system": profile.name,
        "kind": "rest",
        "title": f"Simulated {profile.name}",
        "params": {"size": {"about": "Rows per request.", "default": profile.page_size}},
        "http": http,
        "limits": {"per_second": profile.per_second} if profile.per_second else {},
        "auth": auth,
        "streams": {"customers": _stream(profile)},
    }


def _stream(profile: Profile) -> dict[str, Any]:
    by_mail = profile.keys == "email"
    stream: dict[str, Any] = {
        "key": {"at": "email"} if by_mail else {"at": "id", "type": "integer"},
        "omit": ["version"],
        "read": _read(profile),
        "fetch": _fetch(profile),
        "children": {name: {"key": "id"} for name in profile.children},
        "writes": _writes(profile),
        "guard": "etag" if profile.etag else "reread",
    }
    if profile.stamps:
        # what is cut off a time is a way of being wrong, too
        stream["stamp"] = {"at": ["updated"], "skew": abs(profile.skew) + profile.resolution}
    if profile.etag:
        stream["etag"] = "version"
    if profile.deletes == "soft":
        stream["deleted"] = {"at": "deleted", "equals": True}
        stream["omit"] += ["deleted"]
    if profile.deletes == "log" and profile.has_delta:
        stream["deletions"] = {
            "call": "GET /deletions",
            "query": {"since": "{since}", "size": "{size}", "token": "{next}"},
            "records": "items",
            "paging": {"by": "next", "size": "${size}", "next": "next"},
            "key": {"at": "record", "type": stream["key"].get("type", "text")},
            "at": "at",
        }
    if profile.find:
        query = {"email": "{after.email}"} if by_mail else {"ref": "{correlation}"}
        stream["find"] = [{"call": "GET /customers", "query": query, "records": "items"}]
    return stream


def _fetch(profile: Profile) -> dict[str, Any]:
    if profile.batch == 1:
        return {"call": "GET /customers/{key}", "aliases": profile.known_aliases}
    return {
        "call": "GET /customers",
        "query": {"id": "{keys}"},
        "records": "items",
        "batch": profile.batch,
    }


def _read(profile: Profile) -> dict[str, Any]:
    paging: dict[str, Any] = {"by": profile.paging, "size": "${size}"}
    if profile.paging in ("page", "offset"):
        paging["total"] = "total"
    if profile.paging == "keyset":
        paging["short_page_ends"] = True
        if profile.keys == "email":
            paging["start"] = ""
    if profile.paging == "next":
        paging["next"] = "next"
    read: dict[str, Any] = {
        "call": "GET /customers",
        "query": {"size": "{size}", **_SLOTS[profile.paging]},
        "records": "items",
        "paging": paging,
    }
    if profile.pages_at_once > 1:
        read["pages_at_once"] = profile.pages_at_once
    if profile.has_delta:
        # a border that is left out must have been read before: one step of the comparison earlier
        step = max(profile.resolution, 1 if profile.by_second else 0, 1e-6)
        overlap = profile.overlap + (step if profile.exclusive else 0)
        read["delta"] = {"query": {"since": "{since}"}, "overlap": overlap}
    return read


def _writes(profile: Profile) -> dict[str, Any]:
    by_child = {
        "created": ["create", "{change}"],
        "updated": ["update", "{id}", "{change}"],
        "removed": ["delete", "{id}"],
    }
    body: dict[str, Any] = {
        "send": list(profile.fields),
        "nested": dict.fromkeys(profile.children, by_child),
        "returns": "record" if profile.answers else "nothing",
    }
    created = dict(body)
    if profile.find and profile.keys == "own":
        created |= {"body": {"ref": "{correlation}"}, "covers": ["ref"]}
    if not profile.answers:
        created["key_at"] = "email" if profile.keys == "email" else "id"
    return {
        "create": [{"call": "POST /customers", **created}],
        "update": [{"call": "PATCH /customers/{key}", **body}],
        "delete": [{"call": "DELETE /customers/{key}"}],
    }


__all__ = ["manifest_of"]

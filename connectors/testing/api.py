"""The REST API of a simulated system: requests on its state."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from connectors.contract import Document
from connectors.testing.server import Reply
from connectors.testing.state import State

TOKEN = "simulated-key"
_LARGEST_PAGE = 1000


class Api:
    """Answers requests. Not safe to share: whoever calls it holds the lock of the state."""

    empty = b'{"items": []}'
    """A listing of nothing."""

    def __init__(self, state: State) -> None:
        self.state, self.profile = state, state.profile
        self.poisoned: dict[str, bytes] = {}
        self.logins = 0
        self.tokens: set[str] = {TOKEN}

    def verb(self, method: str, body: bytes) -> str:
        """What a request is for, as the method that REST has for it."""
        return method

    def refusal(self, status: int, message: str) -> Reply:
        """An answer that says no."""
        return answer(status, {"message": message})

    def doubled(self, reply: Reply) -> Reply:
        """The same listing with every row twice."""
        body = json.loads(reply.body)
        if not isinstance(body, dict) or not isinstance(body.get("items"), list):
            return reply
        rows = [row for row in body["items"] for _ in range(2)]
        return Reply(reply.status, json.dumps({**body, "items": rows}).encode(), reply.headers)

    def login(self) -> Reply:
        """A new token."""
        self.logins += 1
        token = f"token-{self.logins}"
        self.tokens.add(token)
        return answer(200, {"token": token})

    def expire(self) -> None:
        """No token is good any more that was given out before."""
        self.tokens = set()

    def route(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        partly: bool = False,
    ) -> Reply:
        """The answer to one request; ``partly`` does and tells half of what it asks for."""
        parts = urlsplit(target)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if self.profile.auth != "none" and token not in self.tokens:
            return answer(401, {"message": "who are you?"})
        query = parse_qs(parts.query)
        if method == "GET" and parts.path == "/deletions" and self.profile.deletes == "log":
            return self._deletions(query)
        found = re.fullmatch(r"/customers(?:/([^/]+))?", parts.path)
        if not found:
            return answer(404, {"message": "no such path"})
        key = unquote(found[1]) if found[1] else None
        if method == "GET":
            return self._one(key) if key else self._list(query, partly=partly)
        data: Document = json.loads(body) if body else {}
        if partly:
            data = half(data)
        if method == "POST":
            return self._create(data)
        return self._change(method, key or "", headers, data)

    def _create(self, data: Document) -> Reply:
        if self.profile.keys == "email" and not data.get("email"):
            return answer(400, {"message": "an address is needed"})
        if clash := self.state.clash(data, None):
            return answer(409, {"message": f"{clash} exists already"})
        key = self.state.add(data, by_api=True)
        self.state.record_write("POST", key, data, changed=True)
        if self.profile.answers:
            return self._one(key, 201)
        record = self.state.records[key]
        return answer(201, {name: record[name] for name in ("id", "email") if name in record})

    def _change(self, method: str, key: str, headers: Mapping[str, str], data: Document) -> Reply:
        records = self.state.records
        if key not in records:
            return answer(410 if key in self.state.listed() else 404, {"message": "no such record"})
        expected = headers.get("if-match")
        if self.profile.etag and expected not in (None, str(records[key]["version"])):
            return answer(412, {"message": "changed meanwhile"})
        if method == "DELETE":
            self.state.record_write(method, key, {}, changed=True)
            self.state.remove(key)
            return Reply(204)
        if self.profile.keys == "email" and not data.get("email", key):
            return answer(400, {"message": "an address is needed"})
        if clash := self.state.clash(data, key):
            return answer(409, {"message": f"{clash} exists already"})
        before = _content(records[key])
        now = self.state.put(key, data, by_api=True)
        changed = _content(records[now]) != before
        self.state.record_write(method, now, data, changed=changed)
        return self._one(now) if self.profile.answers else Reply(204)

    def _one(self, key: str, status: int = 200) -> Reply:
        records = self.state.records
        survivor = self.state.alias(key)
        if key not in records and survivor in records and self.profile.aliases != "gone":
            if self.profile.aliases == "survivor":
                return self._one(survivor)
            return Reply(301, b"", {"Location": f"/customers/{quote(survivor, safe='')}"})
        listed = self.state.listed()
        if key not in listed:
            return answer(404, {"message": "no such record"})
        return Reply(status, self._row(key), self._version(listed[key]))

    def _version(self, record: Document) -> dict[str, str]:
        return {"ETag": str(record["version"])}

    def _row(self, key: str) -> bytes:
        return self.poisoned.get(key) or json.dumps(self.state.listed()[key]).encode()

    def _list(self, query: Mapping[str, list[str]], *, partly: bool) -> Reply:
        listed = self.state.listed()
        chosen = self.state.ordered(listed)
        for name in ("ref", "email"):
            if name in query and self.profile.find:
                wanted = query[name][0].casefold()
                chosen = [key for key in chosen if _text(listed[key], name) == wanted]
        if "id" in query:
            chosen = [key for key in chosen if key in query["id"]]
            chosen = chosen[: (len(chosen) + 1) // 2] if partly else chosen
        if "since" in query:
            since = datetime.fromisoformat(query["since"][0])
            chosen = [key for key in chosen if self.state.since(listed[key].get("updated"), since)]
        if query.get("after", [""])[0]:
            last = query["after"][0]
            behind: Any = int(last) if self.profile.keys == "own" else last.casefold()
            total, chosen = len(chosen), [key for key in chosen if self.state.place(key) > behind]
            return self._page(chosen, query, self._row, self.state.place, total)
        return self._page(chosen, query, self._row, self.state.place)

    def _deletions(self, query: Mapping[str, list[str]]) -> Reply:
        since = datetime.fromisoformat(query["since"][0])
        entries = {
            str(entry["seq"]): entry
            for entry in self.state.deletions
            if self.state.since(entry["at"], since)
        }
        return self._page(list(entries), query, lambda key: json.dumps(entries[key]).encode(), int)

    def _page(
        self,
        chosen: list[str],
        query: Mapping[str, list[str]],
        row: Callable[[str], bytes],
        place: Callable[[str], Any],
        total: int | None = None,
    ) -> Reply:
        """One page of what a listing has."""
        total = len(chosen) if total is None else total
        size = int(query.get("size", [str(_LARGEST_PAGE)])[0])
        start = int(query.get("offset", ["0"])[0])
        if "page" in query:
            start = (int(query["page"][0]) - 1) * size
        if query.get("token", [""])[0]:
            behind = json.loads(query["token"][0])
            chosen = [key for key in chosen if place(key) > behind]
        page = chosen[start : start + size]
        more = bool(page) and len(chosen) > start + size
        token = json.dumps(place(page[-1])) if more else None
        rows = b",".join(row(key) for key in page)
        head = b'{"items":[' + rows + b'],"total":' + str(total).encode()
        return Reply(200, head + b',"next":' + json.dumps(token).encode() + b"}")


def answer(status: int, body: Any) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(body).encode())


def half(data: Document) -> Document:
    """What identifies a record, and half of the rest."""
    known = [name for name in ("ref", "email") if name in data]
    rest = sorted(data.keys() - set(known))
    return {name: data[name] for name in [*known, *rest[: (len(rest) + 1) // 2]]}


def _content(record: Document) -> Document:
    return {name: value for name, value in record.items() if name not in ("updated", "version")}


def _text(record: Document, name: str) -> str:
    return str(record.get(name) or "").casefold()


__all__ = ["TOKEN", "Api", "answer", "half"]

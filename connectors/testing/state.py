"""What a simulated system holds and what it does with it: its clock, its losses, its deletes and merges. No HTTP."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import Document
from connectors.testing.losses import DROPPED, dropped
from connectors.testing.profiles import Profile


@dataclass(frozen=True, slots=True)
class Write:
    """One write of the API that took effect. ``changed``: the record holds something else than before."""

    method: str
    key: str
    body: Mapping[str, Any]
    at: datetime
    changed: bool = True


class State:
    """The records of one system. Not safe to share: whoever holds it holds a lock."""

    def __init__(self, profile: Profile, clock: Callable[[], datetime]) -> None:
        self.profile, self.clock = profile, clock
        self.records: dict[str, Document] = {}
        self.trash: dict[str, Document] = {}
        self.deletions: list[Document] = []
        self.aliases: dict[str, str] = {}
        self.writes: list[Write] = []
        self._moved: dict[str, int] = {}
        self._changes = self._ids = 0
        self._to_revert: list[tuple[str, str, Any, Any]] = []

    # --- the clock ---------------------------------------------------------------------------

    def now(self) -> datetime:
        """The time on this system's own clock."""
        return self.clock().astimezone(UTC) + timedelta(seconds=self.profile.skew)

    def stamp(self) -> datetime:
        """The time as this system writes it down."""
        return self._cut(self.now(), self.profile.resolution)

    def _cut(self, time: datetime, seconds: float) -> datetime:
        if not seconds:
            return time
        return datetime.fromtimestamp(time.timestamp() // seconds * seconds, UTC)

    # --- records -----------------------------------------------------------------------------

    def add(self, fields: Mapping[str, Any], *, by_api: bool = False) -> str:
        """A new record; its key."""
        self._ids += 1
        kept = (name for name in self.profile.fields if self.profile.lossy.get(name) is not dropped)
        record: Document = {**dict.fromkeys(kept, ""), "version": 0}
        record |= {name: [] for name in self.profile.children}
        if self.profile.keys == "own":
            record = {"id": self._ids, "ref": "", **record}
        if self.profile.deletes == "soft":
            record["deleted"] = False
        key = str(self._ids)
        if self.profile.keys == "email":
            given = fields.get("email") or f"n{self._ids}@example.org"
            fields = {**fields, "email": given}
            key = self._kept("email", "", given) if by_api else given
        self.records[key] = record
        return self.put(key, fields, by_api=by_api)

    def put(
        self,
        key: str,
        fields: Mapping[str, Any],
        *,
        by_api: bool = False,
        stamp: datetime | None = None,
    ) -> str:
        """Change a record as a person does, or with this system's losses as its API does; its key afterwards."""
        if self.profile.keys == "email" and self.clash(fields, key):
            raise ValueError("this address is the key of another record")
        record = self.records[key]
        before = copy.deepcopy(record)
        for name, value in copy.deepcopy(dict(fields)).items():
            if name in self.profile.children and by_api:
                value = self._children(name, record[name], value)
            elif by_api and name in self.profile.reverting and value != record.get(name):
                self._to_revert.append((key, name, record.get(name), value))
            if by_api or self.profile.lossy.get(name) is dropped:
                value = self._kept(name, record.get(name), value)
            if value is not DROPPED:
                record[name] = value
        seen = {
            name
            for name in record
            if record[name] != before.get(name)
            and not (self.profile.hidden_children and name in self.profile.children)
        }
        if seen or record["version"] == 0 or record == before:
            self._touch(key, stamp)
        record["version"] += 1
        if self.profile.keys == "email" and record["email"] and record["email"] != key:
            self.records[record["email"]] = self.records.pop(key)
            self._moved[record["email"]] = self._moved.pop(key)
            key = record["email"]
        return key

    def remove(self, key: str) -> None:
        """Delete a record in this system's way."""
        record = self.records.pop(key)
        if self.profile.deletes == "soft":
            record["deleted"] = True
            record["version"] += 1
            self._touch(key, record=record)
        elif self.profile.deletes == "log":
            self._log_deletion(key)
        self.trash[key] = record

    def undelete(self, key: str) -> None:
        """Take a deleted record back, under its old key."""
        record = self.records[key] = self.trash.pop(key)
        self.aliases.pop(key, None)
        record["version"] += 1
        if self.profile.deletes == "soft":
            record["deleted"] = False
        self._touch(key)

    def merge(self, loser: str, survivor: str) -> None:
        """One record becomes part of another, which keeps what it has, gets what it lacks, and all children."""
        kept, gone = self.records[survivor], self.records[loser]
        fields = {
            name: gone[name]
            for name in self.profile.fields
            if name in kept and not kept[name] and gone.get(name)
        }
        fields |= {
            name: [*kept[name], *(item for item in gone[name] if item not in kept[name])]
            for name in self.profile.children
        }
        self.remove(loser)
        self.aliases[loser] = survivor
        self.put(survivor, fields)
        self._touch(survivor)

    def alias(self, key: str) -> str | None:
        """The record into which this one was merged, directly or over others."""
        found = self.aliases.get(key)
        while found is not None and found in self.aliases:
            found = self.aliases[found]
        return found

    def tick(self) -> int:
        """Put back what validations do not like, unless somebody has changed it since; how many fields."""
        pending, self._to_revert = self._to_revert, []
        undone = 0
        for key, name, old, sent in pending:
            record = self.records.get(key)
            if record is not None and record.get(name) == self._kept(name, old, sent) != old:
                self.put(key, {name: old})
                undone += 1
        return undone

    def clash(self, data: Mapping[str, Any], key: str | None) -> str | None:
        """The field in which this would be a second record of the same value."""
        for name in self.profile.unique:
            value = data.get(name)
            for other, record in self.records.items():
                if value and other != key and record.get(name) == value:
                    return name
        if self.profile.keys == "email" and data.get("email"):
            kept = self._kept("email", "", data["email"]).casefold()
            if any(other != key and other.casefold() == kept for other in self.records):
                return "email"
        return None

    def _touch(
        self, key: str, stamp: datetime | None = None, record: Document | None = None
    ) -> None:
        self._changes += 1
        self._moved[key] = self._changes
        if self.profile.stamps:
            (record or self.records[key])["updated"] = (stamp or self.stamp()).isoformat()

    def _log_deletion(self, key: str) -> None:
        named = int(key) if self.profile.keys == "own" else key
        entry = {"seq": len(self.deletions) + 1, "record": named, "at": self.stamp().isoformat()}
        self.deletions.append(entry)

    def _kept(self, name: str, old: Any, new: Any) -> Any:
        rule = self.profile.lossy.get(name)
        return new if rule is None else rule(old, new)

    def _children(self, name: str, held: list[Document], commands: Any) -> list[Document]:
        items = {item["id"]: item for item in copy.deepcopy(held)}
        for verb, *rest in commands:
            if verb == "create":
                self._ids += 1
                items[self._ids] = {**self._child(name, {}, rest[0]), "id": self._ids}
            elif verb == "update" and rest[0] in items:
                items[rest[0]] |= self._child(name, items[rest[0]], rest[1])
            elif verb == "delete":
                items.pop(rest[0], None)
        return list(items.values())

    def _child(self, name: str, held: Document, sent: Document) -> Document:
        kept = {
            part: self._kept(f"{name}.{part}", held.get(part), value)
            for part, value in sent.items()
        }
        return {part: value for part, value in kept.items() if value is not DROPPED}

    # --- listings ----------------------------------------------------------------------------

    def listed(self) -> dict[str, Document]:
        """Everything that a listing shows: what is deleted softly, too."""
        return {**self.trash, **self.records} if self.profile.deletes == "soft" else self.records

    def place(self, key: str) -> Any:
        """Where a record stands in a listing: places sort, and a row behind another has a greater one."""
        match self.profile.order:
            case "oldest":
                return self._moved[key]
            case "newest":
                return -self._moved[key]
            case "none":
                return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
            case _:
                return int(key) if self.profile.keys == "own" else key.casefold()

    def ordered(self, keys: Iterable[str]) -> list[str]:
        """These keys in the order of this system's listings."""
        return sorted(keys, key=self.place)

    def since(self, written: str | None, since: datetime) -> bool:
        """Whether a delta that asks from ``since`` shows a change that was written down so."""
        if written is None:
            return False
        time = datetime.fromisoformat(written)
        if self.profile.by_second:
            time, since = self._cut(time, 1), self._cut(since, 1)
        return time > since if self.profile.exclusive else time >= since

    # --- what is counted ---------------------------------------------------------------------

    def record_write(self, method: str, key: str, body: Document, *, changed: bool) -> None:
        """Note that a write of the API took effect."""
        self.writes.append(Write(method, key, body, self.now(), changed))

    def duplicates(self, by: tuple[str, ...]) -> list[list[str]]:
        """Groups of live records with the same values in these fields, however they are written."""
        groups: dict[str, list[str]] = {}
        for key, record in self.records.items():
            values = [str(record.get(name) or "").strip().casefold() for name in by]
            if any(values):
                groups.setdefault(json.dumps(values), []).append(key)
        return [keys for keys in groups.values() if len(keys) > 1]

    def effects(self) -> Counter[str]:
        """How many writes of the API took effect on each record."""
        return Counter(write.key for write in self.writes)


__all__ = ["State", "Write"]

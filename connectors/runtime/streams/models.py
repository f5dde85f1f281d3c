"""The shape of streams in a manifest: how they are read, and what a record is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from connectors.contract import Guard
from connectors.runtime.manifest import Count, HttpManifest, Seconds
from connectors.runtime.streams.calls import Call, Lookup
from connectors.runtime.streams.writes import ActionStep, Children, Reference, Writes
from connectors.runtime.templates import slots
from connectors.yamlfile import Configured, Location, did_you_mean, mistake, together

ValueType = Literal["boolean", "date", "datetime", "decimal", "text"]


class Paging(Configured):
    """How a listing goes on, and the slots that it fills.

    none: one answer. page: ``{page}`` and ``{size}``. offset: ``{offset}`` and ``{size}``.
    keyset: ``{last}``, the greatest key so far, and ``{size}``; rows may come and go meanwhile.
    next: ``{next}``, a token, or a whole address, from the answer (``next``) or its Link header.
    """

    by: Literal["none", "page", "offset", "keyset", "next"] = "none"
    size: Count = 100
    first: int = 1
    start: int | str = 0
    """Keyset: a key before all keys."""
    total: str | None = None
    """Where the answer says how many records there are."""
    next: str | None = None
    """Where the answer has the next token or address; without it the Link header is read."""
    more: str | None = None
    """Where the answer says whether there is more."""
    short_page_ends: bool = False
    """A page with fewer rows than asked for is the last; else an empty one is."""


class Delta(Configured):
    """How to ask for what changed; slot ``{since}``. Its entries replace those of the full read."""

    query: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}
    body: Any = None
    overlap: Seconds = 60
    """Seconds read again: transactions commit later than their time stamps say.

    Of a system that leaves out the time it is asked for, at least the step in which it compares: 1 for whole seconds.
    """
    ordered: bool = False
    """Answers come sorted by stamp, so that a change made during the scan comes at its end."""


class Read(Lookup):
    """The listing of a stream; slots of its paging, and ``{since}``."""

    paging: Paging = Paging()
    pages_at_once: Count = 1
    """How many pages are asked for at the same time."""
    delta: Delta | None = None

    @model_validator(mode="after")
    def _pages_at_once_can_be_asked_for(self) -> Read:
        paging = self.paging
        if self.pages_at_once == 1 or (paging.by == "page" and paging.total):
            return self
        if paging.by not in ("page", "offset"):
            allowed = "with paging by page or offset"
            do = "Leave it out: what asks for the next page is in the answer before."
        elif paging.by == "page" or (paging.size == 1 and not paging.total):
            allowed = "with `paging.total`, or with paging by offset and a size above 1"
            do = "Say where the answer has the total: else nobody sees that rows have moved meanwhile."
        else:
            return self
        raise mistake(
            f"`pages_at_once` with paging by {paging.by}", allowed, do, ("pages_at_once",)
        )


class Key(Configured):
    """Where a record's key is. An integer key is an integer in requests, a text in the hub."""

    at: str
    type: Literal["text", "integer"] = "text"


def _at(value: Any) -> Any:
    return {"at": value} if isinstance(value, str) else value


Version = Annotated[Key, BeforeValidator(_at, json_schema_input_type=str | Key)]
"""Where a record's version is; a path alone is short for one that is sent as text."""


class Stamp(Configured):
    """Where a record's change time is: the latest of these paths counts."""

    at: tuple[str, ...]
    format: str = "iso"
    """iso, epoch, epoch_ms, a strptime pattern, or native (the dialect's own); also of ``{since}``."""
    zone: str = "UTC"
    """For times without an offset of their own."""
    skew: Seconds = 0
    """How far a time may be off the hub's clock and the one in the answers' Date.

    What is cut off counts: whole minutes are off by up to 60.
    """
    keep: bool = False
    """Leave the times in the document. Else a document changes only when a field does."""
    since: str | None = None
    """How ``{since}`` is written, where the system wants it otherwise than it gives times; as ``format``."""


class Named(Configured):
    """A list of named values that the document shows as one object, such as custom fields: ``{7: …, 9: …}``."""

    by: str
    """Where an item of the list has its name."""
    value: str
    """Where it has its value."""


class Marker(Configured):
    """A value that marks a record, such as a tombstone."""

    at: str
    equals: str | int | bool


class Deletions(Lookup):
    """The log of deletions: read behind every scan that knows from when; slots ``{since}`` and of its paging.

    A record that is named there and still answers (it was taken back) is no tombstone.
    """

    key: Key
    """Where a row names the deleted record."""
    at: str
    """Where a row has the time of the deletion, written as the stream's ``stamp``."""
    paging: Paging = Paging()


class Join(Configured):
    """Whose key matches whose: a path in the record, a path in the listed row."""

    ours: str
    theirs: str


class SideListing(Lookup):
    """A listing that is read whole once per full scan."""

    paging: Paging = Paging()


class SingleLookup(Lookup):
    """The request that completes one record; slots ``{record.…}``, ``{key}``, and ``{item.…}``."""

    over: str | None = None
    """A list in the record: one request for each of its items, the answers put together."""


class Include(Configured):
    """A part of the record that the system lists elsewhere.

    With ``listing`` a full scan reads that listing once and joins it; without it, every record
    costs a request of its own. Single records always use ``fetch``.
    """

    fetch: SingleLookup
    listing: SideListing | None = None
    match: Join | None = None
    keep: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    single: bool = False

    @model_validator(mode="after")
    def _a_listing_is_joined(self) -> Include:
        if (self.listing is None) != (self.match is None):
            raise mistake("one of `listing` and `match`", "both, or none of them")
        return self


class Fetch(Lookup):
    """Single records: slot ``{key}``, or ``{keys}`` for up to ``batch`` at once."""

    batch: Count = 1
    aliases: bool = False
    """The address of a record that was merged into another answers with that one."""


class Only(Configured):
    """A condition on records: what is there at a path, upper and lower case alike; ``equals`` is a template."""

    at: str
    equals: str


class Find(Lookup):
    """How to see whether a create took effect; slots ``{correlation}`` and ``{after.…}``.

    A lookup whose slots have no value is passed over; the first that finds something counts.
    """

    whole: bool = True
    """The answer holds records like those of the listing; else only their keys are used."""
    only: Only | None = None
    """Which of these records count, where the system cannot be asked for less than all."""

    def templates(self) -> Iterator[Any]:
        """See ``Call.templates``."""
        yield from super().templates()
        yield self.only.equals if self.only else None


class Stream(Configured):
    """One collection of records."""

    about: str = ""
    key: Key
    stamp: Stamp | None = None
    etag: Version | None = None
    """A path in the record, or ``header`` for the answer's ETag header."""
    deleted: Marker | None = None
    deletions: Deletions | None = None
    merged: str | None = None
    """Where a record that was merged into another names that one's key; empty in all others."""
    keep: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    alias: Mapping[str, str] = {}
    """Keys that the document has besides, and whose value each shows: so two fields can be mapped to one value."""
    named: Mapping[str, Named] = {}
    """Lists of named values that the document shows as objects; each value is written by itself."""
    nothing: Mapping[str, str | int | bool] = {}
    """Values that stand for nothing: read as absent keys, and written where nothing is."""
    sort: Mapping[str, tuple[str, ...]] = {}
    """Lists in the document and the paths that order them."""
    types: Mapping[str, ValueType] = {}
    read: Read
    include: Mapping[str, Include] = {}
    fetch: Fetch
    find: tuple[Find, ...] = ()
    children: Mapping[str, Children] = {}
    references: Mapping[str, Reference] = {}
    writes: Writes = Writes()
    guard: Guard = Guard.REREAD
    partial: bool = False
    """A path that is absent from a record is unknown, not empty."""

    @model_validator(mode="after")
    def _names_fit(self) -> Stream:
        if wrong := [*self._lacking(), *self._unknown_children(), *self._unknown_slots()]:
            raise together(wrong)
        return self

    def _lacking(self) -> Iterator[PydanticCustomError]:
        if self.guard is Guard.ETAG and self.etag is None:
            allowed = "with `etag`: where a record's version is"
            yield mistake("guard etag without `etag`", allowed, at=("guard",))
        if self.read.delta is not None and self.stamp is None:
            allowed = "with `stamp`: where a record's change time is"
            yield mistake("`delta` without `stamp`", allowed, at=("read", "delta"))
        if self.fetch.aliases and self.fetch.batch != 1:
            allowed = "with `batch: 1`: who was asked for must be known"
            yield mistake("`aliases` with a batch", allowed, at=("fetch", "aliases"))
        if self.deletions is not None and self.read.delta is None:
            allowed = "with `read.delta`: both are asked for from the same time on"
            yield mistake("`deletions` without `read.delta`", allowed, at=("deletions",))

    def _unknown_children(self) -> Iterator[PydanticCustomError]:
        for at, step in self.writes.steps():
            for child in [*step.nested, *(step.each or "").split(" ")[1:]]:
                if child not in self.children:
                    allowed = ", ".join(self.children) or "none: `children` declares none"
                    do = did_you_mean(child, self.children)
                    yield mistake(f"the children {child!r}", allowed, do, ("writes", *at))

    def _unknown_slots(self) -> Iterator[PydanticCustomError]:
        for at, allowed, call in self.calls():
            for slot in (slot for part in call.templates() for slot in slots(part)):
                if slot.split(".")[0] not in allowed:
                    do = did_you_mean(slot, allowed)
                    yield mistake(f"the slot {{{slot}}}", ", ".join(sorted(allowed)), do, at)

    def calls(self) -> Iterator[tuple[Location, set[str], Call]]:
        """Every request, where it stands, and the slots that it may have."""
        paging = {"page", "offset", "size", "last", "next"}
        yield ("read",), paging, self.read
        if self.read.delta is not None:
            delta = self.read.delta
            given = delta.model_fields_set & {"query", "headers", "body"}
            merged = {part: getattr(delta, part) for part in given}
            yield ("read", "delta"), paging | {"since"}, self.read.model_copy(update=merged)
        if self.deletions is not None:
            yield ("deletions",), paging | {"since"}, self.deletions
        yield ("fetch",), {"key", "keys"}, self.fetch
        for name, include in self.include.items():
            yield ("include", name, "fetch"), {"record", "key", "item"}, include.fetch
            if include.listing is not None:
                yield ("include", name, "listing"), paging, include.listing
        for place, find in enumerate(self.find):
            yield ("find", place), {"correlation", "after"}, find
        for name, reference in self.references.items():
            yield ("references", name), {"value"}, reference
        scope = {"key", "etag", "correlation", "before", "after"}
        for at, step in self.writes.steps():
            here = scope | ({"child", "change", "id"} if step.each else set())
            if isinstance(step, ActionStep):
                here |= {"now"} | ({"item"} if step.over else set())
            for name, lookup in step.look.items():
                yield ("writes", *at, "look", name), here, lookup
            yield ("writes", *at), here | ({"look"} if step.look else set()), step


class StreamManifest(HttpManifest):
    """A system that answers requests, stream by stream. A kind says how its calls look."""

    form: ClassVar[str]
    """What ``call`` has to match, as a regular expression."""
    form_is: ClassVar[str]
    """The same in words."""
    foreign: ClassVar[frozenset[str]] = frozenset()
    """Parts of a request that this kind does not have."""

    check: Lookup | None = None
    """A cheap request; without it the first record of the stream is asked for."""
    streams: Mapping[str, Stream] = Field(min_length=1)

    @model_validator(mode="after")
    def _calls_fit_the_kind(self) -> Self:
        calls = [((), self.check)] if self.check is not None else []
        found: list[tuple[Location, Call]] = [(("check", *at), call) for at, call in calls]
        for name, stream in self.streams.items():
            found += [(("streams", name, *at), call) for at, _, call in stream.calls()]
        if wrong := [one for at, call in found for one in self._misfits(at, call)]:
            raise together(wrong)
        return self

    @classmethod
    def _misfits(cls, at: Location, call: Call) -> Iterator[PydanticCustomError]:
        if not re.search(cls.form, call.call):
            yield mistake(repr(call.call), cls.form_is, at=(*at, "call"))
        for part in sorted(cls.foreign & call.model_fields_set):
            allowed = f"no such key in a system of kind {cls.model_fields['kind'].annotation}"
            yield mistake(f"`{part}`", allowed, at=(*at, part))

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema, which tells editors how this kind's calls look."""
        schema = super().model_json_schema(*args, **kwargs)
        for shape in schema["$defs"].values():
            properties = shape.get("properties", {})
            if properties.keys() >= Delta.model_fields.keys() - {"ordered", "overlap"}:
                for part in cls.foreign:
                    properties.pop(part, None)
                if "call" in properties:
                    properties["call"]["pattern"] = cls.form
        return schema

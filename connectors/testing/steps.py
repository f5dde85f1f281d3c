"""What the conformance tests stand on: a system that can be broken, and short words for their steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

import pytest

from connectors.contract import Outcome, Page, RawRecord, Scan, Sink, WriteCommand, Written

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Simulated(Protocol):
    """A system that a test can edit as a person would, and break."""

    calls: Counter[str]

    @property
    def records(self) -> dict[str, dict[str, Any]]: ...
    def add(self, **fields: Any) -> str: ...
    def edit(self, key: str, **fields: Any) -> Any: ...
    def remove(self, key: str) -> None: ...
    def poison(self, key: str, row: bytes) -> None: ...
    def expire_tokens(self) -> None: ...
    def start(self) -> Any: ...
    def stop(self) -> None: ...
    def open(self, clock: Callable[[], datetime] | None = None, **params: Any) -> Sink: ...
    def fail_next(
        self,
        what: Any,
        *,
        times: int = 1,
        methods: frozenset[str] = frozenset(),
        after: bool = False,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None: ...
    def calm(self) -> None: ...


class Steps:
    """Override what follows as needed."""

    stream: ClassVar[str] = "customers"
    size: ClassVar[int] = 3
    """Rows per page in these tests."""
    field = "name"
    """A text that these tests may write."""
    large = "x\x00" + "é" * 1_000_000
    """A text that comes whole; XML, for one, has no NUL."""
    address: str | None = None
    """The field that has to hold an e-mail address, where nothing can be made without one."""
    steady = True
    """Whether a row that leaves a listing while it is read hides no other. Page numbers cannot promise that."""

    def connect(self, system: Any) -> Sink:
        """A connector to the simulated system, with ``size`` rows per page."""
        opened: Sink = system.open(size=self.size)
        return opened

    def fill(self, system: Simulated, count: int) -> list[str]:
        return [system.add(**{self.field: f"number {place}"}) for place in range(count)]

    def stamp(self, system: Any, keys: list[str], time: str) -> None:
        """Give these records the same change time."""
        for key in keys:
            system.records[key]["updated"] = time

    def scan(
        self,
        connector: Sink,
        cursor: str | None = None,
        scan: Scan = Scan.FULL,
        most: int = 100,
    ) -> list[Page]:
        pages: list[Page] = []
        for page in connector.read(self.stream, cursor, scan):
            pages.append(page)
            assert len(pages) <= most, "the scan does not end"
        return pages

    def with_delta(self, system: Simulated) -> Sink:
        connector = self.connect(system)
        if not connector.capabilities(self.stream).delta:
            pytest.skip("this stream has no changed-since read")
        return connector

    def one(self, system: Simulated) -> tuple[Sink, RawRecord]:
        key = system.add(**{self.field: "Ada"})
        connector = self.connect(system)
        record = connector.fetch(self.stream, [key])[key]
        assert record is not None
        return connector, record

    def creation(self, value: str) -> WriteCommand:
        after = {self.field: value}
        if self.address is not None:
            after[self.address] = f"{re.sub('[^a-z]', '', value.lower())}@example.org"
        return WriteCommand("w-1", self.stream, None, {}, after, f"CRM-{value}")

    def create(self, connector: Sink, value: str) -> Outcome:
        (outcome,) = connector.write([self.creation(value)])
        return outcome

    def update(self, connector: Sink, record: RawRecord, value: str) -> Outcome:
        after = {**record.document, self.field: value}
        return self.send(connector, record.key, record.document, after, etag=record.etag)

    def send(
        self,
        connector: Sink,
        key: str,
        before: dict[str, Any],
        after: dict[str, Any],
        etag: str | None,
    ) -> Outcome:
        command = WriteCommand("w-2", self.stream, key, before, after, "CRM-2", etag)
        (outcome,) = connector.write([command])
        return outcome


def keys(pages: Iterable[Page]) -> list[str]:
    return [record.key for page in pages for record in page.records]


def by_key(pages: Iterable[Page]) -> dict[str, RawRecord]:
    return {record.key: record for page in pages for record in page.records}


def writes(system: Simulated) -> int:
    return sum(count for method, count in system.calls.items() if method in WRITES)


def written(outcome: Outcome) -> Written:
    assert isinstance(outcome, Written), outcome
    return outcome

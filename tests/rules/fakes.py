"""A hub in a box for the tests of the rules: a clock that stands still, systems of documents, the real engine.

A ``FakeSystem`` implements ``connectors.contract.Sink`` honestly: what is written can be read, what is read was there, and
every fault that it plays is one that real systems have. Nothing is patched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

from connectors.contract import (
    BadRow,
    Capabilities,
    Document,
    Gone,
    Guard,
    Health,
    Outcome,
    Page,
    RawRecord,
    Refused,
    Retry,
    Scan,
    Stale,
    Unknown,
    WriteCommand,
    Written,
)
from connectors.errors import BadAnswer, Unreachable
from crm_master.domain.claims import Instant
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine.ingest import moment
from mappings import CompiledMapping, EntityFile, compile_file, load_entity
from tests.clock import Clock

STREAM = "people"


ENTITY = """
entity: customer
fields:
  name: {type: text, max: 250}
  email: {type: email}
  phone: {type: text}
  note: {type: text, max: 1000}
  tags: {type: text, many: true}
  places: {type: group, many: true, members: {street: text, city: text}}
  address: {type: group, members: {street: text, city: text, country: text}}
  consent:
    type: group
    members:
      status: {type: enum, values: [granted, denied]}
      at: {type: datetime, default: observed}
      basis: {type: text, own: true}
"""


FULL_MAPPING = """
  name: name
  email: {at: mail, as: email}
  phone: phone
  note: note
  tags: {at: tags, many: all}
  address.street: street
  address.city: city
  consent.status: {at: consent, as: {enum: {granted: "yes", denied: "no"}}}
"""


CONSENT = FieldPolicy(Rule.MOST_RESTRICTIVE, {}, ("denied", "granted"), "status")


@cache
def entity() -> EntityFile:
    return load_entity(ENTITY)


@cache
def mapping(lines: str = FULL_MAPPING, keyed: tuple[str, ...] = ()) -> CompiledMapping:
    """The compiled mapping of some field lines. The elements of the lists ``keyed`` have an ``id``."""
    text = f"entity: customer\nfields:\n{lines.strip(chr(10))}\n"
    return compile_file(text, entity(), children=dict.fromkeys(keyed, "id"))


class Killed(BaseException):
    """The process died here."""


@dataclass
class Kept:
    """A document in a fake system, with what the system knows about it."""

    document: Document
    version: int
    correlation: str | None = None
    changed: Instant = 0


class FakeSystem:
    """A system of documents in memory.

    ``makes`` is what the system makes of a document that it is sent (truncates, ignores, computes). ``losses`` names what
    becomes of the next writes: ``done`` (done, but the answer is lost), ``undone`` (lost on the way there), ``killed``
    (done, and the hub dies before it hears of it), ``defect`` (the connector fails), ``refused``, ``retry``, ``stale``,
    ``half refused``, ``half later`` and ``half lost`` (the first change is made, then the rest is refused or put off, or
    nobody knows). ``meanwhile`` is
    called between the hub's read and its write, as a person who is faster would be. A create is found again by its
    correlation key, by all that was sent (``find_by_content``), or by one field (``find_by``). ``keyed_by`` names the field
    that is the key, where a written value moves the record.
    """

    def __init__(self, name: str, clock: Clock, **can: Any) -> None:
        self.name = name
        self.clock = clock
        self.can = Capabilities(
            **({"delta": True, "create": True, "update": True, "find": True} | can)
        )
        self.kept: dict[str, Kept] = {}
        self.gone: dict[str, int] = {}
        self.merged: dict[str, str] = {}
        self.rejects: list[BadRow] = []
        self.makes: Callable[[Document], Document] = lambda document: document
        self.losses: list[str] = []
        self.meanwhile: Callable[[], None] | None = None
        self.answers_with_record = True
        self.stamps = False
        self.down = False
        self.unparseable = False
        self.garbled: set[str] = set()
        self.unlisted: set[str] = set()
        self.retry_after = timedelta(seconds=5)
        self.find_by_content = False
        self.find_by = ""
        self.merges_on = ""
        self.keyed_by = ""
        self.dies_after: int | None = None
        self.page_size = 100
        self.writes: list[WriteCommand] = []
        self.requests: list[str] = []
        self._versions = count(1)
        self._keys = count(1)

    # what people do there

    def add(self, key: str, **document: Any) -> str:
        self.kept[key] = Kept(document, next(self._versions), changed=self.clock())
        return key

    def edit(self, key: str, **changes: Any) -> None:
        kept = self.kept[key]
        kept.document = {**kept.document, **changes}
        kept.version, kept.changed = next(self._versions), self.clock()

    def remove(self, key: str) -> None:
        del self.kept[key]
        self.gone[key] = next(self._versions)

    def merge(self, loser: str, survivor: str, *, told: bool = True, **gained: Any) -> None:
        """A person makes two records one. Where the system does not tell, only a deletion is seen of it."""
        self.remove(loser)
        if told:
            self.merged[loser] = survivor
        self.edit(survivor, **gained)

    def vanish(self, key: str) -> None:
        """Gone without a trace: no tombstone is ever shown."""
        del self.kept[key]

    def __getitem__(self, key: str) -> Document:
        return self.kept[key].document

    def only(self) -> Document:
        assert len(self.kept) == 1, f"{len(self.kept)} records in {self.name}"
        return next(iter(self.kept.values())).document

    # the contract

    def capabilities(self, stream: str) -> Capabilities:
        return self.can

    def check(self, stream: str) -> Health:
        return Health(not self.down, "down" if self.down else "up")

    def read(self, stream: str, cursor: str | None, scan: Scan) -> Iterator[Page]:
        after = int(cursor or 0)
        whole = scan is Scan.FULL or cursor is None or not self.can.delta
        events = sorted(
            [(kept.version, key) for key, kept in self.kept.items()]
            + [(version, key) for key, version in self.gone.items()]
        )
        chosen = [event for event in events if event[0] > after and event[1] not in self.unlisted]
        rejects, self.rejects = tuple(self.rejects), []
        pages = [
            chosen[at : at + self.page_size] for at in range(0, len(chosen), self.page_size)
        ] or [[]]
        for place, events in enumerate(pages):
            self.requests.append("read")
            if self.dies_after == place:
                self.dies_after = None
                raise Killed
            self._answer()
            started = moment(self.clock())
            last = place == len(pages) - 1
            yield Page(
                records=tuple(self._shown(key) for _, key in events),
                cursor=str(events[-1][0] if events else after),
                complete=last,
                scan=Scan.FULL if whole else Scan.DELTA,
                started=started,
                ended=moment(self.clock()),
                rejects=rejects if place == 0 else (),
            )

    def fetch(self, stream: str, keys: Sequence[str]) -> Mapping[str, RawRecord | None]:
        if keys:
            self.requests.append("fetch")
        self._answer()
        if self.garbled & set(keys):
            raise BadAnswer(f"{self.name} gave a record that holds bytes that are not UTF-8")
        there = self.kept.keys() | self.merged.keys()
        found = {key: self._shown(key) if key in there else None for key in keys}
        if self.meanwhile is not None:
            someone, self.meanwhile = self.meanwhile, None
            someone()
        return found

    def find(self, stream: str, command: WriteCommand) -> Sequence[RawRecord]:
        self.requests.append("find")
        self._answer()
        return [self._shown(key) for key, kept in self.kept.items() if self._fits(kept, command)]

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        self.requests.append("write")
        return [self._write(command) for command in commands]

    def _answer(self) -> None:
        if self.down:
            raise Unreachable(f"{self.name} does not answer")
        if self.unparseable:
            raise BadAnswer(f"{self.name} answered with a page that is no JSON")

    def _shown(self, key: str) -> RawRecord:
        if key not in self.kept:
            return RawRecord(key, {}, deleted=True, merged_into=self.merged.get(key))
        kept = self.kept[key]
        stamp = moment(kept.changed) if self.stamps else None
        return RawRecord(key, dict(kept.document), stamp=stamp, etag=str(kept.version))

    def _fits(self, kept: Kept, command: WriteCommand) -> bool:
        if self.find_by:
            return self._same(kept.document, {self.find_by: command.after.get(self.find_by)})
        if not self.find_by_content:
            return kept.correlation == command.correlation
        return self._same(kept.document, command.after)

    def _same(self, document: Document, wanted: Document) -> bool:
        return all(document.get(name) == value for name, value in wanted.items())

    def _write(self, command: WriteCommand) -> Outcome:
        fate = self.losses.pop(0) if self.losses else ""
        if self.down or fate == "retry":
            return Retry("try again later", self.retry_after)
        if fate == "refused":
            return Refused("not allowed", "mail")
        if fate == "stale":
            return Stale()
        if fate == "defect":
            raise ZeroDivisionError
        if fate == "undone":
            return Unknown("the answer was lost")
        if command.key is None and self.merges_on:
            wanted = command.after.get(self.merges_on)
            for key, there in self.kept.items():
                if there.document.get(self.merges_on) == wanted:
                    return Written(key, self._shown(key))
        kept = self.kept.get(command.key or "")
        if command.key is not None:
            if kept is None:
                return Gone()
            if self.can.guard is Guard.ETAG and str(kept.version) != command.etag:
                return Stale()
        self.writes.append(command)
        if command.key is not None and not command.after:
            self.remove(command.key)
            if fate == "killed":
                raise Killed
            return Unknown("the answer was lost") if fate == "done" else Written(command.key)
        if command.key is None or kept is None:
            key = f"{self.name}-{next(self._keys)}"
            kept = self.kept[key] = Kept({}, 0, command.correlation)
        else:
            key = command.key
        changes = {
            name: value
            for name, value in command.after.items()
            if command.before.get(name) != value
        }
        changes |= dict.fromkeys(command.before.keys() - command.after.keys())
        if fate.startswith("half"):
            changes = dict(sorted(changes.items())[:1])
        kept.document = self.makes({**kept.document, **changes})
        kept.version, kept.changed = next(self._versions), self.clock()
        if self.keyed_by:
            del self.kept[key]
            key = kept.document[self.keyed_by]
            self.kept[key] = kept
        if fate in ("half refused", "half later"):
            how = Refused("not allowed") if fate == "half refused" else Retry("try again later")
            return replace(how, partial=True)
        if fate in ("done", "half lost"):
            return Unknown("the answer was lost")
        if fate == "killed":
            raise Killed
        return Written(key, self._shown(key) if self.answers_with_record else None)

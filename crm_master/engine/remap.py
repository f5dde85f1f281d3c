"""Records read again under the present mapping, from the rows that were landed (RULES 21)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from connectors.contract import Document
from crm_master.domain.attribution import Attributed, attribute
from crm_master.domain.claims import UNSET, FieldShadow, Instant, Observed
from crm_master.domain.entities import EntitySpec
from crm_master.domain.fields import Mapped, Presence
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.remapping import Readings, View, remap_claims, remap_shadow, without
from crm_master.engine.plan import Hub, StreamPlan, Translator
from crm_master.ports import InboxItem, SourceRecord, UnitOfWork


def outdated(hub: Hub, record: SourceRecord) -> bool:
    """Whether a record was read with another mapping than the present one. One that was never read was not."""
    stream = hub.known(record.ref)
    return bool(stream and record.mapping_hash and record.mapping_hash != stream.mapping.hash)


def overruled(hub: Hub, uow: UnitOfWork) -> bool:
    """Whether another configuration was put in force since this process has read its own."""
    applied = uow.journal.applied()
    return applied is not None and applied.hash != hub.hash


class Formers:
    """The mappings of former configurations, by their hash; compiled when the first record asks for one."""

    def __init__(self, hub: Hub, journal: UnitOfWork) -> None:
        self._hub = hub
        self._journal = journal
        self._left: list[str] | None = None
        self._found: dict[tuple[str, str, str], Translator] = {}

    def __call__(self, record: SourceRecord) -> Translator | None:
        """The mapping that a record was read with; ``None`` if no recorded configuration has it."""
        key = (record.ref.system, record.ref.stream, record.mapping_hash)
        if self._left is None:
            self._left = [h for h in self._journal.journal.configs() if h != self._hub.hash]
        while key not in self._found and self._left:
            content = self._journal.journal.config(self._left.pop(0))
            for stream in self._streams(content or ""):
                name = (stream.system, stream.stream, stream.mapping.hash)
                self._found.setdefault(name, stream.mapping)
        return self._found.get(key)

    def _streams(self, content: str) -> Iterable[StreamPlan]:
        former = self._hub.recompile(content)
        return () if former is None else former.streams()


@dataclass(frozen=True, slots=True)
class Remapped:
    """What became of one record. ``lacking`` are fields for whose sake it has to be read in full.

    They are newly mapped, and its landed row does not speak of them; or their place is left, with something that was
    delivered there and that no row shows: whoever maps it again has to know that.
    """

    record: SourceRecord
    before: Mapping[str, FieldShadow]
    row: InboxItem | None
    found: Attributed | None
    lacking: frozenset[str]


class Remapper:
    """Reads some records again, in memory. ``journal`` is where observations and configurations are.

    ``at`` is when the present mapping came into force.
    """

    def __init__(
        self, hub: Hub, journal: UnitOfWork, at: Instant, before: int | None = None
    ) -> None:
        self.hub = hub
        self.journal = journal
        self.at = at
        self.before = before
        self.formers = Formers(hub, journal)
        self._both: dict[tuple[str, str, str], _Both] = {}

    def __call__(self, records: Sequence[SourceRecord]) -> list[Remapped]:
        """Change the records' claims, shadows and mapping hash. Two statements, however many records there are."""
        inbox = self.journal.inbox
        landed = inbox.landed([record.rec_id for record in records], self.before)
        seqs = {claim.seq for record in records for claim in record.claims.values()}
        rows = {row.seq: row for row in landed.values()} | inbox.by_seq(seqs)
        return [self._remap(record, landed.get(record.rec_id), rows) for record in records]

    def _remap(
        self, record: SourceRecord, row: InboxItem | None, rows: Mapping[int, InboxItem]
    ) -> Remapped:
        stream = self.hub.stream(record.ref.system, record.ref.stream)
        spec = self.hub.entities[stream.entity].spec
        both = self._both_of(stream, record)

        def view_of(seq: int) -> View | None:
            document = _document(rows.get(seq))
            return None if document is None else both.view(document)

        before = record.shadow.fields
        document = _document(row) or {}
        standing = both.standing(record, document, lambda now: now.held)
        said = _readings(stream.mapping, standing, False)
        lacking = both.lacking(record, row, said)
        left = both.left(record, document)
        held = both.view(standing)
        record.claims = remap_claims(
            record.claims,
            view_of,
            spec,
            both.read,
            lacking | both.anew,
            held.present,
            both.members,
        )
        record.shadow = remap_shadow(
            record.shadow,
            held,
            both.view(both.standing(record, document, lambda now: now.sent)),
            both.view(both.standing(record, document, lambda now: now.pending)),
            (both.read | stream.mapping.writable) - lacking - both.anew,
        )
        hidden = both.hidden(said)
        old = {name: of for name, of in record.shadow.awaited.items() if name in both.read}
        whole = dict.fromkeys(lacking | (both.anew & both.read), ("",))
        members = {name: tuple(sorted(of.union(old.get(name, ())))) for name, of in hidden.items()}
        awaited = {**old, **members, **whole}
        record.shadow = replace(without(record.shadow, hidden), awaited=awaited)
        record.mapping_hash = stream.mapping.hash
        # of one that is gone, and whose word was let go, nothing counts, by whatever mapping (RULES 11)
        heard = record.status is RecordStatus.LIVE or record.claims
        found = None
        if row is not None and heard:
            silent = {name for name, of in said.items() if of.presence is Presence.MISSING}
            found = _first_sight(record, row, stream, spec, held.present, silent | lacking)
        if found is not None:
            record.claims, record.shadow = dict(found.claims), found.shadow
        if unread := lacking.union(left, hidden):
            record.shadow = replace(record.shadow, mapped_at=self.at)
            record.raw_hash = b""  # whatever the next full read shows of it is landed
        return Remapped(record, before, row, found, unread)

    def _both_of(self, stream: StreamPlan, record: SourceRecord) -> _Both:
        key = (stream.system, stream.stream, record.mapping_hash)
        if key not in self._both:
            self._both[key] = _Both(stream, self.formers(record))
        return self._both[key]


class _Both:
    """A stream's former mapping and its present one, side by side.

    ``read`` are the fields that the present one reads. ``anew`` are those that are seen for the first time: the former one
    did not read them, or had them elsewhere. ``members`` are those of groups that it had elsewhere, or not at all;
    ``moved`` is all of which anything is elsewhere now.
    """

    def __init__(self, stream: StreamPlan, former: Translator | None) -> None:
        self.stream = stream
        self.former = former
        nothing = self.view({})
        self.read = frozenset(nothing.present)
        self.former_read = frozenset(nothing.former or ())
        self.anew: frozenset[str] = frozenset()
        self.moved: frozenset[str] = frozenset()
        self.members: dict[str, frozenset[str]] = {}
        if former is None:
            return
        mapping = stream.mapping
        moved = {name: _moved(name, former, mapping) for name in self.read | mapping.writable}
        self.anew = (self.read - self.former_read).union(
            name for name in moved if "" in moved[name]
        )
        self.moved = self.anew.union(name for name in moved if moved[name])
        groups = {name for name in self.moved - self.anew if "" not in mapping.places(name)}
        self.members = {name: moved[name] for name in groups}

    def view(self, document: Document) -> View:
        full = self.stream.full_payload
        former = None if self.former is None else _readings(self.former, document, full)
        return View(former, _readings(self.stream.mapping, document, full))

    def standing(
        self, record: SourceRecord, document: Document, part: Callable[[FieldShadow], Any]
    ) -> Document:
        """The landed document with what was delivered since: as it is to be thought now."""
        if self.former is None:
            return document
        read = _readings(self.former, document, True)
        for name, now in record.shadow.fields.items():
            native = part(now)
            if native is UNSET or now.unreadable or name not in self.former.writable:
                continue
            if name not in read or read[name].native == native:
                continue
            try:
                document = self.former.put(document, {name: native})
            except ValueError:
                continue
        return document

    def lacking(
        self, record: SourceRecord, row: InboxItem | None, spoken: Readings
    ) -> frozenset[str]:
        """The fields that are read from a place of which neither the landed row nor the shadow speaks at all.

        Nor does a row that was written over since: what the hub may have put into a place that was not read, or that it has
        left once, is in no shadow.
        """
        shadow = record.shadow
        known = frozenset(shadow.fields)
        if self.former is not None:
            known &= self.former_read
        newly = self.moved if self.former is not None else self.read - known
        overtaken = row is not None and row.started < shadow.stale_before
        doubted = row is not None and row.started < shadow.mapped_at
        return frozenset(
            name
            for name, said in spoken.items()
            if (
                name in newly
                if said.presence is Presence.MISSING
                else (overtaken and name not in known) or (doubted and name in self.anew)
            )
        )

    def hidden(self, said: Readings) -> dict[str, frozenset[str]]:
        """The members of groups that are read from a place of which the document does not speak."""
        found = {
            name: members.difference(said[name].native or ())
            for name, members in self.members.items()
            if name in said and said[name].presence in (Presence.VALUE, Presence.EMPTY)
        }
        return {name: members for name, members in found.items() if members}

    def left(self, record: SourceRecord, document: Document) -> frozenset[str]:
        """The fields whose place is left, and holds what was delivered there since the row, or is about to."""
        if self.former is None:
            return frozenset()
        read = _readings(self.former, document, True)
        stay = (self.read | self.stream.mapping.writable) - self.anew
        return frozenset(
            name
            for name, now in record.shadow.fields.items()
            if name in read
            and name not in stay
            and (
                now.pending is not UNSET
                or (now.sent is not UNSET and now.held != read[name].native)
            )
        )


def _moved(name: str, former: Translator, present: Translator) -> frozenset[str]:
    was = former.places(name)
    return frozenset(
        member for member, place in present.places(name).items() if was.get(member) != place
    )


def _first_sight(
    record: SourceRecord,
    row: InboxItem,
    stream: StreamPlan,
    spec: EntitySpec,
    present: Readings,
    silent: Collection[str],
) -> Attributed:
    """What the document says of fields that were not read before, or could not be, or cannot be any more.

    Its row may be older than what it is asked for, so a place that it lacks is not known to be empty.
    """
    fields, mapping = record.shadow.fields, stream.mapping
    readings = {
        name: reading
        for name, reading in present.items()
        if (name not in fields and name not in silent)
        or (name in fields and (fields[name].held is UNSET or fields[name].unreadable))
        or reading.presence is Presence.UNREADABLE
    }
    started = max(row.started, record.shadow.stale_before, record.shadow.mapped_at)
    observed = Observed(row.seq, row.watermark, started, row.ended, row.stamp, stream.skew)
    return attribute(Mapped(readings), record.claims, record.shadow, mapping, spec, observed)


def _readings(mapping: Translator, document: Document, full_payload: bool) -> Readings:
    mapped = mapping.apply(document, full_payload=full_payload)
    return mapped.readings if isinstance(mapped, Mapped) else {}


def _document(row: InboxItem | None) -> Document | None:
    if row is None or row.deleted:
        return None
    found = orjson.loads(row.raw)
    return found if isinstance(found, dict) else None

"""Steps 3 and 4 for a batch: what each observation asserts, and what becomes of its record by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from crm_master.domain.attribution import attribute
from crm_master.domain.claims import Observed, Shadow, interval
from crm_master.domain.fields import Mapped, Rejected
from crm_master.domain.lifecycle import InboxState, RecordStatus, TaskKind
from crm_master.domain.membership import carried, transferred
from crm_master.domain.notices import Why
from crm_master.domain.settling import on_its_way
from crm_master.engine.findings import Findings, Scope
from crm_master.engine.merging import alias_of, shown_values
from crm_master.engine.moving import look
from crm_master.engine.plan import Hub
from crm_master.ports import InboxItem, SourceRecord

Translated = Mapping[int, Mapped | Rejected]
"""What observations say, by their number."""


def translate(hub: Hub, item: InboxItem) -> Mapped | Rejected:
    """Step 3 for one observation. Raises whatever it makes a codec raise."""
    stream = hub.stream(item.ref.system, item.ref.stream)
    try:
        document = orjson.loads(item.raw)
    except orjson.JSONDecodeError as error:
        return Rejected("", f"not JSON at position {error.pos}")
    return stream.mapping.apply(document, full_payload=stream.full_payload)


def _found_gone(record: SourceRecord) -> int:
    """Since when a record is known to be gone. What was read of it before, and waited, is a last word (RULES 11)."""
    gone = 0 if record.gone is None else record.gone.hi
    return max(gone, record.shadow.confirmed_at)


class Observer:
    """Applies observations to their records, one after the other."""

    def __init__(self, scope: Scope, found: Findings, translated: Translated) -> None:
        self.hub = scope.hub
        self.plan = scope.plan
        self.found = found
        self.translated = translated

    def __call__(self, item: InboxItem, record: SourceRecord) -> None:
        """Step 4 for one observation, and step 3 if that was not done before."""
        item.state = InboxState.DONE
        stream = self.hub.stream(item.ref.system, item.ref.stream)
        if item.deleted and item.started < record.shadow.stale_before:
            record.reread = True
            self.found.counts["stale"] += 1
            return
        observed = Observed(
            item.seq, item.watermark, item.started, item.ended, item.stamp, stream.skew
        )
        if item.deleted:
            self._tombstone(record, observed, item.merged_into)
            return
        mapped = self.translated.get(item.seq) or translate(self.hub, item)
        if isinstance(mapped, Rejected):
            self.found.dead(item, f"{mapped.path}: {mapped.reason}".removeprefix(": "))
            return
        if record.status is RecordStatus.DELETED:
            if item.started >= _found_gone(record):
                self._reappear(record)
            else:
                record.raw_hash = b""  # a last word: the key may come back showing just that
        before = record.shadow.fields
        found = attribute(
            mapped, record.claims, record.shadow, stream.mapping, self.plan.spec, observed
        )
        record.reread = found.stale
        if found.stale:
            self.found.counts["stale"] += 1
            return
        record.claims = dict(found.claims)
        record.shadow = replace(found.shadow, read_at=item.started)
        if record.shadow.awaited and item.started < record.shadow.mapped_at:
            record.raw_hash = (
                b""  # it is landed again when it is read later, though it shows nothing else
            )
        if record.status is RecordStatus.ALIAS:
            # this key is another record's now, or the system took a merge back
            self.found.reused.add(record.rec_id)
            record.status, record.entity_id, record.alias_of = RecordStatus.LIVE, None, None
            record.gone = None
            record.claims = carried(record.rec_id, {record.rec_id: record.claims})
            record.shadow = transferred(record.shadow)
        record.since = record.since or item.started
        record.mapping_hash = stream.mapping.hash
        self.found.settled.add((TaskKind.DEAD_LETTER, str(item.ref)))
        for name, was in before.items():
            now = record.shadow.fields[name]
            if was.unreadable and not now.unreadable:
                self.found.settled.add((TaskKind.DEAD_LETTER, f"{item.ref}:{name}"))
            if was.review and not now.review:
                self.found.settled.add((TaskKind.CLEAR, f"{item.ref}:{name}"))
        self.found.notice(item, found.notices)
        if found.edits:
            self.found.counts["edited"] += 1
            self.found.edited.add(record.rec_id)
            if record.entity_id is not None:
                self.found.touched.add(record.entity_id)
        else:
            self.found.counts["echoes"] += 1
        quarantined = any(notice.why is Why.QUARANTINED for notice in found.notices)
        if (found.due or quarantined) and record.entity_id is not None:
            self.found.touched.add(record.entity_id)

    def _tombstone(self, record: SourceRecord, observed: Observed, into: str | None) -> None:
        """The record is gone. Its claims remain as last words, unless it is a part of another one now (RULES 11, 13).

        Nothing is made anew in its place, and nothing else is deleted.
        """
        record.reread = False
        status = RecordStatus.DELETED if into is None else RecordStatus.ALIAS
        if record.status in (status, RecordStatus.ALIAS):
            return
        if into is None and record.entity_id is not None and on_its_way(record.shadow):
            # a write whose answer is open may have given it another key: whoever delivers looks for it first (RULES 24)
            self.found.messages.append(look(record, record.entity_id))
            return
        record.status, record.gone = status, interval(observed, record.shadow)
        if into is None:
            self.found.counts["gone"] += 1
            if not record.shadow.deleting:
                self.found.vanished.append(record)
                self.found.gone.add(record.rec_id)
        else:
            self.found.counts["merged"] += 1
            record.alias_of = alias_of(record.ref, into)
            self.found.merged.append(record)
            self.found.settled |= {
                (kind, str(record.ref)) for kind in (TaskKind.GONE, TaskKind.MATCH)
            }
        if record.entity_id is not None:
            self.found.touched.add(record.entity_id)

    def _reappear(self, record: SourceRecord) -> None:
        """Its key is in use again, perhaps for somebody else: it is matched anew (RULES 12)."""
        self.found.reused.add(record.rec_id)
        if record.entity_id is not None:
            self.found.touched.add(record.entity_id)
            mapping = self.hub.stream(record.ref.system, record.ref.stream).mapping
            self.found.returned[record.rec_id] = (record.entity_id, shown_values(record, mapping))
        record.status, record.entity_id, record.claims = RecordStatus.LIVE, None, {}
        record.gone, record.since, record.pinned = None, 0, False
        record.shadow = Shadow(confirmed_at=record.shadow.confirmed_at)
        self.found.settled.add((TaskKind.GONE, str(record.ref)))

"""Step 2: land what a system shows. Raw rows and cursor in one commit; unchanged rows end here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import orjson

from connectors.contract import BadRow, Document, Page, RawRecord, Scan, Source
from connectors.errors import BadAnswer
from crm_master.domain.claims import Instant
from crm_master.domain.identity import MatchRules
from crm_master.domain.ids import ExternalRef, RecordId, record_ids
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine import fuses
from crm_master.engine.fuses import Fuse
from crm_master.engine.ledger import Run
from crm_master.engine.plan import StreamPlan
from crm_master.engine.suppression import admitted
from crm_master.engine.transactions import transact
from crm_master.ports import Clock, Landing, StreamState, Task, UnitOfWork, UnitOfWorkFactory

REREAD_BATCH = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ingest(
    plan: StreamPlan,
    source: Source,
    store: UnitOfWorkFactory,
    clock: Clock,
    run: Run,
    scan: Scan = Scan.DELTA,
    match: MatchRules | None = None,
) -> None:
    """Read a stream to its end, page by page, and land it. By ``match`` it knows customers who were erased.

    The cursor is committed with the rows of its page, so a crash loses and repeats nothing. An answer that cannot be
    parsed raises ``connectors.errors.BadAnswer`` with the cursor where it was.
    """
    _reread(plan, source, store, clock, run)
    with store() as uow:
        known = uow.states.stream(plan.system, plan.stream)
    # an unfinished delta read shows nothing of what it has passed by
    anew = scan is Scan.FULL and not (known.scan_started and known.full)
    for page in source.read(plan.stream, None if anew else known.cursor, scan):
        landed = transact(store, partial(_land, plan, page, known, anew, run.id, match))
        if landed is None:
            run.add({"read_elsewhere": 1})
            return
        known, counts = landed
        anew = False
        run.add(counts)


def unread(plan: StreamPlan, uow: UnitOfWork) -> bool:
    """Whether somebody may be there of whom the hub has yet to hear: its reading is under way, or not reconciled."""
    state = uow.states.stream(plan.system, plan.stream)
    return state.scan_started > 0 or uow.inbox.any_unread(plan.system, plan.stream)


def _land(
    plan: StreamPlan,
    page: Page,
    known: StreamState,
    anew: bool,
    run_id: str,
    match: MatchRules | None,
    uow: UnitOfWork,
) -> tuple[StreamState, dict[str, int]] | None:
    """Land a page that goes on from what is ``known`` of the stream, or begins ``anew``. Gives what is known then.

    ``None`` if another worker reads the stream too and was faster, or if it is to be read otherwise by now: this one stops.
    """
    state = uow.states.stream(plan.system, plan.stream, lock=True)
    if state != known:
        return None
    ids = _ids(plan, page.records)
    if anew or not state.scan_started:
        state.scan_started, state.scan_errors = micros(page.started), 0
        state.full = page.scan is Scan.FULL
        if state.full:
            state.absences = 0
            uow.sightings.forget(plan.system, plan.stream)
    if state.full:
        seen = [ids[record.key] for record in page.records if not record.deleted]
        uow.sightings.see(plan.system, plan.stream, seen)
    state.scan_errors += len(page.rejects)
    kept = admitted(plan, match, page, uow)
    landed, unchanged = _landed(plan, kept.records, ids, page, state.watermark, uow, run_id)
    reject(plan, kept.rejects, page, uow, run_id)
    state.cursor = page.cursor
    if page.complete:
        state.watermark, state.scan_started = state.scan_started, 0
        state.complete_at = micros(page.ended)
        whole = state.full and page.scan is Scan.FULL and not state.scan_errors
        state.fulls += whole
        if whole:
            # what the scan before had found, and was asked about, is looked at anew
            state.absences = state.watermark
            fuses.withdraw(Fuse.ABSENCES, plan.name, uow, micros(page.ended))
    uow.states.save_stream(state)
    read, rejected = len(page.records) + len(page.rejects), len(kept.rejects)
    counts = {"read": read, "landed": landed, "unchanged": unchanged, "rejected": rejected}
    if suppressed := read - len(kept.records) - rejected:
        counts["suppressed"] = suppressed
    return state, counts


def _ids(plan: StreamPlan, records: Sequence[RawRecord]) -> dict[str, RecordId]:
    return record_ids(plan.system, plan.stream, [record.key for record in records])


def land(
    plan: StreamPlan,
    records: Sequence[RawRecord],
    page: Page,
    watermark: Instant,
    uow: UnitOfWork,
    run_id: str,
) -> tuple[int, int]:
    """Put records into the inbox unless they equal what was landed last. Gives (landed, unchanged)."""
    return _landed(plan, records, _ids(plan, records), page, watermark, uow, run_id)


def _landed(
    plan: StreamPlan,
    records: Sequence[RawRecord],
    ids: Mapping[str, RecordId],
    page: Page,
    watermark: Instant,
    uow: UnitOfWork,
    run_id: str,
) -> tuple[int, int]:
    last = uow.records.hashes([ids[record.key] for record in records])
    shown = []
    for record in records:
        raw = canonical(record.document)
        hashed = fingerprint(raw, deleted=record.deleted, merged_into=record.merged_into)
        shown.append((record, raw, hashed))
    # most rows of most pages end here: what they need beyond this is made for the others alone
    changed = {record.key for record, _, hashed in shown if last.get(ids[record.key]) != hashed}
    started, ended = micros(page.started), micros(page.ended)
    rows = [
        Landing(
            ref=ExternalRef(plan.system, plan.stream, record.key),
            entity=plan.entity,
            raw=raw,
            raw_hash=hashed,
            stamp=None if record.stamp is None else micros(record.stamp),
            started=started,
            ended=ended,
            watermark=watermark,
            deleted=record.deleted,
            merged_into=record.merged_into,
        )
        for record, raw, hashed in shown
        if record.key in changed
    ]
    landed, _ = uow.inbox.land(rows, run_id, last) if rows else (0, 0)
    return landed, len(records) - landed


def reject(
    plan: StreamPlan, rejects: Sequence[BadRow], page: Page, uow: UnitOfWork, run_id: str
) -> None:
    """Keep rows that are no records as bytes, each with a dead letter that says why."""
    rows, letters = [], []
    for bad in rejects:
        raw_hash = hashlib.blake2b(bad.raw, digest_size=16).digest()
        key = bad.key or f"row-{raw_hash.hex()[:12]}"
        ref = ExternalRef(plan.system, plan.stream, key)
        rows.append(
            Landing(
                ref=ref,
                entity=plan.entity,
                raw=bad.raw,
                raw_hash=raw_hash,
                stamp=None,
                started=micros(page.started),
                ended=micros(page.ended),
                watermark=0,
                dead=bad.reason,
            )
        )
        letters.append(Task(TaskKind.DEAD_LETTER, str(ref), {"reason": bad.reason}))
    if rows:
        uow.inbox.land(rows, run_id)
        uow.tasks.open(letters, micros(page.ended), run_id)


def _reread(
    plan: StreamPlan, source: Source, store: UnitOfWorkFactory, clock: Clock, run: Run
) -> None:
    """Read again the records whose last reading was older than our last write to them (RULES 6)."""
    skipped: set[str] = set()
    while True:
        with store() as uow:
            limit = REREAD_BATCH + len(skipped)
            found = uow.records.to_reread(plan.system, plan.stream, limit)
            waiting = [record.ref.key for record in found if record.ref.key not in skipped]
            watermark = uow.states.stream(plan.system, plan.stream).watermark
        if not waiting:
            return
        started = clock()
        shown, garbled = read_each(source, plan.stream, waiting)
        skipped |= garbled.keys()  # the scan says what is wrong with them
        records = [now or RawRecord(key, {}, deleted=True) for key, now in shown.items()]
        page = spot_page(records, started, clock())
        landed, unchanged = transact(store, partial(_spot, plan, page, watermark, run.id))
        run.add({"reread": len(records), "landed": landed, "unchanged": unchanged})


def _spot(
    plan: StreamPlan, page: Page, watermark: Instant, run_id: str, uow: UnitOfWork
) -> tuple[int, int]:
    kept = admitted(plan, None, page, uow)
    return land(plan, kept.records, page, watermark, uow, run_id)


def read_each(
    source: Source, stream: str, keys: Sequence[str]
) -> tuple[dict[str, RawRecord | None], dict[str, BadAnswer]]:
    """The present state of records, and the errors of those that cannot be read: one spoils no other."""
    try:
        return dict(source.fetch(stream, keys)), {}
    except BadAnswer as error:
        if len(keys) == 1:
            return {}, {keys[0]: error}
    found: dict[str, RawRecord | None] = {}
    garbled: dict[str, BadAnswer] = {}
    for key in keys:
        try:
            found |= source.fetch(stream, [key])
        except BadAnswer as error:
            garbled[key] = error
    return found, garbled


def spot_page(records: Sequence[RawRecord], started: Instant, ended: Instant) -> Page:
    """Single records, read outside a scan, as a page."""
    return Page(
        records=tuple(records),
        cursor=None,
        complete=False,
        scan=Scan.DELTA,
        started=moment(started),
        ended=moment(ended),
    )


def canonical(document: Document) -> bytes:
    """A document as bytes: equal documents give equal bytes. Lone surrogates and huge integers survive."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(document, sort_keys=True).encode("ascii")


def fingerprint(raw: bytes, *, deleted: bool = False, merged_into: str | None = None) -> bytes:
    """What tells one state of a record from another."""
    if deleted:
        raw += b"\x00gone" + (merged_into or "").encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=16).digest()


def micros(when: datetime) -> Instant:
    """An aware time as microseconds since 1970."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def moment(instant: Instant) -> datetime:
    """Microseconds since 1970 as an aware time in UTC."""
    return datetime.fromtimestamp(instant / 1_000_000, UTC)

"""What history knows: what a run changed, and what a customer record was at a time (promise 6).

History keeps, for each version after the first, the values that it superseded. The past is the present, walked back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crm_master.domain.claims import UNSET, ClaimKey, Instant, Unset, iso
from crm_master.domain.fields import Canonical
from crm_master.domain.ids import EntityId, RecordId
from crm_master.engine.explain import NotFound, find_customer
from crm_master.engine.ingest import micros
from crm_master.engine.plan import Hub
from crm_master.ports import (
    Customer,
    HistoryEntry,
    LinkEntry,
    Read,
    SourceRecord,
    UnitOfWorkFactory,
)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What a run made of one field. ``UNSET``: nobody spoke of it. ``won``: whose ``before`` was, see ``HistoryEntry``."""

    before: Canonical | Unset
    after: Canonical | Unset
    won: Mapping[str, Sequence[Any]]
    first: int  # the version in which the run changed it first
    last: int  # ... and last


def changed_fields(
    by_run: Sequence[HistoryEntry],
    history: Sequence[HistoryEntry],
    golden: Mapping[str, Canonical],
) -> dict[str, FieldChange]:
    """The fields of one customer that a run changed, from its own entries (oldest first) and all of the customer's."""
    found: dict[str, FieldChange] = {}
    for entry in by_run:
        for name, old in entry.superseded.items():
            known = found.get(name)
            before, won = (known.before, known.won) if known else _was(old)
            first = known.first if known else entry.version
            after = _after(name, entry.version, history, golden)
            found[name] = FieldChange(before, after, won, first, entry.version)
    return found


def _was(old: Sequence[Any]) -> tuple[Canonical | Unset, Mapping[str, Sequence[Any]]]:
    if not old:
        return UNSET, {}
    return old[0], (old[1] if len(old) > 1 and old[1] else {})


def _after(
    name: str, version: int, history: Iterable[HistoryEntry], golden: Mapping[str, Canonical]
) -> Canonical | Unset:
    for entry in history:
        if entry.version > version and name in entry.superseded:
            return _was(entry.superseded[name])[0]
    return golden.get(name, UNSET)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time (microseconds) or the version that somebody asks about."""

    at: Instant | None = None
    version: int | None = None

    @staticmethod
    def parse(text: str) -> Moment:
        """An ISO time (of UTC, if it names no zone) or a version's number. Raises ``NotFound``."""
        if text.isdecimal() and len(text) < 8:
            return Moment(version=int(text))
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise NotFound(
                f"{text!r} is neither a time, such as 2026-03-01T12:00:00Z, nor a version's number"
            ) from None
        return Moment(at=micros(when if when.tzinfo else when.replace(tzinfo=UTC)))

    def before(self, entry: HistoryEntry) -> bool:
        """Whether a version came only after this moment."""
        if self.version is not None:
            return entry.version > self.version
        return entry.at > (self.at or 0)


def explain_past(hub: Hub, name: str, asked: str, store: UnitOfWorkFactory) -> dict[str, Any]:
    """A customer as it was at a time (ISO) or in a version, as plain JSON, and what of it cannot be known.

    Raises ``NotFound``, also for a time at which the hub did not know the customer.
    """
    moment = Moment.parse(asked)
    with store() as uow:
        # one that was merged into another since is shown as it was, not as what it has become
        known = uow.customers.get([name])
        entity_id = name if name in known else find_customer(name, uow)
        customer = known.get(name) or uow.customers.get([entity_id])[entity_id]
        history = uow.customers.history(entity_id)
        links = uow.customers.link_history(entity_id)
        first, until = _span(customer, history, links, moment, asked)
        golden, won, since = _walked_back(customer, history, moment)
        records = uow.records.get(
            {entry.rec_id for entry in links} | {winner[0] for winner in won.values()}
        )
        reads = uow.inbox.reads_of({winner[1] for winner in won.values()})
        linked = _linked(links, entity_id, moment, until)
    return {
        "customer": customer.id,
        "entity": customer.entity,
        "as_of": iso(moment.at) if moment.at is not None else None,
        "version": first.version if first else 1,
        "from": iso(first.at) if first else None,
        "until": iso(until) if until is not None else None,
        "merged_into": customer.redirect_to,
        "fields": {
            part: _field(part, value, won, since, records, reads)
            for part, value in sorted(golden.items())
        },
        "records": [
            {
                "record": str(records[entry.rec_id].ref) if entry.rec_id in records else None,
                "linked": entry.verb,
                "by": entry.author,
                "at": iso(entry.at),
            }
            for entry in linked
        ],
        "unknown": list(_unknown(hub, customer, first, golden, won, reads, moment)),
    }


def _span(
    customer: Customer,
    history: Sequence[HistoryEntry],
    links: Sequence[LinkEntry],
    moment: Moment,
    asked: str,
) -> tuple[HistoryEntry | None, Instant | None]:
    """The entry that made the record what it was (``None``: the first version), and when that ended (``None``: not yet)."""
    if not customer.version:
        raise NotFound(
            f"customer {customer.id} has no golden record yet: none of its systems joined"
        )
    born = next((entry.at for entry in links if entry.entity_id == customer.id), 0)
    if moment.at is not None and moment.at < born:
        raise NotFound(f"customer {customer.id} was not known at {asked}: only since {iso(born)}")
    if moment.version is not None and not 0 < moment.version <= customer.version:
        raise NotFound(
            f"customer {customer.id} has no version {asked}: there are 1 to {customer.version}"
        )
    past = [entry for entry in history if not moment.before(entry)]
    later = [entry for entry in history if moment.before(entry)]
    return past[-1] if past else None, later[0].at if later else None


def _walked_back(
    customer: Customer, history: Sequence[HistoryEntry], moment: Moment
) -> tuple[dict[str, Canonical], dict[ClaimKey, Sequence[Any]], set[str]]:
    """The golden record as it was, whose each value was, and the fields that have changed since."""
    golden = dict(customer.golden)
    won: dict[ClaimKey, Sequence[Any]] = {
        key: (winner.record, winner.seq, winner.rule.value)
        for key, winner in customer.winners.items()
    }
    since: set[str] = set()
    for entry in reversed(history):
        if not moment.before(entry):
            break
        for name, old in entry.superseded.items():
            value, whose = _was(old)
            since.add(name)
            if value is UNSET:
                golden.pop(name, None)
            else:
                golden[name] = value
            kept = value if isinstance(value, dict) else ()
            for key in [key for key in won if key.field == name]:
                if key.element is None or key.element not in kept:
                    del won[key]
            won.update(
                {ClaimKey(name, element or None): winner for element, winner in whose.items()}
            )
    return golden, won, since


def _linked(
    links: Sequence[LinkEntry], entity_id: EntityId, moment: Moment, until: Instant | None
) -> list[LinkEntry]:
    """The newest decision about each record that was this customer's: at the time asked about, or as its version ended."""
    newest = {
        entry.rec_id: entry
        for entry in links
        if (until is None or entry.at < until) and (moment.at is None or entry.at <= moment.at)
    }
    return [
        entry
        for entry in newest.values()
        if entry.entity_id == entity_id and not entry.verb.startswith("un")
    ]


def _field(
    name: str,
    value: Canonical,
    won: Mapping[ClaimKey, Sequence[Any]],
    since: set[str],
    records: Mapping[RecordId, SourceRecord],
    reads: Mapping[int, Read],
) -> dict[str, Any]:
    said = []
    for key, (rec_id, seq, rule) in sorted(won.items(), key=lambda item: str(item[0].element)):
        if key.field != name:
            continue
        read = reads.get(seq)
        said.append(
            {
                "record": str(records[rec_id].ref) if rec_id in records else None,
                "element": key.element,
                "rule": rule,
                "run": read.run if read else None,
                "read": [iso(read.started), iso(read.ended)] if read else None,
            }
        )
    return {"value": value, "said_by": said, "changed_since": name in since}


def _unknown(
    hub: Hub,
    customer: Customer,
    first: HistoryEntry | None,
    golden: Mapping[str, Canonical],
    won: Mapping[ClaimKey, Sequence[Any]],
    reads: Mapping[int, Read],
    moment: Moment,
) -> Iterable[str]:
    if first is None:
        yield (
            "when the first golden record was made: the first version has no entry in the history, "
            "and before it the customer had no values"
        )
    yield "which claims lost then, and which fields waited for a decision: the history keeps winners only"
    owned = {key.field for key in won}
    whose = sorted(name for name, value in golden.items() if name not in owned and value)
    if whose:
        yield f"who said {', '.join(whose)}: no claim had won (contested, or withdrawn since)"
    again = {
        key.field
        for key, (_, seq, _) in won.items()
        if moment.at is not None and seq in reads and reads[seq].started > moment.at
    }
    if again:
        yield f"who said {', '.join(sorted(again))} then: the same was said again later, and only that is kept"
    if any(seq == 0 for _, seq, _ in won.values()):
        yield "in which run a decision was made that no observation brought: `concord runs list` has them"
    if customer.entity in hub.entities and (
        gone := sorted(golden.keys() - hub.entities[customer.entity].spec.fields.keys())
    ):
        yield f"what {', '.join(gone)} meant: no such field is configured any more"

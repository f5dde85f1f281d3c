"""What the tests of a store land, claim and queue."""

from __future__ import annotations

from typing import Any

from crm_master.domain.claims import Claim, ClaimKey, FieldShadow, Seen, Shadow
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import InboxState, Origin, RecordStatus
from crm_master.ports import InboxItem, Landing, OutboxMessage, SourceRecord
from crm_master.store import Database

LEASE = 100


def ref_of(key: str, system: str = "erp") -> ExternalRef:
    return ExternalRef(system, "people", key)


def row(key: str, content: bytes = b"{}", **more: Any) -> Landing:
    values: dict[str, Any] = {
        "ref": ref_of(key),
        "entity": "customer",
        "raw": content,
        "raw_hash": content.ljust(16)[:16],
        "stamp": None,
        "started": 10,
        "ended": 20,
        "watermark": 5,
    }
    return Landing(**(values | more))


def land(store: Database, *rows: Landing) -> tuple[int, int]:
    with store() as uow:
        found = uow.inbox.land(rows, "run-1")
        uow.commit()
    return found


def claimed(store: Database, limit: int = 100, **more: Any) -> list[InboxItem]:
    with store() as uow:
        items = uow.inbox.claim("customer", limit, **{"now": 0, "lease": 0, "alone_from": 2} | more)
        uow.commit()
    return items


def finish(store: Database, items: list[InboxItem], state: InboxState, pos: int = 1) -> None:
    for item in items:
        item.state = state
    with store() as uow:
        uow.inbox.finish(items, pos)
        uow.commit()


# the outbox
def message_for(entity: str = "E1", rec_id: str | None = "r1", version: int = 1) -> OutboxMessage:
    return OutboxMessage(entity, "customer", "shop", "people", rec_id, version)


def put(store: Database, *messages: OutboxMessage, at: int = 0) -> None:
    with store() as uow:
        uow.outbox.put(messages, at)
        uow.commit()


def record_of(key: str, entity_id: str | None = None, **more: Any) -> SourceRecord:
    return SourceRecord(record_id(ref_of(key)), ref_of(key), "customer", entity_id, **more)


FULL = record_of(
    "full",
    "E1",
    status=RecordStatus.DELETED,
    primary=False,
    origin=Origin.HUB,
    claims={
        ClaimKey("name"): Claim("Ada", 1, 2, 3, 4, 5, "Adah", "ada"),
        ClaimKey("tags", "vip"): Claim(None, 1, 2, 3),
    },
    shadow=Shadow(
        {"name": FieldShadow(held="Ada", sent=None, undone=2, undone_to="x", withheld_at=3)},
        (Seen(1, 10), Seen(2, 20)),
        30,
        25,
        3,
    ),
    raw_hash=b"\x00" * 16,
    mapping_hash="m",
    reread=True,
)


def saved(store: Database, *records: SourceRecord) -> None:
    with store() as uow:
        uow.records.save(records)
        uow.commit()

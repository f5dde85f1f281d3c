"""What absences, sweeps and fuses ask of a store, kept by every database alike."""

from __future__ import annotations

from typing import Any

from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryVerb, InboxState, RecordStatus
from crm_master.ports import Applied, Customer, Landing, OutboxMessage, SourceRecord, StreamState
from crm_master.store import Database

STREAM = ("erp", "people")


def _record(key: str, **more: Any) -> SourceRecord:
    ref = ExternalRef(*STREAM, key)
    return SourceRecord(record_id(ref), ref, "customer", **more)


def _keys(records: list[SourceRecord]) -> set[str]:
    return {record.ref.key for record in records}


def test_what_was_not_seen_is_known_after_the_scan(store: Database) -> None:
    records = [_record(key) for key in "abc"] + [_record("d", status=RecordStatus.DELETED)]
    with store() as uow:
        uow.records.save([*records, SourceRecord("x", ExternalRef("shop", "s", "x"), "c")])
        uow.sightings.see(*STREAM, [records[0].rec_id])
        uow.sightings.see(*STREAM, [records[0].rec_id])
        uow.commit()
    with store() as uow:
        assert _keys(uow.sightings.unseen(*STREAM, "", 10)) == {"b", "c"}
        assert uow.sightings.count_unseen(*STREAM) == 2
        first = uow.sightings.unseen(*STREAM, "", 1)
        assert _keys(first + uow.sightings.unseen(*STREAM, first[0].ref.key, 10)) == {"b", "c"}


def test_what_was_asked_for_and_is_not_there_is_noted_with_its_time(store: Database) -> None:
    seen, gone = _record("a"), _record("b")
    with store() as uow:
        uow.records.save([seen, gone])
        uow.sightings.see(*STREAM, [seen.rec_id])
        uow.sightings.see(*STREAM, [gone.rec_id], 7)
        uow.sightings.see(*STREAM, [gone.rec_id], 9)
        assert uow.sightings.gone(*STREAM, "", 10) == [(gone, 9)]
        assert uow.sightings.gone(*STREAM, gone.rec_id, 10) == []
        assert uow.sightings.count_gone(*STREAM) == 1
        uow.sightings.forget(*STREAM, only_gone=True)
        assert _keys(uow.sightings.unseen(*STREAM, "", 10)) == {"b"}
        uow.sightings.forget(*STREAM)
        assert uow.sightings.count_unseen(*STREAM) == 2


def test_a_scan_under_way_and_its_absences_are_kept(store: Database) -> None:
    state = StreamState(*STREAM, full=True, absences=5)
    with store() as uow:
        uow.states.save_stream(state)
        uow.commit()
    with store() as uow:
        assert uow.states.stream(*STREAM) == state


def test_what_a_person_allows_is_kept_until_it_is_ended(store: Database) -> None:
    with store() as uow:
        assert uow.states.allowance("writes erp/people") == 0
        uow.states.allow("writes erp/people", 3)
        uow.states.allow("writes erp/people", 5)
        assert uow.states.allowance("writes erp/people") == 5
        uow.states.allow("writes erp/people", 0)
        assert uow.states.allowance("writes erp/people") == 0


def test_the_configuration_in_force_is_the_one_applied_last(store: Database) -> None:
    with store() as uow:
        for hash_ in ("a", "b", "c"):
            uow.journal.save_config(hash_, "{}", 1)
        assert uow.journal.applied() is None
        uow.journal.apply("a", 10, {})
        uow.journal.apply("b", 20, {"customer": {"erp/people": "m"}})
        assert uow.journal.applied() == Applied("b", 20, {"customer": {"erp/people": "m"}})
        uow.journal.apply("a", 30, {})
        assert uow.journal.applied() == Applied("a", 30, {})
        assert uow.journal.configs() == ["a", "b", "c"]


def test_what_is_of_another_configuration_is_found_page_by_page(store: Database) -> None:
    old = [_record(key, mapping_hash="old") for key in "abc"]
    others = [_record("new", mapping_hash="new"), _record("never")]
    customers = [Customer(f"E{n}", "customer", config_hash="old") for n in range(3)]
    with store() as uow:
        uow.records.save([*old, *others])
        uow.customers.save(
            [
                *customers,
                Customer("E7", "customer", config_hash="new"),
                Customer("E8", "customer", config_hash="old", redirect_to="E1"),
            ],
            1,
        )
        first = uow.records.outdated(*STREAM, "new", "", 2)
        rest = uow.records.outdated(*STREAM, "new", max(first), 2)
        assert [*first, *rest] == sorted(record.ref.key for record in old)
        assert first | rest == {record.ref.key: record.rec_id for record in old}
        assert uow.customers.outdated("customer", "new", "", 2) == ["E0", "E1"]
        assert uow.customers.outdated("customer", "new", "E1", 2) == ["E2"]


def test_the_landed_row_is_the_newest_that_was_reconciled(store: Database) -> None:
    def landing(content: bytes, *, deleted: bool = False) -> Landing:
        ref = ExternalRef(*STREAM, "a")
        raw_hash = content.ljust(16)[:16]
        return Landing(ref, "customer", content, raw_hash, None, 1, 2, 0, deleted=deleted)

    with store() as uow:
        for content in (b'{"n":1}', b'{"n":2}', b'{"n":3}'):
            uow.inbox.land([landing(content)], "run")
        uow.inbox.land([landing(b"{}", deleted=True)], "run")
        items = uow.inbox.claim("customer", 10, 0, 1, 2)
        for pos, item in enumerate(items, 1):
            item.state = InboxState.DONE
            uow.inbox.finish([item], pos)
        rec_id = items[0].rec_id
        assert uow.inbox.landed([rec_id])[rec_id].raw == b'{"n":3}', "a tombstone shows nothing"
        assert uow.inbox.landed([rec_id], before=3)[rec_id].raw == b'{"n":2}'
        assert uow.inbox.landed([rec_id], before=1) == {}
        found = uow.inbox.by_seq([items[0].seq, 999])
        assert [item.raw for item in found.values()] == [b'{"n":1}']


def test_a_delivery_may_turn_into_a_delete_and_back(store: Database) -> None:
    message = OutboxMessage("E1", "customer", "erp", "people", "r1", 1)
    with store() as uow:
        uow.outbox.put([message], 1)
        assert uow.outbox.waiting("erp", "people") == {DeliveryVerb.WRITE: 1}
        message.verb, message.version = DeliveryVerb.DELETE, 2
        uow.outbox.put([message], 2)
        assert uow.outbox.waiting("erp", "people") == {DeliveryVerb.DELETE: 1}
        assert [found.verb for found in uow.outbox.claim("erp", 5, 9, 9, 2)] == [
            DeliveryVerb.DELETE
        ]


def test_an_archived_customer_stays_so(store: Database) -> None:
    with store() as uow:
        uow.customers.save([Customer("E1", "customer", archived=True)], 1)
        uow.commit()
    with store() as uow:
        assert uow.customers.get(["E1"])["E1"].archived

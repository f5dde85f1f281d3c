"""What the engine asks of records and customers, kept by every database alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_master.domain.claims import ClaimKey, Shadow
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.survivorship import Rule, Winner
from crm_master.ports import Customer, HistoryEntry, LinkEntry
from crm_master.store import Database
from tests.contract.rows import FULL, record_of, saved


@pytest.mark.parametrize("lock", [False, True])
def test_a_record_is_loaded_as_it_was_saved(store: Database, lock: bool) -> None:
    saved(store, FULL, record_of("other", "E2"))
    with store() as uow:
        assert uow.records.get([FULL.rec_id, "unknown"], lock=lock) == {FULL.rec_id: FULL}
        assert uow.records.of_entities(["E1"], lock=lock) == [FULL]


def test_nothing_equals_the_last_row_of_a_record_that_is_to_be_read_again(
    store: Database,
) -> None:
    again = record_of("again", "E1", raw_hash=b"a", reread=True)
    other = record_of("other", "E2", raw_hash=b"o")
    saved(store, again, other)
    with store() as uow:
        found = uow.records.hashes([again.rec_id, other.rec_id, "unknown"])
    assert found == {again.rec_id: b"", other.rec_id: b"o"}


def test_a_key_that_comes_twice_at_once_is_kept_once(store: Database) -> None:
    # two creates of one delivery that the system answered with the same key
    with store() as uow:
        uow.records.reserve([record_of("same", "E1"), record_of("other", "E2"), record_of("same")])
        uow.commit()
    with store() as uow:
        assert uow.records.members(["E1", "E2"]) == {
            record_of("same").rec_id,
            record_of("other").rec_id,
        }


def test_saving_again_replaces(store: Database) -> None:
    saved(store, FULL)
    after = replace(FULL, claims={}, shadow=Shadow(), status=RecordStatus.LIVE, entity_id=None)
    saved(store, after)
    with store() as uow:
        assert uow.records.get([FULL.rec_id]) == {FULL.rec_id: after}


def test_records_are_found_by_block_keys_up_to_a_cap(store: Database) -> None:
    records = [record_of(f"{n}", blocks=frozenset({"h1", f"h-{n}"})) for n in range(5)]
    saved(store, *records)
    with store() as uow:
        uow.records.save_blocks(records)
        uow.records.save_blocks([replace(records[0], blocks=frozenset({"h2"}))])
        uow.commit()
    with store() as uow:
        found = uow.records.by_blocks({"h1", "h2", "h-0", "h-1"}, 3)
    assert found["h2"] == [records[0].rec_id]
    assert "h-0" not in found
    assert found["h-1"] == [records[1].rec_id]
    assert sorted(found["h1"]) == sorted(record.rec_id for record in records[1:])[:3]


def test_records_are_scanned_in_pages_and_counted(store: Database) -> None:
    records = [record_of(f"{n}", "E1" if n else None) for n in range(5)]
    records[4].status = RecordStatus.DELETED
    saved(store, *records)
    seen: list[str] = []
    after = ""
    with store() as uow:
        while page := uow.records.scan("erp", "people", after, 2):
            after = page[-1].ref.key
            seen += [record.ref.key for record in page]
        assert seen == sorted(record.ref.key for record in records)
        counts = uow.records.count("erp", "people")
    assert counts == {"live": 4, "deleted": 1, "linked": 3, "unlinked": 1}


# customers
CUSTOMER = Customer(
    "E1",
    "customer",
    3,
    {"name": "Ädá", "tags": {}, "phone": None},
    {
        ClaimKey("name"): Winner("r1", 4, Rule.MANUAL),
        ClaimKey("tags", "a"): Winner("r", 1, Rule.UNION),
    },
    frozenset({"phone"}),
    "config",
)


def _customers(store: Database, *ids: str, at: int = 1) -> None:
    with store() as uow:
        uow.customers.save([Customer(id_, "customer") for id_ in ids], at)
        uow.commit()


def test_a_customer_is_loaded_as_it_was_saved(store: Database) -> None:
    _customers(store, "E1", "E2")
    with store() as uow:
        uow.customers.save([CUSTOMER], 2)
        uow.commit()
    with store() as uow:
        assert uow.customers.get(["E1", "E9"], lock=True) == {"E1": CUSTOMER}
        assert uow.customers.count("customer") == 2


def test_customers_are_scanned_without_those_that_were_merged_away(store: Database) -> None:
    _customers(store, "E3", "E1", "E2")
    with store() as uow:
        uow.customers.save([Customer("E2", "customer", redirect_to="E1")], 2)
        uow.commit()
    with store() as uow:
        assert [c.id for c in uow.customers.scan("customer", "", 1)] == ["E1"]
        assert [c.id for c in uow.customers.scan("customer", "E1", 9)] == ["E3"]
        assert uow.customers.scan("order", "", 9) == []
        assert uow.customers.count("customer") == 2


def test_history_and_links_are_kept_in_order(store: Database) -> None:
    entries = [HistoryEntry("E1", n, 10 * n, {"name": ["x", None]}, (n,), "run") for n in (2, 3)]
    links = [LinkEntry(f"r{n}", "E1", "link", "policy", {"because": ["email"]}) for n in range(2)]
    with store() as uow:
        uow.customers.add_history(entries[::-1])
        uow.customers.add_links(links[:1], 1, pos=5)
        uow.customers.add_links(links[1:], 1, pos=6)
        uow.commit()
    with store() as uow:
        assert uow.customers.history("E1") == entries
        assert uow.customers.history("E2") == []
        assert uow.customers.links(entity_id="E1") == links
        assert [entry.at for entry in uow.customers.links(entity_id="E1")] == [1, 1]
        assert uow.customers.links(pos=6) == links[1:]


def test_dirty_customers_are_taken_once(store: Database) -> None:
    _customers(store, "E1", "E2", "E3")
    saved(store, record_of("a", "E1"))
    with store() as uow:
        assert uow.customers.mark_all_dirty(["erp"], []) == 1
        uow.customers.mark_dirty(ids=["E3", "E9"])
        uow.commit()
    with store() as uow:
        assert uow.customers.take_dirty("order", 9) == []
        assert uow.customers.take_dirty("customer", 9) == ["E1", "E3"]
        # not committed: whoever took them has died
    with store() as uow:
        assert uow.customers.take_dirty("customer", 1) == ["E1"]
        uow.customers.save([Customer("E1", "customer", 1)], 2)
        uow.commit()
    with store() as uow:
        assert uow.customers.take_dirty("customer", 9) == ["E3"]
        uow.commit()
    with store() as uow:
        assert uow.customers.take_dirty("customer", 9) == []

"""Workers side by side, step by step: who waits for whom, and what is seen afterwards (RULES 23)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_master.domain.claims import UNSET
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryState
from crm_master.engine.attempt import Attempt
from crm_master.engine.ingest import ingest
from crm_master.engine.reconcile import LEASE, Reconciler
from crm_master.engine.transactions import transact
from crm_master.ports import Customer, InboxItem, Landing, Level, NotLocked, UnitOfWork
from crm_master.store import Database
from crm_master.store.schema import block_lock
from tests.rules.world import Setting, World


@pytest.fixture
def hub(store: Database, empty_url: str, tmp_path: Path) -> Iterator[World]:
    """Ada, in both systems."""
    made = World(tmp_path, {"erp": Setting(), "shop": Setting()}, url=empty_url)
    made.erp.add("e1", name="Ada", mail="ada@example.org")
    made.shop.add("s1", name="Ada", mail="ada@example.org")
    yield made.settle()
    made.close()


def _worker(hub: World, batch: int = 1) -> Reconciler:
    return Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, hub.run(), batch=batch)


def _beside(hub: World, first: list[InboxItem], meanwhile: Callable[[], object]) -> None:
    """One worker reconciles; before it commits another one does its work until it ends, or has to wait."""
    other, worker = threading.Thread(target=meanwhile), _worker(hub)
    with hub.store() as uow:
        work = worker._work(uow)
        work.lock(first)
        work.reconcile(first)
        other.start()
        _until_it_waits(hub.store, other)
        uow.commit()
    other.join()


def _until_it_waits(store: Database, other: threading.Thread) -> None:
    if store.engine.dialect.name == "sqlite":
        return  # it waits for the whole database
    query = sa.text("select count(*) from pg_locks where not granted")
    with store.engine.connect() as connection:
        while other.is_alive() and not connection.execute(query).scalar_one():
            connection.rollback()


# who is whose


def test_rule_23_two_new_records_of_one_person_seen_at_once_are_one_customer(hub: World) -> None:
    hub.erp.add("e2", name="Bea", mail="bea@example.org")
    hub.shop.add("s2", name="Bea", mail="bea@example.org")
    hub.ingest("erp")
    hub.ingest("shop")
    one, two = _worker(hub), _worker(hub)
    first, second = one._claim(0), two._claim(0)
    assert [item.ref.key for item in (*first, *second)] == ["e2", "s2"]

    _beside(hub, first, lambda: two._process(second))

    assert len(hub.customers()) == 2, "Ada and Bea"
    assert hub.record("erp", "e2").entity_id == hub.record("shop", "s2").entity_id


def test_rule_23_two_records_of_one_customer_edited_at_once_both_count(hub: World) -> None:
    hub.erp.edit("e1", name="Ada King")
    hub.shop.edit("s1", phone="+3225550101")
    hub.ingest("erp")
    hub.ingest("shop")
    one, two = _worker(hub), _worker(hub)
    first, second = one._claim(0), two._claim(0)

    _beside(hub, first, lambda: two._process(second))

    assert (hub.golden["name"], hub.golden["phone"]) == ("Ada King", "+3225550101")
    assert hub.rebuilt().equal, "the journal has them in the order in which they had the customer"


def test_locks_on_block_keys_leave_nothing_behind(hub: World) -> None:
    hub.erp.add("e2", name="Bea", mail="bea@example.org")
    hub.ingest("erp")
    hub.reconcile()
    with hub.store.engine.connect() as connection:
        assert connection.execute(sa.select(block_lock)).all() == []


# the order of locks


def test_rule_23_whoever_holds_a_record_may_not_wait_for_a_customer(store: Database) -> None:
    with store() as uow:
        uow.lock(Level.RECORD, ["r2"])
        uow.lock(Level.RECORD, ["r2", "r3"])
        with pytest.raises(NotLocked):
            uow.lock(Level.RECORD, ["r1"])
        with pytest.raises(NotLocked) as late:
            uow.customers.get(["E1"], lock=True)
    assert (late.value.level, set(late.value.ids)) == (Level.CUSTOMER, {"E1"})


def test_rule_23_nothing_is_waited_for_once_a_place_in_the_journal_is_taken(
    store: Database,
) -> None:
    with store() as uow:
        uow.lock(Level.CUSTOMER, ["E1"])
        uow.journal.commit("sweep", 1, "run", {})
        uow.customers.get(["E1"], lock=True)
        with pytest.raises(NotLocked):
            uow.lock(Level.RECORD, ["r1"])


def test_locks_of_a_savepoint_that_failed_are_given_back(store: Database) -> None:
    with store() as uow:
        with suppress(RuntimeError), uow.savepoint():
            uow.lock(Level.RECORD, ["r1"])
            raise RuntimeError
        uow.lock(Level.CUSTOMER, ["E1"])


def test_rule_23_what_is_needed_too_late_is_locked_first_when_it_is_done_again(
    store: Database,
) -> None:
    tries: list[int] = []

    def work(uow: UnitOfWork) -> str:
        tries.append(1)
        uow.lock(Level.RECORD, ["r1"])
        uow.customers.save([Customer("E1", "customer")], len(tries))
        uow.lock(Level.CUSTOMER, ["E0"])
        uow.lock(Level.BLOCK, ["b"])
        return "done"

    assert transact(store, work) == "done"
    assert len(tries) == 3
    with store() as uow:
        assert uow.customers.count("customer") == 1


# what is claimed


def _landing(key: str, raw: bytes) -> Landing:
    ref = ExternalRef("erp", "people", key)
    return Landing(ref, "customer", raw, raw.ljust(16), None, 1, 2, 0)


def _keys(items: list[InboxItem]) -> list[tuple[str, bytes]]:
    return [(item.ref.key, item.raw) for item in items]


def test_rule_23_a_claim_is_by_record_and_in_sequence(store: Database) -> None:
    with store() as uow:
        uow.inbox.land([_landing("a", b"1")], "run")
        uow.inbox.land([_landing("a", b"2"), _landing("b", b"1")], "run")
        uow.commit()
    with store() as uow:
        first = uow.inbox.claim("customer", 1, 10, 5, 9)
        uow.commit()
    with store() as uow:
        second = uow.inbox.claim("customer", 1, 14, 5, 9)
        uow.commit()
    assert (_keys(first), _keys(second)) == ([("a", b"1")], [("b", b"1")])
    with store() as uow:
        again = uow.inbox.claim("customer", 9, 15, 5, 9)
        assert _keys(again) == [("a", b"1"), ("a", b"2")], "the lease is over"
        assert [item.attempts for item in again] == [1, 0]


def test_rule_23_two_workers_that_claim_at_once_get_different_records(store: Database) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    with store() as uow:
        uow.inbox.land([_landing("a", b"1"), _landing("b", b"1")], "run")
        uow.inbox.land([_landing("a", b"2"), _landing("c", b"1")], "run")
        uow.commit()
    with store() as one, store() as two:
        two._connection.execute(sa.text("set local lock_timeout = '5s'"))
        first = one.inbox.claim("customer", 1, 10, 5, 9)
        second = two.inbox.claim("customer", 9, 10, 5, 9)
    assert _keys(first) == [("a", b"1")]
    assert _keys(second) == [("b", b"1"), ("c", b"1")], "what is newer of the first record waits"


def test_rule_23_the_observations_of_a_worker_that_died_come_back(hub: World) -> None:
    hub.erp.edit("e1", name="Ada King")
    hub.ingest("erp")
    assert _worker(hub)._claim(0)
    hub.reconcile()
    assert hub.golden["name"] == "Ada"
    hub.clock.sleep(LEASE / 1_000_000)
    hub.reconcile()
    assert hub.golden["name"] == "Ada King"


def test_rule_23_a_page_that_another_worker_has_read_too_is_not_landed(hub: World) -> None:
    """The slow one has begun where the fast one was done: it stops, and the cursor does not go back."""
    source, plan = hub.systems["erp"], hub.hub.stream("erp", "people")
    hub.erp.add("e2", name="Bea", mail="bea@example.org")
    slow = hub.run()

    class Overtaken:
        def __getattr__(self, name: str) -> object:
            return getattr(source, name)

        def read(self, *args: object) -> Iterator[object]:
            pages = list(source.read(*args))  # type: ignore[arg-type]
            hub.ingest("erp")
            yield from pages

    ingest(plan, Overtaken(), hub.store, hub.clock, slow)  # type: ignore[arg-type]

    assert slow.counts == {"read_elsewhere": 1}
    assert hub.inbox() == 1


def test_rule_23_a_settlement_after_another_has_taken_over_is_dropped(hub: World) -> None:
    """Fencing: what the slow worker's write did is looked for by whoever has the delivery now."""
    hub.erp.edit("e1", name="Ada King")
    hub.ingest("erp")
    hub.reconcile()
    rec_id = record_id(ExternalRef("shop", "people", "s1"))
    taken: list[int] = []

    def take_over(self: Attempt, *args: object) -> object:
        with hub.store() as uow:
            now = hub.clock() + 10**10
            taken.extend(message.fence for message in uow.outbox.claim("shop", 1, now, 10, 9))
            uow.commit()
        return write(self, *args)  # type: ignore[arg-type]

    write, patch = Attempt._write_one, pytest.MonkeyPatch()
    patch.setattr(Attempt, "_write_one", take_over)
    counts = hub.deliver("shop")
    patch.undo()

    assert (counts["late"], len(taken)) == (1, 1)
    with hub.store() as uow:
        message = uow.outbox.for_records([rec_id])[rec_id]
    assert hub.record("shop", "s1").shadow.fields["name"].pending is not UNSET, "nothing is settled"
    assert (message.state, message.fence) == (DeliveryState.SENT, taken[0])

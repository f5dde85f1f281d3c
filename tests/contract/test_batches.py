"""A batch costs the same number of statements, however many records it holds, and the same work, however many wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_master.engine.reconcile import Reconciler
from crm_master.store import Database
from tests.contract.rows import land, row
from tests.rules.world import Setting, World

SIZES = (5, 200)


@pytest.fixture
def hub(store: Database, empty_url: str, tmp_path: Path) -> Iterator[World]:
    settings = {"erp": Setting(), "shop": Setting(creates=())}
    made = World(tmp_path, settings, url=empty_url)
    yield made
    made.close()


def _count(statements: list[str], work: Callable[[], object]) -> int:
    statements.clear()
    work()
    return len(statements)


def _seed(hub: World, start: int, number: int) -> None:
    for place in range(start, start + number):
        hub.erp.add(f"e{place}", name=f"N{place}", mail=f"n{place}@example.org", tags=["a"])


def test_landing_and_reconciling_take_a_constant_number_of_statements(
    hub: World, spy: Callable[[Database], list[str]]
) -> None:
    statements = spy(hub.store)
    hub.erp.page_size = 1_000
    for name in ("erp", "shop"):
        hub.ingest(name, full=True)
    hub.approve()
    verbs = ("first", "landed", "edited", "undone", "reread")
    found: dict[str, list[int]] = {verb: [] for verb in verbs}
    numbers = count(0, 1_000)
    for size in SIZES:
        start = next(numbers)
        _seed(hub, start, size)
        found["landed"].append(_count(statements, lambda: hub.ingest("erp")))
        found["first"].append(_count(statements, hub.reconcile))
        for place in range(start, start + size):
            hub.erp.edit(f"e{place}", name=f"M{place}")
        hub.ingest("erp")
        found["edited"].append(_count(statements, hub.reconcile))
        run = hub.ran["reconcile"]
        found["undone"].append(_count(statements, lambda run=run: hub.undo(run)))  # type: ignore[misc]
        for place in range(start, start + size):
            hub.erp.edit(f"e{place}")
        found["reread"].append(_count(statements, lambda: hub.ingest("erp")))
    assert {verb: counts[0] for verb, counts in found.items()} == {
        verb: counts[1] for verb, counts in found.items()
    }


def test_a_record_costs_the_same_however_many_there_are_and_wait(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine, which has no statistics to plan by."""
    sizes = (60, 900)
    few, many = (_steps(tmp_path / str(number), number)[0] for number in sizes)
    assert {name: steps / sizes[1] for name, steps in many.items()} == {
        name: pytest.approx(steps / sizes[0], rel=0.2) for name, steps in few.items()
    }


def test_an_edit_costs_the_same_however_many_records_there_are(tmp_path: Path) -> None:
    few, many = (_steps(tmp_path / str(number), number)[1] for number in (60, 900))
    assert many == {name: pytest.approx(steps, rel=0.2) for name, steps in few.items()}


def _steps(folder: Path, number: int) -> tuple[Counter[str], Counter[str]]:
    """What each part of a synchronisation of this many records costs, and each part of that of an edit after it."""
    folder.mkdir()
    hub = World(folder, {"erp": Setting(), "shop": Setting(creates=())})
    for name in hub.systems:
        hub.ingest(name, full=True)
    hub.approve()
    hub.set_fuses(floor=number, links=1, writes=1, deletes=1)
    hub.erp.page_size = hub.shop.page_size = 20
    _seed(hub, 0, number)
    found = Counter[str]()

    def step() -> None:
        found[part] += 1

    @sa.event.listens_for(hub.store.engine, "checkout")
    def watch(connection: Any, *_: object) -> None:
        connection.set_progress_handler(step, 50)

    def reconcile() -> None:
        run = hub.run("reconcile", "customer")
        Reconciler(hub.hub, "customer", hub.store, hub.clock, hub.new_id, run, batch=20)()

    def recompute() -> None:
        with hub.store() as uow:
            uow.customers.mark_all_dirty(["erp"], ["customer"])
            uow.commit()
        reconcile()

    def scan() -> None:
        after = ""
        with hub.store() as uow:
            while page := uow.customers.scan("customer", after, 20):
                after = page[-1].id

    for part, work in (  # noqa: B007
        ("landing", partial(hub.ingest, "erp")),
        ("reconciling", reconcile),
        ("delivering", partial(hub.deliver, "shop")),
        ("nothing new", partial(hub.ingest, "erp", full=True)),
        ("recomputing", recompute),
        ("scanning", scan),
    ):
        work()
    loaded = found.copy()
    hub.ingest("shop")
    reconcile()
    hub.erp.edit("e1", name="M")
    found.clear()
    for part, work in (  # noqa: B007
        ("landing", partial(hub.ingest, "erp")),
        ("reconciling", reconcile),
        ("delivering", partial(hub.deliver, "shop")),
    ):
        work()
    hub.close()
    return loaded, found


def test_to_count_and_to_turn_a_page_sorts_nothing(
    store: Database, spy: Callable[[Database], list[str]]
) -> None:
    """SQLite would keep a million rows in memory for it, or read those of other entities, too."""
    if store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has statistics to plan by")
    statements = spy(store)
    with store() as uow:
        uow.records.count("erp", "people")
        uow.outbox.count()
        uow.outbox.count("erp")
        uow.outbox.count_creates("erp")
        uow.outbox.waiting("erp", "people")
        uow.inbox.pending()
        uow.customers.count("customer")
        uow.customers.dirty("customer")
        uow.customers.take_dirty("customer", 9)
        uow.customers.scan("customer", "E1", 9)
        uow.customers.outdated("customer", "config", "E1", 9)
        uow.customers.aliases("E1")
    asked = [text for text in statements if text.lstrip().startswith("SELECT")]
    assert len(asked) == 12
    with store.engine.connect() as connection:
        for text in asked:
            values = ("",) * text.count("?")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
            steps = [step for *_, step in plan]
            assert not [step for step in steps if "TEMP B-TREE" in step], text
            assert "SCAN entity" not in steps, text


def test_every_statement_is_planned_for_its_values(store: Database) -> None:
    """PostgreSQL would soon keep a plan of an empty table, and compare each row with each value of a list, one by one."""
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite keeps no plans")
    for start in range(0, 400, 20):
        land(store, *(row(f"{place}") for place in range(start, start + 20)))
    query = "SELECT sum(custom_plans), sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '% IN (%'"
    with store.engine.connect() as connection:
        [(made, kept)] = connection.execute(sa.text(query))
    assert made > 0
    assert kept == 0

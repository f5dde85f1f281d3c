"""A batch costs the same number of statements, however many records it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_master.store import Database
from tests.rules.fakes import Setting, World

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
    hub: World, spy: Callable[[World], list[str]]
) -> None:
    statements = spy(hub)
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


@pytest.fixture
def spy() -> Callable[[World], list[str]]:
    """Notes what a hub sends to its database."""

    def listen(hub: World) -> list[str]:
        sent: list[str] = []

        @sa.event.listens_for(hub.store.engine, "before_cursor_execute")
        def note(_c: object, _k: object, text: str, _p: object, _x: object, _many: bool) -> None:
            sent.append(text)

        return sent

    return listen

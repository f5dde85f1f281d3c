"""Pages that are asked for at the same time, landed: a read that breaks off goes on behind the last page that was."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from connectors.errors import BadAnswer
from connectors.testing.profiles import Profile
from connectors.testing.server import Break, Reply
from connectors.testing.simulator import Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from tests.hubs import files_for, open_hub

SIZE, PAGES, BROKEN = 5, 9, 6


class Breaking(Simulator):
    """A shop whose sixth page cannot be read while it is broken."""

    broken = True

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Reply | Break:
        if self.broken and f"page={BROKEN}" in target:
            return Reply(200, b"<html>")
        return super().answer(method, target, headers, body)


@pytest.fixture
def shop() -> Iterator[Breaking]:
    habits = Profile("shop", paging="page", pages_at_once=4, page_size=SIZE, per_second=200)
    shop = Breaking(habits)
    with shop:
        for number in range(SIZE * PAGES):
            shop.add(name=f"Person {number}", email=f"p{number}@example.org")
        yield shop


@pytest.fixture
def app(shop: Breaking, tmp_path: Path) -> Iterator[App]:
    systems = {"shop": shop}
    app = open_hub(systems, files_for(systems), f"sqlite:///{tmp_path / 'master.db'}")
    yield app
    app.connect("shop").close()  # type: ignore[attr-defined]
    app.store.close()


def test_a_read_of_several_pages_at_once_goes_on_behind_the_last_that_was_landed(
    shop: Breaking, app: App
) -> None:
    for _ in range(2):
        with pytest.raises(BadAnswer):
            entrypoints.ingest(app, "shop", "customers")
        with app.store() as uow:
            assert uow.inbox.pending("customer") == SIZE * (BROKEN - 1)
        assert not [one for one in threading.enumerate() if one.name.startswith("page-ahead")]
    shop.broken = False
    counts = entrypoints.ingest(app, "shop", "customers").counts
    assert counts["read"] == counts["landed"] == SIZE * (PAGES - BROKEN + 1)
    entrypoints.reconcile(app, "customer")
    with app.store() as uow:
        assert uow.customers.count("customer") == SIZE * PAGES

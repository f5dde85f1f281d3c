"""What several processes keep of the budget that they share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.runtime.budget import Standing
from crm_master.bootstrap import Shared
from crm_master.store import Database

pytestmark = pytest.mark.integration


def test_a_budget_begins_unused_and_is_kept_for_each_credential(store: Database) -> None:
    def use(standing: Standing) -> Standing:
        standing.tokens, standing.filled, standing.closed_until = 2.5, 1_800_000_000.25, 7
        standing.sent.append((1_800_000_000.25, 3))
        return standing

    used = Shared(store, "erp")(use)
    found = Shared(store, "erp")(lambda standing: standing)
    found.sent = [(at, number) for at, number in found.sent]
    assert found == used
    assert Shared(store, "shop")(lambda standing: standing) == Standing()


def test_those_who_share_a_budget_change_it_one_after_the_other(store: Database) -> None:
    def use(standing: Standing) -> None:
        standing.tokens = (standing.tokens or 0) + 1

    def work(_worker: int) -> None:
        for _ in range(20):
            Shared(store, "erp")(use)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert Shared(store, "erp")(lambda standing: standing.tokens) == 160

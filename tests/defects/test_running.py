"""Running: failures that nobody sees, limits that nobody keeps, memory without bound (HARD_PARTS 2: 10, 20, 21, 26)."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from connectors.contract import Sink
from connectors.errors import RateLimited
from connectors.testing import Profile, Simulator
from connectors.testing.server import Break, Reply
from crm_master import entrypoints
from tests.defects.conftest import MakeHub
from tests.defects.hub import Hub, edited

pytestmark = pytest.mark.integration


def last_run(hub: Hub, verb: str) -> str:
    """How the last run of a verb ended, as ``concord status`` has it."""
    status: str = next(
        run["status"] for run in entrypoints.status(hub.app)["runs"] if run["verb"] == verb
    )
    return status


def test_defect_10_a_read_in_which_every_row_was_rejected_fails(hub: MakeHub) -> None:
    made = hub()
    for n in range(4):
        made.shop.poison(made.shop.add(name=f"Person {n}"), b'{"id": null}')
    with pytest.raises(entrypoints.RunFailed, match="rejected"):
        made.ingest("shop")
    assert last_run(made, "ingest") == "failed"


def test_defect_10_a_delivery_in_which_every_write_was_refused_fails(hub: MakeHub) -> None:
    made = hub()
    made.sync()
    for n in range(4):
        made.shop.add(name=f"Person {n}", email=f"p{n}@example.org")
    made.crm.fail_next(400, times=9, methods={"POST"})
    with pytest.raises(entrypoints.RunFailed, match="4 refused"):
        made.sync()
    assert last_run(made, "deliver") == "failed"
    assert made.crm.creates == 0
    assert len(made.tasks("refused")) == 4


# --- limits ----------------------------------------------------------------------------------


class Metered(Simulator):
    """A system that says how many requests are left in the next half minute."""

    left = 1_000_000

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply | Break:
        reply = super().answer(method, target, headers, body)
        if not isinstance(reply, Reply):
            return reply
        self.left -= 1
        told = {"X-Remaining": str(max(self.left, 0)), "X-Reset": "30"}
        return replace(reply, headers={**reply.headers, **told})


def by_its_headers(_: str, manifest: dict[str, Any]) -> None:
    manifest["limits"] = {"headers": {"remaining": "X-Remaining", "reset": "X-Reset"}}


def crowded(hub: Hub, number: int = 30) -> Hub:
    for n in range(number):
        hub.shop.add(name=f"Person {n}", email=f"p{n}@example.org")
    return hub


def refused_by_budget(hub: Hub) -> int:
    """Read the shop, as far as its budget goes; the number of requests that it saw."""
    before = hub.shop.calls["GET"]
    with pytest.raises(RateLimited):
        hub.ingest("shop")
    return hub.shop.calls["GET"] - before


def test_defect_20_the_limit_that_answers_tell_is_kept_between_pages(hub: MakeHub) -> None:
    """Two requests are left, and five pages are to be read."""
    made = crowded(
        hub(
            shop=lambda clock: Metered(None, clock.moment),
            edit=edited(by_its_headers),
            create="nobody",
            size=6,
        )
    )
    made.shop.left = 2  # type: ignore[attr-defined]
    assert refused_by_budget(made) == 2
    assert refused_by_budget(made) == 0, "nor by the next verb"

    made.shop.left = 99  # type: ignore[attr-defined]
    later = made.ingest("shop", by=made.worker())
    assert later["read"] == 30 - 12, "the scan goes on where it was"


def test_defect_20_a_system_that_says_wait_in_the_middle_of_a_scan_is_left_alone(
    hub: MakeHub,
) -> None:
    class Busy(Metered):
        def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply | Break:
            if self.left == 0:
                self.fail_next(429, headers={"Retry-After": "30"})
            return super().answer(method, target, headers, body)

    made = crowded(hub(shop=lambda clock: Busy(None, clock.moment), create="nobody", size=6))
    made.shop.left = 2  # type: ignore[attr-defined]
    assert refused_by_budget(made) == 3, "two pages, and the answer that said so"
    assert refused_by_budget(made) == 0
    made.shop.calm()
    made.shop.left = 99  # type: ignore[attr-defined]
    assert made.ingest("shop", by=made.worker())["read"] == 30 - 12


def test_defect_20_workers_share_what_a_system_allows(hub: MakeHub) -> None:
    """Fifty requests a second: two workers with fifty each cannot send them all in the first."""
    made = hub(shop=Profile(per_second=50))
    key = made.shop.add(name="Ada", email="ada@example.org")
    made.sync()
    workers = [made.worker().connect("shop") for _ in range(2)]

    def look(connector: Sink) -> None:
        for _ in range(50):
            connector.fetch("customers", [key])

    threads = [threading.Thread(target=look, args=(connector,)) for connector in workers]
    before, began = made.shop.calls["GET"], time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made.shop.calls["GET"] - before == 100
    assert time.monotonic() - began > 1


def test_defect_21_all_whose_token_ran_out_together_share_one_new_one(hub: MakeHub) -> None:
    """Two renewals would race: with a token that rotates, the second makes the first worthless."""
    made = hub(shop=Profile(auth="session"))
    key = made.shop.add(name="Ada", email="ada@example.org")
    made.sync()
    assert made.shop.logins == 1
    connector, together = made.app.connect("shop"), threading.Barrier(8)
    found: list[object] = []

    def look() -> None:
        together.wait(10)
        found.append(connector.fetch("customers", [key])[key])

    for logins in (2, 3):
        made.shop.expire_tokens()
        workers = [threading.Thread(target=look) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert made.shop.logins == logins
    assert len(found) == 16
    assert None not in found


# --- memory ----------------------------------------------------------------------------------


def test_defect_26_memory_does_not_grow_with_the_number_of_rows(hub: MakeHub) -> None:
    """Four times as many customers are read and reconciled in much the same space.

    The simulator lives in this process too, and sorts all its keys for each page: that is what grows, by a third.
    """
    peaks: dict[str, list[int]] = {"ingest": [], "reconcile": []}
    for number in (600, 2400):
        made = crowded(hub(create="nobody", size=50), number)
        made.app.connect("shop")
        for verb, run in (("ingest", lambda: made.ingest("shop")), ("reconcile", made.reconcile)):  # noqa: B023
            gc.collect()
            tracemalloc.start()
            run()
            peaks[verb].append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert made.customers() == number
    assert all(many < 2 * few for few, many in peaks.values()), peaks

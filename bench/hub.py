"""Concord, measured: ``python -m bench.hub URL SHOP DATABASE QUOTA``. Then does, for each line read, what ``Hub`` has.

The hub has two systems, those of ``bench.api``: the ERP, and a shop in which every customer is to be created. Both join
while they are empty, so that a load does everything that it does in a running hub. The shop's manifest names its quota,
in requests a second, unless that is 0.
"""

from __future__ import annotations

import sys

from bench.child import answer
from bench.measure import measured
from bench.rows import contents, files
from bench.stage import opened
from crm_master import entrypoints
from crm_master.bootstrap import App


def texts(quota: int) -> dict[str, str]:
    """The deployment of ``bench.rows``, but everybody is created in the shop, and nobody is asked who joins."""
    found = contents()
    systems = found["hub.yaml"]["systems"]
    for name, system in systems.items():
        system["join"] = "auto"
        found[f"mappings/{name}/customers.yaml"]["fields"]["address.street"] = (
            "street"  # by nobody's own codec
        )
    systems["shop"]["streams"]["customers"] = {"create": "everybody"}
    # so many new customers are no accident here
    found["policies/customer.yaml"]["fuses"] = {"writes": 1.0}
    if quota:
        found["systems/shop.yaml"]["limits"] = {"per_second": quota}
    return files(found)


class Hub:
    """A hub in a process of its own."""

    def __init__(self, app: App) -> None:
        self.app = app

    def load(self) -> int:
        """Everything up to the outbox. Gives the number of rows read."""
        return self._land(full=False)

    def reread(self) -> int:
        """Reads everything again."""
        return self._land(full=True)

    def _land(self, *, full: bool) -> int:
        ran = entrypoints.ingest(self.app, "erp", "customers", full=full)
        entrypoints.reconcile(self.app, "customer")
        return ran.counts["read"]

    def deliver(self) -> int:
        """Writes what waits for the shop. Gives the number of records created."""
        return entrypoints.deliver(self.app, "shop").counts.get("created", 0)

    def arrive(self) -> int:
        """A round, after which what has changed is in the shop. Gives the number of its changes there."""
        entrypoints.ingest(self.app, "erp", "customers")
        entrypoints.reconcile(self.app, "customer")
        counts = entrypoints.deliver(self.app, "shop").counts
        return counts.get("created", 0) + counts.get("updated", 0)


def main(url: str, shop: str, database: str, quota: str = "0") -> None:
    with opened(texts(int(quota)), database, {"erp": url, "shop": shop}) as app:
        entrypoints.sync(app)
        hub = Hub(app)
        answer({"systems": list(app.hub.systems)})
        for line in sys.stdin:
            answer(measured(getattr(hub, line.strip())))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Concord, measured: ``python -m bench.hub URL SHOP DATABASE QUOTA``. Then does, for each line read, what ``Hub`` has.

The hub has two systems, those of ``bench.api``: the ERP, and a shop in which every customer is to be created. Both join
while they are empty, so that a load does everything that it does in a running hub. The shop's manifest names its quota,
in requests a second, unless that is 0.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import yaml

from bench.measure import measured, say
from bench.rows import files
from connectors.runtime.connection import Connection
from connectors.testing.api import TOKEN
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import compile_deployment, home_files
from crm_master.store import Database


def texts(quota: int) -> dict[str, str]:
    """The deployment of ``bench.rows``, but everybody is created in the shop, and nobody is asked who joins."""
    found = files()
    hub = yaml.safe_load(found["hub.yaml"])
    for system in hub["systems"].values():
        system["join"] = "auto"
    hub["systems"]["shop"]["streams"]["customers"] = {"create": "everybody"}
    shop = yaml.safe_load(found["systems/shop.yaml"])
    if quota:
        shop["limits"] = {"per_second": quota, "burst": 5}
    # so many new customers are no accident here
    policy = yaml.safe_load(found["policies/customer.yaml"]) | {"fuses": {"writes": 1.0}}
    changed = {"hub.yaml": hub, "systems/shop.yaml": shop, "policies/customer.yaml": policy}
    for name in (f"mappings/{system}/customers.yaml" for system in ("erp", "shop")):
        mapping = yaml.safe_load(found[name])
        mapping["fields"]["address.street"] = "street"  # by nobody's own codec
        changed[name] = mapping
    return found | {name: yaml.safe_dump(content) for name, content in changed.items()}


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
    given, shipped = texts(int(quota)), home_files(Path("/nonexistent"))
    deployment = compile_deployment(lambda name: given.get(name) or shipped(name))
    urls = {"erp": url, "shop": shop}
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as home:
        app = App(
            Path(home),
            deployment,
            Database(database),
            lambda system: Connection(urls[system], "hub", TOKEN),
        )
        entrypoints.init(app)
        entrypoints.sync(app)
        hub = Hub(app)
        say({"systems": list(app.hub.systems)})
        for line in sys.stdin:
            say(measured(getattr(hub, line.strip())))
        app.store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

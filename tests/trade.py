"""A shop and an ERP with their customers and orders, as four simulated systems: real servers that count what is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from connectors.testing import Profile, Simulator
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.store import Database
from tests.clock import Clock
from tests.hubs import FIELDS, MATCH, compiled

ORDER_FIELDS = ("number", "party", "status", "shipped", "lines", "promised", "total", "ordered")
TICKET_FIELDS = ("number", "party", "subject", "kind", "status", "opened", "answered")
ORDERS: Mapping[str, Any] = {
    "number": "number",
    "status": {"at": "status", "as": "enum"},
    "promised_at": {"at": "promised", "as": "date"},
    "ordered_at": {"at": "ordered", "as": "datetime"},
    "total": {"at": "total", "as": "decimal"},
    "fulfilment.status": {"at": "shipped", "as": "enum"},
    "lines": {
        "at": "lines[*]",
        "each": {"sku": "sku", "quantity": {"at": "quantity", "as": "decimal"}},
    },
}
TICKETS: Mapping[str, Any] = {
    "number": "number",
    "subject": "subject",
    "kind": {"at": "kind", "as": "enum"},
    "status": {"at": "status", "as": "enum"},
    "opened_at": {"at": "opened", "as": "datetime"},
    "answered_at": {"at": "answered", "as": "datetime"},
}
SHIPPED_POLICY = Path("mappings/policies/order.yaml")


FIELDS_OF = {"sales": ORDER_FIELDS, "orders": ORDER_FIELDS, "desk": TICKET_FIELDS}


class Trade:
    """A shop and an ERP, each with customers and orders; orders made in the shop are made in the ERP.

    With ``processes`` there is a service desk, too: what they raise is made there as a ticket.
    """

    def __init__(
        self,
        url: str,
        *,
        erp_customers: Any = "everybody",
        processes: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = Clock()
        names = ["erp", "shop", "sales", "orders", *(["desk"] if processes else [])]
        self.systems = {
            name: Simulator(
                Profile(name=name, fields=FIELDS_OF[name], unique=("ref", "number"))
                if name in FIELDS_OF
                else Profile(name=name),
                self.clock.moment,
            ).start()
            for name in names
        }
        create = {"erp": erp_customers, "sales": "everybody", "desk": "everybody"}
        hub = {
            "name": "trade",
            "rank": list(names),
            "systems": {
                name: {
                    "system": name,
                    "connection": name,
                    "join": "auto",
                    "streams": {"customers": {"create": create.get(name, "nobody")}},
                }
                for name in names
            },
            "processes": dict(processes or {}),
        }
        policy = yaml.safe_load(SHIPPED_POLICY.read_text(encoding="utf-8"))
        policy["fields"]["fulfilment"] = {"rule": "owner", "owner": "sales"}
        files: dict[str, Any] = {
            "hub.yaml": hub,
            "policies/customer.yaml": {"entity": "customer", "match": MATCH},
            "policies/order.yaml": policy,
        }
        for name in ("erp", "shop"):
            files[f"mappings/{name}/customers.yaml"] = {"entity": "customer", "fields": FIELDS}
        for name, of in (("sales", "erp"), ("orders", "shop"), ("desk", "shop")):
            party = {"at": "party", "as": {"reference": {"system": of, "stream": "customers"}}}
            fields = {"customer": party, **(TICKETS if name == "desk" else ORDERS)}
            entity = "interaction" if name == "desk" else "order"
            files[f"mappings/{name}/customers.yaml"] = {"entity": entity, "fields": fields}
        texts = {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}
        texts |= {
            f"systems/{n}.yaml": system.profile.manifest() for n, system in self.systems.items()
        }
        self.app = App(
            Path(),
            compiled(texts),
            Database(url, lambda _make: b"the key of the erased, for tests"),
            lambda connection: self.systems[connection].connection,
            self.clock,
        )
        entrypoints.init(self.app)

    def __getattr__(self, name: str) -> Simulator:
        return self.__dict__["systems"][name]

    def sync(self, *systems: str) -> None:
        self.clock.sleep(60)
        entrypoints.sync(self.app, systems)

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

    def quiet(self) -> bool:
        """Whether a further round writes nothing anywhere."""
        before = self.writes()
        self.sync()
        return self.writes() == before

    def order(self, key: str) -> dict[str, Any]:
        shown = entrypoints.show(self.app, key)
        return {name: facts["value"] for name, facts in shown["fields"].items()}

    def close(self) -> None:
        self.app.store.close()
        for opened in self.app._open.values():
            opened.close()  # type: ignore[attr-defined]
        for system in self.systems.values():
            system.stop()


def placed(trade: Trade, party: str, number: str = "S-1", **more: Any) -> str:
    lines = [{"sku": "A", "quantity": "2"}, {"sku": "B", "quantity": "1"}]
    return trade.orders.add(number=number, party=party, status="placed", lines=lines, **more)


def only(system: Simulator) -> dict[str, Any]:
    [record] = system.snapshot().values()
    return record

"""What the demo and `make up` stand on: real systems, filled, and a deployment that knows where they are."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from connectors.runtime.connection import variable
from examples import peers
from examples.demo.desks import MailmanDesk, TrytonDesk
from examples.demo.seed import Seeded, seed
from examples.demo.selling import OrderDesk, ShopDesk

HUB = Path(__file__).resolve().parent / "hub"


class Company:
    """Four running systems and a shared folder, with somebody at the desk of each."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.erp, self.lists = peers.tryton(), peers.mailman()
        self.shop, self.office = peers.vendure(), peers.backoffice()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start all of them side by side."""
        servers: list[peers.Server] = [self.erp, self.lists, self.shop, self.office]
        for server in servers:
            self._stack.callback(server.close)
        try:
            self.shared.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(len(servers)) as pool:
                list(pool.map(lambda server: server.start(), servers))
            self.clerk = self._stack.enter_context(TrytonDesk(self.erp))
            self.owner = self._stack.enter_context(MailmanDesk(self.lists))
            self.seller = ShopDesk(self.shop)
            self.orders = OrderDesk(self.shop, self.erp)
            self._stack.callback(self.orders.close)
            self.agent = peers.Clerk(self.office)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fill(self) -> Seeded:
        """Customers as systems come to hold them that never spoke to each other."""
        systems = (self.erp, self.lists, self.shop, self.office)
        return seed(*systems, tryton=40, mailman=32, both=18, duplicates=1)

    def deploy(self, home: Path) -> Path:
        """A copy of the demo's deployment with this Tryton's ids; its connections go into the environment."""
        shutil.copytree(HUB, home)
        file = home / "hub.yaml"
        text = file.read_text()
        for name in ("database", "company", "newsletter", "unit"):
            text = re.sub(rf"\b{name}: \w+", f"{name}: {getattr(self.erp, name)}", text, count=1)
        file.write_text(text)
        os.environ.update(
            {variable(name): json.dumps(parts) for name, parts in self._connections().items()}
        )
        return home

    def _connections(self) -> dict[str, Mapping[str, Any]]:
        """The connections that hub.yaml names, as Airflow and Concord take them from the environment."""

        def at(url: str, password: str, login: str | None = None) -> Mapping[str, Any]:
            return {"conn_type": "concord", "host": url, "login": login, "password": password}

        return {
            "concord_erp": at(self.erp.url, self.erp.key),
            "concord_shop": at(self.shop.url, self.shop.password, self.shop.user_name),
            "concord_office": at(self.office.url, self.office.password, self.office.user_name),
            "concord_calls": {"conn_type": "fs", "extra": {"path": str(self.shared)}},
            "concord_mailing": at(
                self.lists.url.rpartition("/")[0], self.lists.password, self.lists.user_name
            ),
        }

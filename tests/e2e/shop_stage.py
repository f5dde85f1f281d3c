"""The stage with a web shop beside the ERP and the mailing list."""

from __future__ import annotations

from typing import Any

from connectors.runtime.connection import Connection
from connectors.testing.proxy import Proxy
from examples import peers
from examples.demo.selling import OrderDesk, ShopDesk
from tests.e2e.stage import ERP, Stage

SHOP = "shop"
CUSTOMERS = f"{SHOP}/customers"


class ShopStage(Stage):
    """Three systems; the shop makes who is in another one and has an address."""

    def __init__(self, erp: peers.Tryton, lists: peers.Mailman, shop: peers.Vendure) -> None:
        super().__init__(erp, lists)
        self.shop = shop
        self.to_shop = Proxy(shop.port, searches=r"/(query/\w+|mutation/login)$")
        self.seller = ShopDesk(shop)

    def close(self) -> None:
        self.to_shop.close()
        super().close()

    def connections(self) -> dict[str, Connection]:
        shop = Connection(self.to_shop.url, self.shop.user_name, self.shop.password)
        return super().connections() | {"concord_shop": shop}

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]:
        shop = {
            "system": "vendure",
            "connection": "concord_shop",
            "join": join,
            "streams": {"customers": {"create": {"when": {"email": "present"}}}},
        }
        return super().systems(join, create_in_erp) | {SHOP: shop}

    def forget_calls(self) -> None:
        self.to_shop.clear()
        super().forget_calls()

    @property
    def writes(self) -> list[Any]:
        return [*super().writes, *self.to_shop.writes]


class OrderStage(ShopStage):
    """The three systems, with the orders of shop and ERP: who orders in the shop orders in the ERP."""

    def __init__(self, erp: peers.Tryton, lists: peers.Mailman, shop: peers.Vendure) -> None:
        super().__init__(erp, lists, shop)
        self.desk = OrderDesk(shop, erp)

    def close(self) -> None:
        self.desk.close()
        super().close()

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]:
        found = super().systems(join, create_in_erp)
        found[ERP]["streams"]["sales"] = {"create": "everybody"}
        found[ERP]["params"] |= {"company": self.erp.company, "unit": self.erp.unit}
        found[SHOP]["streams"]["orders"] = {}
        return found

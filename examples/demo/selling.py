"""Somebody at a desk, where goods are sold: in the shop's administration (Vendure), and at the ERP's (Tryton)."""

from __future__ import annotations

from typing import Any

from examples import peers

_CARD = """
query($email: String!) { customers(options: {filter: {emailAddress: {eq: $email}}}) { items {
  id firstName lastName emailAddress phoneNumber customFields { concordKey newsletterConsent }
  addresses { id company streetLine1 city postalCode defaultShippingAddress } } } }
"""


class ShopDesk:
    """What people do in the shop's administration."""

    def __init__(self, shop: peers.Vendure) -> None:
        self._call = peers.VendureClient(shop)

    def add(self, first: str, last: str, email: str, **more: Any) -> str:
        """A new customer's id."""
        customer = {"firstName": first, "lastName": last, "emailAddress": email, **more}
        made = self._call(
            "mutation($input: CreateCustomerInput!)"
            " { createCustomer(input: $input) { ... on Customer { id } } }",
            input=customer,
        )
        return str(made["createCustomer"]["id"])

    def edit(self, customer: str, **changes: Any) -> None:
        self._call(
            "mutation($input: UpdateCustomerInput!)"
            " { updateCustomer(input: $input) { __typename } }",
            input={"id": customer, **changes},
        )

    def add_address(self, customer: str, **address: Any) -> str:
        """A new address's id."""
        made = self._call(
            "mutation($customer: ID!, $input: CreateAddressInput!)"
            " { createCustomerAddress(customerId: $customer, input: $input) { id } }",
            customer=customer,
            input={"countryCode": "BE", **address},
        )
        return str(made["createCustomerAddress"]["id"])

    def edit_address(self, address: str, **changes: Any) -> None:
        self._call(
            "mutation($input: UpdateAddressInput!) { updateCustomerAddress(input: $input) { id } }",
            input={"id": address, **changes},
        )

    def cards(self, email: str) -> list[dict[str, Any]]:
        """Everybody with this address."""
        found: list[dict[str, Any]] = self._call(_CARD, email=email)["customers"]["items"]
        return found

    def everybody(self) -> list[str]:
        """The ids of all customers."""
        found = self._call("{ customers(options: {take: 1000}) { items { id } } }")
        return [str(item["id"]) for item in found["customers"]["items"]]

    def card(self, email: str) -> dict[str, Any]:
        """The one customer with this address."""
        (card,) = self.cards(email)
        return card


class OrderDesk:
    """What people do with orders, in the shop and in the ERP."""

    def __init__(self, shop: peers.Vendure, erp: peers.Tryton) -> None:
        self._shop = peers.VendureClient(shop)
        self._erp = peers.TrytonClient(erp)
        self._unit = erp.unit

    def close(self) -> None:
        self._erp.close()

    def place(self, customer: str, goods: dict[str, int]) -> str:
        """An order that is placed and paid; its id."""
        return self._shop.place_order(customer, goods)

    def order(self, key: str) -> dict[str, Any]:
        query = (
            "query($id: ID!) { order(id: $id) { code state fulfillments { id state updatedAt } } }"
        )
        found: dict[str, Any] = self._shop(query, id=key)["order"]
        return found

    def offer(self, sku: str, name: str, price: int) -> None:
        """New goods in the shop, of which there is always enough; ``price`` in cents."""
        (tax,) = self._shop("{ taxCategories { items { id } } }")["taxCategories"]["items"]
        texts = [{"languageCode": "en", "name": name, "slug": sku.lower(), "description": ""}]
        made = self._shop(
            "mutation($input: CreateProductInput!) { createProduct(input: $input) { id } }",
            input={"translations": texts},
        )
        variant = {
            "productId": made["createProduct"]["id"],
            "sku": sku,
            "price": price,
            "taxCategoryId": tax["id"],
            "trackInventory": "FALSE",
            "translations": [{"languageCode": "en", "name": name}],
        }
        self._shop(
            "mutation($input: [CreateProductVariantInput!]!)"
            " { createProductVariants(input: $input) { id } }",
            input=[variant],
        )

    def take_off(self, percent: int, above: int) -> None:
        """From now on, so much is taken off each order that comes to ``above`` cents net."""
        condition = {"amount": str(above), "taxInclusive": "false"}
        action = {"discount": str(percent)}
        self._shop(
            "mutation($input: CreatePromotionInput!) { createPromotion(input: $input)"
            " { __typename ... on ErrorResult { errorCode message } } }",
            input={
                "enabled": True,
                "translations": [{"languageCode": "en", "name": f"{percent} % off"}],
                "conditions": [_operation("minimum_order_amount", condition)],
                "actions": [_operation("order_percentage_discount", action)],
            },
        )

    def stock(self, sku: str, name: str, price: str) -> None:
        """New goods in the ERP."""
        (category,) = self._erp.model("product.category", "search", [["accounting", "=", True]])
        decimal = {"__class__": "Decimal", "decimal": price}
        template = {
            "name": name,
            "code": sku,
            "type": "goods",
            "salable": True,
            "default_uom": self._unit,
            "sale_uom": self._unit,
            "list_price": decimal,
            "account_category": category,
            "products": [["create", [{}]]],
        }
        self._erp.model("product.template", "create", [template])

    def cancel(self, key: str) -> None:
        self._shop(
            "mutation($input: CancelOrderInput!) { cancelOrder(input: $input)"
            " { __typename ... on ErrorResult { errorCode message } } }",
            input={"orderId": key, "cancelShipping": True},
        )

    def deliver(self, key: str) -> None:
        """What was sent has arrived."""
        for sent in self.order(key)["fulfillments"]:
            self._shop(
                'mutation($id: ID!) { transitionFulfillmentToState(id: $id, state: "Delivered")'
                " { __typename ... on ErrorResult { errorCode message } } }",
                id=sent["id"],
            )

    def sales(self, number: str) -> list[dict[str, Any]]:
        """The sales of an order, by the number that the shop gave it."""
        ids = self._erp.model("sale.sale", "search", [["reference", "=", number]])
        fields = ["party", "state", "shipments", "lines", "untaxed_amount"]
        found: list[dict[str, Any]] = self._erp.model("sale.sale", "read", ids, fields)
        return found

    def lines(self, sale: dict[str, Any]) -> dict[str, int]:
        """How much of which product a sale is about."""
        fields = ["product.code", "quantity"]
        rows = self._erp.model("sale.line", "read", sale["lines"], fields)
        return {row["product."]["code"]: int(row["quantity"]) for row in rows}

    def ship(self, sale: dict[str, Any]) -> None:
        for button in ("assign_force", "pick", "pack", "ship", "do"):
            self._erp.model("stock.shipment.out", button, sale["shipments"])


def _operation(code: str, arguments: dict[str, str]) -> dict[str, Any]:
    return {
        "code": code,
        "arguments": [{"name": name, "value": value} for name, value in arguments.items()],
    }

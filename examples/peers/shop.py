"""Vendure 3.7: a real web shop on PostgreSQL, reached over its GraphQL admin API."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from examples.peers import node
from examples.peers.database import Postgres
from examples.peers.installing import (
    HERE,
    PeerError,
    build_once,
    fingerprint,
    home,
    locked,
    run,
    say,
)
from examples.peers.processes import HOST, Server, http_answers

SERVER = HERE / "vendure.js"
# What the template holds: one currency, and goods whose stock is not counted. Prices are in cents.
CURRENCY = "EUR"
GOODS = {"W-1": ("Widget", 1000), "G-1": ("Gadget", 2550)}


class Vendure(Server):
    """A Vendure server, and below it a PostgreSQL of its own with a copy of the prepared data."""

    name = "vendure"
    user_name = "superadmin"
    password = "admin-secret-1"

    def __init__(
        self,
        workdir: Path | str | None = None,
        *,
        port: int | None = None,
        _unprepared: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(workdir, port=port)
        template: Path | None = None
        if _unprepared:
            self._node, self._packages = _unprepared
        else:
            template, self._node, self._packages = install()
        self.database = Postgres(self.workdir / "database")
        if template is not None:
            facts = json.loads((template / "facts.json").read_text())
            self.database.restore(template / "data", facts["password"])

    @property
    def url(self) -> str:
        """The server's root; the APIs are at `/admin-api` and `/shop-api`."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        self.database.start()
        return super().start()

    def stop(self) -> None:
        super().stop()
        self.database.stop()

    def close(self) -> None:
        super().close()
        self.database.close()

    def populate(self) -> None:
        """Make the tables, and the data without which no shop works."""
        run([*self._prepare(), "populate"], cwd=self.workdir)

    def _prepare(self) -> list[str]:
        settings = self.workdir / "settings.json"
        database = self.database
        content = {
            "host": HOST,
            "port": self.port,
            "superadmin": {"identifier": self.user_name, "password": self.password},
            "database": {
                "host": HOST,
                "port": database.port,
                "username": database.user_name,
                "password": database.password,
                "database": database.database,
            },
        }
        settings.write_text(json.dumps(content))
        return [str(self._node), str(SERVER), f"{self._packages}/", str(settings)]

    def _answers(self) -> bool:
        # before its routes are there, it answers 404
        return http_answers(f"{self.url}/health", {})


def install() -> tuple[Path, Path, Path]:
    """The prepared data's folder, the program node and the packages; makes what is not there yet."""
    with locked("vendure"):
        program, packages = node.node(), node.packages("vendure")
        mark = fingerprint(SERVER, Path(__file__), str(packages))
        template = home("vendure") / f"template-{mark}"
        for outdated in home("vendure").glob("template-*"):
            if outdated != template:
                shutil.rmtree(outdated, ignore_errors=True)
        return (
            build_once(template, lambda draft: _build(draft, (program, packages))),
            program,
            packages,
        )


def _build(draft: Path, programs: tuple[Path, Path]) -> None:
    say("vendure: preparing the database")
    shop = Vendure(_unprepared=programs)
    try:
        shop.database.start()
        shop.populate()
        shop.start()
        _fill(VendureClient(shop))
        shop.stop()
        shutil.copytree(shop.database.data, draft / "data")
        (draft / "facts.json").write_text(json.dumps({"password": shop.database.password}))
    finally:
        shop.close()


def _fill(client: VendureClient) -> None:
    (channel,) = client("{ channels { items { id } } }")["channels"]["items"]
    client(
        "mutation($input: UpdateChannelInput!) { updateChannel(input: $input) { __typename } }",
        input={
            "id": channel["id"],
            "defaultCurrencyCode": CURRENCY,
            "availableCurrencyCodes": [CURRENCY],
        },
    )
    (tax,) = client("{ taxCategories { items { id } } }")["taxCategories"]["items"]
    for sku, (name, price) in GOODS.items():
        texts = [{"languageCode": "en", "name": name, "slug": sku.lower(), "description": ""}]
        product = client(
            "mutation($input: CreateProductInput!) { createProduct(input: $input) { id } }",
            input={"translations": texts},
        )["createProduct"]
        variant = {
            "productId": product["id"],
            "sku": sku,
            "price": price,
            "taxCategoryId": tax["id"],
            "trackInventory": "FALSE",
            "translations": [{"languageCode": "en", "name": name}],
        }
        client(
            "mutation($input: [CreateProductVariantInput!]!)"
            " { createProductVariants(input: $input) { id } }",
            input=[variant],
        )


class VendureClient:
    """Vendure's admin API as an administrator's browser uses it."""

    def __init__(self, shop: Vendure) -> None:
        self._url = f"{shop.url}/admin-api"
        self._token: str | None = None
        self(
            "mutation($name: String!, $password: String!)"
            " { login(username: $name, password: $password) { __typename } }",
            name=shop.user_name,
            password=shop.password,
        )

    def __call__(self, query: str, **variables: Any) -> Any:
        """The answer's data. Raises ``PeerError`` for an error, also for one that comes as a value."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = json.dumps({"query": query, "variables": variables})
        # A connection of its own: Node.js closes those that stand idle for five seconds.
        request = urllib.request.Request(self._url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            self._token = answer.headers.get("vendure-auth-token") or self._token
        result = json.loads(text)
        data = result.get("data") or {}
        wrong = result.get("errors") or [
            value for value in data.values() if isinstance(value, dict) and "errorCode" in value
        ]
        if wrong:
            raise PeerError(f"Vendure refused: {str(wrong)[:300]}")
        return data

    def place_order(self, customer: str, goods: Mapping[str, int]) -> str:
        """An order of so many of each SKU, placed and paid by hand; its id."""
        order = self("mutation { createDraftOrder { id } }")["createDraftOrder"]["id"]
        for sku, quantity in goods.items():
            found = self(
                "query($sku: String!) { productVariants(options: {filter: {sku: {eq: $sku}}})"
                " { items { id } } }",
                sku=sku,
            )
            (variant,) = found["productVariants"]["items"]
            self(
                "mutation($order: ID!, $input: AddItemToDraftOrderInput!)"
                " { addItemToDraftOrder(orderId: $order, input: $input)"
                " { __typename ... on ErrorResult { errorCode message } } }",
                order=order,
                input={"productVariantId": variant["id"], "quantity": quantity},
            )
        result = "{ __typename ... on ErrorResult { errorCode message } }"
        home = '{fullName: "", streetLine1: "Main St 1", city: "Gent", countryCode: "BE"}'
        for step in (
            f"setCustomerForDraftOrder(orderId: $order, customerId: $customer) {result}",
            f"setDraftOrderShippingAddress(orderId: $order, input: {home}) {{ id }}",
            f'setDraftOrderShippingMethod(orderId: $order, shippingMethodId: "1") {result}',
            f'transitionOrderToState(id: $order, state: "ArrangingPayment") {result}',
            f'addManualPaymentToOrder(input: {{orderId: $order, method: "hand", metadata: {{}}}}) {result}',
        ):
            needs = "$order: ID!" + (", $customer: ID!" if "$customer" in step else "")
            self(f"mutation({needs}) {{ {step} }}", order=order, customer=customer)
        return str(order)

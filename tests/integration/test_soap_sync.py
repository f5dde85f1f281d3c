"""A hub between a REST system and a real SOAP back office, on npm's server and on PHP's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.runtime.connection import Connection
from connectors.testing import Profile, Simulator
from examples import peers
from tests.hubs import beside, delivered

pytestmark = pytest.mark.e2e


@pytest.fixture
def shop():
    with Simulator(Profile(name="shop")) as system:
        yield system


@pytest.fixture
def hub(office, shop, tmp_path):
    connection = Connection(office.url, office.user_name, office.password)
    with beside(shop, "office", "backoffice", connection, tmp_path) as app:
        yield app


def test_customers_go_both_ways_and_then_nothing_is_written(hub, office, shop):
    clerk = peers.Clerk(office)
    clerk.add(name="Ada Lovelace", email="ada@example.org", creditLimit="1000.10")
    phones = {"phone": [{"kind": "fax", "number": "+3225551200"}]}
    clerk.add(name="Grace Hopper", email="grace@example.org", phones=phones)
    shop.add(name="ada lovelace", email="Ada@Example.org", phone="02 555 12 12", city="Gent")
    shop.add(name="Alan Turing", email="alan@example.org")

    assert delivered(hub) > 0
    delivered(hub)
    assert delivered(hub) == 0, "a further round writes nothing"

    held = {one["email"].lower(): one for one in clerk.all().values()}
    assert sorted(held) == ["ada@example.org", "alan@example.org", "grace@example.org"]
    assert held["ada@example.org"]["phones"]["phone"] == [
        {"kind": "phone", "number": "+3225551212"}
    ]
    assert held["ada@example.org"]["creditLimit"] == "1000.10", "no mapped field: not written"
    assert held["grace@example.org"]["phones"] == phones, "a phone of another kind is left alone"
    assert {one["email"].lower() for one in shop.records.values()} == set(held)


def test_an_edit_of_a_clerk_reaches_the_shop_and_the_other_way_round(hub, office, shop):
    clerk = peers.Clerk(office)
    number = clerk.add(name="Ada Lovelace", email="ada@example.org")["number"]
    delivered(hub)
    (key,) = shop.records
    clerk.edit(number, name="Ada King")
    delivered(hub)
    assert shop.records[key]["name"] == "Ada King"
    shop.edit(key, phone="0470 12 34 56")
    delivered(hub)
    assert "470" in clerk.all()[str(number)]["phones"]["phone"][0]["number"]
    delivered(hub)
    assert delivered(hub) == 0
    assert datetime.fromisoformat(clerk.all()[str(number)]["changed"]) < datetime.now(UTC)

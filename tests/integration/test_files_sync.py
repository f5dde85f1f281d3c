"""A hub between a REST system and a folder of files."""

from __future__ import annotations

import csv

import pytest

from connectors.errors import Unreachable
from connectors.runtime.connection import Connection
from connectors.testing import Profile, Simulator
from crm_master import entrypoints
from tests.hubs import beside, delivered


@pytest.fixture
def shop():
    with Simulator(Profile(name="shop")) as system:
        yield system


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


@pytest.fixture
def hub(shop, folder, tmp_path):
    with beside(shop, "calls", "callcentre", Connection(f"file://{folder}"), tmp_path) as app:
        yield app


def _rows(folder):
    with (folder / "customers.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["email"]: row for row in csv.DictReader(file, delimiter=";")}


def test_the_diallers_file_is_kept_and_an_edit_in_it_comes_back(hub, shop, folder):
    key = shop.add(name="Ada Lovelace", email="ada@example.org", phone="02 555 12 12")
    shop.add(name="Grace Hopper", email="grace@example.org")
    assert delivered(hub) == 2
    assert sorted(_rows(folder)) == ["ada@example.org", "grace@example.org"]
    assert _rows(folder)["ada@example.org"]["phone"] == "+3225551212"
    delivered(hub)
    content = (folder / "customers.csv").read_bytes()
    assert delivered(hub) == 0
    assert (folder / "customers.csv").read_bytes() == content

    changed = content.replace(b"Ada Lovelace", b"Ada King")
    (folder / "customers.csv").write_bytes(changed)
    delivered(hub)
    assert shop.records[key]["name"] == "Ada King"
    shop.edit(key, phone="02 555 13 13")
    delivered(hub)
    assert _rows(folder)["ada@example.org"]["phone"] == "+3225551313"
    delivered(hub)
    assert delivered(hub) == 0


def test_where_deletes_are_told_a_row_of_a_kept_file_goes_too(shop, folder, tmp_path):
    key = shop.add(name="Ada Lovelace", email="ada@example.org")
    shop.add(name="Grace Hopper", email="grace@example.org")
    calls = ("calls", "callcentre", Connection(f"file://{folder}"))
    with beside(shop, *calls, tmp_path, deletes="propagate") as hub:
        delivered(hub)
        shop.remove(key)
        entrypoints.ingest(hub, "shop", "customers", full=True)
        delivered(hub)
    assert list(_rows(folder)) == ["grace@example.org"]


def test_where_the_erased_are_to_be_deleted_their_row_of_a_kept_file_goes(shop, folder, tmp_path):
    key = shop.add(name="Ada Lovelace", email="ada@example.org")
    shop.add(name="Grace Hopper", email="grace@example.org")
    calls = ("calls", "callcentre", Connection(f"file://{folder}"))
    with beside(shop, *calls, tmp_path, erase="delete") as hub:
        delivered(hub)
        entrypoints.erase(hub, f"shop/customers/{key}", "an operator", "case 7")
        entrypoints.deliver(hub, "calls")
    assert list(_rows(folder)) == ["grace@example.org"]


def test_a_share_that_is_away_stops_only_its_own_part_and_buries_nobody(hub, shop, folder):
    shop.add(name="Ada Lovelace", email="ada@example.org")
    delivered(hub)
    away = folder.rename(folder.with_name("away"))
    shop.add(name="Grace Hopper", email="grace@example.org")
    with pytest.raises(Unreachable, match="share"):
        delivered(hub)
    assert entrypoints.show(hub, "shop/customers/2")["fields"]["name"]["value"] == "Grace Hopper"
    away.rename(folder)
    delivered(hub)
    assert sorted(shop.records) == ["1", "2"]
    assert "ada@example.org" in _rows(folder)

"""A customer who is to be erased, and where traces of her might be left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.contract import BadRow, Document
from crm_master.domain.lifecycle import TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine.explain import NotFound, find_customer
from crm_master.engine.ledger import running
from crm_master.store import Database
from crm_master.store.schema import metadata
from tests.rules.conftest import MakeWorld
from tests.rules.world import Setting, World

MAIL = "grace.hopper@example.org"
PERSON = {
    "name": "Grace Brewster Hopper",
    "mail": MAIL,
    "phone": "+32 470 12 34 56",
    "note": "prefers kobold",
    "street": "Nanosecond Alley 9",
    "city": "Arlingtonville",
    "tags": ["cobolist"],
    "consent": "yes",
}
WORDS = (
    *("Grace Brewster", "hopper@", "12 34 56", "kobold", "gnome", "Nanosecond", "Arlingtonville"),
    *("cobolist", "erp-key-of-grace", "shop-key-of-grace"),
)


def held(store: Database, words: Iterable[str]) -> list[str]:
    """In which columns of which tables some words stand, as the database keeps them. Open requests to erase aside."""
    found = set()
    with store.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                raw = sa.type_coerce(column, sa.LargeBinary if _is_bytes(column) else sa.Text)
                query = sa.select(raw)
                if table.name == "task":
                    query = query.where(~((table.c.kind == "erase") & table.c.open))
                for (value,) in connection.execute(query):
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                    if any(word.casefold() in str(text).casefold() for word in words):
                        found.add(f"{table.name}.{column.name}")
    return sorted(found)


def _is_bytes(column: sa.Column[object]) -> bool:
    return isinstance(column.type, sa.LargeBinary)


def in_files(hub: World, words: Iterable[str]) -> list[str]:
    folder = Path(str(hub.store.engine.url.database)).parent
    return [
        f"{path.name}: {word}"
        for path in folder.glob("hub.db*")
        for word in words
        if word.casefold().encode() in path.read_bytes().lower()
    ]


def hub_of(world: MakeWorld, **settings: Setting) -> World:
    """Grace is in the ERP and the shop, Ada in both, and all is quiet."""
    hub = world("erp", "shop", policies={"note": FieldPolicy(Rule.MANUAL, {})}, **settings)
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.shop.add("shop-key-of-grace", **PERSON | {"phone": "", "tags": []})
    hub.erp.add("e2", name="Ada", mail="ada@example.org")
    hub.shop.add("s2", name="Ada", mail="ada@example.org")
    return hub.settle()


def grace_in(hub: World) -> str:
    with hub.store() as uow:
        return find_customer("erp/people/erp-key-of-grace", uow)


def live(hub: World) -> None:
    """Things happen to Grace and Ada: edits both ways, a decision, dead letters, refusals, a run that fails."""
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-East")
    hub.erp.edit("e2", city="Ghent")
    hub.round()
    hub.shop.edit("shop-key-of-grace", note="prefers gnome")
    hub.erp.edit("erp-key-of-grace", note="kobold after all")
    hub.round()
    hub.decide(hub.task(TaskKind.CONFLICT), "shop/people/shop-key-of-grace")
    hub.round()
    hub.erp.edit("erp-key-of-grace", mail=f"no mail, formerly {MAIL}")
    hub.round()
    hub.erp.edit("erp-key-of-grace", mail=MAIL)
    hub.shop.rejects = [
        BadRow(f"<broken>{MAIL.upper()}</broken>".encode(), "no JSON"),
        BadRow(b"<broken>cobolist</broken>", "no JSON", "shop-key-of-grace"),
    ]
    hub.round()
    hub.shop.losses = ["refused"]
    hub.erp.edit("erp-key-of-grace", street="Nanosecond Alley 10")
    hub.erp.edit("e2", phone="1")
    hub.round()
    with (
        pytest.raises(NotFound),
        running("show", "", hub.store, hub.clock, lambda: "run-that-failed"),
    ):
        raise NotFound(f"nobody is called {MAIL}")


def erased_during_the_write(hub: World, customer: str) -> None:
    def makes(document: Document) -> Document:
        hub.erase(customer)
        return document

    hub.shop.makes = makes

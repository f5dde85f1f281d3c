"""A shop and an ERP with their customers, orders and tickets, a hub between them, faults and deaths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from connectors.contract import Document, Outcome, Refused, WriteCommand
from connectors.errors import ConnectorError
from connectors.testing import Profile, Simulator
from connectors.testing.api import Api
from connectors.testing.server import Reply
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import Deployment
from crm_master.domain.ids import ExternalRef, entity_id, record_id
from crm_master.engine import linking
from tests.clock import Clock
from tests.hubs import FIELDS, MATCH, compiled
from tests.properties.facts import Trouble
from tests.properties.fate import Fate, Killed, MortalSink, MortalStore
from tests.properties.shelf import empty
from tests.properties.trading_truth import (
    CALLS,
    DESK,
    ERP,
    ORDERS,
    OTHER,
    PARTIES,
    SALES,
    SHOP,
    Fact,
    Truth,
)
from tests.trade import ORDER_FIELDS, TICKET_FIELDS, TICKETS
from tests.trade import ORDERS as ORDER_LINES

KINDS = ("customer", "order", "interaction")
NAMES = (ERP, SHOP, SALES, ORDERS, CALLS, DESK)
ON_THEIR_WAY = ("shipped", "delivered")
DECIDED = ["status", "cancelling"]
"""What a system with orders may refuse: it goes in a request of its own."""
ROUNDS = 12
"""After how many rounds, at the latest, everything is quiet once people and faults have ended."""


class Dispatch(Api):
    """Orders: what is on its way is not cancelled any more, and whoever may cancel does what is asked for."""

    def _change(self, method: str, key: str, headers: Mapping[str, str], data: Document) -> Reply:
        asked = data.get("cancelling") == "requested"
        record = self.state.records.get(key)
        if record is not None and (asked or data.get("status") == "cancelled"):
            if record["shipped"] in ON_THEIR_WAY:
                return self.refusal(422, "it is on its way already")
            if asked:
                data = {**data, "status": "cancelled"}
        return super()._change(method, key, headers, data)


class Orders(Simulator):
    """A system with orders."""

    face = Dispatch


class Shelf(MortalSink):
    """Of a system that takes orders only of products that it has."""

    stocked: Collection[str] = ()

    def write(self, commands: Sequence[WriteCommand]) -> Sequence[Outcome]:
        [command] = commands
        lines = command.after.get("lines") or []
        if lines == command.before.get("lines") or {of["sku"] for of in lines} <= set(self.stocked):
            return super().write(commands)
        return [Refused("The system knows no such code here.", "lines.sku", missing=True)]


def _profile(name: str) -> Profile:
    fields: dict[str, Any] = {}
    if name in (ORDERS, SALES):
        fields = {"fields": (*ORDER_FIELDS, "cancelling")}
    elif name in PARTIES:
        fields = {"fields": TICKET_FIELDS}
    # no system watches over numbers: what the hub makes twice is there twice
    return Profile(name=name, unique=(), longest_wait=0, attempts=2, **fields)


@lru_cache
def deployment() -> Deployment:
    """The hub between them. Nothing of it changes from one history to the next."""
    create = dict.fromkeys((ERP, *PARTIES), "everybody")
    hub = {
        "name": "trade",
        "rank": list(NAMES),
        "systems": {
            name: {
                "system": name,
                "connection": name,
                "join": "auto",
                "streams": {"customers": {"create": create.get(name, "nobody")}},
            }
            for name in NAMES
        },
    }
    policy = yaml.safe_load(Path("mappings/policies/order.yaml").read_text(encoding="utf-8"))
    policy["fields"]["fulfilment"] = {"rule": "owner", "owner": SALES}
    files: dict[str, Any] = {
        "hub.yaml": hub,
        "policies/customer.yaml": {"entity": "customer", "match": MATCH},
        "policies/order.yaml": policy,
    }
    for name in NAMES:
        mapped: dict[str, Any] = {"entity": "customer", "fields": FIELDS}
        if name in PARTIES:
            party = {"system": PARTIES[name], "stream": "customers"}
            fields = {"customer": {"at": "party", "as": {"reference": party}}}
            if name in (DESK, CALLS):
                mapped = {"entity": "interaction", "fields": {**fields, **TICKETS}}
            else:
                fields["cancellation.state"] = {"at": "cancelling", "as": "enum"}
                mapped = {"entity": "order", "fields": {**fields, **ORDER_LINES}}
        files[f"mappings/{name}/customers.yaml"] = mapped
    texts = {name: yaml.safe_dump(content, sort_keys=False) for name, content in files.items()}
    return compiled(texts | {f"systems/{name}.yaml": _manifest(name) for name in NAMES})


def _manifest(name: str) -> str:
    text = _profile(name).manifest()
    if name not in (ORDERS, SALES):
        return text
    found = json.loads(text.partition("\n")[2])
    writes = found["streams"]["customers"]["writes"]
    [update] = writes["update"]
    plain = [field for field in update["send"] if field not in DECIDED]
    writes["update"] = [{**update, "send": plain}, {**update, "send": DECIDED}]
    return json.dumps(found)


class Market:
    """One history. ``close`` it at the end."""

    def __init__(self) -> None:
        self.clock, self.fate, self.truth = Clock(), Fate(), Truth()
        self.systems: dict[str, Simulator] = {
            name: (Orders if name in (ORDERS, SALES) else Simulator)(
                _profile(name), self.clock.moment
            )
            for name in NAMES
        }
        for system in self.systems.values():
            system.start()
        ids = count(1)
        self.app = App(
            Path(),
            deployment(),
            MortalStore(empty("market.db"), self.fate),
            lambda name: self.systems[name].connection,
            self.clock,
            lambda: entity_id(0, next(ids).to_bytes(10, "big")),
        )
        for name in NAMES:
            sink = self.app.connect(name)
            kind = Shelf if name == SALES else MortalSink
            self.app._open[name] = kind(sink, self.fate, lambda keys: None, lambda last: None)
        self.app._open[SALES].stocked = self.truth.stocked  # type: ignore[attr-defined]
        self._told = 0
        self.round()

    def close(self) -> None:
        for name, system in self.systems.items():
            self.app.connect(name).close()  # type: ignore[attr-defined]
            system.stop()
        self.app.store.close()

    # --- people ------------------------------------------------------------------------------

    def held(self, fact: Fact) -> Document:
        """A fact as its owner has it."""
        return self.systems[fact.home].records[fact.key]

    def copies(self, fact: Fact) -> dict[str, Document]:
        """The records of a fact in the other system."""
        there = self.systems[OTHER[fact.home]].snapshot()
        return {key: record for key, record in there.items() if record["number"] == fact.number}

    def lacking(self, fact: Fact) -> bool:
        """Whether the ERP does not have a product of an order of the shop."""
        return self.truth.lacks(fact.home, self.held(fact).get("lines", ()))

    def sale(self, fact: Fact) -> str | None:
        """The key of an order in the ERP, which fulfils it; ``None`` before it is there."""
        return fact.key if fact.home == SALES else next(iter(self.copies(fact)), None)

    def known(self, *names: str) -> bool:
        """Whether the hub knows whose these records are."""
        ids = [record_id(ExternalRef(*name.split("/", 2))) for name in names]
        with self.app.store() as uow:
            found = uow.records.get(ids)
        return all(of in found and found[of].entity_id for of in ids)

    def link(self, propose: linking.Propose) -> bool:
        """An operator decides who is who; false where an answer is to be waited for first."""
        self.fate.spare()
        try:
            entrypoints.link(self.app, propose, "ada")
        except linking.NotLinkable:
            return False
        return True

    # --- the hub -----------------------------------------------------------------------------

    def run(self, verb: Callable[..., Any], *args: Any, **options: Any) -> bool:
        """Run a verb as a process of its own. True if it went well."""
        well = True
        self._notice()
        try:
            verb(self.app, *args, **options)
        except (
            ConnectorError,
            entrypoints.RunFailed,
            entrypoints.SyncFailed,
            entrypoints.FuseBlown,
        ):
            well = False
        except Killed:
            well = False
            self.fate.spare()
        made = self.systems[ERP].writes
        for write in made[self._told :]:
            if write.method == "POST":
                self.truth.made(ERP, write.key, write.body["email"])
        self._told = len(made)
        self._notice()
        return well

    def round(self, *, full: bool = False) -> bool:
        self.clock.sleep(60)
        return self.run(entrypoints.sync, full=full)

    def _notice(self) -> None:
        """Note of which facts the customer is known on the other side while the hub is at work."""
        for fact in self.truth.facts:
            fact.wanted |= bool(self.truth.there(fact.home, self.held(fact)["party"]))

    # --- the end -----------------------------------------------------------------------------

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

    def settle(self) -> None:
        """Faults end, people answer what they are asked, and rounds go on until one changes nothing."""
        for system in self.systems.values():
            system.calm()
        self.fate.spare()
        for number in range(ROUNDS):
            self.clock.sleep(7200)
            before = self.writes()
            self._answer()
            self.round(full=not number)
            if number > 1 and self.writes() == before and self._rests():
                return
        raise Trouble(f"not quiet after {ROUNDS} rounds: {entrypoints.waiting(self.app)}")

    def _answer(self) -> None:
        """What a diligent operator does: lets pass what a fuse stopped, looks into the system, has it tried again."""
        for task in entrypoints.tasks(self.app):
            match task["kind"]:
                case "fuse":
                    entrypoints.approve_run(self.app, task["run"], "ada")
                case "unknown":
                    system = task["subject"].partition(":")[2].partition("/")[0]
                    ref = f"CRM-{task['entity']}"
                    made = any(of["ref"] == ref for of in self.systems[system].records.values())
                    entrypoints.decide(self.app, task["id"], "drop" if made else "retry", "ada")
                case "refused":
                    entrypoints.decide(self.app, task["id"], "retry", "ada")

    def _rests(self) -> bool:
        """Whether nothing waits but for what is unknown, or for what was refused."""
        with self.app.store() as uow:
            dirty = any(uow.customers.dirty(entity) for entity in KINDS)
            states = {state for name in NAMES for state in uow.outbox.count(name)}
            return not dirty and not uow.inbox.pending() and states <= {"waiting", "refused"}

    def waiting(self) -> Counter[str]:
        """How many deliveries wait for what they refer to, by system."""
        with self.app.store() as uow:
            return Counter({name: uow.outbox.count(name).get("waiting", 0) for name in NAMES})

"""What is promised of orders and interactions, at the end of a history (rules 14, 15, 18, 20 and 24)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from connectors.contract import Document
from crm_master import entrypoints
from crm_master.engine.ledger import Run, silent
from crm_master.engine.rebuild import Rebuilder
from crm_master.ports import RunEntry
from tests.properties.facts import Trouble
from tests.properties.promises import figures
from tests.properties.shelf import empty
from tests.properties.trading_truth import ERP, OTHER, PARTIES, SALES, Account, Fact
from tests.properties.trading_world import NAMES, ON_THEIR_WAY, Market


def check(market: Market) -> None:
    """All promises, at the end of a history."""
    market.settle()
    before = market.writes()
    market.clock.sleep(7200)
    market.round(full=True)
    if market.writes() != before:
        raise Trouble(f"{market.writes() - before} writes after all was quiet")
    _nothing_is_there_twice(market)
    golden = _Golden(market)
    _customers_are_who_they_are(market, golden)
    refused = Counter[tuple[str, str]]()
    for fact in market.truth.facts:
        _fact(market, golden, fact)
    for order in market.truth.orders:
        _order(market, golden, order, refused)
    for ticket in market.truth.tickets:
        _ticket(market, golden, ticket)
    _refusals_are_told(market, refused)
    _only_the_unknown_is_waited_for(market)
    if not market.waiting().total() and not (verdict := entrypoints.verify(market.app)).converged:
        raise Trouble(f"not converged: {verdict.as_dict()}")
    if not _rebuilt(market):
        raise Trouble("the journal does not give the same golden records again")


class _Golden:
    """The master, as whoever reads its views sees it."""

    def __init__(self, market: Market) -> None:
        store = market.app.store
        store.make_views([plan.spec for plan in market.app.hub.entities.values()])
        with store.engine.connect() as connection:

            def rows(view: str) -> list[Any]:
                return list(connection.execute(sa.text(f"SELECT * FROM {view}")))

            facts = [*rows("v_orders"), *rows("v_interactions")]
            self.facts = {row.number: row for row in facts}
            self.numbers = Counter(row.number for row in facts)
            self.whose = {
                f"{row.system}/{row.stream}/{row.key}": row.id for row in rows("v_records")
            }
            self.lines = [(row.order_id, row.sku, row.quantity) for row in rows("v_order_lines")]

    def is_about(self, row: Any, buyer: Account | None) -> bool:
        return row.customer_id == (None if buyer is None else self.whose[str(buyer)])


def _nothing_is_there_twice(market: Market) -> None:
    """Promise 4, counted by the systems."""
    for name, system in market.systems.items():
        made = Counter(write.body["ref"] for write in system.writes if write.method == "POST")
        twice = [ref for ref, times in made.items() if times > 1]
        if twice or (name in PARTIES and system.duplicates("number")):
            raise Trouble(f"{name}: made more than once: {twice}")


def _customers_are_who_they_are(market: Market, golden: _Golden) -> None:
    """Rules 14 and 15: accounts are one customer's or not as they should be, and everybody is in the ERP."""
    accounts = market.truth.accounts.values()
    if missing := [str(of) for of in accounts if str(of) not in golden.whose]:
        raise Trouble(f"not linked: {missing}")
    pairs = {(of.customer, golden.whose[str(of)]) for of in accounts}
    customers, entities = {one for one, _ in pairs}, {two for _, two in pairs}
    if not len(customers) == len(entities) == len(pairs):
        raise Trouble(f"accounts are put together otherwise: {sorted(pairs)}")
    for customer in customers:
        if not market.truth.of_customer(customer, ERP):
            raise Trouble(f"customer {customer} is not in the ERP")


def _fact(market: Market, golden: _Golden, fact: Fact) -> None:
    """Rules 18 and 20: one fact, about its own customer; in the other system once they and all products are known there."""
    held, copies, other = market.held(fact), market.copies(fact), OTHER[fact.home]
    buyer = market.truth.buyer(fact.home, held["party"])
    there = market.truth.there(fact.home, held["party"])
    if golden.numbers[fact.number] != 1:
        raise Trouble(f"{fact.number} is {golden.numbers[fact.number]} facts")
    if not golden.is_about(row := golden.facts[fact.number], buyer):
        raise Trouble(f"{fact.number} is about {row.customer_id}, and should be about {buyer}")
    if there and not copies and not market.lacking(fact):
        raise Trouble(f"{fact.number} is not in {other}, where all is known that it needs")
    if copies and not fact.wanted:
        raise Trouble(f"{fact.number} was made in {other} for nobody")
    for copy in copies.values() if there and not market.lacking(fact) else ():
        if str(copy["party"]) not in {of.key for of in there}:
            raise Trouble(f"{fact.number}: party {copy['party']} in {other}, and not {buyer}'s")


def _order(market: Market, golden: _Golden, order: Fact, refused: Counter[tuple[str, str]]) -> None:
    """Rule 18: an order is as its owner has it, and so does the other system show it, unless it lacks a product."""
    held, row = market.held(order), golden.facts[order.number]
    figures["orders"] += 1
    figures["cancelled orders"] += held["status"] == "cancelled"
    lines = _lines(held)
    told = sorted((sku, str(of)) for id_, sku, of in golden.lines if id_ == row.id)
    if told != lines:
        raise Trouble(f"{order.number}: lines are {told}, and should be {lines}")
    if row.status != held["status"]:
        raise Trouble(f"{order.number}: status is {row.status}, and should be {held['status']}")
    for copy in market.copies(order).values():
        sale, sold = (held, copy) if order.home == SALES else (copy, held)
        if (sold["shipped"] or "") != (sale["shipped"] or ""):
            raise Trouble(f"{order.number}: {sale['shipped']} is {sold['shipped']} in the shop")
        late = sale["shipped"] in ON_THEIR_WAY
        figures["shipped orders"] += late
        if copy["cancelling"] != held["cancelling"]:
            if not late:
                raise Trouble(f"{order.number}: its owner was never asked to cancel it")
            refused[order.number, order.home] += 1
        if market.lacking(order):
            continue
        if _lines(copy) != lines:
            raise Trouble(f"{order.number}: lines are {_lines(copy)}, and should be {lines}")
        if copy["status"] != held["status"]:
            if held["status"] != "cancelled" or not late:
                raise Trouble(f"{order.number}: {copy['status']}, and should be {held['status']}")
            refused[order.number, OTHER[order.home]] += 1


def _lines(order: Document) -> list[tuple[str, str]]:
    """What is ordered: no order of the lines means anything (rule 19)."""
    return sorted((line["sku"], str(line["quantity"])) for line in order["lines"])


def _refusals_are_told(market: Market, refused: Counter[tuple[str, str]]) -> None:
    """A cancellation that came too late is a question to a person; nothing else was refused."""
    tasks = [task for task in entrypoints.tasks(market.app) if task["kind"] == "refused"]
    with market.app.store() as uow:
        found = uow.customers.get({task["entity"] for task in tasks})
    asked = Counter(
        (found[task["entity"]].golden["number"], task["target"].partition("/")[0]) for task in tasks
    )
    figures["cancellations that came too late"] += refused.total()
    if asked != refused:
        raise Trouble(f"refused was {dict(asked)}, and should be {dict(refused)}")


def _ticket(market: Market, golden: _Golden, ticket: Fact) -> None:
    """Both systems show what people said last in one of them."""
    figures["tickets"] += 1
    row = golden.facts[ticket.number]
    for held in (market.held(ticket), *market.copies(ticket).values()):
        for name, golden_ in (("status", row.status), ("answered", row.answered_at)):
            allowed = set(ticket.said.get(name, {}).values()) or {""}
            if held[name] != (golden_ or "") or held[name] not in allowed:
                raise Trouble(f"{ticket.number}: {name} is {golden_} and {held[name]}: {allowed}")


def _only_the_unknown_is_waited_for(market: Market) -> None:
    """Rules 18 and 20."""
    truth, unknown, waiting = market.truth, Counter[str](), Counter[str](dict.fromkeys(NAMES, 0))
    for fact in truth.facts:
        kind = "order" if fact in truth.orders else "interaction"
        held, copies = market.held(fact), market.copies(fact)
        unknown[kind] += truth.buyer(fact.home, held["party"]) is None
        late = market.lacking(fact) and any(_lines(of) != _lines(held) for of in copies.values())
        waiting[OTHER[fact.home]] += late or not copies
    told = Counter(entrypoints.status(market.app)["facts_waiting"])
    figures["facts that wait"] += waiting.total()
    if told != unknown:
        raise Trouble(f"waiting are {dict(told)}, and should be {dict(unknown)}")
    if market.waiting() != waiting:
        raise Trouble(f"{dict(market.waiting())} deliveries wait, and not {dict(waiting)}")


def _rebuilt(market: Market) -> bool:
    """Promise 7."""
    scratch = empty("scratch.db")
    run = Run(RunEntry("rebuild", "rebuild", "", market.clock()), silent)
    try:
        return Rebuilder(market.app.store, scratch, lambda content: market.app.hub, run)().equal
    finally:
        scratch.close()

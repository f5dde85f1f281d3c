"""Histories of a trade by chance: people buy, ship, cancel and complain, customers are merged and parted under that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from connectors.testing import WRITE_TROUBLES
from connectors.testing.faults import WRITES
from connectors.testing.faults import Trouble as Fault
from crm_master import entrypoints
from tests.properties.promises import figures
from tests.properties.trading_promises import check
from tests.properties.trading_truth import (
    CALLS,
    DESK,
    ERP,
    ORDERS,
    OTHER,
    PARTIES,
    SALES,
    SHOP,
    Account,
    Fact,
)
from tests.properties.trading_world import KINDS, NAMES, ON_THEIR_WAY, Market

numbers = st.integers(0, 255)
homes = st.sampled_from((ORDERS, ORDERS, SALES))
POINTS = ("before commit", "after commit", "before write", "after write")
AHEAD = {"placed": "confirmed", "confirmed": "processing", "processing": "completed"}
ONWARD = {"": "open", "open": "partial", "partial": "shipped", "shipped": "delivered"}

T = TypeVar("T")


class Trading(RuleBasedStateMachine):
    """What is left to others: deleted orders, and customers who edit what they are (``machine``)."""

    market: Market

    def __init__(self) -> None:
        super().__init__()
        self.tokens = count(1)
        self.failed = True

    @initialize()
    def begin(self) -> None:
        self.market = Market()
        self.failed = False
        for system in (SHOP, SHOP, ERP):
            self.newcomer(system)
        for which, home in enumerate((ORDERS, ORDERS, SALES)):
            self.place(home, which)
        self.complain(DESK, 0, 0)
        self.market.round()

    # --- customers ---------------------------------------------------------------------------

    @rule(system=st.sampled_from((SHOP, SHOP, ERP)))
    def newcomer(self, system: str) -> None:
        """Somebody new is a customer of the shop or of the ERP: perhaps the one for whom an order waits."""
        self._open(system, next(self.tokens))

    @rule(which=numbers)
    def register(self, which: int) -> None:
        """Whom the ERP knows registers in the shop. What waits for that there goes on."""
        truth = self.market.truth
        found = [
            of
            for of in truth.accounts.values()
            if of.system == ERP
            and of.person not in truth.mixed
            and not truth.of_customer(of.customer, SHOP)
            and self.market.known(str(of))
        ]
        if found:
            self._open(SHOP, _pick(found, which).person)

    def _open(self, system: str, person: int) -> None:
        fields = {"name": f"w{person}", "email": f"c{person}@example.org"}
        key = self.market.systems[system].add(**fields)
        self.market.truth.opened(system, key, person)

    @rule(which=numbers, also=numbers)
    def merge(self, which: int, also: int) -> None:
        """An operator takes two customers for one.

        Not while the hub has not seen all of theirs: a second account in the shop of whom it finds there is a question.
        """
        truth, one = self.market.truth, self._account("", which)
        others = [of for of in truth.accounts.values() if of.customer != one.customer]
        if not others:
            return
        two = _pick(others, also)
        theirs = truth.of_customer(one.customer) + truth.of_customer(two.customer)
        if not self.market.known(*map(str, theirs)):
            return
        if self.market.link(entrypoints.merging(str(one), str(two))):
            self.market.truth.merged(one, two)
            figures["customers merged"] += 1

    @rule(which=numbers)
    def split(self, which: int) -> None:
        """An operator sees that somebody was taken for somebody else."""
        truth = self.market.truth
        found = sorted(truth.shared())
        if not found:
            return
        own = [str(of) for of in truth.own(_pick(found, which))]
        if self.market.known(*own) and self.market.link(entrypoints.splitting(own[0], own)):
            truth.parted(_pick(found, which))
            figures["customers parted"] += 1

    @rule(which=numbers, also=numbers, home=homes)
    def mistake(self, which: int, also: int, home: str) -> None:
        """Two customers are taken for one, one of them buys something, and they are parted again."""
        self.merge(which, also)
        self.place(home, which)
        self.market.round()
        self.split(also)
        self.market.round()

    # --- orders ------------------------------------------------------------------------------

    @rule(home=homes, which=numbers)
    def place(self, home: str, which: int) -> None:
        """Somebody buys in the shop, or by telephone."""
        self._order(home, self._account(PARTIES[home], which).key)

    @rule(home=homes, which=numbers, dies=st.booleans())
    def lose(self, home: str, which: int, dies: bool) -> None:
        """An order is made in the other system, and nobody hears of it."""
        self.place(home, which)
        if dies:
            self.market.fate.doom("after write", 1)
        else:
            self.market.systems[OTHER[home]].fail_next("reset", methods={"POST"}, after=True)
        self.market.round()

    @rule(home=homes, ahead=st.integers(1, 2))
    def early(self, home: str, ahead: int) -> None:
        """An order for a customer who is still to come, if ever."""
        self._order(home, self._coming(home, ahead))
        figures["orders before their customers"] += 1

    def _order(self, home: str, party: str) -> None:
        number = f"{home[0]}{next(self.tokens)}"
        key = self.market.systems[home].add(
            number=number, party=party, status="placed", lines=self._lines(home)
        )
        self.market.truth.orders.append(Fact(number, home, key))

    def _lines(self, home: str = "") -> list[dict[str, Any]]:
        """Some lines; of the shop's own some have a product that the ERP may not have yet."""
        token = next(self.tokens)
        skus = ("A", "B", "AB", "AC" if home == ORDERS else "BA")[token % 4]
        return [{"sku": sku, "quantity": str(token)} for sku in skus]

    @rule()
    def stock(self) -> None:
        """A product comes into the ERP."""
        self.market.truth.stocked.add("C")

    def _coming(self, home: str, ahead: int) -> str:
        keys = [int(of) for system, of in self.market.truth.accounts if system == PARTIES[home]]
        return str(max(keys, default=0) + ahead)

    @rule(which=numbers, also=numbers, ahead=st.sampled_from((0, 0, 0, 1)))
    def reassign(self, which: int, also: int, ahead: int) -> None:
        """An order or a ticket turns out to be somebody else's, who may be still to come."""
        fact = _pick(self.market.truth.facts, which)
        home = fact.home
        key = self._coming(home, 1) if ahead else self._account(PARTIES[home], also).key
        self._edit(fact, party=key)
        figures["facts that change hands"] += 1

    @rule(which=numbers)
    def reorder(self, which: int) -> None:
        """The owner changes what was ordered."""
        if order := self._some_order(which):
            self._edit(order, lines=self._lines(order.home))

    @rule(which=numbers)
    def meddle(self, which: int) -> None:
        """Somebody changes lines that are not theirs."""
        if order := self._some_order(which):
            for key in self.market.copies(order):
                self.market.systems[OTHER[order.home]].edit(key, lines=self._lines())
                figures["edits of what is not theirs"] += 1

    @rule(which=numbers)
    def advance(self, which: int) -> None:
        """The owner leads an order on."""
        order = self._some_order(which)
        if order and (status := AHEAD.get(self.market.held(order)["status"])):
            self._edit(order, status=status)

    @rule(which=numbers, far=st.booleans())
    def fulfil(self, which: int, far: bool) -> None:
        """The ERP sends an order on its way, unless it knows that it is cancelled."""
        if order := self._some_order(which):
            self._fulfil(order, far)

    def _fulfil(self, order: Fact, far: bool) -> None:
        key, sales = self.market.sale(order), self.market.systems[SALES]
        if key is None or sales.field(key, "status") == "cancelled":
            return
        now = sales.field(key, "shipped") or ""
        if now in ONWARD:
            sales.edit(key, shipped="shipped" if far and now != "shipped" else ONWARD[now])

    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        """The owner cancels an order that is not on its way yet, as far as the owner knows."""
        if order := self._some_order(which):
            self._cancel(order)

    def _cancel(self, order: Fact) -> None:
        if self.market.held(order)["shipped"] not in ON_THEIR_WAY:
            self._edit(order, status="cancelled")

    @rule(which=numbers)
    def ask(self, which: int) -> None:
        """Somebody in the other system asks the owner to cancel an order."""
        if order := self._some_order(which):
            for key, copy in self.market.copies(order).items():
                if copy["shipped"] not in ON_THEIR_WAY and copy["status"] != "cancelled":
                    self.market.systems[OTHER[order.home]].edit(key, cancelling="requested")
                    figures["cancellations asked for"] += 1

    @rule(which=numbers, asks=st.booleans(), first=st.booleans())
    def race(self, which: int, asks: bool, first: bool) -> None:
        """Somebody cancels what the ERP sends off in the same moment."""
        if order := self._some_order(which):
            if first:
                self._fulfil(order, far=True)
            if asks:
                self.ask(which)
            else:
                self._cancel(order)
            if not first:
                self._fulfil(order, far=True)

    # --- tickets -----------------------------------------------------------------------------

    @rule(home=st.sampled_from((DESK, CALLS)), which=numbers, ahead=st.sampled_from((0, 0, 1)))
    def complain(self, home: str, which: int, ahead: int) -> None:
        """A customer opens a ticket or calls, perhaps before the hub has heard of them."""
        party = self._coming(home, 1) if ahead else self._account(PARTIES[home], which).key
        number = f"t{next(self.tokens)}"
        fields = {"number": number, "party": party, "kind": "complaint", "status": "open"}
        key = self.market.systems[home].add(**fields, subject=f"s{number}")
        ticket = Fact(number, home, key, said={"status": {home: "open"}})
        self.market.truth.tickets.append(ticket)

    @rule(
        which=numbers, status=st.sampled_from(("open", "pending", "resolved")), here=st.booleans()
    )
    def reply(self, which: int, status: str, here: bool) -> None:
        """Somebody answers a ticket, and perhaps closes it: where it was opened, or in the other system."""
        market = self.market
        ticket = _pick(market.truth.tickets, which)
        system = ticket.home if here else OTHER[ticket.home]
        said = {"status": status, "answered": market.clock.moment().strftime("%Y-%m-%dT%H:%M:%SZ")}
        for key in (ticket.key,) if here else market.copies(ticket):
            market.clock.sleep(1)
            for name, value in said.items():
                if market.systems[system].field(key, name) != value:
                    ticket.said.setdefault(name, {})[system] = value
            market.systems[system].edit(key, **said)

    # --- the hub -----------------------------------------------------------------------------

    @rule(which=numbers, full=st.booleans())
    def poll(self, which: int, full: bool) -> None:
        self.market.clock.sleep(5)
        self.market.run(entrypoints.ingest, _pick(NAMES, which), "customers", full=full)

    @rule(kind=st.sampled_from(KINDS))
    def reconcile(self, kind: str) -> None:
        self.market.run(entrypoints.reconcile, kind)

    @rule(which=numbers)
    def deliver(self, which: int) -> None:
        self.market.clock.sleep(2)
        self.market.run(entrypoints.deliver, _pick(NAMES, which))

    @rule()
    def round(self) -> None:
        self.market.round()

    @rule(
        act=st.sampled_from(("merge", "split", "reassign", "race", "fulfil", "cancel")),
        which=numbers,
        also=numbers,
    )
    def day(self, act: str, which: int, also: int) -> None:
        """Somebody works, and then the hub does."""
        match act:
            case "merge":
                self.merge(which, also)
            case "split":
                self.split(which)
            case "reassign":
                self.reassign(which, also, also % 2)
            case "race":
                self.race(which, bool(also % 2), bool(also // 2 % 2))
            case "fulfil":
                self.fulfil(which, True)
            case _:
                self.cancel(which)
        self.market.round()

    # --- what goes wrong ---------------------------------------------------------------------

    @rule(which=numbers, seed=numbers)
    def storm(self, which: int, seed: int) -> None:
        """From now on a share of a system's answers is spoilt."""
        self.market.systems[_pick(NAMES, which)].storm(seed, reads=0.1, writes=0.4)
        figures["storms"] += 1

    @rule(which=numbers, trouble=st.sampled_from(WRITE_TROUBLES))
    def spoil(self, which: int, trouble: tuple[Fault, bool]) -> None:
        """The next write meets just this trouble."""
        what, after = trouble
        self.market.systems[_pick(NAMES, which)].fail_next(what, methods=WRITES, after=after)
        figures["spoilt writes"] += 1

    @rule(point=st.sampled_from(POINTS), times=st.integers(1, 8))
    def doom(self, point: str, times: int) -> None:
        """The hub's process is going to die."""
        self.market.fate.doom(point, times)

    @rule(seconds=st.sampled_from((700, 4000)))
    def rest(self, seconds: int) -> None:
        """Time passes: leases run out, what waited is due."""
        self.market.clock.sleep(seconds)

    # --- the end -----------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "market"):
            return
        try:
            if not self.failed:
                check(self.market)
                figures["histories"] += 1
                figures["deaths"] += self.market.fate.deaths
                for system in self.market.systems.values():
                    figures["faults"] += system.met.total()
        finally:
            self.market.close()

    def _edit(self, fact: Fact, **fields: Any) -> None:
        self.market.clock.sleep(1)
        self.market.systems[fact.home].edit(fact.key, **fields)

    def _some_order(self, which: int) -> Fact | None:
        """An order that its owner has not cancelled."""
        held = self.market.held
        open_ = [of for of in self.market.truth.orders if held(of)["status"] != "cancelled"]
        return _pick(open_, which) if open_ else None

    def _account(self, system: str, which: int) -> Account:
        accounts = self.market.truth.accounts.values()
        return _pick([of for of in accounts if system in ("", of.system)], which)


def _pick(things: Sequence[T], which: int) -> T:
    return things[which % len(things)]

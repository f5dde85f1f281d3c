"""Several simulated systems on real sockets, a hub between them, people, faults and deaths; and all of it on record.

Everything runs on one clock that only moves when it is asked or told to. Whatever happens in the systems is told to the
``Model``, from the logs of the simulators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crm_master import entrypoints
from crm_master.deployment import compile_deployment, recorded_files
from crm_master.domain.ids import ExternalRef, RecordId, record_id
from crm_master.domain.lifecycle import RecordStatus
from crm_master.engine import linking
from crm_master.engine.ledger import Run, silent
from crm_master.engine.plan import Hub
from crm_master.engine.rebuild import Rebuilder
from crm_master.ports import Customer, RunEntry
from tests.properties.facts import Record, Trouble, plain
from tests.properties.setting import CANONICAL
from tests.properties.shelf import empty
from tests.properties.working import Working

ROUNDS = 10
"""After how many rounds, at the latest, everything is quiet once edits and faults have ended."""


class World(Working):
    """One history. ``close`` it at the end."""

    # --- the end -----------------------------------------------------------------------------

    def settle(self, orders: Iterator[Sequence[str]]) -> None:
        """Faults end, people answer what they are asked, and rounds go on until one changes nothing."""
        for system in self.systems.values():
            system.calm()
        self.fate.spare()
        self.meanwhile.clear()
        self.overtaken.clear()
        self.between = None
        for number in range(ROUNDS):
            self.clock.sleep(7200)
            before = self.writes()
            self._answer()
            # what such a read has gone past already, the next one shows
            goes_on = any(self._goes_on(name, full=not number) for name in self.systems)
            self.round(next(orders), full=not number)
            rests = self.writes() == before and not goes_on
            if rests and not self._waiting() and not self._questions():
                return
        raise Trouble(f"not quiet after {ROUNDS} rounds: {entrypoints.waiting(self.app)}")

    def _waiting(self) -> bool:
        waiting = entrypoints.waiting(self.app)
        with self.app.store() as uow:
            dirty = uow.customers.dirty("customer")
            missed = any(uow.records.to_reread(name, "customers", 1) for name in self.systems)
        return (
            bool(dirty)
            or missed
            or any(number for part in waiting.values() for number in part.values())
        )

    def _answer(self) -> None:
        """What a diligent operator does: looks into the system, says what is there, lets pass what a fuse stopped."""
        for task in self._questions():
            if task["kind"] == "fuse":
                entrypoints.approve_run(self.app, task["run"], "ada")
                continue
            if task["kind"] == "merge":
                self._tell_apart(task)
                continue
            made = self._made_there(task) if task["kind"] == "unknown" else []
            entrypoints.decide(self.app, task["id"], "drop" if made else "retry", "ada")
            for record in made:
                record.told = self.clock()

    def _questions(self) -> list[dict[str, Any]]:
        tasks = entrypoints.tasks(self.app)
        return [task for task in tasks if task["kind"] in ("unknown", "refused", "fuse", "merge")]

    def _tell_apart(self, task: Mapping[str, Any]) -> None:
        """Two records of two customers were merged in their system. Whoever is in another system twice is two people.

        So is whoever would get the key of the record that is gone, because keys are addresses, or an address that a third
        shares.
        """
        system, _, key = task["record"].split("/")
        loser = self.dead[system, key]
        # whom it was merged into may have been merged again: it is somebody's for all that
        known = {**self.former, **self.dead, **self.keys}
        survivor = known[system, task["into"][0].split("/")[2]]
        mine, theirs = self.model.of(loser.customer), self.model.of(survivor.customer)
        others = {record.system for record in mine if record is not loser}
        taken = self.systems[system].profile.keys == "email" or self.model.address_is_shared(
            loser.customer, survivor.customer
        )
        if taken or others & {record.system for record in theirs}:
            entrypoints.decide(self.app, task["id"], "apart", "ada")
            return
        try:
            entrypoints.decide(self.app, task["id"], task["into"][0], "ada")
        except linking.NotLinkable:
            return  # an answer is to be waited for first
        self.model.merged(survivor.customer, loser.customer)

    def _made_there(self, task: Mapping[str, Any]) -> list[Record]:
        system = task["subject"].partition(":")[2].split("/")[0]
        shown = entrypoints.show(self.app, task["entity"])
        address = (shown["fields"].get("email") or {}).get("value") or ""
        customer = self.model.people.get(address)
        return [record for _, record in self.of(system) if record.customer == customer]

    # --- what is there -----------------------------------------------------------------------

    def golden(self) -> dict[str, Customer]:
        """The hub's customer for each of the model's. Raises ``Trouble`` unless there is just one."""
        ids = self._record_ids()
        with self.app.store() as uow:
            records = uow.records.get(ids.values())
            customers = {found.id: found for found in uow.customers.scan("customer", "", 1000)}
        of: dict[str, set[str]] = {}
        for record in self.model.records:
            if record.again:
                continue
            known = records.get(ids[record.number])
            if record.customer in self.model.erased:
                if known is not None:
                    raise Trouble(
                        f"{record.system}: a record of {record.customer} is kept, who was erased"
                    )
                continue
            if not record.alive:
                if known is not None and known.entity_id is not None:
                    of.setdefault(record.customer, set()).add(known.entity_id)
                continue
            if known is None or known.entity_id is None or known.status is not RecordStatus.LIVE:
                raise Trouble(f"{record.system}: a record of {record.customer} is not linked")
            of.setdefault(record.customer, set()).add(known.entity_id)
        for customer, found in of.items():
            if len(found) > 1:
                raise Trouble(f"{customer} is {len(found)} customers")
        if len(customers) != len(of):
            raise Trouble(f"{len(customers)} customers instead of {len(of)}")
        return {customer: customers[next(iter(found))] for customer, found in of.items()}

    def _record_ids(self) -> dict[int, RecordId]:
        return {
            record.number: record_id(ExternalRef(system, "customers", key))
            for (system, key), record in {**self.dead, **self.keys}.items()
        }

    def rebuilt(self) -> bool:
        """Whether the golden records made again from the journal are the same."""
        scratch = empty("scratch.db")
        run = Run(RunEntry("rebuild", "rebuild", "", self.clock()), silent)
        try:
            return Rebuilder(self.app.store, scratch, self._recorded_hub, run)().equal
        finally:
            scratch.close()

    def _recorded_hub(self, content: str) -> Hub:
        return self._hubs.get(content) or compile_deployment(recorded_files(content)).hub

    def recorded(self, customer: Customer) -> str:
        """All that is on record of a customer: values, claims, history."""
        shown = entrypoints.show(self.app, customer.id)
        return str(shown["fields"]) + str(shown["history"])

    def histories(self) -> str:
        """All that anybody ever was, under whatever id; of whom was absorbed, the last version too, which is kept."""
        with self.app.store() as uow:
            ids = sorted({entry.entity_id for entry in uow.customers.links()})
            last = [customer.golden for customer in uow.customers.get(ids).values()]
            return str(uow.customers.histories(ids)) + str(last)

    def said_to_be_gone(self) -> set[str]:
        """The records of which people were ever told that they are gone."""
        every = entrypoints.tasks(self.app, every=True)
        return {task["subject"] for task in every if task["kind"] == "gone"}

    def questions(self) -> str:
        """All that people were told or asked, and the dead letters."""
        every = entrypoints.tasks(self.app, every=True)
        return str(every) + str(entrypoints.tasks(self.app, dead=True, every=True))


def value_of(customer: Customer, name: str) -> str | None:
    """A golden value as the systems write it; ``None`` if nobody speaks of the field."""
    if CANONICAL[name] not in customer.golden:
        return None
    value = customer.golden[CANONICAL[name]]
    if name == "city":
        value = (value or {}).get("city")
    return plain(name, value)

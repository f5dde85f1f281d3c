"""Several simulated systems on real sockets, a hub between them, people, faults and deaths; and all of it on record.

Everything runs on one clock that only moves when it is asked or told to. Whatever happens in the systems is told to the
``Model``, from the logs of the simulators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from connectors.errors import ConnectorError
from connectors.testing import Profile, Simulator
from connectors.testing.losses import dropped
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import Deployment, compile_deployment, recorded_files
from crm_master.domain.claims import Instant
from crm_master.domain.ids import ExternalRef, RecordId, entity_id, record_id
from crm_master.domain.lifecycle import RecordStatus
from crm_master.engine import linking
from crm_master.engine.erasure import NotErasable
from crm_master.engine.ingest import micros
from crm_master.engine.ledger import Run, silent
from crm_master.engine.plan import Hub
from crm_master.engine.rebuild import Rebuilder
from crm_master.ports import Customer, RunEntry
from tests.hubs import compiled
from tests.properties.facts import Record, System, Trouble, plain
from tests.properties.fate import SECOND, Clock, Fate, Killed, MortalSink, MortalStore
from tests.properties.model import Model
from tests.properties.setting import CANONICAL, FIELDS, Setting
from tests.properties.shelf import empty

ROUNDS = 10
"""After how many rounds, at the latest, everything is quiet once edits and faults have ended."""


class World:
    """One history. ``close`` it at the end."""

    def __init__(self, setting: Setting, people: Sequence[Sequence[str]]) -> None:
        """``people``: for each customer who is known at the beginning, the systems that know them."""
        self.setting = setting
        self.clock, self.fate = Clock(), Fate()
        self.systems = {
            profile.name: Simulator(profile, self.clock.moment) for profile in setting.profiles
        }
        self.model = Model(
            (_system(profile) for profile in setting.profiles),
            setting.policies,
            FIELDS,
            setting.deletes,
        )
        self.keys: dict[tuple[str, str], Record] = {}
        self.dead: dict[tuple[str, str], Record] = {}
        self.meanwhile: list[Callable[[Sequence[Record]], object]] = []
        self.overtaken: set[str] = set()
        """The systems to which another worker delivers while the last page of the next read is on its way."""
        self.between: Callable[[], object] | None = None
        """What people do between two pages of the next read that has two."""
        self.buried: set[str] = set()
        """The names of all records that a person has ever deleted."""
        self._began: dict[str, tuple[Instant, bool]] = {}
        self._whole = True
        self._accepted = dict.fromkeys(self.systems, 0)
        self._writes = dict.fromkeys(self.systems, 0)
        self._ids = count(1)
        self._hubs: dict[str, Hub] = {}
        self.idle: list[str] = []
        self.sent: set[tuple[int, str, str]] = set()
        """What was written: record, field, value."""
        for number, knowing in enumerate(people):
            for name in knowing:
                self.add(name, f"c{number}@example.org", name=f"{name}{number}", city=f"{name} c")
        for system in self.systems.values():
            system.start()
        self.app = self._app()
        self.round()

    def _app(self) -> App:
        """The hub, with an empty master database."""
        app = App(
            Path(),
            self._compiled(self.setting),
            MortalStore(empty("hub.db"), self.fate),
            lambda name: self.systems[name].connection,
            self.clock,
            lambda: entity_id(0, next(self._ids).to_bytes(10, "big")),
        )
        for name in self.systems:
            app._open[name] = MortalSink(
                app.connect(name),
                self.fate,
                partial(self._interrupted, name),
                partial(self._under_way, name),
            )
        return app

    def _compiled(self, setting: Setting) -> Deployment:
        made = compiled(setting.files(self.systems))
        self._hubs[made.hub.content] = made.hub
        return made

    def close(self) -> None:
        for name, system in self.systems.items():
            self.app.connect(name).close()  # type: ignore[attr-defined]
            system.stop()
        self.app.store.close()

    # --- people ------------------------------------------------------------------------------

    def add(self, system: str, email: str, **values: str) -> Record:
        """A person makes a record."""
        at = self.clock()
        values = {"email": email, **values}
        key = self.systems[system].add(**values)
        record = self.model.made(at, system, values, ours=False)
        self.keys[system, key] = record
        for name in FIELDS:
            self._typed(at, record, name, self.systems[system].field(key, name))
        self._stamped(system)
        return record

    def edit(self, record: Record, name: str, value: str) -> bool:
        """A person edits a field; false if the system has no such field."""
        key, simulator = self.key(record), self.systems[record.system]
        if name not in simulator.records[key]:
            return False
        at = self.clock()
        now = simulator.edit(key, **{name: value})
        self._moved(record.system, key, now)
        self._typed(at, record, name, value)
        self._stamped(record.system)
        return True

    def delete(self, record: Record) -> None:
        """A person deletes a record."""
        key, simulator = self.key(record), self.systems[record.system]
        self.buried.add(self._name(record))
        at = self.clock()
        simulator.remove(key)
        self.model.deleted(at, record, at_once=self._heard_at_once(record))
        self._dead(record, key, at)

    def join(self, loser: Record, survivor: Record) -> None:
        """A person merges two records of their system."""
        key, simulator = self.key(loser), self.systems[loser.system]
        self.buried.add(self._name(loser))
        at = self.clock()
        simulator.merge(key, self.key(survivor))
        self.model.joined(at, loser, survivor, at_once=self._heard_at_once(loser))
        self._dead(loser, key, at)
        for name in FIELDS:
            self._typed(at, survivor, name, simulator.field(self.key(survivor), name))
        self._stamped(loser.system)

    def _heard_at_once(self, record: Record) -> bool:
        return not self.systems[record.system].met and not self.fate.deaths

    def _dead(self, record: Record, key: str, at: Instant) -> None:
        self.dead[record.system, key] = self.keys.pop((record.system, key))
        stamp = self.systems[record.system].trash[key].get("updated")
        if stamp is not None:
            record.stamps.append((at, micros(datetime.fromisoformat(stamp))))

    def restore(self, record: Record) -> bool:
        """A person takes a deleted record back; false while the hub does not know that it was gone."""
        [(system, key)] = [place for place, of in self.dead.items() if of is record]
        if not self._buried(system, key):
            return False
        at = self.clock()
        self.systems[system].undelete(key)
        again = self.keys[system, key] = self.model.restored(at, record)
        del self.dead[system, key]
        for name in FIELDS:
            self._typed(at, again, name, self.systems[system].field(key, name))
        self._stamped(system)
        return True

    def _buried(self, system: str, key: str) -> bool:
        of = record_id(ExternalRef(system, "customers", key))
        with self.app.store() as uow:
            found = uow.records.get([of]).get(of)
        return found is not None and found.status is RecordStatus.DELETED

    def tick(self, system: str) -> None:
        """The system's validations put back what they do not like: to the hub somebody's edits."""
        at, simulator = self.clock(), self.systems[system]
        simulator.tick()
        for key, record in self.of(system):
            for name in FIELDS:
                self._typed(at, record, name, simulator.field(key, name))
        self._stamped(system)

    def _typed(self, at: Instant, record: Record, name: str, value: Any) -> None:
        self.model.typed(at, record, name, "" if value is None else str(value))

    def _stamped(self, system: str) -> None:
        """Note the change times that the records show now."""
        at = self.clock()
        for key, record in self.of(system):
            text = self.systems[system].records[key].get("updated")
            stamp = None if text is None else micros(datetime.fromisoformat(text))
            if not record.stamps or record.stamps[-1][1] != stamp:
                record.stamps.append((at, stamp))

    def of(self, system: str) -> list[tuple[str, Record]]:
        """The records of a system by their present keys."""
        return [(key, record) for (name, key), record in self.keys.items() if name == system]

    def key(self, record: Record) -> str:
        return next(key for (_, key), of in self.keys.items() if of is record)

    def _moved(self, system: str, old: str, new: str) -> None:
        if old != new:
            self.keys[system, new] = self.keys.pop((system, old))

    # --- the hub -----------------------------------------------------------------------------

    def ingest(self, system: str, *, full: bool = False) -> bool:
        self._whole = not self._goes_on(system, full)
        return self._run(
            system,
            lambda: entrypoints.ingest(self.app, system, "customers", full=full),
            "full" if full else "delta",
        )

    def _goes_on(self, system: str, full: bool) -> bool:
        """Whether a read will go on where another was cut off: what it does not come to, that one has shown."""
        with self.app.store() as uow:
            state = uow.states.stream(system, "customers")
        return bool(state.scan_started) and (state.full or not full)

    def reconcile(self) -> bool:
        well = self._run(None, lambda: entrypoints.reconcile(self.app, "customer"))
        if well:
            self.model.reconciled.append(self.clock())
        return well

    def take_in(self) -> str:
        """Poll everywhere, and reconcile what came. Gives the run that did."""
        self.clock.sleep(10)
        for name in self.systems:
            self.ingest(name)
        ran = entrypoints.reconcile(self.app, "customer")
        self.model.reconciled.append(self.clock())
        return ran.run

    def undo(self, run: str) -> set[tuple[str, str]]:
        """An operator takes back what a run did. Gives what is left as it is: customer, canonical field."""
        done = entrypoints.undo_run(self.app, run, "ada")
        return {(kept["customer"], kept["field"]) for kept in done["kept"]}

    def deliver(self, system: str) -> bool:
        return self._run(system, lambda: entrypoints.deliver(self.app, system))

    def propose(self, setting: Setting) -> None:
        """Somebody edits policies and mappings. They are not in force yet."""
        self._proposed = setting
        proposed = self._compiled(setting)
        self.app = replace(self.app, proposed=proposed if setting != self.setting else None)

    def apply(self) -> bool:
        """Put them in force. Whoever dies over it may have done so; else they are dropped."""
        well = self._run(None, lambda: entrypoints.apply(self.app))
        after = entrypoints.as_proposed(self.app)
        with self.app.store() as uow:
            applied = uow.journal.applied()
        if applied is not None and applied.hash == after.hub.hash:
            self.app = after
            for system, name in self.setting.unmapped ^ self._proposed.unmapped:
                mapped = (system, name) not in self._proposed.unmapped
                self.model.mapped(self.clock(), system, name, mapped=mapped, sure=well)
            self.model.changed = self.clock()
            self.setting, self.model.policies = self._proposed, self._proposed.policies
        self.app = replace(self.app, proposed=None)
        return well

    def planned(self) -> set[tuple[int, str, str]] | None:
        """Each value that the plan of what is proposed says is to be written: record, field, value.

        ``None`` if it says that a newly mapped field must be read first: then it cannot know.
        """
        found: set[tuple[int, str, str]] = set()
        hub = entrypoints.as_proposed(self.app).hub
        plan = entrypoints.plan(self.app, each=True)
        if plan.lacking:
            return None
        for write in plan.each:
            system, stream = write.stream.split("/")
            key = (write.record or "").rpartition("/")[2]
            shown = self.systems[system].records[key]
            after = hub.stream(system, stream).mapping.put(shown, write.natives)
            number = self.keys[system, key].number
            found |= {
                (number, name, after[name] or "")
                for name in FIELDS
                if name in after and after[name] != shown.get(name)
            }
        return found

    def erase(self, record: Record) -> bool:
        """An operator erases a record's customer; false where a question is to be answered first."""
        self.fate.spare()
        try:
            entrypoints.erase(self.app, self._name(record), "ada")
        except NotErasable:
            return False
        self.model.erased.add(record.customer)
        return True

    def merge(self, survivor: Record, absorbed: Record) -> bool:
        """An operator makes two customers one; false where an answer is to be waited for first."""
        propose = linking.merge(self._name(survivor), self._name(absorbed))
        done = self._link(propose)
        if done:
            self.model.merged(survivor.customer, absorbed.customer)
        return done

    def split(self, record: Record) -> bool:
        """An operator makes a record a customer of its own; false where that cannot be done, or not yet."""
        made, name = self.app.new_id(), self._name(record)
        done = self._link(linking.split(name, [name], lambda: made))
        if done:
            self.model.split(record)
        return done

    def _link(self, propose: linking.Propose) -> bool:
        self.fate.spare()
        try:
            entrypoints.link(self.app, propose, "ada")
        except linking.NotLinkable:
            return False
        return True

    def _name(self, record: Record) -> str:
        return f"{record.system}/customers/{self.key(record)}"

    def round(self, order: Sequence[str] = (), *, full: bool = False) -> bool:
        """Poll and reconcile everywhere, and deliver wherever something waits; whether all went well."""
        self.clock.sleep(10)
        names = list(order or self.systems)
        well = [self.ingest(name, full=full) for name in names]
        well.append(self.reconcile())
        with self.app.store() as uow:
            joined = all(state == "active" for state in uow.states.systems().values())
        if not joined and entrypoints.let_in(self.app):
            well.append(self.reconcile())
        well += self._deliveries(names)
        if any(entrypoints.waiting(self.app)["inbox"].values()):
            # records that somebody changed while they were about to be written
            well.append(self.reconcile())
            well += self._deliveries(names)
        return all(well)

    def _deliveries(self, names: Sequence[str]) -> list[bool]:
        with self.app.store() as uow:
            waiting = [name for name in names if uow.outbox.waiting(name)]
        return [self.deliver(name) for name in waiting]

    def _run(self, system: str | None, verb: Callable[[], Any], reading: str = "") -> bool:
        """Run a verb as a process of its own. True if it went well. What the systems answered meanwhile goes on record."""
        met = self.faults()
        well = True
        try:
            verb()
        except (ConnectorError, entrypoints.RunFailed, entrypoints.FuseBlown):
            well = False
        except Killed:
            well = False
            self.fate.spare()
        finally:
            if system is not None:
                untroubled = well and (bool(reading) or met == self.faults())
                self._digest(system, reading, well, untroubled)
        return well

    def faults(self) -> int:
        """How many faults requests have met."""
        return sum(sum(system.met.values()) for system in self.systems.values())

    def _interrupted(self, system: str, keys: Sequence[str]) -> None:
        """People go on while the hub works: they edit what it has just read.

        What it has done up to then comes on record first, as far as it is known. Between a write and its confirmation they
        do nothing: of a field that was sent, nobody can then tell an edit from what the system has made of it.
        """
        written = len(self.systems[system].writes)
        missing = [self.dead[system, key] for key in keys if (system, key) in self.dead]
        if missing:
            # to be told that a record is not there is no answer that the simulator counts
            self.model.fetched(self.clock(), system, missing, sure=False)
        shown = [self.keys[system, key] for key in keys if (system, key) in self.keys]
        if self.meanwhile and shown and written == self._writes[system]:
            self._digest(system, "", False, False)
            while self.meanwhile:
                self.meanwhile.pop()(shown)

    def _under_way(self, system: str, last: bool) -> None:
        """A page was read and is not landed yet, and others go on: what it shows is nobody's word on what comes of that."""
        if not last and (act := self.between) is not None:
            self.between = None
            self._whole = False
            self._digest(system, "", False, False)
            act()
        if last and system in self.overtaken:
            self.overtaken.discard(system)
            self._whole = False
            self._digest(system, "", False, False)
            self.deliver(system)

    def _tells(self, system: str) -> bool:
        """Whether a read of what has changed, or what there is instead, also tells what is gone."""
        profile = self.systems[system].profile
        return profile.deletes != "hard" or not profile.has_delta

    def _digest(self, system: str, reading: str, well: bool, untroubled: bool) -> None:
        """Tell the model what a system has answered since the last time."""
        simulator = self.systems[system]
        accepted = simulator.accepted[self._accepted[system] :]
        self._accepted[system] = len(simulator.accepted)
        scanned, all_of_it = self._began.pop(system, (0, True))
        for request in accepted:
            at, target = micros(request.at), urlsplit(request.target)
            query, key = parse_qs(target.query), unquote(target.path.partition("/customers/")[2])
            if request.method != "GET":
                self._written(system, at, key, sure=untroubled)
            elif key or "id" in query:
                asked = [key] if key else query["id"]
                known = {**self.keys, **self.dead}
                shown = [known[system, one] for one in asked if (system, one) in known]
                self.model.fetched(at, system, shown, sure=untroubled)
            elif "ref" in query or "email" in query:
                self.model.fetched(at, system, [of for _, of in self.of(system)], sure=False)
            else:
                # who is told to ask for what has changed asks for all where a newly mapped field calls for it
                all_of_it = all_of_it and not (scanned == 0 and {"since", "token"} & query.keys())
                scanned = scanned or at
        if scanned and not reading:
            self._began[system] = (scanned, all_of_it)
        elif scanned:
            tells = reading == "full" or all_of_it or self._tells(system)
            self.model.read(scanned, system, sure=well and self._whole, tells=tells)
        self._stamped(system)

    def _written(self, system: str, at: Instant, key: str, *, sure: bool) -> None:
        write = self.systems[system].writes[self._writes[system]]
        self._writes[system] += 1
        values = {name: write.body[name] or "" for name in FIELDS if name in write.body}
        if write.method == "POST":
            record = self.model.made(at, system, values, ours=True)
            self.keys[system, write.key] = record
        elif write.method == "DELETE":
            record = self.keys[system, key]
            self.buried.add(self._name(record))
            self.model.taken_away(at, record, sure=sure)
            self._dead(record, key, at)
            return
        else:
            record = self.keys[system, key]
            self._moved(system, key, write.key)
        if record.customer in self.model.erased:
            raise Trouble(f"{system}: {record.customer} was erased, and is written")
        self.sent |= {(record.number, name, value) for name, value in values.items()}
        idle = self.model.sent(at, record, values, sure=sure)
        if sure and write.method != "POST":
            self.idle += [f"{system}: {name}" for name in idle]

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
            self.round(next(orders), full=not number)
            if self.writes() == before and not self._waiting() and not self._questions():
                return
        raise Trouble(f"not quiet after {ROUNDS} rounds: {entrypoints.waiting(self.app)}")

    def _waiting(self) -> bool:
        waiting = entrypoints.waiting(self.app)
        with self.app.store() as uow:
            dirty = uow.customers.dirty("customer")
        return bool(dirty) or any(number for part in waiting.values() for number in part.values())

    def _answer(self) -> None:
        """What a diligent operator does: looks into the system, says what is there, lets pass what a fuse stopped."""
        for task in self._questions():
            if task["kind"] == "fuse":
                entrypoints.approve_run(self.app, task["run"], "ada")
                continue
            if task["kind"] == "merge":
                self._tell_apart(task)
                continue
            made = task["kind"] == "unknown" and self._made_there(task)
            entrypoints.decide(self.app, task["id"], "drop" if made else "retry", "ada")

    def _questions(self) -> list[dict[str, Any]]:
        tasks = entrypoints.tasks(self.app)
        return [task for task in tasks if task["kind"] in ("unknown", "refused", "fuse", "merge")]

    def _tell_apart(self, task: Mapping[str, Any]) -> None:
        """Two records of two customers were merged in their system. Whoever is in another system twice is two people.

        So is whoever would get the key of the record that is gone, because keys are addresses.
        """
        system, _, key = task["record"].split("/")
        loser = self.dead[system, key]
        assert loser.into is not None
        mine, theirs = self.model.of(loser.customer), self.model.of(loser.into.customer)
        others = {record.system for record in mine if record is not loser}
        by_address = self.systems[system].profile.keys == "email"
        if by_address or others & {record.system for record in theirs}:
            entrypoints.decide(self.app, task["id"], "apart", "ada")
            return
        try:
            entrypoints.decide(self.app, task["id"], task["into"][0], "ada")
        except linking.NotLinkable:
            return  # an answer is to be waited for first
        self.model.merged(loser.into.customer, loser.customer)

    def _made_there(self, task: Mapping[str, Any]) -> bool:
        system = task["subject"].partition(":")[2].split("/")[0]
        shown = entrypoints.show(self.app, task["entity"])
        address = (shown["fields"].get("email") or {}).get("value") or ""
        customer = self.model.people.get(address)
        return any(record.customer == customer for _, record in self.of(system))

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

    # --- what is there -----------------------------------------------------------------------

    def golden(self) -> dict[str, Customer]:
        """The hub's customer for each of the model's. Raises ``Trouble`` unless there is just one."""
        ids = self._record_ids()
        with self.app.store() as uow:
            records = uow.records.get(ids.values())
            customers = {found.id: found for found in uow.customers.scan("customer", "", 1000)}
        of: dict[str, set[str]] = {}
        for record in self.model.records:
            if record.back:
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


def _system(profile: Profile) -> System:
    lossy = {
        name: (lambda _old, _new: "")
        if rule is dropped
        else (lambda old, new, rule=rule: rule(old, new))
        for name, rule in profile.lossy.items()
    }
    skew = int((abs(profile.skew) + profile.resolution) * SECOND) if profile.stamps else 0
    told = profile.known_aliases and profile.batch == 1 and profile.aliases != "gone"
    # where addresses are keys, the name of a survivor that has moved leads nowhere; and a mark says nothing of a survivor
    always = profile.deletes != "soft" and profile.keys == "own"
    return System(profile.name, skew, lossy, ("always" if always else "sometimes") if told else "")

"""The hub between the systems at its work: it polls, reconciles and delivers, and it may die over that.

Whatever requests the systems answer meanwhile is told to the ``Model``, from the logs of the simulators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from connectors.errors import ConnectorError
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import Deployment
from crm_master.domain.claims import Instant
from crm_master.domain.ids import ExternalRef, entity_id, record_id
from crm_master.domain.lifecycle import RecordStatus
from crm_master.domain.settling import on_its_way
from crm_master.engine import linking
from crm_master.engine.erasure import NotErasable
from crm_master.engine.ingest import micros
from crm_master.engine.plan import Hub
from tests.hubs import compiled
from tests.properties.facts import Record, Trouble
from tests.properties.fate import Killed, MortalSink, MortalStore
from tests.properties.people import People
from tests.properties.setting import CANONICAL, FIELDS, Setting
from tests.properties.shelf import empty


class Working(People):
    """A history in which a hub works."""

    def __init__(self, setting: Setting, people: Sequence[Sequence[str]]) -> None:
        """``people``: for each customer who is known at the beginning, the systems that know them."""
        super().__init__(setting)
        self.meanwhile: list[Callable[[Sequence[Record]], object]] = []
        self.overtaken: set[str] = set()
        """The systems to which another worker delivers while the last page of the next read is on its way."""
        self.between: Callable[[], object] | None = None
        """What people do between two pages of the next read that has two."""
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
            self.model.decided_on = self.clock()
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
        self.model.erase(self.clock(), record.customer)
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
        self.model.decided_on = self.clock()
        return True

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
            waiting = [
                name
                for name in names
                if any(
                    uow.outbox.waiting(name, stream) for stream in self.app.hub.system(name).streams
                )
            ]
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
        if not well or met != self.faults():
            self._note_what_was_meant()
        return well

    def _note_what_was_meant(self) -> None:
        """What a death or a lost answer leaves on record as about to be written: whoever types that is an echo (rule 6)."""
        ids = {
            record_id(ExternalRef(system, "customers", key)): record
            for (system, key), record in self.keys.items()
        }
        with self.app.store() as uow:
            found = uow.records.get(ids)
        for of, known in found.items():
            for field, native in on_its_way(known.shadow).items():
                name = next(name for name, canonical in CANONICAL.items() if canonical == field)
                value = (native or {}).get("city") if name == "city" else native
                ids[of].meant.append((self.clock(), name, "" if value is None else str(value)))

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
        last = 0
        for request in accepted:
            at, target = micros(request.at), urlsplit(request.target)
            query, key = parse_qs(target.query), unquote(target.path.partition("/customers/")[2])
            if request.method != "GET":
                self._written(system, at, key, sure=untroubled)
            elif key or "id" in query:
                asked = [key] if key else query["id"]
                known = {**self.keys, **self.dead}
                shown = [known[system, one] for one in asked if (system, one) in known]
                # of what a log says was deleted a read only asks whether it is there: it is the listing that shows it
                sure = untroubled and (self._whole or not reading)
                self.model.fetched(at, system, shown, sure=sure)
            elif "ref" in query or "email" in query:
                self.model.fetched(at, system, [of for _, of in self.of(system)], sure=False)
            else:
                # who is told to ask for what has changed asks for all where a newly mapped field calls for it
                all_of_it = all_of_it and not (scanned == 0 and {"since", "token"} & query.keys())
                scanned, last = scanned or at, at
        if scanned and not reading:
            self._began[system] = (scanned, all_of_it)
        elif scanned:
            tells = reading == "full" or all_of_it or self._tells(system)
            self.model.read(scanned, system, sure=well and self._whole, tells=tells)
            if last > scanned and not self._whole:
                # what came to be while its pages were read, the later ones may show
                self.model.read(last, system, sure=False, tells=False)
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

    def writes(self) -> int:
        return sum(len(system.writes) for system in self.systems.values())

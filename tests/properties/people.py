"""Several simulated systems on real sockets, and the people who work in them; all that they do is told to the ``Model``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.testing import Profile, Simulator
from connectors.testing.losses import dropped
from crm_master.domain.claims import Instant
from crm_master.engine.ingest import micros
from tests.clock import SECOND, Clock
from tests.properties.facts import Record, System
from tests.properties.fate import Fate
from tests.properties.model import Model
from tests.properties.setting import FIELDS, Setting


class People:
    """The systems of one history, their records, and everybody but the hub."""

    def __init__(self, setting: Setting) -> None:
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
        self.former: dict[tuple[str, str], Record] = {}
        """By keys that records had before."""
        self.buried: set[str] = set()
        """The names of all records that were ever deleted."""

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
            moved = self.keys[system, new] = self.keys.pop((system, old))
            self.former[system, old] = moved
            if displaced := self.dead.pop((system, new), None):
                displaced.again = moved

    def _name(self, record: Record) -> str:
        return f"{record.system}/customers/{self.key(record)}"


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

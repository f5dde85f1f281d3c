"""A sync of very many rows, one in a hundred of them poison, in little memory: ``make soak-rows ROWS=1000000``.

Both systems are in a process of their own, so the resident size of this one is that of Concord's worker. Its peak is the
kernel's own (``VmHWM``), begun anew with each phase.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from bench.child import Child
from bench.measure import peak_mib, reset_peak
from bench.stage import databases, opened
from bench.systems import ERP, SHOP, poison, row
from crm_master import entrypoints
from crm_master.bootstrap import App
from crm_master.deployment import home_files
from crm_master.domain.fields import Canonical, Native
from mappings.codecs.base import Codec, register, text_of
from mappings.spec import FieldType

LIMIT = 400
"""MiB."""
TOLD = 100_000
"""Records between two lines of progress."""
SAMPLE = 200

_FIELDS = {
    "name": {"at": "name", "as": "name"},
    "email": {"at": "email", "as": "email"},
    "phone": {"at": "phone", "as": {"phone": {"region": "BE"}}},
    "address.street": {"at": "street", "as": "street"},
    "address.city": "city",
    "lifecycle": {"at": "segment", "as": {"enum": {"lead": "lead", "active": "active"}}},
}


@register
class Street(Codec):
    """A street with its house number, by somebody who had never seen one without."""

    name = "street"
    gives = frozenset({FieldType.TEXT})

    def decode(self, native: Native) -> Canonical:
        street, number = text_of(native).rsplit(" ", 1)[0], text_of(native).split()[1]
        return f"{street} {number}"

    def encode(self, value: Canonical) -> Native:
        return value


def contents() -> dict[str, Any]:
    """The deployment: leads are created in the shop, nobody in the ERP. What shipped policies say holds."""
    policy = yaml.safe_load(home_files(Path("/nonexistent"))("policies/customer.yaml") or "")
    policy["failures_allowed"] = 0.05
    create = {"when": {"lifecycle": "lead"}}
    hub = {
        "name": "rows",
        "rank": ["erp", "shop"],
        "systems": {
            name: {
                "system": name,
                "connection": name,
                "streams": {"customers": {"create": create} if name == "shop" else {}},
            }
            for name in ("erp", "shop")
        },
    }
    mappings = {
        f"mappings/{name}/customers.yaml": {"entity": "customer", "fields": dict(_FIELDS)}
        for name in ("erp", "shop")
    }
    manifests = {f"systems/{of.name}.yaml": yaml.safe_load(of.manifest()) for of in (ERP, SHOP)}
    return {"hub.yaml": hub, "policies/customer.yaml": policy, **mappings, **manifests}


def files(of: Mapping[str, Any]) -> dict[str, str]:
    """The same as files."""
    return {name: yaml.safe_dump(content, sort_keys=False) for name, content in of.items()}


class Bench:
    """One measurement: phases, one after the other, and what is not as it should be."""

    def __init__(self, app: App, systems: Child, rows: int) -> None:
        self.app, self.systems, self.rows = app, systems, rows
        self.began = time.monotonic()
        self.peak = 0
        self.wrong: list[str] = []
        self._told: dict[str, tuple[int, float]] = {}

    @contextmanager
    def phase(self, name: str, records: int) -> Iterator[None]:
        """Measure what is done in it for this many records."""
        reset_peak()
        self._told.clear()
        began, busy = time.monotonic(), time.process_time()
        yield
        seconds, peak = time.monotonic() - began, peak_mib()
        each = (time.process_time() - busy) / max(records, 1) * 1e6
        self.peak = max(self.peak, peak)
        say(
            f"{name:<24}{records:>9} records{seconds:>9.1f} s{records / seconds:>8.0f} /s"
            f"{each:>7.0f} µs of CPU each{peak:>6} MiB"
        )

    def progress(self, what: str, counts: Mapping[str, int]) -> None:
        """A line for each ``TOLD`` records, with the pace since the last one."""
        done = max(counts.get(name, 0) for name in ("read", "new", "swept", "checked", "created"))
        last, at = self._told.setdefault(what, (0, time.process_time()))
        if done - last >= TOLD:
            now = time.process_time()
            each = (now - at) / (done - last) * 1e6
            say(
                f"  {what}: {done}; the last {done - last} took {each:.0f} µs each; {peak_mib()} MiB"
            )
            self._told[what] = (done, now)

    def expect(self, what: str, found: object, wanted: object) -> None:
        say(f"  {what}: {found}" + ("" if found == wanted else f"   WRONG: {wanted} expected"))
        if found != wanted:
            self.wrong.append(what)

    def __call__(self) -> bool:
        kinds = Counter(poison(number) for number in range(1, self.rows + 1))
        good = self.rows - kinds["defective"]
        app = self.app
        with self.phase("landing", self.rows):
            for name in app.hub.systems:
                entrypoints.ingest(app, name, "customers", progress=self.progress)
        with self.phase("reconciling", self.rows):
            entrypoints.reconcile(app, "customer", progress=self.progress)
        with self.phase("trying poison again", kinds["defective"]):
            while entrypoints.status(app)["inbox"]:
                with suppress(entrypoints.RunFailed):  # as it should: nothing else is left to do
                    entrypoints.reconcile(app, "customer", progress=self.progress)
        with self.phase("previewing", good):
            preview = entrypoints.preview(app)
        with self.phase("recomputing, approved", good):
            entrypoints.approve(app)
            entrypoints.reconcile(app, "customer", progress=self.progress)
        writes = sum(preview["creates"].values()) + sum(preview["updates"].values())
        with self.phase("delivering", writes):
            for name in app.hub.systems:
                entrypoints.deliver(app, name, progress=self.progress)
        told = self.systems.ask("figures")
        self.expect("writes that the systems saw, as previewed", told["writes"], writes)
        self.expect("duplicates in the shop", told["duplicates"], 0)
        with self.phase("a full round, no change", self.rows):
            ran = entrypoints.sync(app, full=True, progress=self.progress)
        changes = ("landed", "queued", "created", "updated", "edited", "absent", "swept")
        counts = sum((Counter(run.counts) for run in ran), Counter[str]())
        self.expect("changes in it", sum(counts[name] for name in changes), 0)
        self.expect("writes in it", self.systems.ask("figures")["writes"] - writes, 0)
        bad = self.rows // 400
        self.systems.ask(f"bad {bad}")
        with self.phase("rows that are none", bad), suppress(entrypoints.RunFailed):
            entrypoints.sync(app, progress=self.progress)
        self._check(good, sum(kinds.values()) - kinds[""] + bad)
        return self._verdict()

    def _check(self, good: int, poisoned: int) -> None:
        status = entrypoints.status(self.app)
        records = status["systems"]["erp"]["streams"]["customers"]["records"]
        self.expect("dead letters", status["tasks"].get("dead_letter", 0), poisoned)
        self.expect("other questions", sum(status["tasks"].values()) - poisoned, 0)
        self.expect("golden records", status["customers"]["customer"], good)
        self.expect("rows that have one", records["linked"], good)
        step = max(1, self.rows // SAMPLE)
        sample = [n for n in range(1, self.rows + 1, step) if poison(n) in ("", "unreadable")]
        self.expect("of a sample right", sum(map(self._is_right, sample)), len(sample))

    def _is_right(self, number: int) -> bool:
        fields = entrypoints.show(self.app, f"erp/customers/{number}")["fields"]
        shown, wanted = {name: facts["value"] for name, facts in fields.items()}, row(number)
        mail = None if poison(number) else wanted["email"]
        address = {"street": wanted["street"], "city": wanted["city"]}
        return (shown.get("name"), shown.get("email"), shown.get("phone"), shown["address"]) == (
            wanted["name"],
            mail,
            wanted["phone"],
            address,
        )

    def _verdict(self) -> bool:
        if self.peak >= LIMIT:
            self.wrong.append(f"peak memory {self.peak} MiB, allowed: below {LIMIT}")
        say(
            f"{self.rows} rows in {time.monotonic() - self.began:.0f} s; peak memory of the worker "
            f"{self.peak} MiB; "
            + (f"WRONG: {'; '.join(self.wrong)}" if self.wrong else "all right")
        )
        return not self.wrong


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Sync very many rows, and measure.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    chosen = parser.parse_args()
    with (
        databases(chosen.database) as new,
        Child("bench.systems", chosen.rows) as systems,
        opened(files(contents()), new(), systems.hello) as app,
    ):
        return 0 if Bench(app, systems, chosen.rows)() else 1


if __name__ == "__main__":
    raise SystemExit(main())

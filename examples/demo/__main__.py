"""`make demo`: one customer, known to four systems under four spellings; an order, a complaint and a conflict of hers."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from crm_master import entrypoints
from dags.inprocess import InProcess
from examples.demo.figures import figures
from examples.demo.screen import Screen
from examples.demo.stage import Company
from examples.demo.story import COMPLAINT, GOODS, Marie
from examples.peers.installing import tail

TITLES = {
    "erp": "Tryton",
    "shop": "Vendure",
    "office": "back office",
    "calls": "call centre",
    "mailing": "Mailman",
}
WORDS = {
    "read": "read",
    "landed": "new or changed",
    "new": "new",
    "linked": "linked to one that is known",
    "review": "in review",
    "unreadable": "values unreadable",
    "golden": "golden records made",
    "changed": "golden records changed",
    "conflicts": "conflicts decided",
    "queued": "deliveries queued",
    "created": "created",
    "updated": "updated",
}
WRITES = ("created", "updated", "deleted")
ROUNDS = 6


class DemoFailed(Exception):
    """The demo did not get to its end; the text says where it stopped."""


class Demo:
    """The story, chapter by chapter."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen = screen
        self.folder = folder
        self.read: Counter[str] = Counter()
        self.written: dict[str, Counter[str]] = {}

    def __call__(self) -> bool:
        """Whether everything converged."""
        say, chapter = self.screen.say, self.screen.chapter
        chapter("Concord: one customer, however many systems")
        say(
            "An ERP (Tryton, REST), a web shop (Vendure, GraphQL), a mailing tool (Mailman, REST), a back office (SOAP) and "
            "a call\ncentre's folder (CSV) start on this machine. No two of them agree about their customers."
        )
        with ExitStack() as stack:
            chapter("1. One customer, four spellings")
            self.company = stack.enter_context(Company(self.folder / "shared"))
            seeded = self.screen.during(
                "customers are typed in by hand, carelessly", self.company.fill
            )
            self.marie = Marie(self.company)
            self._show_marie()
            say(f"Around her, {len(seeded.people)} others, each in one to four of the systems.")

            self.home = self.company.deploy(self.folder / "hub")
            chapter("2. Airflow reads all of them")
            self.airflow = self.screen.during(
                "Airflow starts in this process",
                lambda: InProcess(self.folder / "airflow", self.home),
            )
            self.app = entrypoints.open_app(self.home)
            stack.callback(self.app.store.close)
            entrypoints.init(self.app)
            self._read_all()

            chapter("3. They join, and get what they lack")
            say("hub.yaml says `join: auto`, so policy approves this. Otherwise a person would.")
            self._join()

            chapter("4. One order")
            self._order()
            chapter("5. One complaint, by phone")
            self._complaint()
            chapter("6. One conflict")
            self._conflict()
            chapter("7. What is known of her, and who said so")
            say(f"$ concord show {self.marie.in_erp}")
            self.screen.show(self._concord("show", self.marie.in_erp))
            chapter("8. Is it true?")
            return self._verdict()

    # --- how it is run ------------------------------------------------------------------------

    def dag(self, dag_id: str) -> None:
        """One DAG to its end, with what it counted."""
        before = self._newest()
        begin = time.monotonic()
        ended = self.airflow.run(dag_id)
        lines = []
        for run in self._runs_since(before):
            counts = {name: count for name, count in run["counts"].items() if count}
            told = [f"{counts[name]} {word}" for name, word in WORDS.items() if name in counts]
            lines.append(", ".join(told))
            self._count(run["verb"], run["target"], counts)
        counted = "; ".join(filter(None, lines)) or "nothing to do"
        seconds = time.monotonic() - begin
        self.screen.say(f"  {dag_id:<30} {counted} [dim]({seconds:.1f} s)[/dim]")
        if not ended.succeeded:
            failed = sorted(task for task, state in ended.tasks.items() if state == "failed")
            raise DemoFailed(f"The DAG {dag_id} ended as {ended.state}: {', '.join(failed)}.")

    def rounds(self) -> None:
        """`concord sync`, until a round writes nothing. Each is told in a line."""
        for _ in range(ROUNDS):
            begin = time.monotonic()
            ran = entrypoints.sync(self.app)
            landed = sum(one.counts.get("landed", 0) for one in ran)
            written = Counter[str]()
            for one in ran:
                written.update(
                    {
                        f"{TITLES[one.target]} {count} {kind}": 1
                        for kind in WRITES
                        if (count := one.counts.get(kind, 0)) and one.verb == "deliver"
                    }
                )
            told = ", ".join(written) or "0 writes"
            self.screen.say(
                f"  concord sync   {landed} new or changed; {told} [dim]({time.monotonic() - begin:.1f} s)[/dim]"
            )
            if not written:
                return
        raise DemoFailed("Rounds keep writing, though nobody edits.")

    def _count(self, verb: str, target: str, counts: dict[str, int]) -> None:
        if verb == "ingest":
            self.read[target.partition("/")[0]] += counts.get("read", 0)
        if verb == "deliver":
            self.written.setdefault(target, Counter()).update(counts)

    def _newest(self) -> str:
        return str(next((run["run"] for run in entrypoints.status(self.app)["runs"]), ""))

    def _runs_since(self, newest: str) -> list[dict[str, Any]]:
        runs = entrypoints.status(self.app)["runs"]
        return [run for run in reversed(runs) if run["run"] > newest]

    def _concord(self, *words: str) -> str:
        """What the command prints."""
        command = [sys.executable, "-m", "crm_master.cli", "--home", str(self.home), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip()

    # --- the chapters -------------------------------------------------------------------------

    def _show_marie(self) -> None:
        self.screen.table("", "name", "e-mail", "phone", "city", rows=self.marie.everywhere())

    def _read_all(self) -> None:
        for stream in self.app.hub.streams():
            if stream.reads:
                self.dag(f"ingest__{stream.system}__{stream.stream}")
        for entity in self.app.hub.entities:
            self.dag(f"reconcile__{entity}")
        shown = entrypoints.preview(self.app)
        self.screen.say(
            f"Nothing was written so far. {shown['customers']['customer']} customers were recognised, "
            f"{shown['in_several_systems']['customer']} of them in more than one system.\n"
            "If all joined now, this would be written:"
        )
        self.screen.table(
            *("", "to create", "to update", "which fields"),
            rows=[
                (
                    TITLES[stream.partition("/")[0]],
                    shown["creates"].get(stream, 0),
                    shown["updates"].get(stream, 0),
                    ", ".join(
                        f"{name.removeprefix(stream + '.')} of {count}"
                        for name, count in shown["fields"].items()
                        if name.startswith(stream)
                    ),
                )
                for stream in shown["records"]
                if shown["creates"].get(stream) or shown["updates"].get(stream)
            ],
        )

    def _join(self) -> None:
        self.dag("maintain__join")
        for system in TITLES:
            self.dag(f"deliver__{system}")
        found = figures(self.app, self.read, self.written)
        self.screen.table(
            *("", "read", "linked", "created", "updated", "rejected", "conflicts", "in review"),
            rows=[
                (
                    *(TITLES[name], one.read, one.linked, one.created, one.updated),
                    *(one.rejected, one.conflicts, one.review),
                )
                for name, one in found.items()
            ],
        )
        self.screen.say(
            "[dim]linked: another system has this customer too. rejected: values that nobody can read. conflicts: values "
            "that policy\ndecided against. in review: records of which a person has to say whose they are.[/dim]"
        )
        self._show_questions()
        self.screen.say(
            "The same by hand, until a round writes nothing; and what each system holds of her now:"
        )
        self.rounds()
        self._show_marie()

    def _show_questions(self) -> None:
        letters = entrypoints.tasks(self.app, dead=True)
        matches = [task for task in entrypoints.tasks(self.app) if task["kind"] == "match"]
        self.screen.say("What only a person can mend waits, and stops nobody else:")
        for letter in letters[:1]:
            self.screen.say(f"  `concord dlq list`: {letter['subject']}: {letter['reason']}")
        for match in matches[:1]:
            self.screen.say(
                f"  `concord conflicts`: {match['subject']}: looks like a customer whom another record of "
                f"{TITLES['erp']} is linked to already"
            )

    def _order(self) -> None:
        self.screen.say(f"She orders {_goods(GOODS)} in the shop, and pays.")
        key = self.marie.order()
        self.rounds()
        orders = self.company.orders
        number = orders.order(key)["code"]
        (sale,) = orders.sales(number)
        lines = orders.lines(sale)
        self.screen.say(
            f"In Tryton, sale {sale['id']} under reference {number}: party {sale['party']} (hers is {self.marie.party}), "
            f"{_goods(lines)}, {sale['untaxed_amount']['decimal']} net, {sale['state']}.\nThe warehouse ships it."
        )
        if sale["party"] != self.marie.party or lines != GOODS:
            raise DemoFailed("The sale is not what she ordered.")
        orders.ship(sale)
        self.rounds()
        state = orders.order(key)["state"]
        self.screen.say(f"In the shop, her order is {state!r} now.")
        if state != "Shipped" or len(orders.sales(number)) != 1:
            raise DemoFailed("What the ERP has shipped is not shipped in the shop.")

    def _complaint(self) -> None:
        number = self.marie.complain()
        self.screen.say(
            f"She calls: {COMPLAINT!r}. The dialler knows her as {number}, and the call centre exports the call as CSV."
        )
        self.rounds()
        contacts = self.marie.contacts()
        for one in contacts:
            self.screen.say(
                f"In the back office, contact {one['id']} of customer {one['customerNumber']} (hers is "
                f"{self.marie.contact}): {one['kind']} by {one['channel']}, {one['subject']!r}, taken by {one['employee']}."
            )
        if [one["subject"] for one in contacts] != [COMPLAINT]:
            raise DemoFailed("The back office does not know of her call.")

    def _conflict(self) -> None:
        in_erp, in_shop = "+32 2 555 77 77", "+32 2 555 88 88"
        self.screen.say(
            f"A clerk changes her phone number in Tryton to {in_erp}; before anybody is read again, she changes it in the "
            f"shop\nto {in_shop}. policies/customer.yaml says that the shop's word comes first for phone numbers."
        )
        self.marie.change_phone(in_erp=in_erp, in_shop=in_shop)
        self.rounds()
        self._show_marie()
        phone = entrypoints.show(self.app, self.marie.in_erp)["fields"]["phone"]
        lost = [claim for claim in phone["claims"] if not claim["wins"]]
        for claim in lost:
            since, until = (str(moment)[:19] for moment in claim["between"])
            when = since if since == until else f"{since} to {until}"
            self.screen.say(
                f"On record, and lost by the rule {phone['rule']}: {claim['record']} said {claim['value']} ({when})."
            )
        if phone["value"] != "+3225558888" or "+3225557777" not in [one["value"] for one in lost]:
            raise DemoFailed("The conflict was not decided as the policy says.")

    def _verdict(self) -> bool:
        self.screen.say("Once more, though nobody has edited anything:")
        self.rounds()
        verdict = self.screen.during(
            "all systems are read again and compared, field by field",
            lambda: entrypoints.verify(self.app),
        )
        rebuilt = self.screen.during(
            "all golden records are made again from the journal",
            lambda: entrypoints.rebuild(self.app),
        )
        checked, fine = sum(verdict.checked.values()), sum(verdict.matching.values())
        self.screen.say(
            f"verify:  {fine} of {checked} records hold exactly what they should, {sum(verdict.excepted.values())} wait for "
            f"a person, {sum(verdict.reasons.values())} differ.\n"
            f"rebuild: {rebuilt.compared} golden records compared, {len(rebuilt.different)} came out different."
        )
        for why, number in verdict.reasons.items():
            self.screen.say(f"  {number} × {why}")
        return verdict.converged and rebuilt.equal


def main() -> int:
    """0 if all systems converged, 1 if not, 130 after Ctrl-C."""
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="concord-demo-"))
    screen = Screen(folder / "demo.log")
    with _kept_if_it_fails(screen, folder) as ended:
        converged = Demo(screen, folder)()
        screen.chapter(
            f"{'Converged' if converged else 'NOT converged'}, after {time.monotonic() - begin:.0f} seconds."
        )
        if converged:
            screen.say(
                "This company is gone now. `make up` keeps one running under Airflow's scheduler, with its web page.\n"
                "The deployment, to start your own from, is examples/demo/hub."
            )
            ended["status"] = 0
    return ended["status"]


@contextlib.contextmanager
def _kept_if_it_fails(screen: Screen, folder: Path) -> Iterator[dict[str, int]]:
    """Remove the folder after success; else keep it, and show the end of its log."""
    ended = {"status": 1}
    try:
        yield ended
    except KeyboardInterrupt:
        ended["status"] = 130
    except Exception as error:
        sys.stderr.flush()
        with screen.log.open("a") as log:
            import traceback

            traceback.print_exc(file=log)
        screen.console.print(f"\n{type(error).__name__}: {error}", style="red", markup=False)
        screen.console.print(tail(screen.log.read_text(errors="replace"), 30), markup=False)
    if ended["status"] == 1:
        screen.console.print(f"The log, and the master's database, are in {folder}", markup=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _goods(lines: dict[str, int]) -> str:
    return ", ".join(f"{number} × {sku}" for sku, number in lines.items())


if __name__ == "__main__":
    sys.exit(main())

"""`make demo`: two real systems that never agreed about their customers, kept in step before your eyes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from crm_master import entrypoints
from dags.inprocess import InProcess
from examples import peers
from examples.demo.desks import MailmanDesk, TrytonDesk
from examples.demo.figures import figures
from examples.demo.seed import Seeded
from examples.demo.stage import deploy, fill
from examples.peers.installing import tail

TITLES = {"erp": "Tryton", "mailing": "Mailman"}
WORDS = {
    "read": "read",
    "landed": "new or changed",
    "new": "new customers",
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
ROUNDS = 3
Made = TypeVar("Made")


class DemoFailed(Exception):
    """The demo did not get to its end; the text says where it stopped."""


class Screen:
    """The terminal of whoever watches. Everything that anything else prints goes to the log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        terminal = os.fdopen(os.dup(1), "w")
        width = None if terminal.isatty() else 110
        self.console = Console(file=terminal, highlight=False, emoji=False, width=width)
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)

    def chapter(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        self.console.print(text)

    def during(self, what: str, do: Callable[[], Made]) -> Made:
        """Do something that takes a while, and say how long it took."""
        begin = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(what):
                result = do()
        else:
            result = do()
        self.console.print(f"  {what} [dim]({time.monotonic() - begin:.1f} s)[/dim]")
        return result

    def table(self, *headings: str, rows: list[tuple[Any, ...]]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for place, heading in enumerate(headings):
            numbers = all(isinstance(row[place], int) for row in rows)
            table.add_column(heading, justify="right" if numbers else "left", no_wrap=numbers)
        for row in rows:
            table.add_row(*map(str, row))
        self.console.print(table)


class Demo:
    """The story, chapter by chapter."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen = screen
        self.folder = folder
        self.read: Counter[str] = Counter()
        self.written: dict[str, Counter[str]] = {}
        self.decided = 0

    def __call__(self) -> bool:
        """Whether everything converged."""
        say, chapter = self.screen.say, self.screen.chapter
        chapter("Concord: one customer, however many systems")
        say(
            "Two real systems start on this machine. Both know many of the same people, and no two entries agree.\n"
            "Concord reads them, works out who is who, keeps one golden record of each, and writes back what is missing."
        )
        with ExitStack() as stack:
            chapter("1. Two systems")
            self.erp = stack.enter_context(
                self.screen.during("Tryton and Mailman start", lambda: self._start(stack))
            )
            seeded = self.screen.during(
                "customers are typed in by hand, carelessly", lambda: fill(self.erp, self.lists)
            )
            self.clerk = stack.enter_context(TrytonDesk(self.erp))
            self.owner = stack.enter_context(MailmanDesk(self.lists))
            self._show_seed(seeded)

            home = deploy(self.folder / "hub", self.erp, self.lists)
            chapter("2. Airflow reads both")
            self.airflow = self.screen.during(
                "Airflow starts in this process", lambda: InProcess(self.folder / "airflow", home)
            )
            self.app = entrypoints.open_app(home)
            stack.callback(self.app.store.close)
            entrypoints.init(self.app)
            self.run("ingest__erp__parties")
            self.run("ingest__mailing__subscribers")
            self.run("reconcile__customer")
            self._show_preview()

            chapter("3. They join, and get what they lack")
            say(
                "hub.yaml says `join: auto` for both, so policy approves this. Otherwise a person would."
            )
            self.run("maintain__join")
            self.deliver()
            self._show_figures()
            self._show_questions()

            chapter("4. Two edits by hand, in two systems")
            self._edit(seeded)

            chapter("5. Is it true?")
            return self._verdict()

    def _start(self, stack: ExitStack) -> peers.Tryton:
        self.lists = stack.enter_context(peers.mailman())
        return peers.tryton()

    def run(self, dag_id: str) -> None:
        """One DAG to its end, with what it counted."""
        before = self._newest()
        begin = time.monotonic()
        ended = self.airflow.run(dag_id)
        lines = []
        for run in self._runs_since(before):
            counts = {name: count for name, count in run["counts"].items() if count}
            told = [f"{counts[name]} {word}" for name, word in WORDS.items() if name in counts]
            lines.append(", ".join(told))
            if run["verb"] == "ingest":
                self.read[run["target"].partition("/")[0]] += counts.get("read", 0)
            if run["verb"] == "deliver":
                self.written.setdefault(run["target"], Counter()).update(counts)
            self.decided += counts.get("conflicts", 0)
        counted = "; ".join(filter(None, lines)) or "nothing to do"
        seconds = time.monotonic() - begin
        self.screen.say(f"  {dag_id:<30} {counted} [dim]({seconds:.1f} s)[/dim]")
        if not ended.succeeded:
            failed = sorted(task for task, state in ended.tasks.items() if state == "failed")
            raise DemoFailed(f"The DAG {dag_id} ended as {ended.state}: {', '.join(failed)}.")

    def deliver(self) -> None:
        """Deliver to both, and again as long as something was found edited meanwhile."""
        for _ in range(ROUNDS):
            self.run("deliver__erp")
            self.run("deliver__mailing")
            if not any(entrypoints.waiting(self.app)["inbox"].values()):
                return
            self.run("reconcile__customer")
        raise DemoFailed("Deliveries keep finding edits, though nobody edits.")

    def _newest(self) -> str:
        return str(next((run["run"] for run in entrypoints.status(self.app)["runs"]), ""))

    def _runs_since(self, newest: str) -> list[dict[str, Any]]:
        runs = entrypoints.status(self.app)["runs"]
        return [run for run in reversed(runs) if run["run"] > newest]

    def _show_seed(self, seeded: Seeded) -> None:
        self.screen.say(
            f"Tryton, an ERP, holds {self.clerk.count()} customers; Mailman, for mailing lists, {self.owner.count()} "
            f"subscribers. {len(seeded.in_both)} people are in both, such as:"
        )
        rows: list[tuple[Any, ...]] = []
        for person in seeded.in_both:
            card = self.clerk.card(seeded.parties[person.number])
            member = self.owner.member(person.email)
            name = member and member.get("display_name", "")
            if member and name and _plain(name) != _plain(card.name):
                rows.append((TITLES["erp"], repr(card.name), card.emails[0]))
                rows.append((TITLES["mailing"], repr(name), member["email"]))
            if len(rows) == 4:
                break
        self.screen.table("", "name", "e-mail", rows=rows)

    def _show_preview(self) -> None:
        shown = entrypoints.preview(self.app)
        self.screen.say(
            f"Nothing was written so far. {shown['customers']} customers were recognised, {shown['in_several_systems']} of "
            "them in both systems.\nIf both systems joined now, this would be written:"
        )
        rows: list[tuple[Any, ...]] = [
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
        ]
        self.screen.table("", "to create", "to update", "which fields", rows=rows)

    def _show_figures(self) -> None:
        found = figures(self.app, self.read, self.written)
        self.screen.say("")
        self.screen.table(
            *("", "read", "linked", "created", "updated", "unchanged", "rejected", "conflicts"),
            "in review",
            rows=[
                (
                    *(TITLES[name], one.read, one.linked, one.created, one.updated),
                    *(one.unchanged, one.rejected, one.conflicts, one.review),
                )
                for name, one in found.items()
            ],
        )
        self.screen.say(
            "[dim]linked: the other system has this customer too. rejected: values that nobody can read. conflicts: values "
            "that\npolicy decided against. in review: records of which a person has to say whose they are.[/dim]"
        )

    def _show_questions(self) -> None:
        letters = entrypoints.tasks(self.app, dead=True)
        matches = [task for task in entrypoints.tasks(self.app) if task["kind"] == "match"]
        self.screen.say(
            f"\n{len(letters)} values are in the dead-letter queue, {len(matches)} records in the review queue. They stop "
            "nobody else.\nIn a hub that stays, such as that of `make up`, `concord dlq list` and `concord conflicts` list "
            "them;\nthis one goes when the demo ends. The first of each:"
        )
        for letter in letters[:1]:
            self.screen.say(f"  {letter['subject']}: {letter['reason']}")
        for match in matches[:1]:
            self.screen.say(
                f"  {match['subject']}: looks like a customer that another record of {TITLES['erp']} is linked to already"
            )

    def _edit(self, seeded: Seeded) -> None:
        kept = [
            person
            for person in seeded.in_both
            if person.number not in seeded.duplicates and not person.second_email
        ]
        first, second = kept[0], kept[1]
        party = seeded.parties[first.number]
        name, address = "Marie-Claire Dubois-Peeters", "new.address@example.org"
        was = self.owner.user(first.email) or {}
        self.screen.say(
            f"In Tryton a clerk renames party {party} to {name!r}.\n"
            f"In Mailman {second.email} changes the address to {address}."
        )
        self.clerk.rename(party, name)
        self.owner.change_address(second.email, address)
        for dag_id in ("ingest__erp__parties", "ingest__mailing__subscribers"):
            self.run(dag_id)
        self.run("reconcile__customer")
        self.deliver()
        arrived = (self.owner.user(first.email) or {}).get("display_name")
        emails = self.clerk.card(seeded.parties[second.number]).emails
        self.screen.table(
            *("edited in", "arrived in", "before", "now"),
            rows=[
                ("Tryton", "Mailman", repr(was.get("display_name")), repr(arrived)),
                (
                    "Mailman",
                    f"Tryton, party {seeded.parties[second.number]}",
                    second.email,
                    emails[0],
                ),
            ],
        )
        if arrived != name or emails[0] != address:
            raise DemoFailed("An edit did not arrive.")

    def _verdict(self) -> bool:
        verdict = self.screen.during(
            "both systems are read again and compared, field by field",
            lambda: entrypoints.verify(self.app),
        )
        rebuilt = self.screen.during(
            "all golden records are made again from the journal",
            lambda: entrypoints.rebuild(self.app),
        )
        checked, fine = sum(verdict.checked.values()), sum(verdict.matching.values())
        waiting = sum(verdict.excepted.values())
        self.screen.say(
            f"verify:  {fine} of {checked} records hold exactly what they should, {waiting} wait for a person, "
            f"{sum(verdict.reasons.values())} differ."
        )
        self.screen.say(
            f"rebuild: {rebuilt.compared} golden records compared, {len(rebuilt.different)} came out different."
        )
        return verdict.converged and rebuilt.equal


def main() -> int:
    """0 if both systems converged, 1 if not, 130 after Ctrl-C."""
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
                "`make up` keeps the same systems running under Airflow's scheduler, with its web page to look at."
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


def _plain(name: str) -> str:
    return " ".join(name.split()).lower()


if __name__ == "__main__":
    sys.exit(main())

"""Writing: effects that are lost, doubled, degraded or sent round in circles (HARD_PARTS 2: 9, 11, 13, 15, 16, 22 to 24)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.testing import Profile, Simulator, lowered, spaced, titled, truncated
from connectors.testing.server import Break, Reply
from crm_master import entrypoints
from tests.clock import Clock
from tests.defects.conftest import MakeHub
from tests.defects.hub import LEASE, Hub

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


def test_defect_09_each_row_of_a_batch_has_an_outcome_of_its_own(hub: MakeHub) -> None:
    """Of four creates one is refused and one is put off: both are known, and neither counts as done."""
    made = hub()
    made.sync()
    for n in range(4):
        made.shop.add(name=f"Person {n}", email=f"p{n}@example.org")
    made.crm.fail_next(503, methods={"POST"})
    made.crm.fail_next(400, methods={"POST"})
    with pytest.raises(entrypoints.RunFailed, match="1 refused") as failed:
        made.sync()
    counts = failed.value.counts
    assert (counts["created"], counts["postponed"], counts["refused"]) == (2, 1, 1)
    assert made.crm.creates == 2

    made.sync()
    assert made.crm.creates == 3, "what was put off is sent again"
    (refused,) = made.tasks("refused")
    made.sync()
    assert made.crm.creates == 3, "what was refused is not, and is not forgotten"

    entrypoints.decide(made.app, refused["id"], "retry", "ada")
    made.sync()
    assert made.crm.creates == 4
    assert made.crm.duplicates() == []
    assert made.converged()


# --- workers that die ------------------------------------------------------------------------


class Deadly(Simulator):
    """A system that kills the process which writes to it: after the write took effect, or before."""

    victim: subprocess.Popen[bytes] | None = None
    after = True

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Reply | Break:
        if self.victim is None or method == "GET":
            return super().answer(method, target, headers, body)
        victim, self.victim = self.victim, None
        reply = super().answer(method, target, headers, body) if self.after else "reset"
        victim.kill()
        victim.wait()
        return reply


def deadly(profile: Profile) -> Callable[[Clock], Simulator]:
    return lambda clock: Deadly(profile, clock.moment)


def killed(hub: Hub, home: Path, system: Deadly, *, after: bool) -> None:
    """A worker delivers to a system, and is killed (SIGKILL) over its first write."""
    hub.write_files(home)
    command = [sys.executable, "-m", "tests.defects.worker", str(home), "crm", str(hub.clock())]
    worker = subprocess.Popen(command, cwd=ROOT, env=os.environ | hub.environ)
    system.after, system.victim = after, worker
    assert worker.wait(60) == -signal.SIGKILL
    hub.clock.sleep(1)


def begun(made: Hub, home: Path, *, after: bool) -> None:
    """A worker was killed over the create of Ada in the crm, behind the effect or before it."""
    made.sync()
    made.shop.add(name="Ada", email="ada@example.org")
    made.ingest("shop")
    made.reconcile()
    killed(made, home, made.crm, after=after)  # type: ignore[arg-type]
    assert made.crm.creates == after
    made.clock.sleep(LEASE)


made_or_not = pytest.mark.parametrize("after", [True, False], ids=["made", "not made"])


@made_or_not
def test_defect_11_a_process_killed_over_a_remote_create_makes_no_duplicate(
    hub: MakeHub, tmp_path: Path, after: bool
) -> None:
    made = hub(crm=deadly(Profile(unique=())))  # it would take the same key of ours twice
    begun(made, tmp_path, after=after)
    made.sync()
    made.sync()
    assert made.crm.creates == 1
    assert made.customers() == 1
    assert made.converged()


@made_or_not
def test_defect_11_where_a_create_cannot_be_looked_up_a_person_is_asked(
    hub: MakeHub, tmp_path: Path, after: bool
) -> None:
    made = hub(crm=deadly(Profile(find=False, unique=())))
    begun(made, tmp_path, after=after)
    with pytest.raises(entrypoints.RunFailed, match="1 held"):
        made.sync()
    made.sync()
    assert made.crm.creates == after, "what cannot be known is not tried again"

    (question,) = made.tasks("unknown")
    entrypoints.decide(made.app, question["id"], "drop" if after else "retry", "ada")
    made.sync()
    made.sync()
    assert made.crm.creates == 1
    assert made.customers() == 1


@pytest.mark.parametrize("after", [True, False], ids=["written", "not written"])
def test_defect_13_what_a_killed_worker_had_begun_is_taken_over_once(
    hub: MakeHub, tmp_path: Path, after: bool
) -> None:
    """Five deliveries were its own; over the first it died. Nobody has to set anything back by hand."""
    made = hub(crm=deadly(Profile()))
    keys = [made.shop.add(name=f"P{n}", email=f"p{n}@example.org") for n in range(5)]
    made.sync()
    made.sync()
    before = len(made.crm.writes)
    for key in keys:
        made.shop.edit(key, city="Ghent")
    made.clock.sleep(60)
    made.ingest("shop")
    made.reconcile()
    killed(made, tmp_path, made.crm, after=after)  # type: ignore[arg-type]
    assert len(made.crm.writes) - before == after

    made.deliver("crm")
    assert len(made.crm.writes) - before == after, "until its lease is over they are its own"
    made.clock.sleep(LEASE + 60)
    made.deliver("crm")
    made.deliver("crm")

    assert {record["city"] for record in made.crm.records.values()} == {"Ghent"}
    assert [write.method for write in made.crm.writes[before:]] == ["PATCH"] * 5
    assert sorted(write.key for write in made.crm.writes[before:]) == sorted(made.crm.records)


# --- values ----------------------------------------------------------------------------------


def test_defect_15_a_blank_overwrites_nothing_that_nobody_cleared(hub: MakeHub) -> None:
    made = hub()
    made.shop.add(name="Ada", email="ada@example.org", phone="02 555 01 01", city="Ghent")
    made.crm.add(name="Ada", email="ada@example.org")
    made.sync()
    made.sync(full=True)
    for system in made.systems.values():
        assert system.field("1", "phone").replace(" ", "") in ("025550101", "+3225550101")
        assert system.field("1", "city") == "Ghent"


def test_defect_15_a_value_that_a_person_cleared_is_cleared_everywhere(hub: MakeHub) -> None:
    made = hub()
    made.shop.add(name="Ada", email="ada@example.org", phone="02 555 01 01", city="Ghent")
    made.crm.add(name="Ada", email="ada@example.org")
    made.sync()
    made.sync()
    made.crm.edit("1", phone="")
    made.sync()
    assert not made.shop.field("1", "phone")
    made.sync(full=True)
    assert not made.crm.field("1", "phone"), "and it does not come back"
    assert made.shop.field("1", "city") == "Ghent"
    made.shop.edit("1", phone="+32 2 555 02 02")
    made.sync()
    assert made.crm.field("1", "phone") == "+3225550202"


def test_defect_16_what_each_system_makes_of_a_value_does_not_go_round(hub: MakeHub) -> None:
    made = hub(
        shop=Profile(lossy={"name": titled, "email": lowered, "phone": spaced}),
        crm=Profile(lossy={"name": truncated(10), "city": lowered}, answers=False),
        desk=Profile(lossy={"name": lowered, "city": titled}, stamps=False),
    )
    key = made.shop.add(name="Ada King, countess", email="Ada@Example.org", city="Sint-Niklaas")
    for _ in range(3):
        made.sync()
    made.crm.edit("1", name="ada LOVELACE", phone="+3225550101")
    made.desk.edit("1", note="called")
    for _ in range(3):
        made.sync()
    written = made.writes()

    for _ in range(5):
        made.sync(full=True)

    assert made.writes() == written
    assert sum(system.idle for system in made.systems.values()) == 0
    assert made.golden(f"shop/{key}")["name"] == "ada LOVELACE"
    assert made.converged()


def test_defect_16_a_tug_of_war_with_a_system_ends(hub: MakeHub) -> None:
    """A job in the crm puts its own status back, night after night."""
    made = hub(crm=Profile(reverting=("status",)))
    key = made.shop.add(name="Ada", email="ada@example.org")
    made.sync()
    made.sync()
    before = len(made.crm.writes)
    for _ in range(10):
        made.shop.edit(key, status="https://gold.example")
        made.sync()
        made.crm.tick()
    assert len(made.crm.writes) - before <= 3, "then it is left alone"
    assert [task["subject"] for task in made.tasks("quarantine")] == ["crm/customers/1:website"]


def test_defect_22_an_edit_by_hand_in_the_target_is_seen(hub: MakeHub) -> None:
    """The record was made by the hub, in a system that only receives until now."""
    made = hub()
    key = made.shop.add(name="Ada", email="ada@example.org", phone="02 555 01 01")
    made.sync()
    made.sync()
    theirs = made.key_of("crm", email="ada@example.org")
    assert made.crm.creates == 1

    made.crm.edit(theirs, phone="+32 2 555 02 02", note="typed in here")
    verdict = entrypoints.verify(made.app)
    assert [each.field for each in verdict.differences] == ["owner", "phone"]
    made.sync()

    assert made.shop.field(key, "phone") == "+3225550202"
    assert made.shop.field(key, "note") == "typed in here"


def test_defect_22_an_edit_by_hand_beats_a_write_that_is_on_its_way(hub: MakeHub) -> None:
    made = hub()
    key = made.shop.add(name="Ada", email="ada@example.org")
    made.sync()
    made.sync()
    made.shop.edit(key, city="Ghent")
    made.clock.sleep(60)
    made.ingest("shop")
    made.ingest("crm")
    made.reconcile()
    made.crm.edit("1", city="Bruges", note="mine")
    made.deliver("crm")
    made.sync()
    assert (made.crm.field("1", "city"), made.crm.field("1", "note")) == ("Bruges", "mine")
    assert made.shop.field(key, "city") == "Bruges"


def test_defect_23_what_vanishes_in_one_system_takes_nothing_of_others_along(hub: MakeHub) -> None:
    """Rows that only the crm knows are not the hub's to remove, whatever becomes of the shop's."""
    made = hub(shop=Profile(deletes="soft"), create="nobody")
    shared = [made.shop.add(name=f"P{n}", email=f"p{n}@example.org") for n in range(4)]
    for n in range(4):
        made.crm.add(name=f"P{n}", email=f"p{n}@example.org")
    own = {made.crm.add(name=f"Own {n}", email=f"own{n}@example.org") for n in range(4)}
    own.add(made.crm.add(name="Nameless"))
    made.sync()
    made.sync()
    for key in shared[:3]:  # all of them at once is what a fuse stops
        made.shop.remove(key)
    for _ in range(3):
        made.sync(full=True)

    assert own <= made.crm.records.keys()
    assert not [write for write in made.crm.writes if write.key in own]


TEXTS = (
    "O'Brien",
    "O''Brien",
    'Ann "Bo" Lee',
    r"Back\slash \' \n",
    "50 % &amp; <b>",
    "%27 %2527 +",
    "{key} ${size} {{x}}",
    "Łukasz Đặng 李小龍 🦊",
    "; DROP TABLE entity; --",
)


def test_defect_24_quotes_and_signs_arrive_as_they_are(hub: MakeHub) -> None:
    made = hub()
    keys = [
        made.shop.add(name=text, email=f"p{n}@example.org", note=text)
        for n, text in enumerate(TEXTS)
    ]
    made.sync()
    made.sync()
    theirs = {record["email"]: record for record in made.crm.records.values()}
    assert [theirs[f"p{n}@example.org"]["name"] for n in range(len(TEXTS))] == list(TEXTS)

    made.sync()
    for n, text in enumerate(TEXTS):
        made.crm.edit(made.key_of("crm", email=f"p{n}@example.org"), city=text)
    made.sync()
    made.sync(full=True)
    for key, text in zip(keys, TEXTS, strict=True):
        record = made.shop.records[key]
        assert (record["name"], record["note"], record["city"]) == (text, text, text)
    assert made.converged()


def test_defect_24_quotes_in_a_key_name_the_same_record(hub: MakeHub) -> None:
    made = hub(crm=Profile(keys="email", batch=1))
    key = made.shop.add(name="Ada", email="o'brien+a&b@example.org")
    made.sync()
    made.shop.edit(key, city="Ghent")
    made.sync()
    assert [(of, record["city"]) for of, record in made.crm.records.items()] == [
        ("o'brien+a&b@example.org", "Ghent")
    ]

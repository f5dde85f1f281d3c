"""The command line when something is wrong: what is said, where that was, and what to do about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from crm_master import cli, entrypoints
from tests.desk import Desk

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "shpo", "customers"),
        ("deliver", "shpo"),
        ("sync", "shpo"),
        ("approve", "shpo"),
        ("stop", "shpo"),
        ("start", "shpo"),
    ],
)
def test_a_system_that_is_none_is_refused_with_those_that_are(
    words: tuple[str, ...], running: Desk
) -> None:
    running.concord(*words, status=1, said="no system 'shpo' in hub.yaml; there are: shop, crm")
    assert not any(part["writes_stopped"] for part in running.json("status")["systems"].values())


def test_a_wrong_stream_or_entity_is_refused(running: Desk) -> None:
    running.concord("ingest", "shop", "custmers", status=1, said="there are: customers")
    running.concord("reconcile", "--entity", "planet", status=1, said="there are: customer")


def test_a_system_that_fails_gives_exit_status_1_and_its_reason(running: Desk) -> None:
    running.crm.fail_next(401, times=9)
    running.concord("sync", status=1, said="does not accept the credentials")
    running.concord("status", said="failed ingest crm/customers")


def test_as_a_process(desk: Desk) -> None:
    """Messages on standard error, results on standard output, a status for scripts; through a pipe and its own door."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("concord")
        return subprocess.run(
            [str(program), *words],
            env=os.environ | desk.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    early = run("sync", "--json")
    assert (early.returncode, early.stdout) == (1, "")
    assert "concord init" in early.stderr
    assert run("init").returncode == 0
    done = run("sync", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert {ran["verb"] for ran in json.loads(done.stdout)} == {"ingest", "reconcile", "deliver"}


def test_only_errors_of_our_own_are_told_without_a_trace() -> None:
    ours = ("connectors.", "crm_master.", "mappings.")
    assert all(kind.__module__.startswith(ours) for kind in entrypoints.EXPECTED)
    of_a_fault = (
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
        RuntimeError,
    )
    assert not [kind for kind in of_a_fault if issubclass(kind, entrypoints.EXPECTED)]


@pytest.mark.parametrize("fault", [KeyError("email"), IndexError("list index out of range")])
def test_a_fault_of_concord_shows_its_trace(
    fault: Exception, running: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(app: entrypoints.App) -> None:
        raise fault

    monkeypatch.setattr(entrypoints, "status", status)
    result = CliRunner().invoke(cli.app, ["status"], env=running.environ)
    assert result.exception is fault
    assert "error:" not in result.output


# --- where it went wrong -----------------------------------------------------------------------


def test_what_a_system_answers_is_told_with_the_verb_and_the_stream(running: Desk) -> None:
    for words, where in (
        (("ingest", "crm", "customers"), "error: ingest crm/customers: "),
        (("sync",), "error: ingest crm/customers: "),
        (("verify",), "error: verify: crm/customers: "),
        (("map", "preview", "crm", "customers", "--key", "1"), "error: crm/customers: "),
    ):
        running.crm.fail_next(401, times=2)
        running.concord(*words, status=1, said=where)
        running.crm.fail_next(401, times=0)


def test_a_delivery_that_fails_names_its_system(running: Desk) -> None:
    running.shop.edit("1", phone="02 555 00 11")
    running.concord("ingest", "shop", "customers")
    running.concord("reconcile")
    running.crm.fail_next(401, times=9)
    running.concord("deliver", "crm", status=1, said="error: deliver crm: ")


# --- deliveries that wait ----------------------------------------------------------------------


def test_deliver_says_that_writes_are_stopped_and_how_much_waits(running: Desk) -> None:
    running.concord("stop", "crm")
    for number in ("1", "2"):
        running.shop.edit(number, phone="02 555 00 11")
    running.concord("ingest", "shop", "customers")
    running.concord("reconcile")
    said = (
        "Nothing is written to crm: its writes are stopped (`concord start crm` allows them again). "
        "Deliveries that wait: 2."
    )
    running.concord("deliver", "crm", said=f"deliver crm: {said}")
    (ran,) = running.json("deliver", "crm")
    assert (ran["counts"], ran["note"]) == ({}, said)
    running.concord("sync", said=f"deliver crm: {said}")
    running.concord("start", "crm")
    (ran,) = running.json("deliver", "crm")
    assert (ran["counts"]["updated"], ran["note"]) == (2, "")
    running.concord("deliver", "crm", said="deliver crm: nothing to do")


def test_deliver_says_that_a_system_has_not_joined(desk: Desk) -> None:
    desk.edit("hub.yaml", "join: auto", "join: ask")
    desk.concord("init")
    desk.concord("sync")
    said = "Nothing is written to shop: it has not joined yet (see `concord approve --preview`)."
    desk.concord("deliver", "shop", said=said)


def test_after_a_rejoin_deliver_says_what_has_waited_since(running: Desk) -> None:
    running.shop.edit("1", phone="02 555 00 11")
    running.concord("ingest", "shop", "customers")
    running.concord("reconcile")
    running.concord("rejoin", "--yes")
    running.concord("stop", "crm")
    said = "allows them again), and it has not joined yet (see `concord approve --preview`). "
    running.concord("deliver", "crm", said=said + "Deliveries that wait: 1.")


def test_deliver_says_that_a_system_is_only_observed(desk: Desk) -> None:
    desk.edit("hub.yaml", "join: auto", "join: auto\n    observe: true")
    desk.concord("init")
    desk.concord("sync", said="deliver shop: Nothing is written to shop: it is only observed")


# --- the database ------------------------------------------------------------------------------

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql+psycopg://hub:{SECRET}@127.0.0.1:1/hub", "127.0.0.1:1/hub cannot be used"),
        (f"postgresql+psycopg://hub:{SECRET}@127.0.0.1:1/hub", "Is it running, and are user,"),
        (
            f"postgresql://hub:{SECRET}@db/hub",
            "begins with 'postgresql': CONCORD_DATABASE_URL must",
        ),
        (f"mysql://hub:{SECRET}@db/hub", "begins with 'mysql'"),
        (f"postgresql+psycopg://hub:x@{SECRET}@db/hub", "has more than one @"),
        (f"postgresql+psycopg://hub:{SECRET}@db:none/hub", "must be postgresql+psycopg://"),
        (SECRET, "must be postgresql+psycopg://user:password@host/database, or sqlite:///file"),
        ("sqlite:////nowhere/at/all/hub.db", "/nowhere/at/all/hub.db cannot be used"),
        ("sqlite:////nowhere/at/all/hub.db", "Is its folder there, and may you write in it?"),
    ],
)
@pytest.mark.parametrize("verb", ["init", "status", "sync"])
def test_a_database_that_is_away_or_a_wrong_address_is_one_message(
    verb: str, url: str, said: str, desk: Desk
) -> None:
    desk.settings["CONCORD_DATABASE_URL"] = url
    shown = desk.concord(verb, status=1, said=said)
    assert shown.output.count("error: ") == 1
    assert len(shown.output.splitlines()) == 1
    assert SECRET not in shown.output


def test_a_master_that_is_another_file_is_named(desk: Desk) -> None:
    (desk.home / "concord.db").write_text("Dear diary, " * 100, encoding="utf-8")
    desk.concord("status", status=1, said="concord.db cannot be used: file is not a database.")


def test_a_system_that_is_to_delete_the_erased_and_cannot_is_refused(desk: Desk) -> None:
    desk.edit("hub.yaml", "system: crm\n", "system: crm\n    erase: delete\n")
    desk.concord("check")
    path = desk.home / "systems/crm.yaml"
    manifest = yaml.safe_load(path.read_text())
    del manifest["streams"]["customers"]["writes"]["delete"]
    path.write_text(yaml.safe_dump(manifest))
    said = "systems.crm.erase: delete, and no stream of systems/crm.yaml has steps that delete"
    desk.concord("check", status=2, said=said)

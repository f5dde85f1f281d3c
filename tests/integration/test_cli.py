"""The command line, over simulated systems: what people and scripts get, and how it says what is wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from connectors.testing.simulator import Simulator
from crm_master import cli
from tests.desk import Desk

pytestmark = pytest.mark.integration


# --- every command ---------------------------------------------------------------------------------


def test_every_command_is_tried_here() -> None:
    """A new command needs a test: this list is that of the program."""
    group: Any = typer.main.get_command(cli.app)
    found = {
        name if not hasattr(command, "commands") else f"{name} {part}"
        for name, command in group.commands.items()
        for part in getattr(command, "commands", {name: None})
    }
    tried = (
        "init check schemas ingest reconcile deliver sync approve rejoin verify status show rebuild "
        "erase"
    )
    switches = {"stop", "start", "plan", "apply"}
    parts = {"map preview", "conflicts decide", "dlq list", "dlq show", "dlq replay"}
    runs = {"runs list", "runs show", "runs replay", "runs undo"}
    figures = {"metrics"}  # in test_metrics.py
    links = {"link merge", "link split", "link move", "link pin", "link log"}
    assert found == {*tried.split(), *switches, *parts, *runs, *links, *figures}


ONE, TWO = "shop/customers/1", "shop/customers/2"


def test_two_customers_are_made_one_and_two_again(running: Desk) -> None:
    kept, gone = (running.json("show", name)["customer"] for name in (ONE, TWO))
    running.concord(
        "link", "merge", ONE, TWO, answer="n\n", status=1, said=f"{gone} stands for {kept}"
    )
    assert running.json("show", TWO)["customer"] == gone, "nothing is done unless it is asked for"
    running.concord(
        "link", "merge", ONE, TWO, answer="y\n", said="Done. `concord sync` carries it out."
    )
    running.concord("sync")
    assert running.json("show", gone)["customer"] == kept
    running.concord(
        "show",
        gone,
        said="shop/customers/2 live, secondary: not written, linked by steward (merge)",
    )
    running.concord("link", "pin", TWO, "--yes", said="Done.")
    running.concord("sync")
    primary = {of["record"]: of["primary"] for of in running.json("show", ONE)["records"]}
    assert (primary[ONE], primary[TWO]) == (False, True)
    done = running.json("link", "split", ONE, TWO, "--yes", "--reason", "a mistake")
    assert (done["verb"], done["records"], done["author"]) == ("split", [TWO], "steward")
    running.concord("sync")
    assert running.json("show", TWO)["fields"]["name"]["value"] == "Person 2"
    assert running.json("verify")["converged"] is True
    assert running.json("rebuild")["different"] == []


def test_who_linked_what_and_why_can_be_read(running: Desk) -> None:
    running.json("link", "merge", ONE, TWO, "--yes", "--reason", "the same")
    log = running.json("link", "log", TWO)
    assert [(of["verb"], of["by"]) for of in log["links"] if of["by"] == "steward"] == [
        ("unlink", "steward"),
        ("merge", "steward"),
    ] * 2, "the record of the shop, and the one that was made of it"
    running.concord("link", "log", ONE, said=f"merge {TWO} {log['customer']} by steward")
    running.concord("link", "move", TWO, "new", "--yes")
    running.concord("show", ONE, said='"reason": "the same"')


def test_what_cannot_be_linked_says_why(running: Desk) -> None:
    running.concord("link", "merge", ONE, ONE, status=1, said="are the same customer already")
    running.concord(
        "link", "split", TWO, TWO, "--yes", status=1, said="nothing that anybody said would remain"
    )
    running.concord(
        "link", "split", ONE, TWO, "--yes", status=1, said=f"{TWO} is no record of {ONE}"
    )
    running.concord("link", "move", "shop/customers/99", ONE, status=1, said="has not been read")
    running.concord("link", "log", "nobody", status=1, said="no customer 'nobody'")


def test_every_command_speaks_json() -> None:
    group: Any = typer.main.get_command(cli.app)
    silent = [
        part.name
        for command in group.commands.values()
        for part in getattr(command, "commands", {"": command}).values()
        if not any("--json" in option.opts for option in part.params)
    ]
    assert silent == []


def test_every_command_explains_itself(desk: Desk) -> None:
    group: Any = typer.main.get_command(cli.app)
    for name in group.commands:
        desk.concord(name, "--help", said="Usage:")


def test_init_writes_an_example_and_then_makes_the_master(tmp_path: Path) -> None:
    with Simulator() as shop:
        desk = Desk(tmp_path / "new", shop, shop)
        desk.concord("status", status=2, said="concord init")
        desk.concord("init", said="describe your systems in it, then run `concord init` again")
        desk.concord("init", said="The master database is ready. Systems: erp.")
        assert desk.json("init") == {"systems": "erp"}
        assert desk.json("status")["customers"] == {"customer": 0}


def test_before_init_every_verb_says_so(desk: Desk) -> None:
    for verb in ("status", "sync", "verify", "rebuild"):
        desk.concord(verb, status=1, said="concord init")


def test_init_keeps_what_is_there(running: Desk) -> None:
    before = running.json("status")["customers"]
    running.concord("init")
    assert running.json("status")["customers"] == before == {"customer": 3}


def test_the_single_verbs_do_what_sync_does(desk: Desk) -> None:
    desk.concord("init")
    (ran,) = desk.json("ingest", "shop", "customers")
    assert (ran["verb"], ran["target"], ran["counts"]["landed"]) == ("ingest", "shop/customers", 3)
    desk.concord("ingest", "crm", "customers", "--full", said="1 read, 1 landed")
    (ran,) = desk.json("reconcile")
    assert ran["counts"]["new"] == 3
    desk.concord("approve", "--yes")
    desk.concord("reconcile", "--entity", "customer", said="swept")
    (ran,) = desk.json("deliver", "crm")
    assert ran["counts"]["created"] == 2
    desk.concord("deliver", "shop", said="deliver shop: 1 updated")
    assert [run["counts"] for run in desk.json("sync", "shop") if run["verb"] == "deliver"] == [{}]
    assert desk.json("verify")["converged"] is True


def test_a_system_that_asks_joins_by_approval(desk: Desk) -> None:
    desk.edit("hub.yaml", "join: auto", "join: ask")
    desk.concord("init")
    desk.concord("sync", said="Waiting to join: shop. See `concord approve --preview`")
    shown = desk.json("approve", "--preview")
    assert (shown["systems"], shown["records"]) == (["shop"], {"shop/customers": 3})
    desk.concord("approve", "--preview", said="crm/customers: 2 records would be created")
    (example,) = shown["examples"]["shop/customers.phone"]
    assert example == {"record": "shop/customers/1", "held": None, "new": "+3225123456"}
    desk.concord("approve", "--preview", said='shop/customers/1: null → "+3225123456"')
    desk.concord("approve", answer="n\n", status=1, said="Let them join?")
    assert desk.crm.writes == []
    desk.concord("approve", "shop", answer="y\n", said="shop joined. `concord sync` carries it out")
    desk.concord("sync", "--full")
    assert len(desk.crm.records) == 3
    desk.concord("approve", said="No system waits to join.")
    assert desk.json("approve")["systems"] == []


def test_approve_in_json_is_one_document(desk: Desk) -> None:
    desk.edit("hub.yaml", "join: auto", "join: ask")
    desk.concord("init")
    desk.concord("sync")
    assert desk.json("approve", "--yes")["approved"] == ["shop"]


def test_after_a_restore_all_join_again_before_anything_is_written(running: Desk) -> None:
    running.edit("hub.yaml", "join: auto", "join: ask")
    running.concord("rejoin", answer="n\n", status=1, said="Stop all writes")
    assert running.json("rejoin", "--yes") == {"rejoining": ["shop", "crm"]}
    running.shop.edit("1", phone="02 555 00 11")
    before = len(running.crm.writes)
    running.concord("sync", "--full", said="Waiting to join: shop")
    assert len(running.crm.writes) == before
    running.concord("approve", "--yes")
    running.concord("sync")
    assert running.crm.field("1", "phone") == "+3225550011"


def test_schemas_are_written_for_editors(desk: Desk, tmp_path: Path) -> None:
    desk.concord("schemas", str(tmp_path / "schemas"))
    written = desk.json("schemas", str(tmp_path / "schemas"))["written"]
    assert written
    for name in written:
        assert "$schema" in json.loads(Path(name).read_text(encoding="utf-8"))


def test_check_asks_every_system(desk: Desk) -> None:
    desk.concord("check", said="ok shop/customers")
    assert desk.json("check", "--offline") == {
        "configuration": "ok",
        "note": "",
        "systems": [],
    }
    desk.crm.fail_next(401, times=9)
    found = desk.json("check", status=1)["systems"]
    assert {line["stream"]: line["ok"] for line in found} == {
        "shop/customers": True,
        "crm/customers": False,
    }


def test_check_reports_all_mistakes_of_all_files(desk: Desk) -> None:
    desk.edit("hub.yaml", "name: test", "name: test\ncolour: blue")
    desk.edit("mappings/shop/customers.yaml", "name:", "nmae:")
    desk.edit("mappings/crm/customers.yaml", "as: email", "as: emial")
    desk.edit("policies/customer.yaml", "within_system: review", "within_system: maybe")
    shown = desk.concord("check", "--offline", status=2, said="4 mistakes in the configuration")
    for place in ("hub.yaml:2", "mappings/shop/", "mappings/crm/", "policies/customer.yaml:"):
        assert place in shown.output
    assert shown.stdout == "", "messages go to standard error"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("{stream_lag: 3h}", "the alert 'stream_lag'; allowed: fuse_blown,"),
        ("{stream_lags: soon}", "alerts.limits.stream_lags: 'soon'; allowed:"),
        ("{stream_lags: {shop/custom: 3h}}", "Did you mean 'shop/customers'?"),
        ("{runs_fail: {deliver shop/customers: 9}}", "deliver shop, deliver crm"),
        ("{decision_waits: {reverted: 3d}}", "the place 'reverted'; allowed: clear, conflict,"),
    ],
)
def test_a_limit_that_can_never_count_is_a_mistake(desk: Desk, limits: str, said: str) -> None:
    desk.edit("hub.yaml", "name: test\n", f"name: test\nalerts:\n  limits: {limits}\n")
    shown = desk.concord("check", "--offline", status=2, said=said)
    assert "hub.yaml:3" in shown.output


def test_verify_and_its_exit_status(running: Desk) -> None:
    running.concord("verify", said="shop/customers: 3 records read, 3 as they should be")
    running.shop.edit("1", phone="02 555 00 11")
    running.concord("verify", status=1, said="shop/customers/1 phone: edited in the system")
    shown = running.json("verify", status=1)
    assert (shown["converged"], shown["examples"][0]["field"]) == (False, "phone")
    running.concord("sync")
    running.concord("verify", said="Converged.")


def test_rebuild_and_its_exit_status(running: Desk) -> None:
    running.concord("rebuild", said="3 golden records compared, 0 different")
    assert running.json("rebuild")["different"] == []


def test_show_tells_who_said_what_when_and_why(running: Desk) -> None:
    shown = running.json("show", "shop/customers/1")
    phone = shown["fields"]["phone"]
    (claim,) = phone["claims"]
    assert (phone["value"], phone["rule"]) == ("+3225123456", "most_recent")
    assert (claim["record"], claim["wins"]) == ("crm/customers/1", True)
    assert claim["run"]
    assert all(claim["between"])
    assert {entry["record"]: entry["linked"] for entry in shown["records"]} == {
        "shop/customers/1": "new",
        "crm/customers/1": "link",
    }
    running.concord("show", shown["customer"], said='phone = "+3225123456" [most_recent]')
    running.concord("show", "shop/customers/1", said="* crm/customers/1:")
    running.concord("show", "shop/customers/77", status=1, said="shop/customers/77 has not been")
    running.concord("show", "nobody", status=1, said="give a customer's id, or a record as")


def test_status_tells_where_everything_stands(running: Desk) -> None:
    shown = running.json("status")
    assert shown["systems"]["crm"]["streams"]["customers"]["records"]["live"] == 3
    assert (shown["inbox"], shown["tasks"]) == (0, {})
    running.concord("status", said="Golden records: 3 customer. Inbox: 0 waiting.")


def test_stop_and_start_switch_writes(running: Desk) -> None:
    running.concord("stop", "crm", said="Writes to crm are stopped.")
    running.shop.edit("1", phone="02 555 00 11")
    before = len(running.crm.writes)
    running.concord("sync")
    assert len(running.crm.writes) == before
    running.concord("status", status=1, said="! Writes to crm are stopped. See docs/runbook.md")
    assert running.json("start", "crm") == {"system": "crm", "writes_stopped": False}
    running.concord("sync")
    assert running.crm.field("1", "phone") == "+3225550011"


def test_conflicts_are_listed_decided_and_carried_out(running: Desk) -> None:
    running.concord("conflicts", said="None.")
    running.shop.edit("1", name="Ada Shop")
    running.crm.edit("1", name="Ada Crm")
    running.concord("sync")
    (task,) = running.json("conflicts")
    assert (task["kind"], task["field"]) == ("conflict", "name")
    running.concord("conflicts", said="Ada Crm")
    number = str(task["id"])
    running.concord("conflicts", "decide", number, "maybe", status=1, said="crm/customers/1")
    decided = running.json("conflicts", "decide", number, "crm/customers/1")
    assert decided["answer"] == "crm/customers/1"
    running.concord("conflicts", "decide", number, "crm/customers/1", status=1, said="no open task")
    running.concord("sync")
    assert running.shop.field("1", "name") == "Ada Crm"
    assert running.json("conflicts") == []
    assert [found["open"] for found in running.json("conflicts", "--all")] == [False]
    running.concord("conflicts", "--all", said="conflict (closed)")
    running.concord("verify")


def test_dead_letters_are_listed_shown_and_replayed(running: Desk) -> None:
    row = b'{"id": 4, "name": "J\xfcrgen"}'
    running.shop.add()
    running.shop.poison("4", row)
    running.shop.edit("1", email="no address")
    running.concord("ingest", "shop", "customers", status=1, said="1 rejected. The others are done")
    running.concord("reconcile")
    letters = {letter["subject"]: letter for letter in running.json("dlq", "list")}
    assert set(letters) == {"shop/customers/4", "shop/customers/1:email"}
    running.concord("dlq", "list", said="The row holds bytes that are not UTF-8")

    whole = running.concord("dlq", "show", str(letters["shop/customers/4"]["id"]))
    assert whole.stdout_bytes == row.replace(b'": ', b'":').replace(b", ", b",")
    field = running.concord("dlq", "show", str(letters["shop/customers/1:email"]["id"]))
    assert json.loads(field.stdout_bytes)["email"] == "no address"
    running.concord("dlq", "show", "999", status=1, said="no dead letter 999")
    shown = running.json("dlq", "show", str(letters["shop/customers/4"]["id"]))
    assert (shown["subject"], shown["encoding"]) == ("shop/customers/4", "base64")
    assert base64.b64decode(shown["row"]) == whole.stdout_bytes
    shown = running.json("dlq", "show", str(letters["shop/customers/1:email"]["id"]))
    assert (shown["encoding"], json.loads(shown["row"])["email"]) == ("utf-8", "no address")
    assert shown["reason"] == letters["shop/customers/1:email"]["reason"]
    running.concord("dlq", "replay", "999", status=1, said="no open dead letter 999")

    found = running.json("dlq", "replay")
    assert found == {"letters": 2, "requeued": 1, "need_a_new_read": 1}
    running.edit("mappings/shop/customers.yaml", "as: email", "as: text")
    running.concord("reconcile", status=2, said="mappings/shop/customers.yaml")
    running.edit("mappings/shop/customers.yaml", "as: text", "as: email")
    running.concord("dlq", "replay", str(letters["shop/customers/1:email"]["id"]))
    running.concord("reconcile")
    assert len(running.json("dlq", "list")) == 2, "tried again, and no better"

    running.shop.edit("1", email="p1.new@example.org")
    running.shop.poison("4", b"")
    running.concord("sync", "--full")
    running.concord("dlq", "list", said="None.")
    assert running.crm.field("1", "email") == "p1.new@example.org"


def test_map_preview_three_ways(running: Desk, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"id": 9, "name": " Ada ", "phone": "02 512 34 56", "email": "?"}))
    words = ("map", "preview", "shop", "customers")
    shown = running.json(*words, "--file", str(record))
    assert shown["canonical"]["phone"] == "+3225123456"
    assert shown["fields"]["email"]["presence"] == "unreadable"
    running.concord(*words, "--file", str(record), said="no valid e-mail address")
    piped = running.concord(*words, "--file", "-", "--json", answer=record.read_text())
    assert json.loads(piped.stdout) == shown

    assert running.json(*words, "--key", "2")["canonical"]["name"] == "Person 2"
    running.concord(*words, "--key", "77", status=1, said="has no record '77'")
    sent = running.json(*words, "--customer", "crm/customers/1")
    assert sent["document"]["email"] == "p1@example.org"
    running.concord(*words, "--customer", "crm/customers/1", said="p1@example.org")


def test_values_show_as_they_are(running: Desk, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"id": 9, "name": "Ada [bold]:phone:"}))
    running.concord(
        "map", "preview", "shop", "customers", "--file", str(record), said='"Ada [bold]:phone:"'
    )


def test_map_preview_refuses_what_it_cannot_read(desk: Desk, tmp_path: Path) -> None:
    words = ("map", "preview", "shop", "customers")
    desk.concord(*words, status=2, said="give one of --file, --key and --customer")
    desk.concord(*words, "--file", "a", "--key", "1", status=2, said="give one of")
    file = tmp_path / "record.json"
    desk.concord(*words, "--file", str(file), status=2, said="cannot be read: No such file")
    for content, said in (
        (b'{"a": ', "is not JSON"),
        (b"[1]", "holds no JSON object"),
        (b'{"a": "\xff"}', "no text in UTF-8"),
    ):
        file.write_bytes(content)
        desk.concord(*words, "--file", str(file), status=2, said=said)

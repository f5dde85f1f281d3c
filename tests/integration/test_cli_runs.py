"""``concord runs`` and ``concord show --as-of``, over simulated systems."""

from __future__ import annotations

import pytest

from tests.desk import Desk

pytestmark = pytest.mark.integration


def _changed(desk: Desk) -> str:
    """A run that changed a golden record, delivered."""
    desk.shop.edit("1", phone="02 555 00 11", name="Ada")
    desk.concord("sync")
    (run,) = [
        r for r in desk.json("runs", "list", "--verb", "reconcile") if "edited" in r["counts"]
    ][:1]
    return str(run["run"])


def test_runs_are_listed_newest_first_and_filtered(running: Desk) -> None:
    running.concord("sync", "shop")
    every = running.json("runs", "list")
    assert [run["started"] for run in every] == sorted(
        (run["started"] for run in every), reverse=True
    )
    of_shop = running.json("runs", "list", "--system", "shop")
    assert {run["target"] for run in of_shop} == {"shop", "shop/customers"}
    assert {run["verb"] for run in running.json("runs", "list", "--verb", "deliver")} == {"deliver"}
    assert len(running.json("runs", "list", "--limit", "2")) == 2
    running.concord("runs", "list", "--status", "failed", said="None.")
    running.concord("runs", "list", said="done in")
    running.concord("runs", "list", said="deliver crm: 2 created")


def test_a_failed_run_says_why(running: Desk) -> None:
    running.shop.poison("1", b'{"id": 1, "name": "J\xfcrgen"}')
    running.concord("ingest", "shop", "customers", "--full", status=1)
    (failed,) = running.json("runs", "list", "--status", "failed")
    assert "1 rejected" in failed["error"]
    running.concord("runs", "show", failed["run"], said="dead_letter shop/customers/1")


def test_a_run_is_shown_with_old_and_new_values(running: Desk) -> None:
    run = _changed(running)
    shown = running.json("runs", "show", run)
    (customer,) = shown["customers"]
    assert customer["fields"]["phone"] == {"before": "+3225123456", "after": "+3225550011"}
    running.concord("runs", "show", run, said='phone: "+3225123456" → "+3225550011"')
    (delivered,) = [
        r for r in running.json("runs", "list", "--system", "crm") if "updated" in r["counts"]
    ]
    running.concord(
        "runs", "show", delivered["run"], said="written: update crm/customers/1 (name, phone)"
    )
    running.concord(
        "runs", "show", "77", status=1, said="no run '77'; `concord runs list` names them"
    )


def test_a_run_is_replayed_after_it_was_said_what_that_means(running: Desk) -> None:
    run = _changed(running)
    planned = running.json("runs", "replay", run)
    assert (planned["observations"], planned["done"]) == (1, False)
    running.concord("runs", "replay", run, said="Nothing was done: add --yes.")
    assert running.json("status")["inbox"] == 0
    running.concord("runs", "replay", run, "--yes", said="Observations: 1 back in the inbox.")
    running.concord("sync")
    assert running.crm.field("1", "phone") == "+3225550011"
    assert running.json("runs", "list", "--verb", "replay")[0]["target"] == run


def test_a_run_is_undone_in_every_system(running: Desk) -> None:
    run = _changed(running)
    planned = running.json("runs", "undo", run)
    assert (planned["fields"], planned["done"]) == (2, False)
    running.concord("runs", "undo", run, said="2 fields of 1 customers would go back.")
    assert running.crm.field("1", "phone") == "+3225550011"

    done = running.json("runs", "undo", run, "--yes")

    assert done["undone_in"] == running.json("runs", "list", "--verb", "undo")[0]["run"]
    running.concord("sync")
    assert running.crm.field("1", "phone") == "+3225123456"
    running.concord("show", "shop/customers/1", said=f"by steward, undoing {run})")
    running.concord("verify", said="Converged.")
    running.concord("rebuild", said="0 different")
    running.concord("runs", "undo", run, "--yes", said="2 fields are as they were before, already.")
    running.concord("runs", "undo", done["undone_in"], "--yes", said="2 fields of 1 customers went")


def test_what_a_person_changed_since_is_named(running: Desk) -> None:
    run = _changed(running)
    running.crm.edit("1", phone="02 555 00 22")
    running.concord("sync")
    running.concord(
        "runs", "undo", run, said="phone: changed since, by crm/customers/1, read in run"
    )
    running.concord("runs", "undo", run, "--yes")
    running.concord("sync")
    assert running.shop.field("1", "phone") == "+3225550022"


def test_a_customer_is_shown_as_it_was(running: Desk) -> None:
    (first,) = running.json("show", "shop/customers/1")["fields"]["phone"]["claims"]
    _changed(running)
    shown = running.json("show", "shop/customers/1", "--as-of", "1")
    assert shown["fields"]["phone"]["value"] == "+3225123456"
    assert shown["fields"]["phone"]["said_by"][0]["run"] == first["run"]
    again = running.json("show", shown["customer"], "--as-of", shown["until"])
    assert again["fields"]["phone"]["value"] == "+3225550011"
    running.concord(
        "show", "shop/customers/1", "--as-of", "1", said='phone = "+3225123456" (changed since)'
    )
    running.concord("show", "shop/customers/1", "--as-of", "1", said="Not known: which claims lost")
    running.concord(
        "show", "shop/customers/1", "--as-of", "then", status=1, said="is neither a time, such as"
    )

"""The command line and files that changed: plan, apply, and fuses."""

from __future__ import annotations

import pytest

from tests.desk import Desk

pytestmark = pytest.mark.integration


def test_a_changed_mapping_does_nothing_until_it_is_applied(running: Desk) -> None:
    running.shop.edit("1", note="Countess")
    running.edit("mappings/shop/customers.yaml", "owner: note", "given_name: note")
    running.concord("sync", said="reconcile customer")
    assert "given_name" not in running.json("show", "shop/customers/1")["fields"]
    running.concord("status", said="The files have changed and are not in force")
    running.concord("check", said="`concord apply` puts them in force")
    planned = running.json("plan")
    assert planned["changed"]
    assert planned["remapped"]["shop/customers"] == len(running.shop.records)
    running.concord("plan", said="shop/customers:")
    writes = len(running.crm.writes)
    running.concord("apply", answer="n\n", status=1)
    assert "given_name" not in running.json("show", "shop/customers/1")["fields"]
    running.concord("apply", answer="y\n", said="In force.")
    assert len(running.crm.writes) == writes, "delivering is for `concord sync`"
    assert running.json("show", "shop/customers/1")["fields"]["given_name"]["value"] == "Countess"
    assert running.json("status")["notes"] == []
    running.concord("plan", said="The files are in force. No record is read otherwise")
    running.concord("sync")
    assert running.json("rebuild")["different"] == []


def test_a_new_schedule_needs_no_leave(running: Desk) -> None:
    running.edit("hub.yaml", "join: auto", "join: ask")
    assert running.json("status")["notes"] == []
    running.concord("sync")
    assert running.json("plan")["changed"] is False


def test_policy_may_apply_changes_by_itself(running: Desk) -> None:
    running.shop.edit("1", note="Countess")
    running.edit("hub.yaml", "name: test", "name: test\napply: automatic")
    running.edit("mappings/shop/customers.yaml", "owner: note", "given_name: note")
    running.concord("sync")
    assert running.json("show", "shop/customers/1")["fields"]["given_name"]["value"] == "Countess"
    assert running.json("status")["notes"] == []


def test_a_fuse_stops_apply_and_delivery_until_the_run_is_approved(running: Desk) -> None:
    running.edit(
        "policies/customer.yaml",
        "entity: customer",
        "entity: customer\nfuses: {writes: 0, floor: 0}",
    )
    running.concord("apply", "--yes", said="In force.")
    running.shop.edit("1", name="Ada Countess of Lovelace")
    running.concord("sync", status=1, said="stopped by a fuse: 1 writes of")
    assert running.crm.field("1", "name") != "Ada Countess of Lovelace"
    running.concord("deliver", "crm", said="a fuse stopped it")
    running.concord("status", status=1, said="A fuse has stopped run")
    run = next(t["run"] for t in running.json("conflicts") if t["kind"] == "fuse")
    running.concord("approve", "0" * 26, status=1, said="no fuse waits for run")
    running.concord("approve", run, said="may go on: writes crm/customers")
    running.concord("sync")
    assert running.crm.field("1", "name") == "Ada Countess of Lovelace"
    assert running.json("status")["notes"] == []

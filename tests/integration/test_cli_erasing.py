"""The command line erases customers, with receipts."""

from __future__ import annotations

import pytest

from tests.desk import Desk

pytestmark = pytest.mark.integration


def test_a_customer_is_erased_with_a_receipt_and_stays_out(running: Desk) -> None:
    running.shop.edit("1", phone="02 555 00 11")
    running.concord("sync")
    who = "shop/customers/1"
    customer = running.json("show", who)["customer"]
    running.concord("erase", who, answer="n\n", status=1, said="This cannot be undone")
    assert running.json("show", who)["customer"] == customer

    said = "crm: 1 records, to be erased there by a person"
    running.concord("erase", who, "--reason", "case 7", answer="y\n", said=said)

    (receipt,) = running.json("erase", "--receipts")
    assert (receipt["customers"], receipt["by"]) == ([customer], "steward")
    assert (receipt["reason"], receipt["state"]) == ("case 7", "done")
    assert running.json("erase", customer)["receipt"] == receipt["receipt"]
    assert running.json("erase", who, "--yes")["receipt"] == receipt["receipt"]
    running.concord(
        "show", customer, status=1, said=f"was erased: see receipt {receipt['receipt']}"
    )
    assert (running.home / "erasure.key").stat().st_mode & 0o777 == 0o600
    files = [path.read_bytes().lower() for path in running.home.glob("concord.db*")]
    assert not any(b"p1@example.org" in content for content in files)
    running.shop.edit("1", phone="02 555 00 12")
    runs = running.json("sync", "--full")
    assert sum(run["counts"].get("suppressed", 0) for run in runs) == 2
    running.concord("verify", said="kept out")
    running.concord("rebuild")
    tasks = running.json("conflicts")
    assert [task["records"] for task in tasks] == [["crm/customers/1"], ["shop/customers/1"]]
    for task in tasks:
        running.concord("conflicts", "decide", str(task["id"]), "done")
    running.concord("erase", "--receipts", said="crm: 1 records, erased there")


def test_an_erased_customers_record_is_deleted_where_hub_yaml_says_so(running: Desk) -> None:
    running.edit("hub.yaml", "system: crm\n", "system: crm\n    erase: delete\n")
    running.concord("apply", "--yes", said="In force.")
    key = next(k for k, of in running.crm.records.items() if of["email"] == "p2@example.org")
    said = "crm: 1 records, to be deleted there by Concord"
    running.concord("erase", "shop/customers/2", "--yes", said=said)
    running.concord("deliver", "crm", said="1 deleted")
    running.concord("deliver", "crm")
    deletes = [write.key for write in running.crm.writes if write.method == "DELETE"]
    assert deletes == [key]
    assert not [write for write in running.shop.writes if write.method == "DELETE"]
    (receipt,) = running.json("erase", "--receipts")
    crm = next(entry for entry in receipt["systems"] if entry["system"] == "crm")
    assert (receipt["state"], crm["state"], crm["deleted"]) == ("done", "deleted", 1)
    running.concord("erase", "--receipts", said="crm: 1 records, deleted there by Concord")
    running.concord("sync", "--full")
    assert key not in running.crm.records


def test_an_erased_customer_who_registers_anew_is_let_in(running: Desk) -> None:
    receipt = running.json("erase", "shop/customers/1", "--yes")["receipt"]
    running.shop.add(name="Person 1", email="p1@example.org")
    running.concord("sync")
    assert running.json("status")["customers"] == {"customer": 2}
    running.concord("erase", "--lift", receipt, answer="n\n", status=1, said="in again?")
    running.concord("erase", "--lift", receipt, "--yes", said="`concord sync --full`")
    running.concord("sync", "--full")
    assert running.json("status")["customers"] == {"customer": 3}
    running.concord("erase", "--receipts", said="lifted")


def test_erase_says_what_it_needs(running: Desk) -> None:
    running.concord("erase", "--receipts", said="None.")
    running.concord("erase", status=2, said="give one of CUSTOMER, --lift RECEIPT and --receipts")
    running.concord("erase", "E1", "--receipts", status=2)
    running.concord("erase", "shop/customers/99", status=1, said="has not been read")
    running.concord("erase", "--lift", "R1", "--yes", status=1, said="concord erase --receipts")
    running.settings["CONCORD_ERASURE_KEY"] = "short"
    running.concord("erase", "shop/customers/1", "--yes", status=1, said="fewer than 32 characters")
    running.settings["CONCORD_ERASURE_KEY"] = "k" * 32
    running.concord("erase", "shop/customers/1", "--yes")
    del running.settings["CONCORD_ERASURE_KEY"]
    running.concord("sync", status=1, said="erased customers cannot be kept out")

"""RULES 25: an erased customer is nowhere in the hub, does not come back, and leaves everybody else as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.contract import BadRow
from crm_master.domain.erasure import external_id
from crm_master.domain.identity import KeySpec, MatchRules
from crm_master.domain.lifecycle import TaskKind
from crm_master.engine import erasure
from crm_master.engine.explain import NotFound
from crm_master.engine.matching import block_hashes
from crm_master.ports import SourceRecord, Suppression
from crm_master.store import Database, SuppressionKeyWrong
from tests.rules.conftest import MakeWorld
from tests.rules.erased import MAIL, PERSON, WORDS, grace_in, held, hub_of, in_files, live
from tests.rules.world import World


def test_rule_25_nothing_of_the_person_is_left_in_any_table(world: MakeWorld) -> None:
    hub = hub_of(world)
    live(hub)
    before = held(hub.store, WORDS)
    # that this story touches so much is what makes it a test
    assert {name.partition(".")[0] for name in before} == {
        *("commit_log", "delivery_log", "entity", "entity_history", "observation", "run"),
        *("source_record", "task"),
    }
    blocks = block_hashes(
        "customer", {"email": frozenset({MAIL})}, hub.hub.entities["customer"].match
    )
    assert held(hub.store, blocks) == ["block_key.hash"]

    receipt = hub.erase(grace_in(hub))

    assert held(hub.store, [*WORDS, *blocks]) == []
    assert receipt.state == "done"
    assert [customer.golden["name"] for customer in hub.customers()] == ["Ada"]


def test_rule_25_what_points_to_the_person_goes_too(world: MakeWorld) -> None:
    """A record's id is a plain hash of its key, and that may be an e-mail: none is left."""
    hub = hub_of(world)
    live(hub)
    ids = [record.rec_id for record in _records(hub, grace_in(hub))]
    assert len(ids) == 2
    hub.erase(grace_in(hub))
    assert held(hub.store, ids) == []


def _records(hub: World, customer: str) -> list[SourceRecord]:
    with hub.store() as uow:
        return uow.records.of_entities([customer])


def _careless(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA secure_delete=OFF")


def test_rule_25_nothing_is_left_in_the_files(world: MakeWorld) -> None:
    hub = hub_of(world)
    # not every SQLite overwrites what it deletes, as some are built to do
    sa.event.listen(hub.store.engine, "connect", _careless)
    hub.store.engine.dispose()
    live(hub)
    assert in_files(hub, [MAIL, "Nanosecond Alley 9"])  # an address that was replaced long ago
    hub.erase(grace_in(hub))
    for task in hub.tasks(TaskKind.ERASE):
        hub.decide(task, "done")
    hub.store.purge()
    assert in_files(hub, WORDS) == []


# They do not come back


def test_rule_25_a_stale_source_does_not_bring_the_person_back(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-West")
    counts = hub.ingest("erp", full=True)
    assert (counts["read"], counts["landed"], counts["suppressed"]) == (2, 0, 1)
    assert "suppressed" not in hub.reconcile()
    assert held(hub.store, WORDS) == []
    assert len(hub.customers()) == 1


def test_rule_25_what_became_unreadable_or_vanished_there_is_not_kept_either(
    world: MakeWorld,
) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    hub.erp.edit("erp-key-of-grace", mail="cobolist")
    hub.shop.remove("shop-key-of-grace")
    hub.shop.rejects = [BadRow(b"<cobolist>", "no JSON", "shop-key-of-grace")]
    assert hub.ingest("erp")["suppressed"] == 1
    assert hub.ingest("shop")["suppressed"] == 2
    assert held(hub.store, WORDS) == []


def test_rule_25_the_same_person_under_another_key_is_not_stored_even_as_raw_bytes(
    world: MakeWorld,
) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    hub.shop.add("s3", **PERSON | {"mail": MAIL.upper()})
    assert hub.ingest("shop")["suppressed"] == 1
    assert held(hub.store, WORDS) == []


def test_rule_25_records_landed_while_their_customer_is_erased_are_dropped(
    world: MakeWorld,
) -> None:
    """In the inbox before anybody knew whose they are: an edit of a known record, and one that is new."""
    hub = hub_of(world)
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-West")
    hub.shop.add("s3", **PERSON)
    hub.shop.add("s4", name="Bo", mail="bo@example.org")
    hub.ingest("erp")
    hub.ingest("shop")
    hub.erase(grace_in(hub))
    counts = hub.reconcile()
    assert (counts["suppressed"], counts["new"]) == (1, 1)
    assert held(hub.store, WORDS) == []


def test_rule_25_a_page_read_while_its_customer_was_erased_is_dropped(world: MakeWorld) -> None:
    """A worker that looked before the erasure was committed lands the record after it."""
    hub = hub_of(world)
    hub.erp.edit("erp-key-of-grace", mail="not readable, but hers: the key says so")
    refs = [record.ref for record in _records(hub, grace_in(hub))]
    receipt = hub.erase(grace_in(hub))
    with hub.store() as uow:  # as that worker sees it
        uow.suppressions.lift(receipt.id, records=True)
        uow.commit()
    assert hub.ingest("erp")["landed"] == 1
    with hub.store() as uow:
        kept_out = [Suppression(external_id(ref), "customer") for ref in refs]
        uow.suppressions.add(kept_out, receipt.id)
        uow.commit()

    assert hub.reconcile() == {"suppressed": 1}

    assert held(hub.store, WORDS) == []


def test_rule_25_somebody_else_with_the_same_key_is_left_alone(world: MakeWorld) -> None:
    """A shared mailbox: the records of a customer who is there are read as before, and a new one of theirs is linked."""
    hub = world("erp", "shop", within_system="new")
    hub.erp.add("e1", name="Grace", mail=MAIL)
    hub.erp.add("e2", name="Vincent", mail=MAIL)
    hub.settle()
    grace, vincent = (hub.record("erp", key).entity_id or "" for key in ("e1", "e2"))
    hub.erase(grace)

    hub.erp.edit("e2", name="Vincent H.")
    hub.shop.add("s9", name="Vincent H.", mail=MAIL)
    hub.round()

    assert hub.golden["name"] == "Vincent H."
    assert hub.record("shop", "s9").entity_id == vincent


def test_rule_25_a_customer_who_takes_over_the_mailbox_is_read_as_before(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    hub.erp.edit("e2", mail=MAIL)
    assert hub.ingest("erp")["landed"] == 1
    hub.reconcile()
    assert hub.golden["email"] == MAIL


def test_rule_25_who_differs_where_it_counts_is_another_person(world: MakeWorld) -> None:
    hub = world("erp", "shop")
    plan = hub.hub.entities["customer"]
    keys = {**plan.match.keys, "tax": KeySpec(("note",))}
    rules = MatchRules(keys, [("email",)], ("tax",), "review")
    hub.hub.entities["customer"] = replace(plan, match=rules)  # type: ignore[index]
    hub.erp.add("e1", name="Grace", mail=MAIL, note="tax-1")
    hub.settle()
    hub.erase(hub.customer().id)

    hub.shop.add("s1", name="Grace", mail=MAIL, note="tax-1")
    hub.shop.add("s2", name="Another Grace", mail=MAIL, note="tax-2")
    hub.shop.add("s3", name="Grace?", mail=MAIL)
    assert hub.ingest("shop")["suppressed"] == 2
    hub.reconcile()

    assert hub.golden["name"] == "Another Grace"


def test_rule_25_a_policy_in_another_order_keeps_the_person_out_as_well(world: MakeWorld) -> None:
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    plan = hub.hub.entities["customer"]
    keys = {**plan.match.keys, "name": KeySpec(("name",), words=True)}
    rules = MatchRules(keys, [("name",), ("email",)])
    hub.hub.entities["customer"] = replace(plan, match=rules)  # type: ignore[index]
    hub.shop.add("s3", name="G.", mail=MAIL)
    assert hub.ingest("shop")["suppressed"] == 1


def test_rule_25_without_the_key_nothing_is_read_rather_than_everything(world: MakeWorld) -> None:
    """The key is lost or another one: hashes would match nobody, and a sweep would bring everybody back."""
    hub = hub_of(world)
    hub.erase(grace_in(hub))
    for key in (None, b"another"):
        url = hub.store.engine.url.render_as_string()
        hub.store.close()
        hub.store = Database(url, lambda make, key=key: key)  # type: ignore[misc]
        with pytest.raises(SuppressionKeyWrong, match=r"erasure\.key"):
            hub.ingest("erp", full=True)
        hub.erp.edit("e2", city="Ghent")
        with pytest.raises(SuppressionKeyWrong):
            hub.ingest("erp")


def test_rule_25_a_new_registration_is_let_in_by_an_operator(world: MakeWorld) -> None:
    hub = hub_of(world)
    receipt = hub.erase(grace_in(hub))
    hub.shop.add("s3", name="Grace", mail=MAIL)
    hub.round()
    assert len(hub.customers()) == 1

    erasure.lift(receipt.id, "ada", hub.store, hub.clock, records=False)
    counts = hub.ingest("shop", full=True)
    assert (counts["landed"], counts["suppressed"]) == (1, 1)  # the old record stays out
    hub.reconcile()
    assert len(hub.customers()) == 2

    erasure.lift(receipt.id, "ada", hub.store, hub.clock, records=True)
    assert hub.ingest("shop", full=True)["landed"] == 1
    with hub.store() as uow:
        kept = uow.erasures.get(receipt.id)
    assert kept is not None
    assert kept.lifted_by == "ada"


def test_rule_25_only_a_receipt_that_exists_can_be_lifted(world: MakeWorld) -> None:
    hub = hub_of(world)
    with pytest.raises(NotFound, match="concord erase --receipts"):
        erasure.lift("R1", "ada", hub.store, hub.clock, records=False)

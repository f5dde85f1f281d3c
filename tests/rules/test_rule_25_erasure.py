"""RULES 25: an erased customer is nowhere in the hub, does not come back, and leaves everybody else as they were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.contract import BadRow, Document
from crm_master.domain.erasure import external_id
from crm_master.domain.identity import KeySpec, MatchRules
from crm_master.domain.lifecycle import InboxState, SystemState, TaskKind
from crm_master.domain.survivorship import FieldPolicy, Rule
from crm_master.engine import erasure
from crm_master.engine.erasure import NotErasable
from crm_master.engine.explain import NotFound, find_customer
from crm_master.engine.joining import rejoin
from crm_master.engine.ledger import running
from crm_master.engine.matching import block_hashes
from crm_master.engine.stewardship import Undecidable
from crm_master.ports import SourceRecord, Suppression
from crm_master.store import Database, SuppressionKeyWrong
from crm_master.store.schema import metadata
from tests.rules.conftest import MakeWorld
from tests.rules.fakes import Killed
from tests.rules.world import Setting, World, dying

MAIL = "grace.hopper@example.org"
PERSON = {
    "name": "Grace Brewster Hopper",
    "mail": MAIL,
    "phone": "+32 470 12 34 56",
    "note": "prefers kobold",
    "street": "Nanosecond Alley 9",
    "city": "Arlingtonville",
    "tags": ["cobolist"],
    "consent": "yes",
}
WORDS = (
    *("Grace Brewster", "hopper@", "12 34 56", "kobold", "gnome", "Nanosecond", "Arlingtonville"),
    *("cobolist", "erp-key-of-grace", "shop-key-of-grace"),
)


def _held(store: Database, words: Iterable[str]) -> list[str]:
    """In which columns of which tables some words stand, as the database keeps them. Open requests to erase aside."""
    found = set()
    with store.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                raw = sa.type_coerce(column, sa.LargeBinary if _is_bytes(column) else sa.Text)
                query = sa.select(raw)
                if table.name == "task":
                    query = query.where(~((table.c.kind == "erase") & table.c.open))
                for (value,) in connection.execute(query):
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                    if any(word.casefold() in str(text).casefold() for word in words):
                        found.add(f"{table.name}.{column.name}")
    return sorted(found)


def _is_bytes(column: sa.Column[object]) -> bool:
    return isinstance(column.type, sa.LargeBinary)


def _in_files(hub: World, words: Iterable[str]) -> list[str]:
    folder = Path(str(hub.store.engine.url.database)).parent
    return [
        f"{path.name}: {word}"
        for path in folder.glob("hub.db*")
        for word in words
        if word.casefold().encode() in path.read_bytes().lower()
    ]


def _hub(world: MakeWorld, **settings: Setting) -> World:
    """Grace is in the ERP and the shop, Ada in both, and all is quiet."""
    hub = world("erp", "shop", policies={"note": FieldPolicy(Rule.MANUAL, {})}, **settings)
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.shop.add("shop-key-of-grace", **PERSON | {"phone": "", "tags": []})
    hub.erp.add("e2", name="Ada", mail="ada@example.org")
    hub.shop.add("s2", name="Ada", mail="ada@example.org")
    return hub.settle()


def _grace(hub: World) -> str:
    with hub.store() as uow:
        return find_customer("erp/people/erp-key-of-grace", uow)


def _live(hub: World) -> None:
    """Things happen to Grace and Ada: edits both ways, a decision, dead letters, refusals, a run that fails."""
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-East")
    hub.erp.edit("e2", city="Ghent")
    hub.round()
    hub.shop.edit("shop-key-of-grace", note="prefers gnome")
    hub.erp.edit("erp-key-of-grace", note="kobold after all")
    hub.round()
    hub.decide(hub.task(TaskKind.CONFLICT), "shop/people/shop-key-of-grace")
    hub.round()
    hub.erp.edit("erp-key-of-grace", mail=f"no mail, formerly {MAIL}")
    hub.round()
    hub.erp.edit("erp-key-of-grace", mail=MAIL)
    hub.shop.rejects = [
        BadRow(f"<broken>{MAIL.upper()}</broken>".encode(), "no JSON"),
        BadRow(b"<broken>cobolist</broken>", "no JSON", "shop-key-of-grace"),
    ]
    hub.round()
    hub.shop.losses = ["refused"]
    hub.erp.edit("erp-key-of-grace", street="Nanosecond Alley 10")
    hub.erp.edit("e2", phone="1")
    hub.round()
    with (
        pytest.raises(NotFound),
        running("show", "", hub.store, hub.clock, lambda: "run-that-failed"),
    ):
        raise NotFound(f"nobody is called {MAIL}")


def test_rule_25_nothing_of_the_person_is_left_in_any_table(world: MakeWorld) -> None:
    hub = _hub(world)
    _live(hub)
    before = _held(hub.store, WORDS)
    # that this story touches so much is what makes it a test
    assert {name.partition(".")[0] for name in before} == {
        *("commit_log", "delivery_log", "entity", "entity_history", "observation", "run"),
        *("shadow", "source_record", "task"),
    }
    blocks = block_hashes(
        "customer", {"email": frozenset({MAIL})}, hub.hub.entities["customer"].match
    )
    assert _held(hub.store, blocks) == ["block_key.hash"]

    receipt = hub.erase(_grace(hub))

    assert _held(hub.store, [*WORDS, *blocks]) == []
    assert receipt.state == "done"
    assert [customer.golden["name"] for customer in hub.customers()] == ["Ada"]


def test_rule_25_what_points_to_the_person_goes_too(world: MakeWorld) -> None:
    """A record's id is a plain hash of its key, and that may be an e-mail: none is left."""
    hub = _hub(world)
    _live(hub)
    ids = [record.rec_id for record in _records(hub, _grace(hub))]
    assert len(ids) == 2
    hub.erase(_grace(hub))
    assert _held(hub.store, ids) == []


def _records(hub: World, customer: str) -> list[SourceRecord]:
    with hub.store() as uow:
        return uow.records.of_entities([customer])


def _careless(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA secure_delete=OFF")


def test_rule_25_nothing_is_left_in_the_files(world: MakeWorld) -> None:
    hub = _hub(world)
    # not every SQLite overwrites what it deletes, as some are built to do
    sa.event.listen(hub.store.engine, "connect", _careless)
    hub.store.engine.dispose()
    _live(hub)
    assert _in_files(hub, [MAIL, "Nanosecond Alley 9"])  # an address that was replaced long ago
    hub.erase(_grace(hub))
    for task in hub.tasks(TaskKind.ERASE):
        hub.decide(task, "done")
    hub.store.purge()
    assert _in_files(hub, WORDS) == []


# They do not come back


def test_rule_25_a_stale_source_does_not_bring_the_person_back(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.erase(_grace(hub))
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-West")
    counts = hub.ingest("erp", full=True)
    assert (counts["read"], counts["landed"], counts["suppressed"]) == (2, 0, 1)
    assert "suppressed" not in hub.reconcile()
    assert _held(hub.store, WORDS) == []
    assert len(hub.customers()) == 1


def test_rule_25_what_became_unreadable_or_vanished_there_is_not_kept_either(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    hub.erase(_grace(hub))
    hub.erp.edit("erp-key-of-grace", mail="cobolist")
    hub.shop.remove("shop-key-of-grace")
    hub.shop.rejects = [BadRow(b"<cobolist>", "no JSON", "shop-key-of-grace")]
    assert hub.ingest("erp")["suppressed"] == 1
    assert hub.ingest("shop")["suppressed"] == 2
    assert _held(hub.store, WORDS) == []


def test_rule_25_the_same_person_under_another_key_is_not_stored_even_as_raw_bytes(
    world: MakeWorld,
) -> None:
    hub = _hub(world)
    hub.erase(_grace(hub))
    hub.shop.add("s3", **PERSON | {"mail": MAIL.upper()})
    assert hub.ingest("shop")["suppressed"] == 1
    assert _held(hub.store, WORDS) == []


def test_rule_25_records_landed_while_their_customer_is_erased_are_dropped(
    world: MakeWorld,
) -> None:
    """In the inbox before anybody knew whose they are: an edit of a known record, and one that is new."""
    hub = _hub(world)
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-West")
    hub.shop.add("s3", **PERSON)
    hub.shop.add("s4", name="Bo", mail="bo@example.org")
    hub.ingest("erp")
    hub.ingest("shop")
    hub.erase(_grace(hub))
    counts = hub.reconcile()
    assert (counts["suppressed"], counts["new"]) == (1, 1)
    assert _held(hub.store, WORDS) == []


def test_rule_25_a_page_read_while_its_customer_was_erased_is_dropped(world: MakeWorld) -> None:
    """A worker that looked before the erasure was committed lands the record after it."""
    hub = _hub(world)
    hub.erp.edit("erp-key-of-grace", mail="not readable, but hers: the key says so")
    refs = [record.ref for record in _records(hub, _grace(hub))]
    receipt = hub.erase(_grace(hub))
    with hub.store() as uow:  # as that worker sees it
        uow.suppressions.lift(receipt.id, records=True)
        uow.commit()
    assert hub.ingest("erp")["landed"] == 1
    with hub.store() as uow:
        kept_out = [Suppression(external_id(ref), "customer") for ref in refs]
        uow.suppressions.add(kept_out, receipt.id)
        uow.commit()

    assert hub.reconcile() == {"suppressed": 1}

    assert _held(hub.store, WORDS) == []


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
    hub = _hub(world)
    hub.erase(_grace(hub))
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
    hub = _hub(world)
    hub.erase(_grace(hub))
    plan = hub.hub.entities["customer"]
    keys = {**plan.match.keys, "name": KeySpec(("name",), words=True)}
    rules = MatchRules(keys, [("name",), ("email",)])
    hub.hub.entities["customer"] = replace(plan, match=rules)  # type: ignore[index]
    hub.shop.add("s3", name="G.", mail=MAIL)
    assert hub.ingest("shop")["suppressed"] == 1


def test_rule_25_without_the_key_nothing_is_read_rather_than_everything(world: MakeWorld) -> None:
    """The key is lost or another one: hashes would match nobody, and a sweep would bring everybody back."""
    hub = _hub(world)
    hub.erase(_grace(hub))
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
    hub = _hub(world)
    receipt = hub.erase(_grace(hub))
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
    hub = _hub(world)
    with pytest.raises(NotFound, match="concord erase --receipts"):
        erasure.lift("R1", "ada", hub.store, hub.clock, records=False)


# The systems


def test_rule_25_each_system_is_asked_for_the_same(world: MakeWorld) -> None:
    hub = _hub(world, shop=Setting(erase="keep"))
    before = hub.written()
    receipt = hub.erase(_grace(hub))
    assert (receipt.author, receipt.reason, receipt.at > 0) == ("ada", "case 7", True)
    task = hub.task(TaskKind.ERASE)
    assert task.payload["records"] == ["erp/people/erp-key-of-grace"]
    assert receipt.systems == [
        {"system": "erp", "records": 1, "in_doubt": 0, "state": "asked", "task": task.id},
        {"system": "shop", "records": 1, "in_doubt": 0, "state": "kept by policy"},
    ]
    assert hub.written() == before


def test_rule_25_a_request_is_answered_and_then_forgets_the_record(world: MakeWorld) -> None:
    hub = _hub(world, shop=Setting(erase="keep"))
    receipt = hub.erase(_grace(hub))
    task = hub.task(TaskKind.ERASE)
    with pytest.raises(Undecidable, match="done, kept"):
        hub.decide(task, "seen")
    hub.decide(task, "done")
    with hub.store() as uow:
        kept = uow.erasures.get(receipt.id)
    assert kept is not None
    assert (kept.systems[0]["state"], kept.systems[0]["by"]) == ("done", "ada")
    assert hub.tasks(TaskKind.ERASE) == []
    assert _held(hub.store, WORDS) == []
    assert hub.rebuilt().equal


def test_rule_25_what_is_gone_there_already_is_not_asked_for(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.remove("shop-key-of-grace")
    hub.round()
    receipt = hub.erase(_grace(hub))
    assert [entry["state"] for entry in receipt.systems] == ["asked", "gone already"]


def test_rule_25_verify_tells_who_is_still_in_a_system(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.erase(_grace(hub))
    verdict = hub.verify()
    assert verdict.converged
    assert sum(number for why, number in verdict.excepted.items() if "erased" in why) == 2


# Deliveries that were on their way


def _creating(world: MakeWorld, fate: str) -> World:
    hub = world("erp", "shop", shop=Setting(creates=()))
    hub.settle()
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.round("erp")
    hub.shop.losses = [fate] if fate else []
    return hub


def _erased_during_the_write(hub: World, customer: str) -> None:
    def makes(document: Document) -> Document:
        hub.erase(customer)
        return document

    hub.shop.makes = makes


def test_rule_25_a_create_whose_answer_is_open_is_to_be_looked_for(world: MakeWorld) -> None:
    hub = _creating(world, "done")
    hub.deliver("shop")
    customer = hub.customer().id
    receipt = hub.erase(customer)

    shop = next(entry for entry in receipt.systems if entry["system"] == "shop")
    assert (shop["records"], shop["in_doubt"], shop["state"]) == (0, 1, "asked")
    task = next(of for of in hub.tasks(TaskKind.ERASE) if of.id == shop["task"])
    assert task.payload["look_for"] == [f"shop/people: CRM-{customer}"]
    assert hub.queued() == {}
    hub.clock.sleep(10_000)
    assert hub.round() == 0
    assert hub.customers() == []
    assert _held(hub.store, WORDS) == []


def test_rule_25_a_record_read_while_its_create_is_open_goes_too(world: MakeWorld) -> None:
    hub = _creating(world, "done")
    hub.deliver("shop")
    hub.ingest("shop")
    assert hub.reconcile()["parked"] == 1
    hub.erase(hub.customer().id)
    assert hub.inbox(InboxState.PARKED) == 0
    assert _held(hub.store, WORDS) == []


def test_rule_25_a_record_made_while_its_customer_was_erased_is_to_be_erased(
    world: MakeWorld,
) -> None:
    hub = _creating(world, "")
    customer = hub.customer().id
    _erased_during_the_write(hub, customer)
    assert hub.deliver("shop")["erased"] == 1

    (made,) = hub.shop.kept
    requests = [task.payload["records"] for task in hub.tasks(TaskKind.ERASE)]
    assert sorted(requests) == [["erp/people/erp-key-of-grace"], [f"shop/people/{made}"]]
    assert _held(hub.store, WORDS) == []
    hub.shop.edit(made, mail="unknown@example.org", note="kobold")
    assert hub.ingest("shop")["suppressed"] == 1


def test_rule_25_an_update_on_its_way_leaves_nothing_behind(world: MakeWorld) -> None:
    hub = _hub(world)
    customer = _grace(hub)
    hub.erp.edit("erp-key-of-grace", city="Arlingtonville-East")
    hub.round("erp")
    _erased_during_the_write(hub, customer)
    assert hub.deliver("shop")["erased"] == 1
    assert _held(hub.store, WORDS) == []
    assert hub.rebuilt().equal


def test_rule_25_what_waits_to_be_delivered_is_not_sent(world: MakeWorld) -> None:
    hub = _creating(world, "")
    hub.erase(hub.customer().id)
    hub.deliver("shop")
    assert hub.shop.kept == {}


# Everybody else, and interruptions


def test_rule_25_the_journal_gives_everybody_else_again(world: MakeWorld) -> None:
    hub = _hub(world)
    _live(hub)
    hub.erp.add("e9", name="Bo", mail="bo@example.org")
    hub.round()
    before = hub.rebuilt()
    assert (before.equal, before.compared) == (True, 3)
    hub.erase(_grace(hub))
    hub.erp.edit("e2", city="Bruges")
    hub.round()

    after = hub.rebuilt()

    assert (after.equal, after.compared) == (True, 2)


def test_rule_25_what_an_undo_did_for_others_is_replayed(world: MakeWorld) -> None:
    """One undo brought back values of both of them; hers go, the others are set again."""
    hub = _hub(world)
    hub.erp.edit("erp-key-of-grace", name="Grace Brewster")
    hub.erp.edit("e2", name="Ada L.")
    hub.ingest("erp")
    hub.reconcile()
    assert hub.undo(hub.ran["reconcile"]).fields == 2
    hub.round()
    hub.erase(_grace(hub))
    assert _held(hub.store, WORDS) == []
    assert hub.golden["name"] == "Ada"
    assert hub.rebuilt().equal


def test_rule_25_somebody_else_whom_a_person_told_apart_stays(world: MakeWorld) -> None:
    """Their decision names both; it is replayed, and so is the record that it was about."""
    hub = _hub(world)
    hub.shop.add("s3", name="Vincent", mail=MAIL)
    hub.round()
    with pytest.raises(NotErasable, match="concord conflicts"):
        hub.erase(_grace(hub))
    hub.decide(hub.task(TaskKind.MATCH), "new")
    hub.round()
    hub.erase(_grace(hub))
    assert sorted(customer.golden["name"] for customer in hub.customers()) == ["Ada", "Vincent"]
    assert hub.rebuilt().equal
    hub.shop.edit("s3", city="Lier")
    assert hub.ingest("shop")["landed"] == 1


def test_rule_25_a_record_that_was_found_to_be_theirs_goes_too(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.add("s3", **PERSON)
    hub.round()
    hub.decide(hub.task(TaskKind.MATCH), _grace(hub))
    receipt = hub.erase(_grace(hub))
    assert receipt.systems[1]["records"] == 2
    assert _held(hub.store, WORDS) == []
    assert hub.rebuilt().equal


def _parted(world: MakeWorld) -> World:
    """Vincent's record was taken for Grace's, by their mailbox, and was parted from hers."""
    hub = world("erp", "shop")
    hub.erp.add("erp-key-of-grace", **PERSON)
    hub.shop.add("s3", name="Vincent", mail=MAIL)
    hub.shop.add("s4", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.shop.edit("s3", name="Vincent T.")
    hub.round()
    hub.split("erp/erp-key-of-grace", "shop/s3")
    hub.shop.edit("s3", mail="vincent@example.org")
    hub.round()
    hub.round()
    return hub


def test_rule_25_who_was_once_one_with_the_person_begins_anew(world: MakeWorld) -> None:
    """What was said and sent while they were one cannot be told apart: his past goes with hers, and he stays as he is."""
    hub = _parted(world)
    before = hub.owner("shop/s3")
    rec_id = hub.record("erp", "erp-key-of-grace").rec_id

    receipt = hub.erase(_grace(hub))

    assert hub.owner("shop/s3") == before
    assert receipt.shared == [before.id]
    hers = [word for word in WORDS if word not in MAIL]  # the mailbox was his as well
    assert _held(hub.store, [*hers, rec_id]) == []
    rebuilt = hub.rebuilt()
    assert (rebuilt.equal, rebuilt.compared) == (True, 2)


def test_rule_25_who_began_anew_goes_on_and_can_be_erased_too(world: MakeWorld) -> None:
    hub = _parted(world)
    hub.erase(_grace(hub))
    # what was read of him went with his past
    assert hub.ingest("shop")["reread"] == 1
    hub.shop.edit("s3", name="Vincent de T.")
    hub.round()
    rebuilt = hub.rebuilt()
    assert (rebuilt.equal, rebuilt.compared) == (True, 2)
    assert hub.owner("shop/s3").golden["name"] == "Vincent de T."

    for customer in hub.customers():
        hub.erase(customer.id)
    for task in hub.tasks(TaskKind.ERASE):
        hub.decide(task, "done")

    assert _held(hub.store, ["Vincent", "ada@"]) == []
    assert hub.rebuilt().equal


def test_rule_25_who_was_merged_into_the_person_is_erased_with_her(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.shop.add("s3", name="Amazing Gracekobold", mail="gnome@example.org")
    hub.round()
    absorbed = hub.owner("shop/s3").id
    hub.merge("erp/erp-key-of-grace", "shop/s3")
    hub.round()
    receipt = hub.erase("shop/people/s3")
    assert absorbed in receipt.customers
    assert _held(hub.store, WORDS) == []
    assert hub.ingest("shop", full=True)["suppressed"] == 2
    assert hub.rebuilt().equal


def test_rule_25_who_may_have_been_merged_elsewhere_is_decided_first(world: MakeWorld) -> None:
    """A record that went away while one like it is there: the same person, or another one?"""
    hub = world("erp", "shop", within_system="new")
    hub.erp.add("e1", name="Grace", mail=MAIL)
    hub.erp.add("e2", name="Vincent", mail=MAIL)
    hub.settle()
    grace = hub.owner("erp/e1").id
    hub.erp.remove("e2")
    hub.round()
    with pytest.raises(NotErasable, match="wait for a decision"):
        hub.erase(grace)
    hub.decide(hub.task(TaskKind.MERGE), "apart")
    hub.erase(grace)
    assert [customer.golden["name"] for customer in hub.customers()] == ["Vincent"]
    assert hub.rebuilt().equal


def test_rule_25_a_cursor_that_quotes_the_person_is_read_anew(world: MakeWorld) -> None:
    hub = _hub(world)
    with hub.store() as uow:
        state = uow.states.stream("shop", "people")
        state.cursor = f"after={MAIL}"
        uow.states.save_stream(state)
        uow.commit()
    hub.erase(_grace(hub))
    with hub.store() as uow:
        assert uow.states.stream("shop", "people").cursor is None
        assert uow.states.stream("erp", "people").cursor is not None


def test_rule_25_an_interrupted_erasure_is_finished_by_another(world: MakeWorld) -> None:
    hub = _hub(world)
    customer = _grace(hub)
    # the process dies before the files are cleaned
    began = erasure.erase(hub.hub, customer, "ada", "", hub.store, hub.clock, hub.new_id, "erase")
    assert began.state == "erased"
    assert _held(hub.store, WORDS) == []
    for name in (customer, "shop/people/shop-key-of-grace"):
        again = hub.erase(name)
        assert (again.id, again.state) == (began.id, "done")
    assert len(hub.tasks(TaskKind.ERASE)) == 2


def test_rule_25_an_erasure_that_dies_halfway_has_done_nothing(world: MakeWorld) -> None:
    hub = _hub(world)
    before = hub.customers()

    def dies() -> int:
        raise Killed

    with dying():
        erasure.erase(hub.hub, _grace(hub), "ada", "", hub.store, dies, hub.new_id, "erase")
    assert hub.customers() == before
    with hub.store() as uow:
        assert uow.suppressions.watched("customer") == frozenset()


def test_rule_25_the_erased_are_named_by_their_receipt_only(world: MakeWorld) -> None:
    hub = _hub(world)
    customer = _grace(hub)
    receipt = hub.erase(customer)
    with hub.store() as uow, pytest.raises(NotFound, match=receipt.id):
        find_customer(customer, uow)
    with pytest.raises(NotFound):
        hub.erase("erp/people/never-seen")


def test_rule_25_joining_and_rejoining_keep_the_person_out(world: MakeWorld) -> None:
    hub = _hub(world)
    hub.erase(_grace(hub))
    rejoin(hub.hub, hub.store, hub.clock, "rejoin")
    with hub.store() as uow:
        assert uow.states.systems()["erp"] is SystemState.JOINING
    hub.settle()
    assert [customer.golden["name"] for customer in hub.customers()] == ["Ada"]
    assert _held(hub.store, WORDS) == []

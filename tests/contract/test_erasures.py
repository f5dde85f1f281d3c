"""Erasure (RULES 25), on every database alike: which rows go, what of the others, and what keeps people out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_master.domain.erasure import traces
from crm_master.domain.identity import KeySpec, MatchRules
from crm_master.domain.ids import ExternalRef, record_id
from crm_master.domain.lifecycle import DeliveryVerb, TaskKind
from crm_master.ports import DeliveryEntry, OutboxMessage, Receipt, SourceRecord, Suppression
from crm_master.store import Database, SuppressionKeyWrong
from crm_master.store.columns import Json
from crm_master.store.schema import metadata
from tests.rules.world import Setting, World, dying

MAIL = "grace@example.org"
REF = ExternalRef("erp", "people", "key-of-grace")
OTHER = ExternalRef("erp", "people", "ada")
RULES = MatchRules({"email": KeySpec(("email",))}, [("email",)])
TRACES = traces(["E1"], [REF], [{"email": frozenset({MAIL})}], RULES)
IMPERSONAL = {  # short texts, names of systems and the like, are left out by their type
    "config_version": "the deployment's own files",
    "allowance": "names of streams, and numbers",
    "budget": "names of connections, and when how many requests were sent",
    "alert": "names of systems, streams and entities, and numbers",
    "tally": "the same; of an error its kind alone",
    "erasure": "receipts: numbers and ids; the reason is the operator's own text",
    "suppression": "keyed hashes",
    "system_state": "names of systems",
    "run.counts": "numbers",
    "entity.withheld": "names of fields",
    "entity_history.causes": "numbers of observations",
}
"""Where no value of a customer can be, and why. Everything else that holds text must be cleaned, or this test fails."""

_SUBJECT = f"{REF}:email"
_PLANTED: dict[str, Any] = {
    "rec_id": record_id(REF),
    "other": record_id(REF),
    "alias_of": record_id(REF),
    "entity_id": "E1",
    "entity.id": "E1",
    "entity_history.id": "E1",
    "task.subject": _SUBJECT,
    "commit_log.kind": "decide",
    "commit_log.detail": {"subject": _SUBJECT, "payload": {"contenders": [{"value": MAIL}]}},
    "link_log.evidence": {"with": record_id(REF), "value": MAIL},
    "key": REF.key,
    "run.error": f"cannot read {MAIL}",
    "stream_state.cursor": f"after {MAIL}",
    "stream_state.system": "erp",
}


def _value(column: sa.Column[Any]) -> Any:
    name = f"{column.table.name}.{column.name}"
    for key in (name, column.name):
        if key in _PLANTED:
            return _PLANTED[key]
    if isinstance(column.type, Json):
        return {} if name in IMPERSONAL else {"value": MAIL}
    if isinstance(column.type, sa.LargeBinary):
        return MAIL.encode()
    if isinstance(column.type, sa.Text):
        return MAIL
    if isinstance(column.type, sa.String):
        return "x"
    if isinstance(column.type, sa.Boolean):
        return True
    return 7


def _plant(store: Database) -> set[str]:
    """A row of the person in every table. Gives the columns in which they can be seen."""
    with store.engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name not in IMPERSONAL:
                row = {column.name: _value(column) for column in table.columns}
                connection.execute(sa.insert(table).values(row))
    return _seen(store)


def _seen(store: Database) -> set[str]:
    found = set()
    words = (MAIL, REF.key, record_id(REF))
    with store.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                binary = isinstance(column.type, sa.LargeBinary)
                query = sa.select(sa.type_coerce(column, sa.LargeBinary if binary else sa.Text))
                for (raw,) in connection.execute(query):
                    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
                    if any(word in text for word in words):
                        found.add(f"{table.name}.{column.name}")
    return found


def _holds_text(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.Text | sa.LargeBinary | Json)


def test_every_table_that_can_hold_a_person_is_cleaned(store: Database) -> None:
    """A new table or column is planted here by itself: it must be cleaned, or be named above as impersonal."""
    planted = _plant(store)
    expected = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if table.name not in IMPERSONAL and _holds_text(column)
    }
    assert expected - planted - IMPERSONAL.keys() == set()

    with store() as uow:
        uow.erasures.forget(["E1"], [record_id(REF)], [(REF.system, REF.stream, REF.key)])
        uow.erasures.scrub(TRACES, "R1")
        uow.commit()

    assert _seen(store) == set()


def test_docs_say_of_every_table_what_happens_to_it() -> None:
    text = (Path(__file__).parents[2] / "docs" / "erasure.md").read_text(encoding="utf-8")
    missing = [table.name for table in metadata.sorted_tables if f"`{table.name}`" not in text]
    assert missing == []


def test_rows_of_others_stay_and_lose_only_what_names_the_person(store: Database) -> None:
    planted = {
        "subject": str(OTHER),
        "payload": {"record": str(OTHER), "with": [str(REF), "E1"], "reason": "alike"},
    }
    tables = metadata.tables
    with store.engine.begin() as connection:
        steps = [
            {"customer": "E1", "record": record_id(REF), "field": "email", "value": MAIL},
            {"customer": "E2", "record": record_id(OTHER), "field": "email", "value": "ada@"},
        ]
        details = {"decide": planted, "sweep": {"ids": ["E1", "E2"]}, "undo": {"steps": steps}}
        details["remap"] = {"ids": [record_id(REF), record_id(OTHER)]}
        for kind, detail in details.items():
            row = {"at": 1, "run_id": "r", "kind": kind, "detail": detail}
            connection.execute(sa.insert(tables["commit_log"]).values(row))
        connection.execute(
            sa.insert(tables["task"]).values(
                planted | {"kind": "match", "open": True, "opened": 1, "closed": 0, "run_id": "r"}
            )
        )
    with store() as uow:
        uow.erasures.forget(["E1"], [record_id(REF)])
        uow.erasures.scrub(TRACES, "R1")
        uow.commit()
    with store() as uow:
        kept = {"record": str(OTHER), "with": [], "reason": "alike"}
        assert [task.payload for task in uow.tasks.list()] == [kept]
        commits = list(uow.journal.commits())
    assert [commit.kind for commit in commits] == ["decide", "sweep", "undo", "remap"]
    assert commits[0].detail["payload"] == kept
    assert commits[1].detail == {"ids": ["E1", "E2"]}
    assert commits[2].detail == {"steps": steps[1:]}
    assert commits[3].detail == {"ids": [record_id(OTHER)]}


def test_records_that_were_merged_into_one_are_found_and_lose_it(store: Database) -> None:
    near, far = (ExternalRef("erp", "people", key) for key in ("near", "far"))
    records = [
        SourceRecord(record_id(REF), REF, "customer"),
        SourceRecord(record_id(near), near, "customer", alias_of=record_id(REF)),
        SourceRecord(record_id(far), far, "customer", alias_of=record_id(near)),
    ]
    with store() as uow:
        uow.records.save(records)
        uow.commit()
    with store() as uow:
        found = uow.records.merged_into([record_id(REF)])
        assert found == {record_id(near), record_id(far)}
        uow.erasures.forget([], [record_id(REF)])
        uow.commit()
    with store() as uow:
        left = uow.records.get([record_id(near), record_id(far)])
        assert left[record_id(near)].alias_of is None
        assert left[record_id(far)].alias_of == record_id(near)


def test_receipts_are_kept_and_found_by_any_id_of_the_customer(store: Database) -> None:
    receipt = Receipt("R1", "customer", ["E1", "E2"], 5, "ada", "case 7")
    with store() as uow:
        uow.erasures.save(receipt)
        uow.commit()
    receipt.state, receipt.systems = "done", [{"system": "erp", "state": "asked"}]
    with store() as uow:
        uow.erasures.save(receipt)
        uow.commit()
    with store() as uow:
        assert uow.erasures.get("R1", lock=True) == receipt
        assert uow.erasures.of_customer("E2") == receipt
        assert uow.erasures.of_customer("E3") is None
        assert uow.erasures.list() == [receipt]
        assert uow.erasures.get("R2") is None


def _suppressing(empty_url: str, key: bytes | None) -> Database:
    return Database(empty_url, lambda _make: key)


def test_hashes_are_keyed_and_lifted(store: Database, empty_url: str) -> None:
    entries = [
        Suppression("record", "customer"),
        Suppression("mail", "customer", ("email",), {"tax": ["one", "two"]}),
    ]
    mine, other, none = (_suppressing(empty_url, key) for key in (b"mine", b"other", None))
    with mine() as uow:
        assert uow.suppressions.watched("customer") == frozenset()
        uow.suppressions.add(entries, "R1")
        uow.commit()
    with mine() as uow:
        assert uow.suppressions.watched("customer") == {(), ("email",)}
        assert uow.suppressions.watched("order") == frozenset()
        hashes = uow.suppressions.digest(["record", "mail", "one", "two", "else"])
        found = uow.suppressions.standing(hashes.values())
        assert found[hashes["mail"]] == [{"tax": [hashes["one"], hashes["two"]]}]
        assert found.keys() == {hashes["record"], hashes["mail"]}
        assert uow.suppressions.receipts([hashes["mail"]]) == {hashes["mail"]: "R1"}
    for wrong in (other, none):
        with wrong() as uow, pytest.raises(SuppressionKeyWrong):
            uow.suppressions.watched("customer")
    with other() as uow:
        assert set(uow.suppressions.digest(["mail"]).values()) & set(hashes.values()) == set()
    with mine() as uow:
        assert uow.suppressions.lift("R1", records=False) == 1
        assert uow.suppressions.watched("customer") == {()}
        assert uow.suppressions.lift("R1", records=True) == 1
        assert uow.suppressions.watched("customer") == frozenset()
    for each in (mine, other, none):
        each.close()


def test_an_erasure_waits_for_an_intent_and_takes_it_along(store: Database) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time")
    message = OutboxMessage("E1", "customer", "shop", "people", None, 1)
    with store() as uow:
        uow.outbox.put([message], 1)
        [leased] = uow.outbox.claim("shop", 1, 1, 100, 2)
        uow.commit()

    def forget() -> None:
        with store() as uow:
            uow.outbox.of_customers(["E1"], lock=True)
            uow.erasures.forget(["E1"], [])
            uow.commit()

    with store() as uow:
        assert uow.outbox.begin([leased], 200) == {leased.id}
        other = threading.Thread(target=forget)
        other.start()
        with store.engine.connect() as connection:
            waiting = sa.text("select count(*) from pg_locks where not granted")
            while not connection.execute(waiting).scalar_one():
                connection.rollback()
        entry = DeliveryEntry(None, None, "E1", "shop", "people", 1, "create", "intent", 1)
        uow.journal.add_deliveries([entry], uow.journal.commit("intent", 1, "run"))
        uow.commit()
    other.join()
    with store() as uow:
        assert uow.outbox.begin([leased], 300) == frozenset()
        assert uow.outbox.count() == {}
    assert _seen(store) == set()
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(metadata.tables["delivery_log"])).all() == []


def test_files_are_clean_unless_somebody_is_reading(store: Database) -> None:
    if store.engine.dialect.name != "sqlite":
        assert store.purge()
        return
    other = Database(store.engine.url.render_as_string())
    with other.engine.connect() as reader:
        reader.execute(sa.text("select count(*) from run")).all()
        assert not store.purge(patience_ms=1)
    assert store.purge(patience_ms=1)
    other.close()


def test_what_is_to_be_erased_is_claimed_apart(store: Database) -> None:
    with store() as uow:
        write = OutboxMessage("E1", "customer", "shop", "people", "r1", 1)
        erase = OutboxMessage(
            "R1", "customer", "shop", "people", "x", 0, verb=DeliveryVerb.ERASE, sent={"key": "k"}
        )
        uow.outbox.put([write, erase], 1)
        assert [of.id for of in uow.outbox.claim("shop", 5, 9, 9, 2)] == [write.id]
        [claimed] = uow.outbox.claim("shop", 5, 9, 9, 2, erasing=True)
        assert (claimed.verb, claimed.sent) == (DeliveryVerb.ERASE, {"key": "k"})
        assert uow.outbox.claim("shop", 5, 9, 9, 2, erasing=True) == []
        assert uow.outbox.begin([claimed], 99) == {erase.id}
        assert uow.outbox.creating("customer") == []


def test_the_story_of_a_deletion(
    tmp_path: Path, empty_url: str, new_database: Callable[[], Database]
) -> None:
    """As ``erase: delete`` has it: a worker dies over one system, and the next finishes."""
    new_database().migrate()
    deletes = Setting(creates=(), erase="delete", can={"delete": True})
    hub = World(tmp_path, {"erp": Setting(), "shop": deletes, "list": deletes}, url=empty_url)
    hub.erp.add(REF.key, name="Grace Hopper", mail=MAIL, tags=["cobolist"])
    hub.erp.add("ada", name="Ada", mail="ada@example.org")
    hub.settle()
    before = {name: len(system.writes) for name, system in hub.systems.items()}
    receipt = hub.erase(hub.record("erp", REF.key).entity_id or "")
    hub.shop.losses = ["killed"]
    with dying():
        hub.deliver("shop")
    hub.deliver("list")
    hub.clock.sleep(601)
    hub.deliver("shop")
    hub.round()
    with hub.store() as uow:
        found = uow.erasures.get(receipt.id)
    assert found is not None
    assert found.state == "done"
    assert {entry["system"]: entry["state"] for entry in found.systems} == {
        "erp": "asked",
        "list": "deleted",
        "shop": "deleted",
    }
    assert {name: len(system.writes) - before[name] for name, system in hub.systems.items()} == {
        "erp": 0,
        "shop": 1,
        "list": 1,
    }
    assert [len(system.kept) for system in hub.systems.values()] == [2, 1, 1]
    hub.decide(hub.task(TaskKind.ERASE), "done")
    assert _seen(hub.store) == set()
    hub.close()


def test_the_story_of_an_erasure(
    tmp_path: Path, empty_url: str, new_database: Callable[[], Database]
) -> None:
    new_database().migrate()
    hub = World(tmp_path, {"erp": Setting(), "shop": Setting(creates=())}, url=empty_url)
    hub.erp.add(REF.key, name="Grace Hopper", mail=MAIL, tags=["cobolist"])
    hub.erp.add("ada", name="Ada", mail="ada@example.org")
    hub.settle()
    hub.erp.edit(REF.key, name="Grace B. Hopper")
    hub.round()
    customer = hub.record("erp", REF.key).entity_id or ""
    assert hub.erase(customer).state == "done"
    for task in hub.tasks():
        hub.decide(task, "done")
    assert _seen(hub.store) == set()
    hub.shop.add("another", name="Grace", mail=MAIL)
    assert hub.ingest("erp", full=True)["suppressed"] == 1
    assert hub.ingest("shop", full=True)["suppressed"] == 2
    hub.reconcile()
    assert _seen(hub.store) == set()
    assert [found.golden["name"] for found in hub.customers()] == ["Ada"]
    assert hub.rebuilt().equal
    hub.close()

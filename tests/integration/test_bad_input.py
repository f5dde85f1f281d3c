"""Input that is wrong, over a real socket: it is named and kept, nobody's value is shown, and the rest goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.errors import BadAnswer, BadCredentials, ConnectorError
from connectors.runtime.connection import Connection, connection_from_environment
from crm_master import entrypoints
from tests.integration.spoiling import SECRET, World

pytestmark = pytest.mark.integration


def _row(**fields: Any) -> bytes:
    row = {"id": 1, "ref": "", "name": f"Ada {SECRET}", "email": "ada@example.org", "phone": ""}
    row |= {"city": "Gent", "status": "A", "note": "", "updated": "2026-01-01T00:00:00+00:00"}
    return json.dumps(row | fields).encode()


def _spoilt(old: bytes, new: bytes) -> bytes:
    row = _row()
    assert old in row
    return row.replace(old, new)


# --- rows ------------------------------------------------------------------------------------
FIELDS_SPOILT = {
    "a list for a name": ("name", _row(name=[SECRET]), "name: a list; allowed: text"),
    "an object for an address": ("email", _row(email={"x": SECRET}), "email: an object; allowed"),
    "no e-mail address": ("email", _row(email=SECRET), "email: no valid e-mail address; allowed"),
    "no telephone number": ("phone", _row(phone=SECRET), "phone: "),
    "an unknown value of an enum": ("lifecycle", _row(status=SECRET), "status: text that is no"),
    "ten megabytes": ("owner", _row(note=SECRET * 1_200_000), "note: text longer than 100000"),
    "a control character": ("name", _row(name=f"{SECRET}\x1b[31m"), "name: text with control"),
    "a NUL": ("name", _row(name=f"{SECRET}\x00"), "name: text with control characters"),
    "a number for a text": ("owner", _row(note=10**30), "note: a number; allowed: text"),
}


@pytest.mark.parametrize("case", FIELDS_SPOILT)
def test_a_field_that_cannot_be_read_is_kept_and_the_rest_of_its_record_goes_on(
    case: str, world: World
) -> None:
    name, row, reason = FIELDS_SPOILT[case]
    world.shop.add()
    good = world.shop.add(name="Grace Good", email="grace@example.org", status="A")
    world.shop.poison("1", row)
    world.sync()

    (letter,) = world.letters()
    assert (letter["subject"], letter["field"]) == (f"shop/customers/1:{name}", name)
    assert letter["reason"].startswith(reason)
    kept = json.loads(world.raw(letter))
    assert {part: kept[part] for part in ("name", "email", "note", "status", "phone")} == {
        part: json.loads(row)[part] for part in ("name", "email", "note", "status", "phone")
    }
    assert world.golden(good)["name"] == "Grace Good"
    assert world.golden("1")["address"] == {"city": "Gent"}
    assert name not in world.golden("1")
    assert world.shop.writes == [], "what cannot be read is not overwritten"
    world.assert_discreet()


ROWS_SPOILT = {
    "bytes that are no UTF-8": (_spoilt(b"Ada", b"J\xfcrgen"), "1", "not UTF-8"),
    "a lone surrogate": (_spoilt(b"Ada", b"\\ud800"), "1", "not UTF-8"),
    "an infinite number": (_spoilt(b'"note": ""', b'"note": 1e999'), "1", "not finite"),
    "no key": (_spoilt(b'"id": 1, ', b""), None, "no usable key at 'id'"),
    "null for a key": (_row(id=None), None, "no usable key at 'id'"),
    "an object for a key": (_row(id={"is": SECRET}), None, "no usable key at 'id'"),
    "a list for a row": (json.dumps([SECRET]).encode(), None, "no object"),
    "a text for a row": (json.dumps(SECRET).encode(), None, "no object"),
    "null for a row": (b"null", None, "no object"),
}


@pytest.mark.parametrize("case", ROWS_SPOILT)
def test_a_row_that_is_no_record_is_kept_as_bytes_and_fails_the_run(
    case: str, world: World
) -> None:
    row, key, reason = ROWS_SPOILT[case]
    world.shop.add()
    good = [world.shop.add(name=f"Good {n}", email=f"g{n}@example.org") for n in (1, 2, 3)]
    world.shop.poison("1", row)

    with pytest.raises(entrypoints.RunFailed, match="ingest shop/customers: 1 rejected") as failed:
        entrypoints.ingest(world.app, "shop", "customers")
    world.told.append(str(failed.value))
    world.sync()

    (letter,) = world.letters()
    subject = f"shop/customers/{key or 'row-'}"
    assert letter["subject"].startswith(subject)
    assert reason in letter["reason"]
    kept = world.raw(letter)
    if case == "bytes that are no UTF-8":
        assert b"J\xfcrgen" in kept, "byte for byte"
    elif case not in ("a lone surrogate", "an infinite number"):
        assert json.loads(kept) == json.loads(row)
    entrypoints.reconcile(world.app, "customer")
    with world.app.store() as uow:
        assert uow.records.count("shop", "customers")["live"] == len(good), "the others went on"
    world.assert_discreet()


def test_a_bad_row_keeps_its_system_from_joining_until_it_is_mended(world: World) -> None:
    key = world.shop.add(name="Ada", email="ada@example.org")
    world.desk.add(name="Ada", email="ada@example.org", phone="02 512 34 56")
    world.shop.poison(key, b'"no row"')
    world.sync()
    assert "shop" in entrypoints.waiting_to_join(world.app)
    with pytest.raises(entrypoints.EXPECTED, match="could not be read: see `concord dlq list`"):
        entrypoints.approve(world.app, ["shop"])

    world.shop.poison(key, b"")
    assert world.sync(full=True) == ""
    assert entrypoints.waiting_to_join(world.app) == []
    assert world.golden(key)["phone"] == "+3225123456"


def test_a_row_that_was_mended_closes_its_letter(world: World) -> None:
    world.shop.add()
    world.shop.poison("1", _row(email=SECRET))
    world.sync()
    assert len(world.letters()) == 1
    world.shop.poison("1", _row())
    assert world.sync(full=True) == ""
    assert world.letters() == []
    assert world.golden("1")["email"] == "ada@example.org"


def test_one_key_twice_on_a_page_is_one_record(world: World) -> None:
    world.shop.add()
    world.shop.add(name="Ada", email="ada@example.org")
    world.shop.poison("1", _row(id=2, name="Ada Twice"))
    assert world.sync() == ""
    assert world.customers() == 1
    assert len(entrypoints.show(world.app, "shop/customers/2")["records"]) == 1


def test_runs_fail_only_beyond_what_policy_allows(world: World) -> None:
    policy = world.home / "policies" / "customer.yaml"
    policy.write_text(policy.read_text() + "failures_allowed: 0.5\n", encoding="utf-8")
    world.shop.add()
    world.shop.add(name="Good", email="good@example.org")
    world.shop.poison("1", b'"no row"')
    assert world.sync() == "", "one of two is allowed"
    assert len(world.letters()) == 1
    world.shop.add(name="Better", email="better@example.org")
    world.shop.poison("3", b'"no row either"')
    with pytest.raises(entrypoints.RunFailed, match="2 rejected"):
        entrypoints.ingest(world.app, "shop", "customers", full=True)


# --- answers -----------------------------------------------------------------------------------
ANSWERS_SPOILT = {
    "cut JSON": b'{"items":[{"id":1,"name":"' + SECRET.encode(),
    "a page for people": b"<html>" + SECRET.encode() + b"</html>",
    "nothing": b" ",
    "no list": b'{"items": 5}',
    "a bare number": b"17",
}


@pytest.mark.parametrize("case", ANSWERS_SPOILT)
def test_an_answer_that_cannot_be_parsed_holds_the_cursor(case: str, world: World) -> None:
    for n in range(6):
        world.shop.add(name=f"Good {n}", email=f"g{n}@example.org")
    entrypoints.ingest(world.app, "shop", "customers")
    world.shop.edit("5", city="Gent")
    cursor = _cursor(world)
    assert cursor is not None
    world.shop.fail_next("garbage", body=ANSWERS_SPOILT[case])
    with pytest.raises(BadAnswer, match="GET /customers") as bad:
        entrypoints.ingest(world.app, "shop", "customers")
    world.told.append(str(bad.value))
    assert _cursor(world) == cursor
    failed = entrypoints.status(world.app)["runs"][0]
    assert (failed["status"], failed["target"]) == ("failed", "shop/customers")

    assert entrypoints.ingest(world.app, "shop", "customers").counts["landed"] == 1
    world.assert_discreet()


def test_a_scan_goes_on_behind_the_pages_that_came_before_a_bad_one(world: World) -> None:
    for n in range(6):
        world.shop.add(name=f"Good {n}", email=f"g{n}@example.org")
    world.shop.poison("3", b'{"id": 3, "name": ')
    with pytest.raises(BadAnswer):
        entrypoints.ingest(world.app, "shop", "customers")
    with world.app.store() as uow:
        assert uow.inbox.pending() == 2, "the page before"
    world.shop.poison("3", b"")
    counts = entrypoints.ingest(world.app, "shop", "customers").counts
    assert (counts["read"], counts["landed"]) == (4, 4), "nothing twice"


def _cursor(world: World) -> str | None:
    with world.app.store() as uow:
        return uow.states.stream("shop", "customers").cursor


def test_one_bad_system_stops_nobody_else(world: World) -> None:
    world.shop.add(name="Ada", email="ada@example.org")
    world.desk.add(name="Grace", email="grace@example.org")
    world.shop.fail_next("garbage", times=50)
    assert "GET /customers" in world.sync()
    assert entrypoints.waiting_to_join(world.app) == ["shop"]
    shown = entrypoints.show(world.app, "desk/customers/1")
    assert shown["fields"]["name"]["value"] == "Grace"


def test_a_source_that_is_suddenly_empty_deletes_nobody(world: World) -> None:
    for n in range(5):
        world.shop.add(name=f"Good {n}", email=f"g{n}@example.org")
        world.desk.add(name=f"Good {n}", email=f"g{n}@example.org")
    world.sync()
    assert world.customers() == 5
    held = {key: dict(record) for key, record in world.shop.records.items()}
    world.shop.records.clear()
    world.sync(full=True)
    assert world.customers() == 5
    assert world.golden("1")["name"] == "Good 0"
    assert len(world.desk.records) == 5
    assert (world.desk.writes, world.shop.writes) == ([], [])
    reasons = entrypoints.verify(world.app).reasons
    assert dict(reasons) == {"gone from the system since it was last read": 5}

    world.shop.records.update(held)
    world.sync(full=True)
    assert entrypoints.verify(world.app).converged
    assert (world.desk.writes, world.shop.writes) == ([], [])


# --- connections -----------------------------------------------------------------------------


def test_a_wrong_password_is_named_and_not_shown(world: World) -> None:
    wrong = Connection(world.shop.url, "hub", SECRET)
    app = entrypoints.open_app(world.home, lambda _: wrong, {})
    entrypoints.init(app)
    with pytest.raises(BadCredentials, match="does not accept the credentials") as refused:
        entrypoints.ingest(app, "shop", "customers")
    world.told.append(str(refused.value))
    for line in entrypoints.check_systems(app):
        assert not line["ok"]
        world.told.append(line["detail"])
    app.store.close()
    world.assert_discreet()


def test_a_missing_connection_says_which_variable_to_set(world: World) -> None:
    app = entrypoints.open_app(world.home, lambda name: connection_from_environment(name, {}), {})
    entrypoints.init(app)
    with pytest.raises(ConnectorError, match="Set AIRFLOW_CONN_SHOP"):
        entrypoints.ingest(app, "shop", "customers")
    assert [line["ok"] for line in entrypoints.check_systems(app)] == [False, False]
    app.store.close()


@pytest.mark.parametrize("text", [f"http://hub:{SECRET}@host:port", f'{{"password": "{SECRET}"'])
def test_a_connection_that_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(ConnectorError, match="AIRFLOW_CONN_SHOP") as wrong:
        connection_from_environment("shop", {"AIRFLOW_CONN_SHOP": text})
    assert SECRET not in str(wrong.value)


# --- configuration ---------------------------------------------------------------------------

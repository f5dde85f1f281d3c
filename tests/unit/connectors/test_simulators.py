"""Every habit of a simulated system, seen from outside, over HTTP."""

from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from connectors.testing import (
    Simulator,
    drawn,
    dropped,
    ineffective,
    lowered,
    spaced,
    titled,
    truncated,
)
from connectors.testing.simulator import TOKEN
from tests.unit.connectors.habits import T0, ask, ids, rows

# --- clocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("habits", "written"),
    [
        ({}, "2026-05-01T10:00:50.400000+00:00"),
        ({"skew": 90}, "2026-05-01T10:02:20.400000+00:00"),
        ({"skew": -90}, "2026-05-01T09:59:20.400000+00:00"),
        ({"resolution": 1}, "2026-05-01T10:00:50+00:00"),
        ({"resolution": 60}, "2026-05-01T10:00:00+00:00"),
        ({"stamps": False}, None),
    ],
)
def test_change_times_are_those_of_its_own_clock(start, habits, written):
    system = start(**habits)
    system.add(name="Ada")
    assert rows(system)[0].get("updated") == written


@pytest.mark.parametrize(("date", "ahead"), [("own", 90), ("true", 0), ("none", None)])
def test_answers_show_its_clock_or_a_gateways_or_none(start, date, ahead):
    shown = ask(start(skew=90, date=date), "GET", "/customers").headers.get("Date")
    if ahead is None:
        assert shown is None
    else:
        assert parsedate_to_datetime(shown) == T0.replace(microsecond=0) + timedelta(seconds=ahead)


def test_a_long_transaction_has_the_time_of_its_beginning(start, clock):
    system = start()
    key = system.add(name="Ada")
    clock.forward(1)
    commit = system.edit_late(key, name="Grace")
    clock.forward(10)
    assert rows(system)[0]["name"] == "Ada"
    commit()
    assert rows(system)[0]["name"] == "Grace"
    assert rows(system)[0]["updated"] == (T0 + timedelta(seconds=1)).isoformat()


# --- losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (lowered, "ada o'brien"),
        (titled, "Ada O'Brien"),
        (truncated(3), "aDA"),
        (ineffective, "before"),
    ],
    ids=["case", "title case", "truncation", "ineffective"],
)
def test_a_write_is_answered_with_success_and_with_what_became_of_it(start, rule, kept):
    system = start(lossy={"name": rule})
    key = system.add(name="before")
    answer = ask(system, "PATCH", f"/customers/{key}", {"name": "aDA o'brien"})
    assert (answer.status_code, answer.json()["name"]) == (200, kept)
    assert rows(system)[0]["name"] == kept


def test_numbers_are_put_into_groups(start):
    system = start(lossy={"phone": spaced})
    made = ask(system, "POST", "/customers", {"phone": "+3225551212"})
    assert made.json()["phone"] == "+32 255 512 12"


def test_a_dropped_field_is_nowhere(start):
    system = start(lossy={"note": dropped})
    made = ask(system, "POST", "/customers", {"name": "Ada", "note": "likes tea"})
    assert made.status_code == 201
    assert "note" not in made.json()
    assert "note" not in rows(system)[0]


def test_people_lose_nothing(start):
    system = start(lossy={"name": truncated(3)})
    system.add(name="Augusta")
    assert rows(system)[0]["name"] == "Augusta"


def test_children_lose_as_their_fields_do(start):
    system = start(children=("phones",), lossy={"phones.value": spaced})
    key = system.add()
    change = {"phones": [["create", {"value": "+3225551212", "kind": "home"}]]}
    held = ask(system, "PATCH", f"/customers/{key}", change).json()["phones"]
    assert [(child["value"], child["kind"]) for child in held] == [("+32 255 512 12", "home")]


def test_a_validation_takes_a_value_and_puts_its_own_back_later(start, clock):
    system = start(reverting=("status",))
    key = system.add(status="active")
    answer = ask(system, "PATCH", f"/customers/{key}", {"status": "blocked"})
    assert answer.json()["status"] == "blocked"
    clock.forward(5)
    assert system.tick() == 1
    (row,) = rows(system)
    assert (row["status"], row["updated"]) == ("active", clock().isoformat())
    assert system.tick() == 0


def test_a_validation_leaves_alone_what_a_person_has_changed_since(start):
    system = start(reverting=("status",))
    key = system.add(status="active")
    ask(system, "PATCH", f"/customers/{key}", {"status": "blocked"})
    system.edit(key, status="by a person")
    assert system.tick() == 0
    assert rows(system)[0]["status"] == "by a person"


# --- keys --------------------------------------------------------------------------------------


def test_where_the_address_is_the_key_another_address_is_another_key(start):
    system = start(keys="email")
    ask(system, "POST", "/customers", {"email": "ada@example.org", "name": "Ada"})
    moved = ask(system, "PATCH", "/customers/ada%40example.org", {"email": "a@example.org"})
    assert moved.json()["email"] == "a@example.org"
    assert ask(system, "GET", "/customers/ada@example.org").status_code == 404
    assert ask(system, "GET", "/customers/a@example.org").json()["name"] == "Ada"
    assert "id" not in rows(system)[0]


def test_where_the_address_is_the_key_there_is_one_record_of_each(start):
    system = start(keys="email", lossy={"email": lowered})
    made = ask(system, "POST", "/customers", {"email": "Ada@example.org"})
    assert made.json()["email"] == "ada@example.org"
    assert ask(system, "POST", "/customers", {"email": "ADA@example.org"}).status_code == 409
    assert ask(system, "POST", "/customers", {"name": "Ada"}).status_code == 400


def test_a_system_that_cannot_be_searched_shows_everybody(start):
    for found, searchable in ((1, True), (2, False)):
        system = start(find=searchable)
        system.add(ref="CRM-1")
        system.add(ref="CRM-2")
        assert len(rows(system, "/customers?ref=CRM-1")) == found


# --- listings ----------------------------------------------------------------------------------


def test_rows_shift_across_pages_while_a_listing_is_read(start):
    system = start(paging="page")
    for _ in range(6):
        system.add()
    assert ids(system, "/customers?size=3&page=1") == [1, 2, 3]
    system.remove("1")
    assert ids(system, "/customers?size=3&page=2") == [5, 6]
    assert ids(system, "/customers?size=3&offset=2") == [4, 5, 6]


@pytest.mark.parametrize(
    ("order", "wanted"), [("key", [1, 2, 3]), ("oldest", [1, 3, 2]), ("newest", [2, 3, 1])]
)
def test_rows_come_in_the_order_of_the_system(start, order, wanted):
    system = start(paging="offset", order=order)
    for _ in range(3):
        system.add()
    system.edit("2", name="moved")
    assert ids(system) == wanted


def test_an_order_that_means_nothing_is_the_same_every_time(start):
    system = start(paging="page", order="none")
    for _ in range(20):
        system.add()
    assert ids(system) == ids(system) != sorted(ids(system))


@pytest.mark.parametrize("order", ["key", "oldest", "newest", "none"])
def test_tokens_lead_through_everything(start, order):
    system = start(paging="next", order=order)
    wanted = {int(system.add()) for _ in range(7)}
    seen: list[int] = []
    token: str | None = ""
    while token is not None:
        url = f"{system.url}/customers"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        query = {"size": "3", "token": token}
        page = requests.get(url, params=query, headers=headers, timeout=5).json()
        seen += [row["id"] for row in page["items"]]
        token = page["next"]
    assert len(seen) == len(wanted)
    assert set(seen) == wanted


# --- deltas ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("habits", "shown"),
    [
        ({}, ["0", "0.2"]),
        ({"exclusive": True}, ["0.2"]),
        ({"by_second": True}, ["-0.2", "0", "0.2"]),
        ({"by_second": True, "exclusive": True}, []),
    ],
    ids=["inclusive", "exclusive", "by second", "exclusive by second"],
)
def test_a_delta_has_its_own_border(start, clock, habits, shown):
    system = start(**habits)
    border = clock()
    for seconds in ("-0.2", "0", "0.2"):
        clock.now = border + timedelta(seconds=float(seconds))
        system.add(name=seconds)
    since = border.isoformat().replace("+00:00", "Z")
    assert [row["name"] for row in rows(system, f"/customers?since={since}")] == shown


@pytest.mark.parametrize("hidden", [False, True])
def test_a_changed_child_may_not_show_in_a_delta(start, clock, hidden):
    system = start(children=("phones",), hidden_children=hidden)
    key = system.add(phones=[{"id": 9, "value": "1"}])
    clock.forward(60)
    since = clock().isoformat().replace("+00:00", "Z")
    ask(system, "PATCH", f"/customers/{key}", {"phones": [["update", 9, {"value": "2"}]]})
    assert len(rows(system, f"/customers?since={since}")) == (0 if hidden else 1)
    assert rows(system)[0]["phones"] == [{"id": 9, "value": "2"}]
    ask(system, "PATCH", f"/customers/{key}", {"name": "Ada"})
    assert len(rows(system, f"/customers?since={since}")) == 1


# --- guards, credentials, answers --------------------------------------------------------------


@pytest.mark.parametrize(("etag", "status"), [(True, 412), (False, 200)])
def test_a_stale_write_is_refused_where_versions_are_compared(start, etag, status):
    system = start(etag=etag)
    key = system.add(name="Ada")
    seen = ask(system, "GET", f"/customers/{key}").headers["ETag"]
    system.edit(key, name="by a person")
    answer = ask(system, "PATCH", f"/customers/{key}", {"name": "x"}, **{"If-Match": seen})
    assert answer.status_code == status
    assert system.field(key, "name") == ("by a person" if etag else "x")


def test_an_expired_token_is_good_for_nothing(start):
    system = start(auth="session")
    token = ask(system, "POST", "/login", {}).json()["token"]
    assert ask(system, "GET", "/customers", token=token).status_code == 200
    system.expire_tokens()
    assert ask(system, "GET", "/customers", token=token).status_code == 401
    token = ask(system, "POST", "/login", {}).json()["token"]
    assert ask(system, "GET", "/customers", token=token).status_code == 200


def test_writes_may_be_answered_with_no_record(start):
    system = start(answers=False)
    made = ask(system, "POST", "/customers", {"name": "Ada"})
    assert (made.status_code, made.json()) == (201, {"id": 1, "email": ""})
    changed = ask(system, "PATCH", "/customers/1", {"name": "Grace"})
    assert (changed.status_code, changed.content) == (204, b"")


# --- what is counted ---------------------------------------------------------------------------


def test_the_system_counts_what_the_api_did_and_not_what_people_did(start):
    system = start()
    by_hand = system.add(email="ada@example.org")
    system.edit(by_hand, name="Ada")
    ask(system, "PATCH", f"/customers/{by_hand}", {"name": "Grace"})
    ask(system, "PATCH", f"/customers/{by_hand}", {"name": "Grace"})
    made = str(ask(system, "POST", "/customers", {"email": "ADA@example.org "}).json()["id"])
    assert ask(system, "PATCH", "/customers/99", {}).status_code == 404
    assert system.effects() == {by_hand: 2, made: 1}
    assert (system.creates, system.idle) == (1, 1)
    assert system.duplicates() == [[by_hand, made]]
    assert [request.method for request in system.accepted] == ["PATCH", "PATCH", "POST"]
    assert system.duplicates("name") == []


# --- drawn by chance ---------------------------------------------------------------------------


def test_systems_drawn_by_chance_differ_and_can_be_drawn_again():
    assert drawn(7, lossy={}) == drawn(7, lossy={})
    assert len({drawn(seed).manifest() for seed in range(50)}) > 30
    assert all(drawn(seed, paging="next").paging == "next" for seed in range(5))


def test_all_habits_go_together(start):
    for profile in (drawn(seed) for seed in range(30)):
        system = Simulator(profile).start()
        try:
            system.add(name="Ada")
            connector = system.open()
            assert connector.check("customers").ok
            connector.close()
        finally:
            system.stop()

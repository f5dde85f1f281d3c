"""Simulated systems delete and merge in the ways of real ones."""

import pytest

from tests.unit.connectors.habits import T0, ask, rows


@pytest.mark.parametrize("by_api", [True, False], ids=["by the API", "by a person"])
@pytest.mark.parametrize(
    ("deletes", "listed", "status"), [("hard", 0, 404), ("soft", 1, 200), ("log", 0, 404)]
)
def test_a_deleted_record_leaves_in_the_systems_way(start, deletes, listed, status, by_api):
    system = start(deletes=deletes)
    key = system.add(name="Ada")
    if by_api:
        assert ask(system, "DELETE", f"/customers/{key}").status_code == 204
    else:
        system.remove(key)
    assert len(rows(system)) == listed
    assert ask(system, "GET", f"/customers/{key}").status_code == status
    assert ask(system, "PATCH", f"/customers/{key}", {"name": "x"}).status_code in (404, 410)
    assert all(row["deleted"] for row in rows(system))
    assert key in system.trash
    assert key not in system.records


def test_a_log_tells_who_was_deleted_and_when(start, clock):
    system = start(deletes="log")
    keys = [system.add() for _ in range(3)]
    system.remove(keys[0])
    clock.forward(60)
    system.remove(keys[2])
    everything = rows(system, f"/deletions?since={T0.isoformat().replace('+00:00', 'Z')}")
    assert [(row["record"], row["at"]) for row in everything] == [
        (1, T0.isoformat()),
        (3, clock().isoformat()),
    ]
    later = rows(system, f"/deletions?since={clock().isoformat().replace('+00:00', 'Z')}")
    assert [row["record"] for row in later] == [3]
    assert ask(start(), "GET", "/deletions?since=2026-01-01T00:00:00Z").status_code == 404


@pytest.mark.parametrize("deletes", ["hard", "soft", "log"])
def test_a_record_can_be_taken_back(start, clock, deletes):
    system = start(deletes=deletes)
    key = system.add(name="Ada")
    system.remove(key)
    clock.forward(60)
    system.undelete(key)
    (row,) = rows(system)
    assert (row["name"], row["updated"], row.get("deleted")) == (
        "Ada",
        clock().isoformat(),
        False if deletes == "soft" else None,
    )


# --- merges ------------------------------------------------------------------------------------


def test_a_merge_leaves_the_survivor_with_what_both_had(start, clock):
    system = start(children=("phones",))
    loser = system.add(name="A. Lovelace", city="Ghent", phones=[{"id": 8, "value": "1"}])
    survivor = system.add(name="Ada Lovelace", phones=[{"id": 9, "value": "2"}])
    clock.forward(60)
    system.merge(loser, survivor)
    (row,) = rows(system)
    assert (row["id"], row["name"], row["city"]) == (2, "Ada Lovelace", "Ghent")
    assert [child["value"] for child in row["phones"]] == ["2", "1"]
    assert row["updated"] == clock().isoformat()


@pytest.mark.parametrize(
    ("aliases", "status"), [("gone", 404), ("redirect", 301), ("survivor", 200)]
)
def test_the_address_of_a_merged_record_answers_as_the_system_does(start, aliases, status):
    system = start(batch=1, aliases=aliases)
    first, second, third = (system.add(name=name) for name in "abc")
    system.merge(first, second)
    system.merge(second, third)
    answer = ask(system, "GET", f"/customers/{first}")
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["name"] == "c"
    if status == 301:
        assert answer.headers["Location"] == f"/customers/{third}"
    assert ask(system, "PATCH", f"/customers/{first}", {"name": "x"}).status_code == 404

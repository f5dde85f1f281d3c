"""What can go wrong with a simulated system's answers, seen from outside, over HTTP."""

from contextlib import suppress

import pytest
import requests

from connectors.testing import Simulator
from connectors.testing.simulator import TOKEN


@pytest.fixture
def start():
    """Starts a system; all stop at the end."""
    started = []

    def begin():
        started.append(Simulator().start())
        return started[-1]

    yield begin
    for simulator in started:
        simulator.stop()


def ask(system, method, path, json=None):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return requests.request(method, system.url + path, json=json, headers=headers, timeout=5)


def ids(system, path="/customers"):
    return [row["id"] for row in ask(system, "GET", path).json()["items"]]


@pytest.mark.parametrize("after", [True, False], ids=["after the effect", "before it"])
@pytest.mark.parametrize("what", [429, 500, "reset", "cut", "garbage"])
def test_a_fault_comes_before_or_after_the_effect(start, what, after):
    system = start()
    system.fail_next(what, methods={"POST"}, after=after)
    try:
        ask(system, "POST", "/customers", {"name": "Ada"})
    except requests.RequestException:
        assert what in ("reset", "cut")
    assert len(system.records) == system.creates == int(after)
    assert ask(system, "POST", "/customers", {"name": "Grace"}).status_code == 201


def test_an_answer_that_hangs_ends_with_the_system(start):
    system = start()
    system.fail_next("hang", after=True)
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{system.url}/customers",
            json={},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=0.1,
        )
    assert system.creates == 1


def test_rows_may_come_twice(start):
    system = start()
    system.add()
    system.add()
    system.fail_next("double")
    assert ids(system) == [1, 1, 2, 2]
    assert ids(system) == [1, 2]


def test_a_partial_answer_has_some_of_what_was_asked_for(start):
    system = start()
    for _ in range(4):
        system.add()
    system.fail_next("partial")
    assert ids(system, "/customers?id=1&id=2&id=3&id=4") == [1, 2]


def test_a_partial_write_takes_effect_in_part(start):
    system = start()
    key = system.add()
    system.fail_next("partial", methods={"PATCH"})
    change = {"city": "Ghent", "name": "Ada", "note": "x", "status": "A"}
    assert ask(system, "PATCH", f"/customers/{key}", change).status_code == 500
    held = [system.field(key, name) for name in sorted(change)]
    assert held == ["Ghent", "Ada", "", ""]


def test_a_storm_is_the_same_for_the_same_seed_and_ends_when_told(start):
    def weather(seed):
        system = start()
        system.storm(seed, reads=0.5, writes=0.5)
        for _ in range(40):
            for method in ("GET", "POST"):
                with suppress(requests.RequestException):
                    ask(system, method, "/customers", {} if method == "POST" else None)
        met = dict(system.met)
        system.calm()
        for _ in range(20):
            assert ask(system, "POST", "/customers", {}).status_code == 201
        assert dict(system.met) == met
        return met

    assert weather(1) == weather(1) != weather(2)
    assert len(weather(3)) > 8

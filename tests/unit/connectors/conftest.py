"""Simulated systems with habits, at a time that the test moves."""

from typing import Any

import pytest

from connectors.testing import Profile, Simulator
from tests.unit.connectors.habits import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(clock):
    """Starts a system of a profile, with some records, and opens it; all end with the test."""
    closing = []

    def begin(count=0, kind=Simulator, **habits):
        system = kind(Profile(**{"longest_wait": 0.0, **habits}), clock).start()
        for number in range(count):
            system.add(name=f"n{number}")
            clock.forward(1)
        connector = system.open(size=3)
        closing.extend([connector.close, system.stop])
        return system, connector

    yield begin
    for end in closing:
        end()


@pytest.fixture
def closing():
    """What is to be called when the test ends."""
    calls: list[Any] = []
    yield calls
    for end in calls:
        end()


@pytest.fixture
def start(clock):
    """Starts a system of a profile; all stop at the end."""
    started = []

    def begin(**habits):
        simulator = Simulator(Profile(**habits), clock).start()
        started.append(simulator)
        return simulator

    yield begin
    for simulator in started:
        simulator.stop()

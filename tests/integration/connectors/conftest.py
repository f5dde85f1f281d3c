"""A help desk (Request Tracker) for each module that asks for one."""

from __future__ import annotations

import pytest

from examples.peers.tracker import Agent, RequestTracker


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RequestTracker(tmp_path_factory.mktemp("desk")) as running:
        yield running


@pytest.fixture(scope="module")
def agent(server):
    return Agent(server)


@pytest.fixture(scope="module")
def fields(agent):
    return agent.fields()

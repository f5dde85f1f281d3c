"""An ERP (Tryton) and a mailing list (Mailman) behind proxies, and a hub over both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples import peers
from tests.e2e.stage import Customer, Deploy, Hub, Stage, deployed


@pytest.fixture(scope="module")
def stage(module_tryton: peers.Tryton, module_mailman: peers.Mailman) -> Iterator[Stage]:
    with Stage(module_tryton, module_mailman) as found:
        yield found


@pytest.fixture
def deploy(stage: Stage, tmp_path: Path) -> Iterator[Deploy]:
    """Makes the test's hub."""
    opened: list[Any] = []

    def make(**options: Any) -> Hub:
        context = deployed(stage, tmp_path / "hub", **options)
        opened.append(context)
        return context.__enter__()

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def hub(deploy: Deploy) -> Hub:
    """A hub with the policies that ship, which nobody has used yet."""
    return deploy()


@pytest.fixture
def known(stage: Stage, hub: Hub) -> Customer:
    """A customer in both systems, whom the hub knows."""
    customer = stage.customer()
    hub.sync()
    stage.forget_calls()
    return customer

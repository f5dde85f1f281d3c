"""The tests that every connector has to pass, as a pytest class.

    class TestShop(ConnectorConformance):
        @pytest.fixture
        def system(self):
            with Simulator(Profile(etag=True)) as shop:
                yield shop

A test that a system's capabilities rule out skips itself. ``Simulated`` is what the fixture needs.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "connectors.testing.reading", "connectors.testing.steps", "connectors.testing.writing"
)

from connectors.testing.reading import ReadConformance  # noqa: E402
from connectors.testing.steps import Simulated  # noqa: E402
from connectors.testing.writing import WriteConformance  # noqa: E402


class ConnectorConformance(ReadConformance, WriteConformance):
    """All of them. Override ``stream``, ``size`` (rows per page) and ``field`` as needed."""


__all__ = ["ConnectorConformance", "Simulated"]

"""Rules 14, 15, 18, 20 and 24 over a shop, an ERP and a service desk, by chance."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.properties.trading import Trading

TestTrading = Trading.TestCase
TestTrading.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

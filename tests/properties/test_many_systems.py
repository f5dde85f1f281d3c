"""Promises 1 to 5 and 7 over several systems, by chance."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.properties.machine import Histories

TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

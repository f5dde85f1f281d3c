"""The conformance kit: a simulated system, and the tests that every connector has to pass."""

from connectors.testing.profiles import Profile, ineffective, lowered, truncated
from connectors.testing.simulator import Simulator, Write

__all__ = ["Profile", "Simulator", "Write", "ineffective", "lowered", "truncated"]

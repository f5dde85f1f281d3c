"""The conformance kit: a simulated system, and the tests that every connector has to pass."""

from connectors.testing.faults import READ_TROUBLES, WRITE_TROUBLES
from connectors.testing.losses import (
    dropped,
    ineffective,
    lowered,
    spaced,
    titled,
    truncated,
)
from connectors.testing.profiles import HABITS, Profile, alone, drawn
from connectors.testing.simulator import Accepted, Simulator, Write

__all__ = [
    "HABITS",
    "READ_TROUBLES",
    "WRITE_TROUBLES",
    "Accepted",
    "Profile",
    "Simulator",
    "Write",
    "alone",
    "drawn",
    "dropped",
    "ineffective",
    "lowered",
    "spaced",
    "titled",
    "truncated",
]

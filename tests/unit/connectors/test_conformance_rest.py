"""The conformance kit over simulated systems: every habit alone, and some drawn by chance."""

from dataclasses import fields, replace

import pytest

from connectors.testing import Profile, Simulator, alone, drawn
from connectors.testing.conformance import ConnectorConformance

ETAGS_AND_CHILDREN = Profile(etag=True, children=("phones",))
AT_ONCE = [Profile(paging="page", pages_at_once=3), Profile(paging="offset", pages_at_once=3)]
IN_A_HURRY = [
    replace(profile, longest_wait=0) for profile in (ETAGS_AND_CHILDREN, *AT_ONCE, *alone())
]


def habits(profile):
    usual = Profile(name=profile.name, longest_wait=profile.longest_wait)
    told = []
    for field in fields(Profile):
        value = getattr(profile, field.name)
        if value != getattr(usual, field.name):
            told.append(f"{field.name}={'+'.join(value) if field.name == 'lossy' else value}")
    return ",".join(told) or "well-behaved"


class _Simulated(ConnectorConformance):
    @pytest.fixture
    def system(self, profile):
        self.address = "email" if profile.keys == "email" else None
        self.steady = profile.paging != "page"
        with Simulator(profile) as simulator:
            yield simulator


@pytest.mark.parametrize("profile", IN_A_HURRY, ids=habits)
class TestEachHabitAlone(_Simulated):
    pass


@pytest.mark.parametrize("profile", [drawn(seed, longest_wait=0) for seed in range(5)], ids=habits)
class TestHabitsTogether(_Simulated):
    pass

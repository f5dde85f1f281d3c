"""The conformance kit over simulated systems of several habits."""

import pytest

from connectors.testing import Profile, Simulator
from connectors.testing.conformance import ConnectorConformance


class _Simulated(ConnectorConformance):
    profile = Profile()

    @pytest.fixture
    def system(self):
        with Simulator(self.profile) as simulator:
            yield simulator


class TestKeysetWithEtag(_Simulated):
    profile = Profile(etag=True, children=("phones",))


class TestPageNumbersAndSession(_Simulated):
    profile = Profile(paging="page", auth="session")


class TestOffsetsWithoutDelta(_Simulated):
    profile = Profile(paging="offset", delta=False, auth="none")


class TestNextTokens(_Simulated):
    profile = Profile(paging="next", resolution=1)

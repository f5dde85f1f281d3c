"""The conformance kit over a simulated SOAP service."""

import pytest

from connectors.testing import Profile
from connectors.testing.conformance import ConnectorConformance
from connectors.testing.soap import SoapSimulator


@pytest.mark.parametrize(
    "profile",
    [
        Profile(longest_wait=0),
        Profile(longest_wait=0, etag=True),
        Profile(longest_wait=0, batch=1, deletes="soft"),
        Profile(longest_wait=0, auth="none", resolution=1, skew=40),
    ],
    ids=["well-behaved", "guarded", "one by one", "cut-off times"],
)
class TestSoap(ConnectorConformance):
    large = "x" + "é" * 1_000_000

    @pytest.fixture
    def system(self, profile):
        with SoapSimulator(profile) as simulator:
            yield simulator

    @pytest.mark.parametrize(
        "row",
        [
            b"<c:id xsi:nil='true'/>",
            b"no record",
            b"<c:id>2</c:id><c:version>none</c:version>",
            b"<c:id>2</c:id><c:updated>yesterday</c:updated>",
            b"<c:id>2</c:id><c:name><c:deep/></c:name>",
        ],
        ids=["no key", "no element", "not a number", "not a time", "not a text"],
    )
    def test_a_bad_row_is_kept_and_stops_nobody(self, system, row):
        self.rejected(system, row)

"""What goes wrong with a system is told as what is known of it: nothing more, nothing less."""

import pytest

from connectors.contract import Gone, Refused, Retry, Scan, Unknown, WriteCommand, Written
from connectors.errors import BadAnswer, BadCredentials, RateLimited, RetryLater, Unreachable
from connectors.testing import Profile, Simulator
from connectors.testing.faults import WRITES

HASTY = {"timeout": 0.2, "longest_wait": 0.0}


@pytest.fixture
def start():
    """Starts a system of a profile, and opens it; all end with the test."""
    opened = []

    def begin(**habits):
        system = Simulator(Profile(**{**HASTY, **habits})).start()
        connector = system.open(size=2)
        opened.extend([connector.close, system.stop])
        return system, connector

    yield begin
    for end in opened:
        end()


def command(kind, key, record):
    before = record.document if record else {}
    after = {"create": {"name": "Ada"}, "update": {**before, "name": "Ada"}, "delete": {}}[kind]
    if kind == "create":
        return WriteCommand("w", "customers", None, {}, after, "CRM-1")
    return WriteCommand("w", "customers", key, before, after, "CRM-1")


def write(system, connector, kind, *faults):
    """One write of this kind that meets these faults: its outcome, and how often it took effect."""
    key = system.add(name="before")
    record = connector.fetch("customers", [key])[key]
    for what, after in faults:
        system.fail_next(what, methods=WRITES, after=after)
    (outcome,) = connector.write([command(kind, key, record)])
    return outcome, len(system.writes)


@pytest.mark.parametrize("kind", ["create", "update", "delete"])
@pytest.mark.parametrize(
    ("what", "after", "told"),
    [
        (429, False, Retry),
        (503, False, Retry),
        (500, False, Unknown),
        (500, True, Unknown),
        ("reset", False, Unknown),
        ("reset", True, Unknown),
        ("cut", True, Unknown),
        ("hang", False, Unknown),
        ("hang", True, Unknown),
        (400, False, Refused),
    ],
)
def test_a_write_is_sent_once_and_told_as_it_is(start, kind, what, after, told):
    system, connector = start()
    if kind == "delete" and what == "cut":
        pytest.skip("an answer without a body cannot be cut")
    outcome, effects = write(system, connector, kind, (what, after))
    assert type(outcome) is told
    assert effects == int(after)
    assert sum(count for method, count in system.calls.items() if method in WRITES) == 1


@pytest.mark.parametrize("kind", ["create", "update"])
def test_a_write_in_part_is_unknown(start, kind):
    outcome, effects = write(*start(), kind, ("partial", True))
    assert type(outcome) is Unknown
    assert effects == 1


@pytest.mark.parametrize("kind", ["create", "update"])
@pytest.mark.parametrize("after", [True, False])
def test_a_write_that_is_answered_by_a_web_page_is_unknown(start, kind, after):
    outcome, effects = write(*start(), kind, ("garbage", after))
    assert type(outcome) is Unknown
    assert effects == int(after)


@pytest.mark.parametrize("kind", ["create", "update", "delete"])
@pytest.mark.parametrize(
    ("auth", "told", "effect"), [("session", Written, 1), ("bearer", Retry, 0)]
)
def test_an_expired_token_is_renewed_or_the_write_is_not_made(start, kind, auth, told, effect):
    outcome, effects = write(*start(auth=auth), kind, ("expire", False))
    assert type(outcome) is told
    assert effects == effect


def test_of_a_batch_each_command_is_told_by_itself(start):
    system, connector = start(unique=("ref", "name"))
    taken = system.add(name="taken")
    gone = connector.fetch("customers", [system.add(name="gone")])["2"]
    system.remove("2")
    outcomes = connector.write(
        [
            WriteCommand("1", "customers", None, {}, {"name": "Ada"}, "CRM-1"),
            WriteCommand("2", "customers", None, {}, {"name": "taken"}, "CRM-2"),
            command("update", "2", gone),
            WriteCommand("4", "customers", None, {}, {"name": "Grace"}, "CRM-4"),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [Written, Refused, Gone, Written]
    assert system.creates == 2
    assert system.field(taken, "name") == "taken"


@pytest.mark.parametrize(
    "what", [429, 500, 503, "reset", "cut", "hang", "double", "partial", "expire"], ids=str
)
def test_a_single_fault_loses_no_row(start, what):
    system, connector = start(auth="session")
    wanted = {system.add(name=str(number)) for number in range(7)}
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    system.fail_next(what, after=what in ("cut", "double"))
    found = {record.key for page in (first, *pages) for record in page.records}
    assert found == wanted
    assert system.met


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (429, RateLimited),
        (500, RetryLater),
        (503, RetryLater),
        ("reset", Unreachable),
        ("cut", Unreachable),
        ("hang", Unreachable),
        ("garbage", BadAnswer),
        ("expire", BadCredentials),
    ],
    ids=str,
)
def test_a_lasting_fault_holds_the_cursor_and_says_what_helps(start, what, told):
    system, connector = start()
    wanted = {system.add(name=str(number)) for number in range(5)}
    pages = iter(connector.read("customers", None, Scan.FULL))
    first = next(pages)
    system.fail_next(what, times=100, after=what == "cut")
    with pytest.raises(told) as caught:
        next(pages)
    assert type(caught.value) is told
    system.calm()
    rest = connector.read("customers", first.cursor, Scan.FULL)
    assert {record.key for page in (first, *rest) for record in page.records} == wanted


def test_a_storm_spares_what_is_read_and_counts_what_is_written(start):
    """Through any weather: a scan is whole or raises, and no outcome but Written means a sure effect."""
    system, connector = start(auth="session")
    system.storm(3, reads=0.3, writes=0.5)
    made = unknown = 0
    for number in range(60):
        (outcome,) = connector.write(
            [WriteCommand("w", "customers", None, {}, {"name": "x"}, f"CRM-{number}")]
        )
        made += isinstance(outcome, Written)
        unknown += isinstance(outcome, Unknown)
    assert unknown
    assert made <= system.creates <= made + unknown
    scans = 0
    for _ in range(30):
        try:
            pages = list(connector.read("customers", None, Scan.FULL))
        except RetryLater:
            continue
        scans += 1
        assert {record.key for page in pages for record in page.records} == set(system.records)
    assert scans

"""The real systems that other tests and the demo stand on: they start, hold data, and go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import phonenumbers
import psycopg
import pytest
from stdnum.eu import vat

from connectors.testing import Profile, Simulator
from examples import peers
from examples.demo.desks import MailmanDesk, TrytonDesk
from examples.demo.people import messy_email, people
from examples.demo.seed import seed
from examples.peers.processes import HOST, Server, http_answers

KINDS: dict[str, Callable[[Path], Server]] = {
    "tryton": peers.Tryton,
    "mailman": peers.Mailman,
    "postgres": peers.Postgres,
    "redis": peers.Redis,
    "vendure": peers.Vendure,
    "backoffice": peers.BackOffice,
}
each_system = pytest.mark.parametrize("system", KINDS)


def test_invented_people_are_valid_and_deterministic():
    everybody = people(400, seed=7)

    assert everybody == people(400, seed=7) != people(400, seed=8)
    assert len({messy_email(one.email, _first()).lower() for one in everybody}) == 400
    for one in everybody:
        for number in filter(None, (one.phone, one.mobile)):
            parsed = phonenumbers.parse(number, one.country)
            assert phonenumbers.is_valid_number(parsed), (one.country, number)
        assert one.vat is None or vat.is_valid(one.vat)
        assert one.email.rsplit("@")[1] in ("example.org", "example.com", "example.net")


@pytest.mark.e2e
def test_seeded_customers_are_read_back(module_tryton, module_mailman):
    seeded = seed(module_tryton, module_mailman, tryton=30, mailman=25, both=15)

    with TrytonDesk(module_tryton) as clerk, MailmanDesk(module_mailman) as owner:
        assert clerk.count() == len(seeded.parties) == 30
        assert owner.count() == len(seeded.members) == 25
        assert len(seeded.in_both) == 15
        for person in seeded.in_both:
            card = clerk.card(person.email)
            assert card.id == seeded.parties[person.number]
            assert card.city == person.city
            assert card.vat == person.vat
            found = [owner.member(m) for m in (person.email, person.second_email) if m]
            assert [m["member_id"] for m in found if m] == [seeded.members[person.number]]


@pytest.mark.e2e
def test_a_clerk_edits_a_party(tryton):
    with TrytonDesk(tryton) as clerk:
        party = clerk.add("Marie Dupont", email="Marie@Example.org", phone="02 555 01 01")
        clerk.rename("marie@example.org", "  DUPONT  marie")
        clerk.change_phone(party, "0475/12.34.56")
        clerk.change_mobile(party, "+32 475 99 99 99")
        clerk.change_email(party, "new@example.org")

        card = clerk.card("NEW@example.org")
        assert (card.id, card.name) == (party, "  DUPONT  marie")
        assert (card.phones, card.mobiles) == (("0475/12.34.56",), ("+32 475 99 99 99",))
        assert clerk.find("marie@example.org") is None

        clerk.deactivate(party)
        assert not clerk.card(party).active
        assert clerk.count() == 0
        clerk.delete(party)
        assert clerk.find("new@example.org") is None


@pytest.mark.e2e
def test_a_list_owner_edits_a_member(mailman):
    with MailmanDesk(mailman) as owner:
        member = owner.subscribe("Ada@Example.org", "Ada  Example")
        owner.rename("ada@example.org", "Ada O'Brien")
        owner.change_address("ada@example.org", "ada.new@example.org")

        found = owner.member("ada.new@example.org")
        assert found is not None
        assert (found["member_id"], found["display_name"]) == (member, "Ada O'Brien")
        assert owner.user("ada@example.org") is None

        owner.unsubscribe("ada.new@example.org")
        assert owner.count() == 0
        assert owner.user("ada.new@example.org") is not None
        owner.erase("ada.new@example.org")
        assert owner.user("ada.new@example.org") is None


@pytest.mark.e2e
def test_strict_tryton_rewrites_phone_numbers_and_refuses_local_ones(tmp_path):
    with peers.tryton(tmp_path, strict_phones=True) as erp, TrytonDesk(erp) as clerk:
        party = clerk.add("A", phone="+32475123456")
        assert clerk.card(party).phones == ("+32 475 12 34 56",)
        with pytest.raises(peers.PeerError, match="not valid"):
            clerk.add("B", phone="02 555 01 01")


@pytest.mark.e2e
@each_system
def test_only_loopback_is_served_and_nothing_is_left(system, tmp_path):
    with KINDS[system](tmp_path) as server:
        assert server.pid is not None
        started = _group(server.pid)
        listeners = _listeners(started)
        assert listeners == {(HOST, server.port)}
    for _ in range(100):
        if not _group(started[0]):
            break
        time.sleep(0.05)
    assert _group(started[0]) == []
    assert _listening_on(server.port) == set()


@pytest.mark.e2e
@pytest.mark.parametrize("system", [name for name in KINDS if name != "redis"])  # it keeps nothing
def test_data_and_port_survive_a_stop(system, tmp_path):
    server = KINDS[system](tmp_path)
    try:
        server.start()
        port = server.port
        _leave_a_trace(server)
        server.stop()
        assert not server.running
        server.start()
        assert server.port == port
        assert _has_the_trace(server)
    finally:
        server.close()


@pytest.mark.e2e
def test_servers_end_with_their_owner(tmp_path):
    """Even when the owner is killed and can clean up nothing."""
    code = (
        "import sys; from examples import peers\n"
        "server = peers.postgres(sys.argv[1]).start()\n"
        "print(server.pid, server.port, server.data.parent, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    pid, port, data = owner.stdout.readline().split()
    assert _listening_on(int(port))
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    shutil.rmtree(data)


@pytest.mark.e2e
def test_somebody_else_who_answers_at_its_port_is_not_the_server():
    with Simulator(Profile(name="other", auth="bearer")) as other:
        url = f"{other.url}/customers"
        assert http_answers(url), "somebody is there"
        assert not http_answers(url, {"Authorization": "Basic dXM6bWU="}), "who does not know us"


def test_a_failed_start_shows_the_log_and_what_to_do(tmp_path, postgres_server):
    taken = peers.Postgres(tmp_path, port=postgres_server.port)
    try:
        with pytest.raises(peers.PeerError, match=r"(?s)could not bind.*Is the port in use"):
            taken.start()
    finally:
        taken.close()


@pytest.mark.e2e
def test_parallel_installs_wait_for_each_other():
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(peers.INSTALLERS["mailman"]()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1


@pytest.mark.integration
def test_postgres_keeps_what_it_commits(postgres_url):
    with _connect(postgres_url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


@pytest.mark.debian
def test_debian_postgres_is_another_version_than_the_wheels(debian_postgres_url, postgres_url):
    versions = []
    for url in (debian_postgres_url, postgres_url):
        with _connect(url) as connection:
            row = connection.execute("SELECT version()").fetchone()
            assert row is not None
            versions.append(str(row[0]))
    assert "Debian" in versions[0]
    assert versions[0] != versions[1]


def _first():
    import random

    return random.Random(0)


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))


def _leave_a_trace(server: Server) -> None:
    if isinstance(server, peers.Tryton):
        with TrytonDesk(server) as clerk:
            clerk.add("Trace", email="trace@example.org")
    elif isinstance(server, peers.Mailman):
        with MailmanDesk(server) as owner:
            owner.subscribe("trace@example.org")
    elif isinstance(server, peers.BackOffice):
        peers.Clerk(server).add(name="Trace")
    elif isinstance(server, peers.Postgres):
        with _connect(server.url) as connection:
            connection.execute("CREATE TABLE trace ()")
    elif isinstance(server, peers.Vendure):
        trace = {"firstName": "", "lastName": "Trace", "emailAddress": "trace@example.org"}
        peers.VendureClient(server)(
            "mutation($input: CreateCustomerInput!) { createCustomer(input: $input) { __typename } }",
            input=trace,
        )


def _has_the_trace(server: Server) -> bool:
    if isinstance(server, peers.Tryton):
        with TrytonDesk(server) as clerk:
            return clerk.find("trace@example.org") is not None
    if isinstance(server, peers.Mailman):
        with MailmanDesk(server) as owner:
            return owner.count() == 1
    if isinstance(server, peers.Vendure):
        customers = peers.VendureClient(server)("{ customers { totalItems } }")["customers"]
        return bool(customers["totalItems"] == 1)
    if isinstance(server, peers.BackOffice):
        return [one["name"] for one in peers.Clerk(server).all().values()] == ["Trace"]
    assert isinstance(server, peers.Postgres)
    with _connect(server.url) as connection:
        return connection.execute("SELECT to_regclass('trace')").fetchone() != (None,)


def _group(leader: int) -> list[int]:
    """The leader and all its descendants that still run."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents.setdefault(int(parent), []).append(int(folder.name))
    found, todo = [], [leader]
    while todo:
        process = todo.pop()
        if Path(f"/proc/{process}").exists():
            found.append(process)
        todo += parents.get(process, [])
    return found


def _listeners(processes: list[int]) -> set[tuple[str, int]]:
    inodes = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").iterdir():
            try:
                inodes.add(os.readlink(link))  # noqa: PTH115 - sockets are no paths
            except OSError:
                continue
    return {(host, port) for host, port, inode in _sockets() if f"socket:[{inode}]" in inodes}


def _listening_on(port: int) -> set[str]:
    return {host for host, number, _ in _sockets() if number == port}


def _sockets() -> list[tuple[str, int, str]]:
    """Listening TCP sockets of this machine: address, port, inode."""
    found = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "0" * 24 + "01000000")):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                host = HOST if address == loopback else address
                found.append((host, int(port, 16), fields[9]))
    return found

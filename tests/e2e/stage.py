"""The stage of the whole path: a real ERP and a real mailing list behind proxies, people at their desks, and a hub."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import yaml

import mappings
from connectors.runtime.connection import Connection, as_variable, variable
from connectors.testing.faults import Trouble
from connectors.testing.proxy import Proxy
from crm_master import bootstrap, entrypoints
from crm_master.domain.lifecycle import TaskKind
from examples import peers
from examples.demo.desks import MailmanDesk, TrytonDesk

ERP, LIST = "erp", "mailing"
PARTIES, SUBSCRIBERS = f"{ERP}/parties", f"{LIST}/subscribers"
POLICIES = Path(mappings.__file__).parent / "policies" / "customer.yaml"
CONSENTED = {"when": {"email": "present", "consent_email.status": "granted"}}


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer who is in both systems and on the list."""

    name: str
    email: str
    party: int
    user: str
    member: str

    @property
    def in_erp(self) -> str:
        return f"{PARTIES}/{self.party}"

    @property
    def on_list(self) -> str:
        return f"{SUBSCRIBERS}/{self.user}"


class Played(Protocol):
    """Systems that a hub can be set up over."""

    def connections(self) -> dict[str, Connection]: ...

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]: ...

    def forget_calls(self) -> None: ...

    @property
    def writes(self) -> list[Any]: ...


class Stage:
    """Both systems. The desks go to them directly, a hub through the proxies."""

    def __init__(self, erp: peers.Tryton, lists: peers.Mailman) -> None:
        self.erp, self.lists = erp, lists
        self.to_erp = Proxy(erp.port)
        # Mailman documents POST /members/find (and its kin) as searches; nothing else is named so.
        self.to_list = Proxy(lists.port, searches=r"/find$")
        self.clerk, self.owner = TrytonDesk(erp), MailmanDesk(lists)
        self._rpc = peers.TrytonClient(erp)
        self._numbers = itertools.count(1)
        self._phones = itertools.count(1)

    def close(self) -> None:
        for part in (self.to_erp, self.to_list, self.clerk, self.owner, self._rpc):
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def nobody(self) -> tuple[str, str]:
        """Name and address of somebody whom no system knows."""
        number = next(self._numbers)
        return f"Story Teller{number}", f"story.teller{number}@example.org"

    def customer(self) -> Customer:
        """Somebody new whom both systems know and agree about, as far as a hub is not asked."""
        name, email = self.nobody()
        party = self.party(name, email, newsletter=True)
        member = self.owner.subscribe(email, name)
        return Customer(name, email, party, self.user_id(email), member)

    def party(self, name: str, email: str, *, newsletter: bool = False) -> int:
        """A party that the clerk makes."""
        phone = f"02 5{next(self._phones):02d} 34 56"
        party = self.clerk.add(name, email=email, phone=phone)
        if newsletter:
            change = {"categories": [["add", [self.erp.newsletter]]]}
            self._rpc.model("party.party", "write", [party], change)
        return party

    def parties_coded(self, code: str) -> list[int]:
        """The parties with this code."""
        found: list[int] = self._rpc.model("party.party", "search", [["code", "=", code]])
        return found

    def parties_of(self, email: str) -> list[int]:
        """All parties with this address."""
        domain = [["contact_mechanisms.value", "ilike", email], ["active", "in", [True, False]]]
        found: list[int] = self._rpc.model("party.party", "search", domain)
        return found

    def addresses(self, party: int) -> list[dict[str, Any]]:
        """The addresses of a party, in its order."""
        ids = self._rpc.model("party.address", "search", [["party", "=", party]])
        fields = ["street", "city", "postal_code", "party_name"]
        found: list[dict[str, Any]] = self._rpc.model("party.address", "read", ids, fields)
        return sorted(found, key=lambda one: int(one["id"]))

    def edit_address(self, address: int, **changes: Any) -> None:
        self._rpc.model("party.address", "write", [address], changes)

    def user_id(self, email: str) -> str:
        user = self.owner.user(email)
        assert user is not None, f"nobody on the list's side has {email}"
        return str(user["user_id"])

    def list_name(self, email: str) -> str:
        user = self.owner.user(email)
        assert user is not None
        return str(user["display_name"])

    def connections(self) -> dict[str, Connection]:
        """How a hub reaches the systems."""
        return {
            "concord_erp": Connection(self.to_erp.url, None, self.erp.key),
            "concord_mailing": Connection(
                self.to_list.url, self.lists.user_name, self.lists.password
            ),
        }

    def systems(self, join: str, create_in_erp: Any) -> dict[str, Any]:
        """The systems of a hub's file, in their rank."""
        params = {
            "database": self.erp.database,
            "newsletter": self.erp.newsletter,
            "overlap": 5,
        }
        return {
            ERP: {
                "system": "tryton",
                "connection": "concord_erp",
                "params": params,
                "join": join,
                "streams": {"parties": {"create": create_in_erp}},
            },
            LIST: {
                "system": "mailman",
                "connection": "concord_mailing",
                "params": {"list": self.lists.list_id},
                "join": join,
                "streams": {"subscribers": {"create": CONSENTED}},
            },
        }

    def forget_calls(self) -> None:
        self.to_erp.clear()
        self.to_list.clear()

    @property
    def writes(self) -> list[Any]:
        """Every call through a proxy that may have changed something."""
        return [*self.to_erp.writes, *self.to_list.writes]


@dataclass
class Clock:
    """The hub's clock. Time passes when a test says so."""

    real: Any
    ahead: int = 0

    def __call__(self) -> int:
        return int(self.real()) + self.ahead

    def pass_by(self, seconds: float) -> None:
        self.ahead += int(seconds * 1_000_000)


@dataclass
class Hub:
    """A deployment of a test's own."""

    stage: Played
    home: Path
    clock: Clock
    opened: list[entrypoints.App] = field(default_factory=list)

    @property
    def app(self) -> entrypoints.App:
        if not self.opened:
            connections = self.stage.connections()
            self.opened.append(
                entrypoints.open_app(self.home, connections.__getitem__, {}, self.clock)
            )
        return self.opened[0]

    def restart(self) -> None:
        """The process ends; another begins over the same deployment."""
        while self.opened:
            self.opened.pop().store.close()

    # --- verbs -------------------------------------------------------------------------------

    def sync(self) -> dict[str, dict[str, int]]:
        """One round; the sums of its counts by verb and target."""
        sums: dict[str, dict[str, int]] = {}
        for ran in entrypoints.sync(self.app):
            counts = sums.setdefault(f"{ran.verb} {ran.target}", {})
            for name, number in ran.counts.items():
                counts[name] = counts.get(name, 0) + number
        return sums

    def read(self) -> None:
        """Read both systems and reconcile; write nothing."""
        entrypoints.ingest(self.app, ERP, "parties")
        entrypoints.ingest(self.app, LIST, "subscribers")
        entrypoints.reconcile(self.app, "customer")

    def command(self, *words: str) -> subprocess.Popen[str]:
        """``concord``, as a process of its own."""
        texts = {variable(name): as_variable(at) for name, at in self.stage.connections().items()}
        return subprocess.Popen(
            [sys.executable, "-m", "crm_master.cli", "--home", str(self.home), *words],
            env=os.environ | texts | {"CONCORD_USER": "steward"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def concord(self, *words: str) -> tuple[int, str]:
        """Exit status and output of ``concord``; it must show no trace."""
        with self.command(*words) as process:
            out, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return process.returncode, out + err

    # --- what it knows -----------------------------------------------------------------------

    def show(self, name: str) -> dict[str, Any]:
        return entrypoints.show(self.app, name)

    def golden(self, name: str) -> dict[str, Any]:
        return {part: facts["value"] for part, facts in self.show(name)["fields"].items()}

    def tasks(self, kind: TaskKind, about: str) -> list[dict[str, Any]]:
        """The open tasks of a kind whose subject holds ``about``."""
        every = entrypoints.tasks(self.app, dead=kind is TaskKind.DEAD_LETTER)
        return [task for task in every if task["kind"] == kind.value and about in task["subject"]]

    def versions(self) -> dict[str, int]:
        """The version of every golden record."""
        with self.app.store() as uow:
            found: dict[str, int] = {}
            for entity in self.app.hub.entities:
                after = ""
                while page := uow.customers.scan(entity, after, 500):
                    found |= {customer.id: customer.version for customer in page}
                    after = page[-1].id
            return found

    def assert_at_rest(self) -> None:
        """Another round writes nothing and makes no version; all is as it should be, and can be made again."""
        versions = self.versions()
        self.stage.forget_calls()
        self.sync()
        assert self.stage.writes == []
        assert self.versions() == versions
        verdict = entrypoints.verify(self.app)
        assert verdict.converged, verdict.as_dict()
        assert self.stage.writes == []
        self.assert_rebuilt()

    def assert_rebuilt(self) -> None:
        """The journal gives the same golden records again."""
        rebuilt = entrypoints.rebuild(self.app)
        assert rebuilt.equal, rebuilt.different
        assert rebuilt.compared == len(self.versions())


Deploy = Callable[..., Hub]
"""Makes the hub of a test, with the options of ``deployed``."""


@contextmanager
def deployed(
    stage: Played,
    home: Path,
    *,
    policies: Mapping[str, Any] | None = None,
    join: str = "auto",
    create_in_erp: Any = "nobody",
) -> Iterator[Hub]:
    """A hub over both systems, with ``policies`` for some fields in a policy file of its own."""
    home.mkdir(parents=True, exist_ok=True)
    systems = stage.systems(join, create_in_erp)
    hub = {"name": "path", "rank": list(systems), "systems": systems}
    (home / "hub.yaml").write_text(yaml.safe_dump(hub, sort_keys=False), encoding="utf-8")
    if policies:
        policy = yaml.safe_load(POLICIES.read_text(encoding="utf-8"))
        policy["fields"] |= policies
        (home / "policies").mkdir(exist_ok=True)
        text = yaml.safe_dump(policy, sort_keys=False)
        (home / "policies" / "customer.yaml").write_text(text, encoding="utf-8")
    clock = Clock(bootstrap.now)
    found = Hub(stage, home, clock)
    entrypoints.init(found.app)
    stage.forget_calls()
    try:
        yield found
    finally:
        found.restart()


def through(hub: Hub, proxy: Proxy) -> None:
    """Rounds until the trouble that was asked for has come, and one has gone well after it."""
    for _ in range(5):
        met = not proxy.losing
        hub.clock.pass_by(300)
        with contextlib.suppress(*entrypoints.EXPECTED):
            hub.sync()
            if met:
                return
    raise AssertionError("rounds keep failing, or never meet the trouble")


def titled(trouble: tuple[Trouble, bool]) -> str:
    what, after = trouble
    return f"{what}{' after' if after else ''}"

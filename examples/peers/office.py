"""A legacy back office, ERP and contact centre in one, that speaks SOAP: npm's `soap` on Node serves our WSDL."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from examples.peers import node
from examples.peers.installing import HERE, PROJECT, PeerError, locked
from examples.peers.processes import HOST, Server, http_answers

WSDL = PROJECT / "connectors" / "systems" / "backoffice.wsdl"
SERVER = node.NPM / "backoffice" / "server.js"


class BackOffice(Server):
    """The SOAP service at `<url>/backoffice`, and a clerk's own door, which no hub uses."""

    name = "backoffice"
    user_name = "hub"
    password = "office-secret-1"
    poll_seconds = 0.02

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _prepare(self) -> list[str]:
        node_program, packages = install()
        # Node looks for packages beside the script.
        script = packages / "server.js"
        if not script.exists() or script.read_bytes() != SERVER.read_bytes():
            script.write_bytes(SERVER.read_bytes())
        store = self.workdir / "store.json"
        options = [str(WSDL), str(store), str(self.port), self.user_name, self.password]
        return [str(node_program), str(script), *options]

    def _answers(self) -> bool:
        return http_answers(f"{self.url}/backoffice?wsdl")


class PhpBackOffice(BackOffice):
    """The same office on PHP's SoapServer (Debian's php-cli and php-soap)."""

    name = "backoffice-php"

    def _prepare(self) -> list[str]:
        program = shutil.which("php")
        if program is None:
            raise PeerError("There is no PHP here: run `make test-debian` as root.")
        settings = {
            "wsdl": WSDL,
            "store": self.workdir / "store.json",
            "login": self.user_name,
            "password": self.password,
        }
        given = [
            part for name, value in settings.items() for part in ("-d", f"office.{name}={value}")
        ]
        return [program, *given, "-S", f"{HOST}:{self.port}", str(HERE / "php" / "backoffice.php")]


def install() -> tuple[Path, Path]:
    """Node, and the folder with the packages."""
    with locked("backoffice"):
        return node.node(), node.packages("backoffice")


class Clerk:
    """Somebody who works in the back office itself."""

    def __init__(self, office: BackOffice) -> None:
        self._url = f"{office.url}/clerk"

    def _do(self, verb: str, **what: Any) -> Any:
        body = json.dumps({"verb": verb, **what}).encode()
        try:
            with urllib.request.urlopen(self._url, body, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise PeerError(f"The back office answered {error.code} to a clerk.") from None

    def all(self, what: str = "customers") -> dict[str, dict[str, Any]]:
        """Every record, by its key."""
        found: dict[str, dict[str, Any]] = self._do("all")[what]
        return found

    def reset(self) -> None:
        """An empty office."""
        self._do("reset")

    def add(self, what: str = "customers", **fields: Any) -> dict[str, Any]:
        """A new record."""
        made: dict[str, Any] = self._do("add", what=what, fields=fields)
        return made

    def edit(self, key: int, what: str = "customers", **fields: Any) -> dict[str, Any]:
        """A changed record."""
        now: dict[str, Any] = self._do("edit", what=what, key=key, fields=fields)
        return now

    def restamp(self, key: int, changed: str, what: str = "customers") -> None:
        """Set when a record was changed."""
        self._do("restamp", what=what, key=key, fields={"changed": changed})

    def remove(self, key: int, what: str = "customers") -> None:
        """A record goes."""
        self._do("remove", what=what, key=key)

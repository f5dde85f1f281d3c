"""Tryton 8.2: a real ERP on SQLite, reached over JSON-RPC and REST."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

from examples.peers.installing import (
    HERE,
    PeerError,
    build_once,
    environment,
    fingerprint,
    home,
    locked,
    run,
    say,
)
from examples.peers.processes import HOST, Server, http_answers

MODULES = [
    "party",
    "company",
    "product",
    "account",
    "account_invoice",
    "stock",
    "sale",
    "marketing",
    "marketing_email",
]
BASE = HERE / "tryton_base.py"
# Tryton validates and reformats phone numbers only where the library is installed. Many sites
# run without it, so both behaviours are worth meeting.
_LENIENT = "import sys; sys.modules['phonenumbers'] = None; "
_SERVE = "from trytond.cli import main; main()"


class Tryton(Server):
    """A Tryton server with its own copy of the prepared database.

    `strict_phones=False` leaves phone numbers as they were typed; `True` refuses invalid ones and
    rewrites valid ones in international format, as Tryton does with `phonenumbers` installed.
    """

    name = "tryton"
    database = "peers"
    user_name = "admin"
    password = "admin-secret-1"

    def __init__(
        self,
        workdir: Path | str | None = None,
        *,
        port: int | None = None,
        strict_phones: bool = False,
    ) -> None:
        super().__init__(workdir, port=port)
        self.strict_phones = strict_phones
        self._template, self._venv = install()
        facts = json.loads((self._template / "facts.json").read_text())
        self.key: str = facts["key"]
        self.company: int = facts["company"]
        self.company_party: int = facts["company_party"]
        self.newsletter: int = facts["newsletter"]
        self.product: int = facts["product"]
        self.unit: int = facts["unit"]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def rest_url(self) -> str:
        """Where models live: `<rest_url>/party.party`."""
        return f"{self.url}/{self.database}/rest/model"

    @property
    def headers(self) -> dict[str, str]:
        """What every REST request needs: the application key, and the company to work in."""
        context = base64.urlsafe_b64encode(json.dumps({"company": self.company}).encode()).decode()
        return {"Authorization": f"Bearer {self.key}", "X-Tryton-Context": context}

    def _prepare(self) -> list[str]:
        data = self.workdir / f"{self.database}.sqlite"
        if not data.exists():
            shutil.copyfile(self._template / data.name, data)
        config = _write_config(self.workdir, listen=f"{HOST}:{self.port}")
        code = _SERVE if self.strict_phones else _LENIENT + _SERVE
        python = str(self._venv / "bin" / "python")
        return [python, "-c", code, "-c", str(config), "-d", self.database]

    def _answers(self) -> bool:
        return http_answers(f"{self.rest_url}/party.category?s=1", self.headers)


def install() -> tuple[Path, Path]:
    """The prepared database's folder and the environment; makes what is not there yet."""
    with locked("tryton"):
        venv = environment("tryton")
        # The fiscal year belongs to a calendar year: a template of last year would refuse invoices.
        year = str(dt.datetime.now(dt.UTC).year)
        mark = fingerprint(HERE / "tryton.lock", BASE, Path(__file__), year)
        template = home("tryton") / f"template-{mark}"
        for outdated in home("tryton").glob("template-*"):
            if outdated != template:
                shutil.rmtree(outdated, ignore_errors=True)
        return build_once(template, lambda draft: _build(draft, venv)), venv


def _build(draft: Path, venv: Path) -> None:
    say("tryton: preparing the database (about half a minute)")
    python = str(venv / "bin" / "python")
    config = _write_config(draft, listen=f"{HOST}:0")
    (draft / f"{Tryton.database}.sqlite").touch()
    (draft / "password").write_text(Tryton.password + "\n")
    admin = [python, str(venv / "bin" / "trytond-admin"), "-c", str(config), "-d", Tryton.database]
    environ = {"TRYTONPASSFILE": str(draft / "password")}
    run([*admin, "--all", "--email", "admin@example.com"], cwd=draft, env=environ)
    run([*admin, "-u", *MODULES, "--activate-dependencies"], cwd=draft)
    facts = draft / "facts.json"
    run([python, str(BASE), str(config), Tryton.database, str(facts)], cwd=draft)
    if not facts.exists():
        raise PeerError(f"{BASE.name} wrote no facts; read it and run the installation again.")


def _write_config(folder: Path, *, listen: str) -> Path:
    path = folder / "trytond.conf"
    path.write_text(
        f"[database]\nuri = sqlite://\npath = {folder}\n"
        f"[web]\nlisten = {listen}\n"
        "[session]\nauthentications = password\n"
    )
    return path


class TrytonClient:
    """Tryton's JSON-RPC as a session of its web client uses it: one call, many records."""

    def __init__(self, erp: Tryton) -> None:
        import http.client

        self._erp = erp
        self._http = http.client.HTTPConnection(HOST, erp.port, timeout=60)
        self._session: dict[str, str] = {}
        user, token = self.call("common.db.login", erp.user_name, {"password": erp.password})[:2]
        name = base64.b64encode(f"{erp.user_name}:{user}:{token}".encode()).decode()
        self._session = {"Authorization": f"Session {name}"}
        self.context: dict[str, Any] = self.call("model.res.user.get_preferences", True, {})

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json", **self._session}
        self._http.request("POST", f"/{self._erp.database}/rpc/", body, headers)
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise PeerError(f"Tryton answered {answer.status} to {method}: {text[:300]!r}")
        result = json.loads(text)
        if "error" in result:
            raise PeerError(f"Tryton refused {method}: {result['error'][:2]}")
        return result["result"]

    def model(self, model: str, method: str, *params: Any) -> Any:
        return self.call(f"model.{model}.{method}", *params, self.context)

    def close(self) -> None:
        self._http.close()

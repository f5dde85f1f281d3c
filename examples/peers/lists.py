"""Mailman 3.3 core: a real mailing-list manager on SQLite, reached over its REST API."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import urllib.parse
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
    say,
)
from examples.peers.processes import HOST, Server, http_answers

DOMAIN = "lists.example.org"
LIST = f"news@{DOMAIN}"
LIST_ID = f"news.{DOMAIN}"
# Only REST is served: without these nothing is delivered and no SMTP or LMTP port is opened.
OFF = "archive bad bounces command digest in lmtp nntp out pipeline retry shunt task virgin"


class Mailman(Server):
    """A Mailman core with its own data, the domain lists.example.org and one list, news."""

    name = "mailman"
    user_name = "restadmin"
    password = "admin-secret-1"
    list_name = LIST
    list_id = LIST_ID

    def __init__(
        self,
        workdir: Path | str | None = None,
        *,
        port: int | None = None,
        _unprepared: Path | None = None,
    ) -> None:
        super().__init__(workdir, port=port)
        self._template: Path | None
        # While the template is being made there is only the environment to start from.
        self._template, self._venv = (None, _unprepared) if _unprepared else install()

    @property
    def url(self) -> str:
        """The API's root: `<url>/users`."""
        return f"http://{HOST}:{self.port}/3.1"

    @property
    def headers(self) -> dict[str, str]:
        token = base64.b64encode(f"{self.user_name}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def _prepare(self) -> list[str]:
        var = self.workdir / "var"
        if not var.exists() and self._template is not None:
            shutil.copytree(self._template / "var", var)
        (var / "etc").mkdir(parents=True, exist_ok=True)
        for lock in [*var.glob("locks/*"), *var.glob("master.*")]:
            lock.unlink()  # of a server that was killed
        config = self.workdir / "mailman.cfg"
        config.write_text(
            "[mailman]\nlayout: here\nsite_owner: owner@example.org\n"
            f"[paths.here]\nvar_dir: {var}\n"
            f"[webservice]\nhostname: {HOST}\nport: {self.port}\nuse_https: no\nworkers: 1\n"
            f"admin_user: {self.user_name}\nadmin_pass: {self.password}\n"
            f"[mta]\nincoming: mailman.mta.null.NullMTA\nsmtp_host: {HOST}\nsmtp_port: 9\n"
            f"[database]\nurl: sqlite:///{var / 'mailman.db'}\n"
            + "".join(f"[runner.{runner}]\nstart: no\n" for runner in OFF.split())
        )
        python = str(self._venv / "bin" / "python")
        return [python, str(self._venv / "bin" / "master"), "--force", "-C", str(config)]

    def _answers(self) -> bool:
        return http_answers(f"{self.url}/lists?count=1&page=1", self.headers)


def install() -> tuple[Path, Path]:
    """The prepared data's folder and the environment; makes what is not there yet."""
    with locked("mailman"):
        venv = environment("mailman")
        template = (
            home("mailman") / f"template-{fingerprint(HERE / 'mailman.lock', Path(__file__))}"
        )
        for outdated in home("mailman").glob("template-*"):
            if outdated != template:
                shutil.rmtree(outdated, ignore_errors=True)
        return build_once(template, lambda draft: _build(draft, venv)), venv


def _build(draft: Path, venv: Path) -> None:
    say("mailman: preparing the database")
    with Mailman(draft, _unprepared=venv) as lists:
        client = MailmanClient(lists)
        client.post("/domains", mail_host=DOMAIN)
        client.post("/lists", fqdn_listname=LIST)
        client.close()


class MailmanClient:
    """Mailman's REST API: form bodies in, JSON out."""

    def __init__(self, lists: Mailman) -> None:
        self._lists = lists
        self._http = http.client.HTTPConnection(HOST, lists.port, timeout=60)

    def request(self, method: str, path: str, form: dict[str, Any]) -> tuple[int, str | None, Any]:
        """The status, the address of what was made, and the decoded answer."""
        path = path.removeprefix(self._lists.url)
        body = urllib.parse.urlencode(form) if form else None
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._lists.headers}
        self._http.request(method, "/3.1" + path, body, headers)
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise MailmanRefusal(answer.status, f"{method} {path}", text.decode(errors="replace"))
        return answer.status, answer.headers.get("Location"), json.loads(text) if text else None

    def get(self, path: str) -> Any:
        return self.request("GET", path, {})[2]

    def post(self, path: str, **form: Any) -> str | None:
        """The path of what was made, if the answer names it."""
        return self.request("POST", path, form)[1]

    def patch(self, path: str, **form: Any) -> None:
        self.request("PATCH", path, form)

    def delete(self, path: str) -> None:
        self.request("DELETE", path, {})

    def subscribe(self, email: str, display_name: str = "") -> str:
        """The new member's path. An unknown address brings its user into being."""
        path = self.post(
            "/members",
            list_id=self._lists.list_id,
            subscriber=email,
            display_name=display_name,
            pre_verified="true",
            pre_confirmed="true",
            pre_approved="true",
            send_welcome_message="false",
        )
        if path is None:
            raise PeerError(f"Mailman did not subscribe {email} at once.")
        return path

    def close(self) -> None:
        self._http.close()


class MailmanRefusal(PeerError):
    """Mailman answered 4xx or 5xx."""

    def __init__(self, status: int, request: str, text: str) -> None:
        super().__init__(f"Mailman answered {status} to {request}: {text[:300]}")
        self.status = status

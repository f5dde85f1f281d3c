"""Request Tracker from Debian's packages: a service desk over REST 2, on a database of its own.

The packaged configuration and its services are left alone.
"""

from __future__ import annotations

import base64
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from examples.peers.installing import PeerError, build_once, fingerprint, home, locked, run
from examples.peers.processes import HOST, Server, http_answers

PROGRAM = Path("/usr/share/request-tracker5/libexec/standalone_httpd")
SETUP = "/usr/sbin/rt-setup-database-5"
FIELDS = ("Key", "Number", "Channel", "Kind", "Reply")
_CONFIG = """use utf8;
Set($rtname, 'example.org');
Set($Organization, 'example.org');
Set($WebDomain, '{host}');
Set($WebPort, {port});
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rt.sqlite3');
Set($Timezone, 'Europe/Brussels');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'warning');
Set($MailCommand, 'testfile');
Set($WebSessionClass, 'Apache::Session::File');
# each request proves its password anew: in a test that need not be slow
Set($BcryptCost, 4);
1;
"""
# What a deployment's administrator sets up: the fields, the channel of what comes by mail, and who the hub is.
_INITIAL = """
our @CustomFields = map {{ {{
    Name => $_, Type => 'FreeformSingle', Queue => 0,
    LookupType => 'RT::Queue-RT::Ticket' . ($_ eq 'Reply' ? '-RT::Transaction' : ''),
}} }} qw({fields});
our @Users = ({{ Name => '{user}', Password => '{password}', Privileged => 1, Timezone => 'UTC',
    EmailAddress => 'hub@localhost' }});
our @ACL = ({{ Right => 'SuperUser', UserId => '{user}' }});
our @Final = (sub {{
    my $queue = RT::Queue->new(RT->SystemUser);
    $queue->Load('General');
    my $field = RT::CustomField->new(RT->SystemUser);
    $field->LoadByName(Name => 'Channel', LookupType => 'RT::Queue-RT::Ticket');
    $field->SetDefaultValues(Object => $queue, Values => 'email');
}});
"""


class RequestTracker(Server):
    """A new desk with one queue, General, and the custom fields of tickets that Concord asks for."""

    name = "tracker"
    user_name = "hub"
    password = "tracker-secret-1"
    queue = "General"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _prepare(self) -> list[str]:
        database = self.workdir / "rt.sqlite3"
        if not database.exists():
            shutil.copyfile(_database(self.user_name, self.password) / "rt.sqlite3", database)
        return ["/usr/bin/env", *_settings(self.workdir, self.port), str(PROGRAM), *self._listen()]

    def _listen(self) -> list[str]:
        return ["--host", HOST, "--port", str(self.port)]

    def _answers(self) -> bool:
        return http_answers(f"{self.url}/REST/2.0/rt")


def _settings(folder: Path, port: int) -> list[str]:
    config = folder / "RT_SiteConfig.pm"
    (folder / "conf.d").mkdir(exist_ok=True)
    config.write_text(_CONFIG.format(host=HOST, port=port, folder=folder))
    return [f"RT_SITE_CONFIG={config}", f"RT_SITE_CONFIG_DIR={folder / 'conf.d'}"]


def _database(user: str, password: str) -> Path:
    """A folder with the database of a new desk, made once."""
    if not PROGRAM.exists():
        raise PeerError("Request Tracker is not installed here: run `make test-debian` as root.")
    initial = _INITIAL.format(fields=" ".join(FIELDS), user=user, password=password)
    version = run(["dpkg-query", "-W", "-f", "${Version}", "request-tracker5"])

    def build(folder: Path) -> None:
        (folder / "initial.pl").write_text(initial)
        setup = ["/usr/bin/env", *_settings(folder, 80), SETUP, "--skip-create"]
        run([*setup, "--action", "init"])
        run([*setup, "--action", "insert", "--datafile", str(folder / "initial.pl")])

    with locked("tracker"):
        return build_once(home("tracker") / f"desk-{fingerprint(initial, _CONFIG, version)}", build)


class Agent:
    """Somebody who works at the desk, in the desk's own words; also what mail brings to it."""

    def __init__(self, desk: RequestTracker) -> None:
        self._base = f"{desk.url}/REST/2.0"
        pair = f"{desk.user_name}:{desk.password}".encode()
        self._credentials = "Basic " + base64.b64encode(pair).decode()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to one request; raises ``PeerError`` for a refusal."""
        request = urllib.request.Request(
            self._base + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": self._credentials, "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise PeerError(f"{method} {path} answered {error.code} to an agent.") from None
        return json.loads(content) if content else None

    def fields(self) -> dict[str, int]:
        """The ids of the custom fields, by name."""
        wanted = json.dumps([{"field": "Name", "value": name} for name in FIELDS])
        path = "/customfields?" + urllib.parse.urlencode({"query": wanted, "fields": "Name"})
        return {row["Name"]: int(row["id"]) for row in self.call("GET", path)["items"]}

    def open(self, subject: str, requestor: str = "", **more: Any) -> int:
        """A new ticket, as a mail by that address makes it."""
        given = {"Requestor": requestor} if requestor else {}
        made = self.call(
            "POST", "/ticket", {"Queue": "General", "Subject": subject, **given, **more}
        )
        return int(made["id"])

    def ticket(self, number: int) -> dict[str, Any]:
        """A ticket as RT shows it."""
        found: dict[str, Any] = self.call("GET", f"/ticket/{number}")
        return found

    def edit(self, number: int, **fields: Any) -> None:
        """Change a ticket."""
        self.call("PUT", f"/ticket/{number}", fields)

    def reply(self, number: int, text: str) -> None:
        """Answer a ticket."""
        body = {"Content": text, "ContentType": "text/plain"}
        self.call("POST", f"/ticket/{number}/correspond", body)

    def replies(self, number: int) -> list[int]:
        """The numbers of a ticket's replies, in order."""
        query = f"Type = 'Correspond' AND TicketId = {number}"
        path = "/transactions?" + urllib.parse.urlencode({"query": query, "orderby": "id"})
        return [int(row["id"]) for row in self.call("GET", path)["items"]]

    def tickets(self, query: str = "id > 0") -> list[int]:
        """The numbers of the tickets that a search finds."""
        body = {"query": query, "per_page": 100, "orderby": "id"}
        path = "/tickets?" + urllib.parse.urlencode(body)
        return [int(row["id"]) for row in self.call("GET", path)["items"]]

    def user(self, **fields: Any) -> int:
        """A new user who is no employee."""
        self.call("POST", "/user", {"Privileged": 0, **fields})
        return int(self.call("GET", f"/user/{fields['Name']}")["id"])


def params(fields: dict[str, int]) -> dict[str, int]:
    """What a hub has to be told of this desk."""
    return {f"{name.lower()}_field": fields[name] for name in FIELDS}

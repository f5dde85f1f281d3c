"""HTTP for all kinds of systems: one session, bounded in time and size, honest about lost answers.

A read is tried again. A write is sent once: when its answer is lost, it may have taken effect.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urljoin

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from connectors.errors import (
    BadAnswer,
    BadConfiguration,
    BadCredentials,
    RateLimited,
    RetryLater,
    Unreachable,
)
from connectors.runtime import jsonbody, redact
from connectors.runtime.auth import Authenticator
from connectors.runtime.broken import cause, never_left
from connectors.runtime.budget import Budget, Priority, TokenBucket, retry_after
from connectors.runtime.connection import Connection
from connectors.runtime.faults import verdict
from connectors.runtime.manifest import Fault, HttpManifest, Login, Verdict
from connectors.runtime.paths import get
from connectors.runtime.templates import render

Clock = Callable[[], datetime]
_REDIRECTS = (301, 302, 303, 307, 308)
_SAME_REQUEST = (307, 308)
_MOST_REDIRECTS = 3


class NotSent(Unreachable):
    """No connection was made: the request had no effect."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``template`` is the unfilled path: errors name it, never the filled one."""

    method: str
    path: str
    template: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    faults: tuple[Fault, ...] = ()
    priority: Priority = Priority.NORMAL
    parse: Callable[[bytes, str], jsonbody.Parsed] = jsonbody.parse
    """How its answer is read. Raises ``BadAnswer``."""
    brief: bool = False
    """Its answer must come to an end before a time-out is over; that of a long listing may take ten."""
    strict: bool = False
    """An answer of success that cannot be read is none: for kinds whose errors may come with status 200."""

    @property
    def name(self) -> str:
        return redact.request(self.method, self.template)


@dataclass(frozen=True)
class Answer:
    """A whole answer and what it means."""

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes
    verdict: Verdict
    retry_after: float | None = None
    message: str = field(default="", repr=False)
    """The system's own words about an error, not yet redacted."""
    parsed: jsonbody.Parsed | None = field(default=None, repr=False)
    """The body as it was read for the fault table, if it was."""

    @property
    def json(self) -> Any:
        """The body as plain JSON values; ``None`` for an empty one. Raises ``BadAnswer``."""
        return self._parsed.value

    @property
    def limited(self) -> bool:
        """Whether the system asks to slow down; a 503 that says for how long does, and closes the budget as a 429 does."""
        return self.status == 429 or (self.status == 503 and self.retry_after is not None)

    @property
    def clean(self) -> bool:
        """Whether every row of ``json`` is sure to be plain JSON."""
        return self._parsed.clean

    @cached_property
    def _parsed(self) -> jsonbody.Parsed:
        if self.parsed is not None:
            return self.parsed
        return (
            jsonbody.Parsed(None, True)
            if not self.body
            else self.request.parse(self.body, self.request.name)
        )

    @property
    def date(self) -> datetime | None:
        """The system's own clock, as far as it shows it."""
        try:
            return parsedate_to_datetime(self.headers.get("Date", "")).astimezone(UTC)
        except ValueError:
            return None


class Transport:
    """Sends requests to one system. Safe to share between threads."""

    def __init__(
        self,
        manifest: HttpManifest,
        connection: Connection,
        *,
        clock: Clock,
        budget: Budget | None = None,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        http = manifest.http
        self._http, self._faults, self._clock, self._sleep = http, manifest.faults, clock, sleep
        self._messages = (http.message,) if isinstance(http.message, str) else http.message or ()
        self._budget = budget or TokenBucket(
            manifest.limits, longest_wait=http.longest_wait, sleep=sleep, now=clock
        )
        base = connection.base_url.rstrip("/")
        if not base.startswith("http"):
            raise BadConfiguration(
                "This system answers over HTTP: set the connection to http(s)://host[:port][/path]."
            )
        self._base = base + ("/" + http.base.strip("/") if http.base.strip("/") else "")
        self._origin = _origin(self._base)
        self._connection = connection
        self._session = session or _session(self._base, connection)
        self._auth = Authenticator(manifest.auth, connection)
        self._patient = True

    @property
    def base(self) -> str:
        """The address that paths follow."""
        return self._base

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return "{}://{}:{}".format(*self._origin)

    def beside(self) -> Transport:
        """Another for reads that can be done without: connections of its own, the same credentials and budget.

        It tries once, and does not wait for the budget. To be closed.
        """
        other = copy.copy(self)
        other._session, other._patient = _session(self._base, self._connection), False
        return other

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def read(self, request: Request, attempts: int | None = None) -> Answer:
        """An answer to a request without effect, after as many attempts as the manifest allows.

        Raises ``connectors.errors``; gone, stale, exists and refused are verdicts of the answer.
        """
        most = attempts or (self._http.attempts if self._patient else 1)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._worth_another),
            stop=tenacity.stop_after_attempt(most),
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._read_once, request)

    def send(self, request: Request) -> Answer:
        """The answer to a request that may have an effect; sent once.

        Raises ``NotSent`` if it never left, ``Unreachable`` if its answer was lost, and
        ``RateLimited`` if the budget does not allow it.
        """
        return self._authorised(replace(request, brief=True))

    def _read_once(self, request: Request) -> Answer:
        answer = self._authorised(request)
        match answer.verdict:
            case Verdict.RETRY | Verdict.UNKNOWN:
                text = redact.request(request.method, request.template, answer.status)
                after = answer.retry_after
                pause = None if after is None else timedelta(seconds=after)
                kind = RateLimited if answer.limited else RetryLater
                raise kind(f"{text}.", retry_after=pause)
            case Verdict.BAD_CREDENTIALS:
                raise BadCredentials(
                    redact.request(request.method, request.template, answer.status)
                    + ": the system does not accept the credentials of this connection."
                )
            case _:
                return answer

    def _worth_another(self, error: BaseException) -> bool:
        if not isinstance(error, RetryLater):
            return False
        longest = timedelta(seconds=self._http.longest_wait)
        return error.retry_after is None or error.retry_after <= longest

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RetryLater) and error.retry_after is not None:
            return error.retry_after.total_seconds()
        jittered = tenacity.wait_random_exponential(multiplier=0.5, max=self._http.longest_wait)
        return jittered(state)

    def _authorised(self, request: Request) -> Answer:
        credentials, generation = self._auth.headers(self._login)
        answer = self._exchange(request, credentials)
        if answer.verdict is Verdict.BAD_CREDENTIALS and self._auth.renewable:
            self._auth.refused(generation)
            credentials, _ = self._auth.headers(self._login)
            answer = self._exchange(request, credentials)
        return answer

    def _login(self, login: Login, secrets: dict[str, Any]) -> Any:
        method, path = login.call.split(" ", 1)
        body, kind = encode_body(render(login.body, secrets, strict=True), login.format)
        headers = {**login.headers, **({"Content-Type": kind} if body is not None else {})}
        request = Request(method, path, path, headers=headers, body=body)
        answer = self._exchange(request, {})
        if answer.verdict is not Verdict.OK:
            refused = (Verdict.BAD_CREDENTIALS, Verdict.REFUSED)
            kind_of = BadCredentials if answer.verdict in refused else RetryLater
            raise kind_of(redact.request(method, path, answer.status) + " at login.")
        header = login.token_header
        return answer.headers.get(header) if header else get(answer.json, login.token or "")

    def _exchange(self, request: Request, credentials: Mapping[str, str]) -> Answer:
        url = self._url(request)
        answer_headers: Mapping[str, str] = {}
        for _ in range(_MOST_REDIRECTS + 1):
            self._budget.acquire(request.priority, patient=self._patient)
            headers = {**request.headers, **credentials}
            status, answer_headers = 0, {}
            try:
                status, answer_headers, body = self._once(request, url, headers)
            finally:
                self._budget.observe(answer_headers, status)
            if status not in _REDIRECTS:
                return self._judge(request, status, answer_headers, body)
            url = self._follow(request, status, url, answer_headers)
        raise BadConfiguration(f"{request.name} is redirected in circles.")

    def _judge(
        self, request: Request, status: int, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        tables = (request.faults, self._faults)
        text, parsed = "", None
        told = [fault for table in tables for fault in table if fault.covers(status)]
        if status >= 400 or told:
            text = body[:4000].decode("utf-8", errors="replace")
            try:
                parsed = request.parse(body, request.name) if body else None
            except BadAnswer:
                if status < 400 and (request.strict or any(fault.at for fault in told)):
                    raise  # it may be an error
        value = parsed.value if parsed else None
        meaning = verdict(status, text, value, tables)
        pause = retry_after(headers, self._clock())
        message = next((get(value, path) for path in self._messages if get(value, path)), text)
        return Answer(request, status, headers, body, meaning, pause, str(message), parsed)

    def _follow(self, request: Request, status: int, url: str, headers: Mapping[str, str]) -> str:
        target = urljoin(url, headers.get("Location", ""))
        if _origin(target) != self._origin:
            raise BadConfiguration(
                f"{request.name} is redirected to another host; the credentials are not sent "
                "there. Set the connection to the system's real address."
            )
        if request.method != "GET" and status not in _SAME_REQUEST:
            raise BadConfiguration(
                f"{request.name} is redirected ({status}), which drops its body."
            )
        return target

    def _url(self, request: Request) -> str:
        url = request.path
        if not url.startswith(("http://", "https://")):
            url = self._base + url
        elif _origin(url) != self._origin:
            raise BadAnswer(
                f"{request.name}: this address is on another host than the connection's."
            )
        if request.query:
            url += ("&" if "?" in url else "?") + urlencode(request.query)
        return url

    def _once(
        self, request: Request, url: str, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        timeouts = (self._http.connect_timeout, self._http.read_timeout)
        try:
            response = self._session.request(
                request.method,
                url,
                headers=dict(headers),
                data=request.body,
                timeout=timeouts,
                allow_redirects=False,
                stream=True,
            )
            with response:
                body = self._body(request, response)
        except requests.RequestException as error:
            kind = NotSent if never_left(error) else Unreachable
            raise kind(f"{request.name}: {cause(error)}.") from None
        return response.status_code, response.headers, body

    def _body(self, request: Request, response: requests.Response) -> bytes:
        most = self._http.largest_answer_mb * 1024 * 1024
        chunks: list[bytes] = []
        size = 0
        deadline = time.monotonic() + (1 if request.brief else 10) * self._http.read_timeout
        for chunk in response.iter_content(1 << 16):
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                raise BadAnswer(
                    f"{request.name} gave more than {self._http.largest_answer_mb} MB; "
                    "ask for smaller pages or raise http.largest_answer_mb."
                )
            if time.monotonic() > deadline:
                raise Unreachable(f"{request.name}: the answer does not end.")
        return b"".join(chunks)


def encode_body(body: Any, form: str) -> tuple[bytes | None, str]:
    """A body and its content type. In a form a null is an empty field, a list repeats the field."""
    if body is None:
        return None, ""
    if form == "form":
        return urlencode(pairs(body)).encode(), "application/x-www-form-urlencoded"
    return jsonbody.dump(body), "application/json"


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fields of a form or a query, written out."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, bool):
                item = "true" if item else "false"
            found.append((name, "" if item is None else str(item)))
    return found


def _session(base: str, connection: Connection) -> requests.Session:
    session = requests.Session()
    # Proxies are looked up once, and a .netrc must never replace the connection's credentials.
    session.trust_env = False
    session.proxies.update(get_environ_proxies(base))
    verify = connection.extra.get("verify", True)
    if isinstance(verify, str) and verify.lower() in ("true", "false"):
        verify = verify.lower() == "true"
    session.verify = verify
    session.headers.update({"Accept": "application/json", "User-Agent": "concord"})
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=10, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _origin(url: str) -> tuple[str, str, int]:
    # the parser that sends: what another one takes for user and password may be this one's host
    try:
        parts = urllib3.util.parse_url(url)
    except ValueError:
        return "", "", 0
    scheme = parts.scheme or ""
    return scheme, parts.host or "", parts.port or (443 if scheme == "https" else 80)


__all__ = ["Answer", "Clock", "NotSent", "Request", "Transport", "encode_body", "pairs"]

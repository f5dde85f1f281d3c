"""Credentials on requests; tokens that are fetched, and fetched anew, once for everybody."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

from connectors.errors import BadAnswer, BadConfiguration
from connectors.runtime.connection import Connection
from connectors.runtime.manifest import Auth, Login
from connectors.runtime.templates import Absent, render

FetchToken = Callable[[Login, dict[str, Any]], Any]
"""Sends the login request (its template, its slots) and gives the token of the answer."""


class Authenticator:
    """Gives every request its credentials, and a new token after a 401.

    Refreshing is serialised, and one refresh serves all that failed with the same token: two
    refreshes would race for a rotating token.
    """

    def __init__(self, auth: Auth, connection: Connection) -> None:
        self._auth, self._connection = auth, connection
        self._lock = threading.Lock()
        self._token: str | None = None
        self._generation = 0
        self._fixed = {} if auth.kind == "session" else self._headers(None)

    @property
    def renewable(self) -> bool:
        """Whether a refused credential may be an old one."""
        return self._auth.kind == "session"

    def headers(self, fetch: FetchToken) -> tuple[dict[str, str], int]:
        """Credentials for one request, and the generation to name if they are refused."""
        if not self.renewable:
            return self._fixed, 0
        with self._lock:
            if self._token is None:
                self._renew(fetch)
            return self._headers(self._token), self._generation

    def refused(self, generation: int) -> None:
        """The system refused these credentials: the next ``headers`` holds newer ones."""
        with self._lock:
            if generation == self._generation:
                self._token = None

    def _renew(self, fetch: FetchToken) -> None:
        login = self._auth.login
        assert login is not None  # the manifest's own rule for kind session
        token = fetch(login, self._connection.secrets)
        if not isinstance(token, str | int) or token == "":
            place = login.token or login.token_header
            raise BadAnswer(f"{login.call} gave no token at {place!r}.")
        self._token = str(token)
        self._generation += 1

    def _headers(self, token: str | None) -> dict[str, str]:
        auth, connection = self._auth, self._connection
        if auth.kind == "none":
            return {}
        if auth.kind == "basic":
            if connection.login is None:
                raise BadConfiguration("This system needs a login: set it in the connection.")
            pair = f"{connection.login}:{connection.password or ''}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        value = auth.value or ("Bearer {token}" if token else "Bearer {password}")
        try:
            text = render(value, {**connection.secrets, "token": token}, strict=True)
        except Absent as missing:
            raise BadConfiguration(
                f"This system needs {missing.slot!r}: set it in the connection."
            ) from None
        return {auth.header: str(text)}

"""Where a system is and who we are there: an Airflow connection, read without Airflow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from connectors.errors import BadConfiguration


@dataclass(frozen=True, slots=True)
class Connection:
    """An address and its credentials. The secrets are in no ``repr``."""

    base_url: str
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme == "file":
            if parts.netloc or not parts.path.startswith("/"):
                raise BadConfiguration("A folder's path must be absolute, such as /srv/exports.")
            return
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadConfiguration(
                "The connection's address must be http(s)://host[:port][/path], "
                f"and its scheme is {parts.scheme!r}."
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise BadConfiguration(
                "The connection's address must hold no credentials, query or fragment: "
                "set login, password and extra instead."
            )

    @property
    def folder(self) -> Path:
        """The folder of a system of files. Raises ``BadConfiguration`` for any other address."""
        parts = urlsplit(self.base_url)
        if parts.scheme != "file":
            raise BadConfiguration(
                "This system is a folder: set the connection to file:///path, "
                'or to {"conn_type": "fs", "extra": {"path": "/path"}}.'
            )
        return Path(unquote(parts.path))

    @property
    def secrets(self) -> dict[str, Any]:
        """What templates of a manifest's ``auth`` may name."""
        return {"login": self.login, "password": self.password, "extra": dict(self.extra)}


def variable(connection_id: str) -> str:
    """The environment variable that holds a connection."""
    return f"AIRFLOW_CONN_{connection_id.upper()}"


def as_variable(connection: Connection) -> str:
    """What such a variable holds, as Airflow and ``connection_from_environment`` read it. Holds the password."""
    parts = {
        "host": connection.base_url,
        "login": connection.login,
        "password": connection.password,
    }
    return json.dumps({"conn_type": "concord", **parts, "extra": dict(connection.extra)})


def connection_from_environment(
    connection_id: str, environ: Mapping[str, str] | None = None
) -> Connection:
    """The connection that ``AIRFLOW_CONN_<ID>`` defines, as a URI or as JSON.

    Raises ``BadConfiguration``, which says what to set and never shows the value.
    """
    name = variable(connection_id)
    text = (os.environ if environ is None else environ).get(name, "").strip()
    if not text:
        raise BadConfiguration(
            f"Connection {connection_id!r} is not set. Set {name}, for example to "
            "http://login:password@host:8000 or to "
            '{"conn_type": "http", "host": "https://host", "login": "…", "password": "…"}.'
        )
    try:
        return _from_json(text) if text.startswith("{") else _from_uri(text)
    except BadConfiguration as error:
        raise BadConfiguration(f"{name}: {error}") from None
    except ValueError as error:
        # The cause would show the text, and with it the password.
        raise BadConfiguration(f"{name} cannot be read ({type(error).__name__}).") from None


def _from_json(text: str) -> Connection:
    data = json.loads(text)
    extra = data.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    if not isinstance(extra, dict):
        raise BadConfiguration('"extra" must be an object.')
    return _build(
        str(data.get("conn_type") or "http"),
        str(data.get("host") or ""),
        data.get("port"),
        str(data.get("schema") or ""),
        data.get("login"),
        data.get("password"),
        extra,
    )


def _from_uri(text: str) -> Connection:
    parts = urlsplit(text)
    rest = parts.netloc.rpartition("@")[2]
    host, port = rest, None
    if ":" in rest and not rest.endswith("]"):
        host, _, digits = rest.rpartition(":")
        port = int(digits)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra: dict[str, Any] = dict(query)
    if "__extra__" in query:
        extra = json.loads(query["__extra__"])
        if not isinstance(extra, dict):
            raise BadConfiguration('"__extra__" must be an object.')
    if parts.scheme in ("fs", "file") and not host:
        host = parts.path
    return _build(
        parts.scheme,
        unquote(host),
        port,
        unquote(parts.path.lstrip("/")),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        extra,
    )


def _build(
    kind: str,
    host: str,
    port: object,
    schema: str,
    login: str | None,
    password: str | None,
    extra: dict[str, Any],
) -> Connection:
    """Airflow's parts as an address: ``schema`` is http(s), or else a path below the host."""
    if kind in ("fs", "file"):
        path = str(extra.get("path") or host)
        return Connection("file://" + quote(path), login or None, password or None, extra)
    if not host:
        raise BadConfiguration("The connection names no host.")
    scheme = "https" if kind == "https" else "http"
    if schema in ("http", "https"):
        scheme, schema = schema, ""
    base = host if "://" in host else f"{scheme}://{host}"
    base = base.rstrip("/")
    if port:
        root, slash, path = base.partition("://")[2].partition("/")
        base = f"{base.partition('://')[0]}://{root}:{port}{slash}{path}"
    if schema:
        base += "/" + schema.strip("/")
    return Connection(base, login or None, password or None, extra)

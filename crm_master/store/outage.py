"""What stands in the way of the master database, in words that a person can act on. No text here holds a password."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from sqlalchemy import exc

DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_FORM = (
    "CONCORD_DATABASE_URL must be postgresql+psycopg://user:password@host/database, or sqlite:///file; "
    "special characters of a password are percent-encoded, @ as %40"
)
_LONGEST = 300


class BadDatabaseUrl(Exception):
    """No database can have this address; the text says what one looks like, and repeats nothing of it."""


class DatabaseUnavailable(Exception):
    """The master database cannot be used now; the text says which, why, and what to do."""


def parsed(url: str) -> sa.URL:
    """The address of a database that Concord works with. Raises ``BadDatabaseUrl``."""
    try:
        found = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        raise BadDatabaseUrl(f"the address of the master database is none: {_FORM}") from None
    if found.drivername not in DRIVERS:
        raise BadDatabaseUrl(
            f"the address of the master database begins with {found.drivername!r}: {_FORM}"
        )
    # what follows the first @ would be taken for the host, and shown
    if found.get_backend_name() != "sqlite" and url.count("@") > 1:
        raise BadDatabaseUrl(f"the address of the master database has more than one @: {_FORM}")
    return found


def explained(error: Exception, url: sa.URL) -> DatabaseUnavailable | None:
    """What an error of the driver means if the database as a whole is to blame; ``None`` for a fault of ours."""
    if url.get_backend_name() == "sqlite":
        advice = _advice_for_file(error)
    else:
        advice = _advice_for_server(error)
    if advice is None:
        return None
    return DatabaseUnavailable(
        f"the master database {_place(url)} cannot be used: {_text(error, url)}. {advice}"
    )


_FILE = {
    "SQLITE_CANTOPEN": "Is its folder there, and may you write in it?",
    "SQLITE_PERM": "May you write to it, and in its folder?",
    "SQLITE_READONLY": "May you write to it, and in its folder?",
    "SQLITE_BUSY": "Another process has been writing to it for a while: try again when that has ended.",
    "SQLITE_FULL": "Make room on its disk, and try again.",
    "SQLITE_IOERR": "Is its disk all right?",
    "SQLITE_NOTADB": "That file is something else: mend CONCORD_DATABASE_URL.",
    "SQLITE_CORRUPT": "Restore it from a backup.",
}
_SERVER = {
    "08": "Is it running?",
    "28": "Are user and password in CONCORD_DATABASE_URL right?",
    "3D": "Make that database, or mend CONCORD_DATABASE_URL.",
    "53": "It has no more room or connections: try again later.",
    "57": "Its operator, or a limit, interrupted this: try again later.",
    "58": "Ask its operator.",
    "42501": "Give this user the right to do so.",
}
"""What helps, by SQLSTATE or its class."""
_UNREACHED = (
    "Is it running, and are user, password, host and database in CONCORD_DATABASE_URL right?"
)


def _advice_for_file(error: Exception) -> str | None:
    # opening the file fails in the driver's own words
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        return None
    code = getattr(cause, "sqlite_errorname", "")
    return next((advice for name, advice in _FILE.items() if code.startswith(name)), None)


def _advice_for_server(error: Exception) -> str | None:
    if not isinstance(error, exc.DBAPIError):
        return None
    code = getattr(error.orig, "sqlstate", None) or ""
    advice = _SERVER.get(code) or _SERVER.get(code[:2])
    if advice is None and (error.connection_invalidated or error.statement is None):
        return _UNREACHED
    return advice


def _place(url: sa.URL) -> str:
    if url.get_backend_name() == "sqlite":
        return url.database or "in memory"
    port = f":{url.port}" if url.port else ""
    return f"{url.host or 'localhost'}{port}/{url.database or ''}"


def _text(error: Exception, url: sa.URL) -> str:
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    # the driver asks questions of its own; ours name the setting that answers them
    lines = [line for line in str(cause).splitlines() if not line.rstrip().endswith("?")]
    text = " ".join(" ".join(lines).split())
    for secret in (url.password, url.query.get("password")):
        if secret:
            text = text.replace(str(secret), "***")
    return text[:_LONGEST].rstrip(".")

"""Why a request got no answer, told from the errors of the HTTP library."""

from __future__ import annotations

from typing import Any

import requests
import urllib3


def _causes(error: BaseException) -> list[BaseException]:
    """An error with everything wrapped in it, as requests and urllib3 nest it."""
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        cause = queue.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            queue += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
            queue += list(cause.args)
    return found


def never_left(error: requests.RequestException) -> bool:
    """Whether no connection was made: then the request had no effect."""
    before = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.NameResolutionError,
    )
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    if isinstance(error, requests.exceptions.SSLError):
        return any("CERTIFICATE" in str(cause).upper() for cause in _causes(error))
    return any(isinstance(cause, before) for cause in _causes(error))


def cause(error: requests.RequestException) -> str:
    """What happened, in words without addresses or values."""
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted connection (TLS)"
    if never_left(error):
        return "nothing answers at this address"
    return "the connection broke before the whole answer was here"


__all__ = ["cause", "never_left"]

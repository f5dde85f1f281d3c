"""Errors of a connector, grouped by what helps.

ConnectorError
├── RetryLater              the same request may succeed later
│   ├── RateLimited         ... not before ``retry_after``
│   └── Unreachable         ... nothing answered, or the answer was cut off
├── BadCredentials          a person has to mend the connection
├── BadConfiguration        a person has to mend a manifest or hub.yaml
└── BadAnswer               the system answered with something that is not what the manifest says
"""

from __future__ import annotations

from datetime import timedelta


class ConnectorError(Exception):
    """Something about a system went wrong. The text holds no secret and no personal data."""


class RetryLater(ConnectorError):
    """The system cannot answer now; the same request may succeed later."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(RetryLater):
    """The system asked us to slow down."""


class Unreachable(RetryLater):
    """No answer, or one that was cut off. Whether a write took effect is not known."""


class BadCredentials(ConnectorError):
    """The system does not accept the credentials of this connection."""


class BadConfiguration(ConnectorError):
    """The manifest or the connection does not describe this system."""


class BadAnswer(ConnectorError):
    """The answer is not what the manifest describes; nothing of it was used."""

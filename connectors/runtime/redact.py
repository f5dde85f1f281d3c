"""Keeps secrets and personal data out of errors and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|«[^»]*»|“[^”]*”|`[^`]*`")
_EMAIL = re.compile(r"[^\s@<>,;:]+@[^\s@<>,;:]+")
_NUMBER = re.compile(r"\+?\d[\d\s./-]{3,}\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TAG = re.compile(r"<[^>]*>")
_DOTS = "…"
_LONGEST = 160
_SCANNED = 4000


def reason(text: str, known: Iterable[str] = ()) -> str:
    """A system's own words, fit for a log: short, one line, without values.

    Everything quoted, e-mail addresses, long numbers and each of the ``known`` values are replaced.
    """
    text = " ".join(_TAG.sub(" ", text[:_SCANNED]).split())
    # neither a log nor a database takes half a surrogate pair or a NUL
    text = _CONTROL.sub("", text.encode("utf-8", "replace").decode("utf-8"))
    shown = {" ".join(value.split()) for value in known if len(value) <= _SCANNED}
    # what is longer than the text is not in it, and takes seconds to look for
    fitting = {value for value in shown if 2 < len(value) <= len(text)}
    for value in sorted(fitting, key=len, reverse=True):
        text = re.sub(re.escape(value), _DOTS, text, flags=re.IGNORECASE)
    for pattern in (_QUOTED, _EMAIL, _NUMBER):
        text = pattern.sub(_DOTS, text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + _DOTS


def request(method: str, template: str, status: int | None = None) -> str:
    """How an error names a request: method, path template, status. Never the filled path."""
    return f"{method} {template}" + ("" if status is None else f" answered {status}")

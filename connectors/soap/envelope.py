"""Answers in envelopes: the value of a body, or the fault that it holds."""

from __future__ import annotations

from typing import Any

from lxml import etree

from connectors.errors import BadAnswer
from connectors.runtime.jsonbody import Parsed, Unreadable
from connectors.runtime.manifest import Fault, Verdict
from connectors.soap.description import Description, Operation

_ENVELOPES = (
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://www.w3.org/2003/05/soap-envelope",
)
_OPEN = (200, 400, 500)
"""With these statuses the fault's code speaks; any other says more than Client or Server."""
_SECURITY = r"(FailedAuthentication|FailedCheck|InvalidSecurity|InvalidSecurityToken|SecurityTokenUnavailable)$"
_CALLER = r"^(Client|Sender|VersionMismatch|MustUnderstand|DataEncodingUnknown)(\.|$)"

STANDARD = (
    Fault(at="fault.code", matches=_SECURITY, then=Verdict.BAD_CREDENTIALS),
    Fault(at="fault.subcode", matches=_SECURITY, then=Verdict.BAD_CREDENTIALS),
    Fault(status=_OPEN, at="fault.code", matches=_CALLER, then=Verdict.REFUSED),
    # Server: it may have given up on a request that took effect.
    Fault(status=_OPEN, at="fault", then=Verdict.UNKNOWN),
)
"""What the standards say of faults. A manifest's lines come first, and HTTP's own statuses last."""


def read(
    description: Description,
    operation: Operation,
    hidden: tuple[str, ...],
    content: bytes,
    what: str,
) -> Parsed:
    """The answer as plain values: the body's element, or ``{"fault": …}``. Raises ``BadAnswer``.

    ``hidden`` texts (the connection's secrets) are taken out of a fault's message.
    """
    try:
        root = description.parse(content)
    except ValueError as error:
        raise BadAnswer(
            f"{what} gave something that is no plain XML ({error}, {len(content)} bytes)."
        ) from None
    body = _body(root)
    if body is None:
        raise BadAnswer(f"{what} gave XML that is no SOAP envelope.")
    first = next((child for child in body if isinstance(child.tag, str)), None)
    if first is None:
        return Parsed(None, True)
    if first.tag == etree.QName(etree.QName(body).namespace, "Fault"):
        fault = _fault(first, description)
        for secret in hidden:
            fault["message"] = fault.get("message", "").replace(secret, "…")
        return Parsed({"fault": fault}, True)
    try:
        if operation.rpc:
            value = description.schema.positional(first, operation.answer)
        else:
            value = description.schema.plain(first, operation.answer)
    except RecursionError:
        raise BadAnswer(f"{what} gave XML that is nested too deeply.") from None
    return Parsed(value, not _spoilt(value))


def _body(root: etree._Element) -> etree._Element | None:
    for namespace in _ENVELOPES:
        if root.tag == etree.QName(namespace, "Envelope"):
            return root.find(f"{{{namespace}}}Body")
    return None


def _fault(node: etree._Element, description: Description) -> dict[str, Any]:
    """A fault of either version: ``code`` and ``subcode`` without prefix, ``message``, ``detail``."""
    found: dict[str, Any] = {}
    for child in node:
        if not isinstance(child.tag, str):
            continue
        match etree.QName(child).localname:
            case "faultcode":
                found["code"] = _local(child.text)
            case "faultstring":
                found["message"] = child.text or ""
            case "detail" | "Detail":
                found["detail"] = description.schema.plain(child)
            case "Code":
                values = [_local(value.text) for value in child.iter("{*}Value")]
                found |= dict(zip(("code", "subcode"), values, strict=False))
            case "Reason":
                found["message"] = " ".join(text.text or "" for text in child.iter("{*}Text"))
    return found


def _local(text: str | None) -> str:
    return (text or "").strip().rpartition(":")[2]


def _spoilt(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_spoilt(item) for item in value.values())
    if isinstance(value, list):
        return any(_spoilt(item) for item in value)
    return isinstance(value, Unreadable)

"""The simulated system with a SOAP service instead of a REST API: the same state, faults and sockets.

with SoapSimulator(Profile(etag=True)) as office:
    system = office.open()
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from connectors.contract import Document
from connectors.registry import System, check_manifest, open_system
from connectors.runtime.manifest import Manifest
from connectors.testing.api import TOKEN, Api, half
from connectors.testing.profiles import Profile
from connectors.testing.server import Reply
from connectors.testing.simulator import Simulator
from connectors.yamlfile import ConfigurationMistakes, read_tree

NAMESPACE = "urn:simulated:customers"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_DELETED = {"at": "deleted", "equals": True}
_VERBS = {"Create": "POST", "Update": "PATCH", "Delete": "DELETE"}
_OPERATIONS = {
    "List": ("since:dateTime after:int size:int id:int* ref:string", "customer:t:Customer*"),
    "Create": ("customer:t:Customer", "customer:t:Customer"),
    "Update": ("id:int version:int customer:t:Customer", "customer:t:Customer"),
    "Delete": ("id:int version:int", ""),
}


class SoapApi(Api):
    """Answers envelopes. Nil empties a field, and one that is absent stays as it is."""

    empty = b""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.token: tuple[str, str] | None = None
        """Login and password that a UsernameToken has to prove."""

    def verb(self, method: str, body: bytes) -> str:
        """What the operation in an envelope does, as REST says it."""
        found = re.search(rb"<(?:\w+:)?(Create|Update|Delete)[ >]", body)
        return _VERBS[found[1].decode()] if found else "GET"

    def refusal(self, status: int, message: str) -> Reply:
        """A fault."""
        return fault(status, "Server" if status >= 500 else "Client", message)

    def doubled(self, reply: Reply) -> Reply:
        """The same listing with every row twice."""
        return Reply(
            200, re.sub(rb"(<c:customer>.*?</c:customer>)", rb"\1\1", reply.body, flags=re.S)
        )

    def route(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        partly: bool = False,
    ) -> Reply:
        """The answer to one envelope; ``partly`` does and tells half of what it asks for."""
        if method == "GET" and target.endswith("?wsdl"):
            return Reply(200, wsdl_of(self.profile).encode())
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if self.profile.auth != "none" and token not in self.tokens:
            return self.refusal(401, "who are you?")
        envelope = etree.fromstring(body)
        if self.token is not None and not _proves(envelope, *self.token):
            return fault(500, "wsse:FailedAuthentication", "the token cannot be authenticated")
        operation = envelope.find(f"{{{_SOAP}}}Body")[0]
        given = {etree.QName(node).localname: node for node in operation}
        what = etree.QName(operation).localname
        if what == "List":
            return self._listing(operation, given, partly=partly)
        data = _fields(given["customer"]) if "customer" in given else {}
        key = given["id"].text or "" if "id" in given else None
        data = half(data) if partly else data
        if key is None:
            return self._made(data)
        if key not in self.state.records:
            return fault(500, "Client.Gone", "no such record")
        record = self.state.records[key]
        expected = given["version"].text if "version" in given else None
        if self.profile.etag and expected not in (None, str(record["version"])):
            return fault(500, "Client.Stale", "changed meanwhile")
        if what == "Delete":
            self.state.record_write("DELETE", key, {}, changed=True)
            self.state.remove(key)
            return _envelope("<c:DeleteResponse/>")
        now = self.state.put(key, data, by_api=True)
        self.state.record_write("PATCH", now, data, changed=True)
        return _envelope(f"<c:UpdateResponse>{self._xml(now)}</c:UpdateResponse>")

    def _made(self, data: Document) -> Reply:
        if clash := self.state.clash(data, None):
            detail = f"<Duplicate><field>{clash}</field></Duplicate>"
            return fault(500, "Client", "exists already", detail)
        key = self.state.add(data, by_api=True)
        self.state.record_write("POST", key, data, changed=True)
        return _envelope(f"<c:CreateResponse>{self._xml(key)}</c:CreateResponse>")

    def _listing(
        self, operation: etree._Element, given: Mapping[str, Any], *, partly: bool
    ) -> Reply:
        records = self.state.listed()
        chosen = self.state.ordered(records)
        asked = [node.text for node in operation if etree.QName(node).localname == "id"]
        if asked:
            chosen = [key for key in chosen if key in asked]
            chosen = chosen[: (len(chosen) + 1) // 2] if partly else chosen
        if "ref" in given:
            chosen = [key for key in chosen if records[key].get("ref") == given["ref"].text]
        if "since" in given:
            since = datetime.fromisoformat(given["since"].text)
            chosen = [k for k in chosen if self.state.since(records[k].get("updated"), since)]
        if "after" in given:
            chosen = [key for key in chosen if int(key) > int(given["after"].text)]
        if "size" in given:
            chosen = chosen[: int(given["size"].text)]
        rows = "".join(map(self._xml, chosen))
        return _envelope(f"<c:ListResponse>{rows}</c:ListResponse>")

    def _xml(self, key: str) -> str:
        if key in self.poisoned:
            return f"<c:customer>{self.poisoned[key].decode()}</c:customer>"
        parts = [_element(name, value) for name, value in self.state.listed()[key].items()]
        return f"<c:customer>{''.join(parts)}</c:customer>"


class SoapSimulator(Simulator):
    """A simulated system with a SOAP service; ``username_token`` asks for WS-Security instead of a bearer token."""

    face = SoapApi

    def __init__(
        self,
        profile: Profile | None = None,
        clock: Callable[[], datetime] | None = None,
        *,
        username_token: str = "none",
    ) -> None:
        super().__init__(profile, clock)
        self.username_token = username_token
        if username_token != "none":
            assert isinstance(self._api, SoapApi)
            self._api.token = ("hub", TOKEN)

    def manifest(self, **params: Any) -> Manifest:
        """The manifest of this system; ``size`` is the number of rows per page."""
        text = json.dumps(_manifest(self.profile, self.username_token))
        documents = {"customers.wsdl": wsdl_of(self.profile)}
        found, _, mistakes = check_manifest(read_tree(text), params, read=documents.get)
        if found is None:
            raise ConfigurationMistakes(mistakes)
        return found

    def open(self, clock: Callable[[], datetime] | None = None, **params: Any) -> System:
        """A connector to this system."""
        return open_system(self.manifest(**params), self.connection, clock or self.clock)


def fault(status: int, code: str, message: str, detail: str = "") -> Reply:
    """A fault of SOAP 1.1."""
    spaces = 'xmlns:wsse="urn:wsse" xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    code = code if ":" in code else f"s:{code}"
    inner = f"<faultcode>{code}</faultcode><faultstring>{escape(message)}</faultstring>"
    inner += f"<detail>{detail}</detail>" if detail else ""
    return Reply(status, _wrapped(f"<s:Fault {spaces}>{inner}</s:Fault>"))


def _envelope(content: str) -> Reply:
    return Reply(200, _wrapped(content))


def _wrapped(content: str) -> bytes:
    spaces = f'xmlns:s="{_SOAP}" xmlns:c="{NAMESPACE}"'
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    return f"<s:Envelope {spaces} {xsi}><s:Body>{content}</s:Body></s:Envelope>".encode()


def _element(name: str, value: Any) -> str:
    if value is None:
        return f'<c:{name} xsi:nil="true"/>'
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<c:{name}>{escape(text)}</c:{name}>"


def _fields(node: etree._Element) -> Document:
    """The fields of a customer that were sent."""
    return {etree.QName(child).localname: child.text or "" for child in node}


def _proves(envelope: etree._Element, login: str, password: str) -> bool:
    """Whether a UsernameToken shows that its sender knows the password."""

    def told(name: str) -> str:
        return str(envelope.findtext(f".//{{*}}UsernameToken/{{*}}{name}") or "")

    expected = password
    if told("Nonce"):
        parts = base64.b64decode(told("Nonce")) + told("Created").encode() + password.encode()
        expected = base64.b64encode(hashlib.sha1(parts).digest()).decode()
    return (told("Username"), told("Password")) == (login, expected)


def _manifest(profile: Profile, username_token: str) -> dict[str, Any]:
    listed = {"call": "List", "records": "customer", "empty": ""}
    version = {"version": "{etag}"} if profile.etag else {}
    written: dict[str, Any] = {"send": list(profile.fields), "into": "customer"}
    written |= {"returns": "record", "record_at": "customer"}
    return {
        "system": profile.name,
        "kind": "soap",
        "title": f"Simulated {profile.name}",
        "wsdl": "customers.wsdl",
        "params": {"size": {"about": "Rows per request.", "default": profile.page_size}},
        "http": {
            "read_timeout": profile.timeout,
            "longest_wait": profile.longest_wait,
            "attempts": profile.attempts,
        },
        "auth": {"kind": profile.auth},
        "security": {"username_token": username_token},
        "faults": [
            {"at": "fault.code", "matches": "^Client.Gone$", "then": "gone"},
            {"at": "fault.code", "matches": "^Client.Stale$", "then": "stale"},
            {"at": "fault.detail.Duplicate", "then": "exists"},
        ],
        "streams": {
            "customers": {
                "key": {"at": "id", "type": "integer"},
                "omit": ["version", "deleted"],
                "stamp": {"at": ["updated"]},
                **({"etag": "version"} if profile.etag else {}),
                **({"deleted": _DELETED} if profile.deletes == "soft" else {}),
                "read": {
                    **listed,
                    "body": {"after": "{last}", "size": "{size}"},
                    "paging": {"by": "keyset", "size": "${size}", "short_page_ends": True},
                    "delta": {
                        "body": {"since": "{since}", "after": "{last}", "size": "{size}"},
                        "overlap": profile.overlap,
                    },
                },
                "fetch": {**listed, "body": {"id": "{keys}"}, "batch": profile.batch},
                "find": [{**listed, "body": {"ref": "{correlation}"}}],
                "writes": {
                    "create": [
                        {
                            "call": "Create",
                            "body": {"customer": {"ref": "{correlation}"}},
                            "covers": ["ref"],
                            **written,
                        }
                    ],
                    "update": [
                        {
                            "call": "Update",
                            "body": {"id": "{key}", **version, "customer": {}},
                            **written,
                        }
                    ],
                    "delete": [{"call": "Delete", "body": {"id": "{key}", **version}}],
                },
                "guard": "etag" if profile.etag else "reread",
            }
        },
    }


def wsdl_of(profile: Profile) -> str:
    """The WSDL of a simulated system: document/literal."""
    fields = ["id:int", "ref:string", "version:int", "updated:dateTime", "deleted:boolean"]
    fields += [f"{name}:string" for name in profile.fields]
    types = [f'<xs:complexType name="Customer">{_sequence(" ".join(fields))}</xs:complexType>']
    messages, operations, bindings = [], [], []
    for name, (asked, told) in _OPERATIONS.items():
        for suffix, parts in (("", asked), ("Response", told)):
            inner = f"<xs:complexType>{_sequence(parts)}</xs:complexType>"
            types.append(f'<xs:element name="{name}{suffix}">{inner}</xs:element>')
            part = f'<part name="parameters" element="t:{name}{suffix}"/>'
            messages.append(f'<message name="{name}{suffix}">{part}</message>')
        ends = f'<input message="t:{name}"/><output message="t:{name}Response"/>'
        operations.append(f'<operation name="{name}">{ends}</operation>')
        literal = '<soap:body use="literal"/>'
        ends = f"<input>{literal}</input><output>{literal}</output>"
        action = f'<soap:operation soapAction="{NAMESPACE}#{name}"/>'
        bindings.append(f'<operation name="{name}">{action}{ends}</operation>')
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<definitions targetNamespace="{NAMESPACE}" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="{NAMESPACE}"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
<types><xs:schema targetNamespace="{NAMESPACE}" elementFormDefault="qualified">{"".join(types)}</xs:schema></types>
{"".join(messages)}
<portType name="Port">{"".join(operations)}</portType>
<binding name="Binding" type="t:Port">
<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{"".join(bindings)}</binding>
<service name="Customers"><port name="Port" binding="t:Binding"><soap:address location="http://unused.invalid/"/></port>
</service></definitions>"""


def _sequence(parts: str) -> str:
    """Elements of ``name:type`` (``*``: any number of them), all optional."""
    found = []
    for part in parts.split():
        name, kind = part.removesuffix("*").split(":", 1)
        typed = kind if ":" in kind else f"xs:{kind}"
        many = ' maxOccurs="unbounded"' if part.endswith("*") else ""
        nil = ' nillable="true"' if kind == "string" else ""
        found.append(f'<xs:element name="{name}" type="{typed}" minOccurs="0"{many}{nil}/>')
    return f"<xs:sequence>{''.join(found)}</xs:sequence>"


__all__ = ["NAMESPACE", "SoapApi", "SoapSimulator", "fault", "wsdl_of"]

"""A WSDL, read without ever reaching out: what it imports lies beside it, or is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zeep
from lxml import etree
from zeep.exceptions import Error, XMLParseError, XMLSyntaxError
from zeep.loader import parse_xml
from zeep.transports import Transport
from zeep.wsdl.bindings.soap import Soap12Binding, SoapBinding
from zeep.wsdl.messages.soap import RpcMessage

from connectors.errors import BadConfiguration
from connectors.soap.values import Schema, tell_arrays

SETTINGS = zeep.Settings(
    strict=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False, force_https=False
)
"""For every document that a system gives: no DTD, no entities, no tree without bounds."""
_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
_SHIPPED = {_ENCODING: Path(__file__).parent / "schemas" / "encoding.xsd"}
_BESIDE = "file:///"
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
"""Names the encoding of a file that is text by now."""


class _Library(Transport):
    """Gives documents by name, and nothing else: no file of the machine, no address of the network."""

    def __init__(
        self, documents: Mapping[str, str], fetch: Callable[[str], bytes] | None = None
    ) -> None:
        self._documents, self._fetch = documents, fetch

    def __del__(self) -> None:
        """There is no session to close."""

    def load(self, url: str) -> bytes:
        """The text of a document that was given, or that may be asked of the system."""
        if url in _SHIPPED:
            return _SHIPPED[url].read_bytes()
        text = self._documents.get(str(url).removeprefix(_BESIDE))
        if text is not None:
            return _DECLARATION.sub("", text).encode()
        if self._fetch is not None:
            return self._fetch(url)
        raise BadConfiguration(
            f"The WSDL imports {url!r}, and nothing is fetched from elsewhere: put the document "
            "beside the manifest, name it under `schemas`, and import it by that name."
        )


@dataclass(frozen=True)
class Operation:
    """One operation: the types of its arguments and of its answer, and what HTTP says of it."""

    name: str
    arguments: Any
    answer: Any
    rpc: bool
    headers: Mapping[str, str]


class Description:
    """A WSDL with one of its ports. Safe to share between threads.

    ``first`` is the name of the WSDL among ``documents``; without it, an address that ``fetch`` gives.
    Raises ``BadConfiguration`` for one that cannot be used.
    """

    def __init__(
        self,
        first: str,
        documents: Mapping[str, str],
        *,
        service: str | None = None,
        port: str | None = None,
        fetch: Callable[[str], bytes] | None = None,
    ) -> None:
        where = _BESIDE + first if first in documents else first
        library = _Library(documents, fetch)
        try:
            self._client = zeep.Client(where, transport=library, settings=SETTINGS)
            self._proxy: Any = self._client.bind(service, port)
        except (Error, XMLParseError, etree.LxmlError, ValueError, LookupError) as error:
            raise BadConfiguration(f"{first} is no usable WSDL: {_short(error)}") from None
        binding = getattr(self._proxy, "_binding", None)
        if not isinstance(binding, SoapBinding):
            raise BadConfiguration(f"{first} has no port for SOAP over HTTP POST.")
        self._binding: Any = binding
        self.schema = Schema(self._client.wsdl.types)
        self.operations = {name: self._operation(name) for name in binding.all()}

    def _operation(self, name: str) -> Operation:
        found = self._binding.get(name)
        action = found.soapaction or ""
        if isinstance(self._binding, Soap12Binding):
            kind = f'application/soap+xml; charset=utf-8; action="{action}"'
            headers = {"Content-Type": kind, "Accept": "application/soap+xml"}
        else:
            headers = {
                "Content-Type": "text/xml; charset=utf-8",
                "SOAPAction": f'"{action}"',
                "Accept": "text/xml",
            }
        sent, told = found.input, found.output
        return Operation(
            name,
            sent.body.type if sent is not None and sent.body is not None else None,
            told.body.type if told is not None and told.body is not None else None,
            isinstance(told, RpcMessage),
            headers,
        )

    def envelope(self, operation: Operation, arguments: Mapping[str, Any], wsse: Any) -> bytes:
        """The bytes of a request. Raises ``ValueError`` for arguments that do not fit."""
        if operation.arguments is None:
            filled: Mapping[str, Any] = {}
            if arguments:
                raise ValueError(f"{operation.name} takes no arguments")
        else:
            filled = self.schema.filled(arguments, operation.arguments)
        try:
            # not by create_message, whose own parameters may be names of arguments
            message = self._binding.get(operation.name).create(**filled).content
            if operation.rpc:
                tell_arrays(message)
            if wsse is not None:
                message, _ = wsse.apply(message, {})
        except (Error, TypeError) as error:
            raise ValueError(f"{operation.name}: {_short(error)}") from None
        return bytes(etree.tostring(message, xml_declaration=True, encoding="utf-8"))

    def parse(self, content: bytes) -> etree._Element:
        """The root of an answer. Raises ``ValueError`` for what is not XML, or holds a DTD."""
        try:
            return parse_xml(content, self._client.transport, settings=SETTINGS)  # type: ignore[arg-type]
        except (Error, XMLSyntaxError, etree.LxmlError, BadConfiguration) as error:
            raise ValueError(type(error).__name__) from None


def _short(error: BaseException) -> str:
    """zeep's words without the values that they may repeat."""
    text = str(getattr(error, "message", None) or error).split("\n")[0]
    return f"{type(error).__name__}: {text[:200]}"

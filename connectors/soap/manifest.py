"""The shape of a SOAP system's manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from connectors.errors import BadConfiguration
from connectors.runtime.manifest import Count, Http, ReadBeside
from connectors.runtime.streams.calls import Call
from connectors.runtime.streams.models import StreamManifest
from connectors.soap.description import Description
from connectors.yamlfile import Configured, Location, did_you_mean, dotted, mistake

File = Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
"""The name of a file beside the manifest."""


class SoapHttp(Http):
    """How requests are sent."""

    message: str | tuple[str, ...] | None = "fault.message"
    """Where an error answer says what is wrong, as a dotted path."""
    largest_answer_mb: Count = 16
    """An answer is held in memory as a tree that takes several times its size."""


class Security(Configured):
    """How a message says who sends it, beside or instead of HTTP's own ``auth``."""

    username_token: Literal["none", "text", "digest"] = "none"
    """WS-Security's UsernameToken of the connection's login and password: as text, or as a digest with nonce and time."""
    arguments: Mapping[str, Any] = {}
    """Arguments of every operation; slots: login, password, extra."""


class SoapManifest(StreamManifest):
    """A system with a SOAP service. A call is an operation of its WSDL, ``body`` holds its arguments."""

    form: ClassVar[str] = r"^[A-Za-z_][\w.-]*$"
    form_is: ClassVar[str] = "an operation of the WSDL, such as ListCustomers"
    foreign: ClassVar[frozenset[str]] = frozenset({"query", "headers", "format"})

    kind: Literal["soap"]
    wsdl: File | None = None
    """A file beside the manifest. Addresses that it names are not used."""
    wsdl_at: str | None = None
    """A path of the system that answers with its WSDL, such as ``/customers?wsdl``."""
    schemas: tuple[File, ...] = ()
    """Files beside the manifest that the WSDL imports by these names."""
    service: str | None = None
    port: str | None = None
    endpoint: str = ""
    """The path of the service below the connection's address."""
    http: SoapHttp = SoapHttp()
    security: Security = Security()

    _documents: dict[str, str] = PrivateAttr(default_factory=dict)
    _description: Description | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_description(self) -> Self:
        if (self.wsdl is None) == (self.wsdl_at is None):
            allowed = "`wsdl`, a file beside the manifest, or `wsdl_at`, a path of the system"
            raise mistake("both or none of `wsdl` and `wsdl_at`", allowed)
        return self

    def attach(self, read: ReadBeside) -> Iterator[tuple[Location, str, str, str]]:
        """Reads the WSDL and what it imports, and compares all calls with it."""
        asked: list[tuple[Location, str]] = [(("wsdl",), self.wsdl)] if self.wsdl else []
        asked += [(("schemas", place), name) for place, name in enumerate(self.schemas)]
        for at, name in asked:
            text = read(name)
            if text is None:
                yield at, repr(name), "a file beside the manifest", "Put it there."
                return
            self._documents[name] = text
        if self.wsdl is None:
            return
        try:
            self._description = self._describe(self.wsdl)
        except BadConfiguration as error:
            yield ("wsdl",), repr(self.wsdl), "a WSDL with a SOAP service", str(error)
            return
        yield from self._strangers(self._description)

    def description(self, base: str, fetch: Callable[[str], bytes]) -> Description:
        """What the WSDL says; one that lies on the system is fetched, from the address ``base`` on.

        Raises ``BadConfiguration`` if a call does not fit it.
        """
        if self._description is not None:
            return self._description
        found = self._describe(base + (self.wsdl_at or ""), fetch)
        for at, what, allowed, _ in self._strangers(found):
            raise BadConfiguration(f"{dotted(at)}: {what}; allowed: {allowed}")
        return found

    def _describe(self, first: str, fetch: Callable[[str], bytes] | None = None) -> Description:
        return Description(
            first, self._documents, service=self.service, port=self.port, fetch=fetch
        )

    def _strangers(self, description: Description) -> Iterator[tuple[Location, str, str, str]]:
        """Where calls name operations or arguments that the WSDL does not have."""
        calls: list[tuple[Location, Call]] = []
        if self.check is not None:
            calls.append((("check",), self.check))
        for name, stream in self.streams.items():
            calls += [(("streams", name, *at), call) for at, _, call in stream.calls()]
        known = description.operations
        for at, call in calls:
            if call.call not in known:
                allowed = "an operation of the WSDL: " + ", ".join(sorted(known))
                yield (*at, "call"), repr(call.call), allowed, did_you_mean(call.call, known)
                continue
            body = {**self.security.arguments, **(call.body or {})}
            for place in description.schema.missing(body, known[call.call].arguments):
                allowed = f"what {call.call} takes in the WSDL"
                yield (*at, "body"), f"the argument {place}", allowed, ""

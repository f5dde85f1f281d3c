"""Between XML and plain JSON values, guided by the schema of a WSDL. Nil, absent and empty stay three things.

An element that is absent is a key that is absent, ``xsi:nil`` is null, an empty element is an empty text (or an empty
object). An element that may repeat is a list, however often it came. Decimals are text, ``dateTime`` is ISO text (in UTC
where it had an offset), bytes are base64.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree
from zeep import xsd
from zeep.xsd.const import xsi_ns
from zeep.xsd.types import builtins
from zeep.xsd.types.any import AnyType
from zeep.xsd.types.simple import AnySimpleType

from connectors.runtime.jsonbody import Unreadable

_NIL, _TYPE = xsi_ns("nil"), xsi_ns("type")
_XSD = "http://www.w3.org/2001/XMLSchema"
_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
_ARRAY = f"{{{_ENCODING}}}arrayType"
_TEXT = "_value_1"
"""zeep's name for the text of an element that has attributes besides; documents have it, too."""
_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True)
class Field:
    """One child element or attribute that a type declares."""

    name: str
    type: Any
    many: bool = False
    nillable: bool = False


class Schema:
    """Converts values of one WSDL. Safe to share between threads."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._fields: dict[int, dict[str, Field]] = {}

    # --- from XML ----------------------------------------------------------------------------

    def plain(self, node: etree._Element, declared: Any = None) -> Any:
        """The value of an element; what does not fit its type is ``Unreadable``."""
        if node.get(_NIL) in ("true", "1"):
            return None
        kind = self._kind(node, declared)
        children = [child for child in node if isinstance(child.tag, str)]
        if isinstance(kind, AnySimpleType):
            return Unreadable("", "text") if children else scalar(node.text or "", kind)
        if _ARRAY in node.attrib or getattr(kind, "_array_type", None) is not None:
            return [self.plain(child) for child in children]
        fields = self.fields(kind)
        if not fields and not children:
            return node.text or ""
        document: dict[str, Any] = {}
        for name, value in node.attrib.items():
            attribute = fields.get(etree.QName(name).localname)
            if attribute is not None:
                document[attribute.name] = scalar(str(value), attribute.type)
        if _TEXT in fields:
            document[_TEXT] = scalar(node.text or "", fields[_TEXT].type)
        for child in children:
            self._add(document, child, fields.get(etree.QName(child).localname))
        return document

    def positional(self, node: etree._Element, declared: Any) -> Any:
        """The parts of an rpc answer. Their names are the server's affair, their order is not."""
        fields = list(self.fields(declared).values())
        document: dict[str, Any] = {}
        for place, child in enumerate(child for child in node if isinstance(child.tag, str)):
            field = fields[place] if place < len(fields) else None
            name = field.name if field else etree.QName(child).localname
            document[name] = self.plain(child, field.type if field else None)
        return document

    def _add(self, document: dict[str, Any], child: etree._Element, field: Field | None) -> None:
        name = field.name if field else etree.QName(child).localname
        value = self.plain(child, field.type if field else None)
        if field is not None and field.many:
            document.setdefault(name, []).append(value)
        elif name not in document:
            document[name] = value
        elif field is None and isinstance(document[name], list):
            document[name].append(value)  # what no schema declares repeats as it likes
        else:
            document[name] = [document[name], value]

    def _kind(self, node: etree._Element, declared: Any) -> Any:
        """The type that the element names itself, else the declared one."""
        named = node.get(_TYPE)
        if named is None:
            return declared
        prefix, _, local = named.rpartition(":")
        namespace = node.nsmap.get(prefix or None)
        try:
            found = self._schema.get_type(etree.QName(namespace, local), fail_silently=True)
        except (KeyError, ValueError):
            found = None
        return found or declared

    # --- to XML ------------------------------------------------------------------------------

    def filled(self, value: Any, declared: Any, at: str = "") -> Any:
        """A document's value as zeep takes it. Raises ``ValueError``, which names the place and not the value."""
        if isinstance(declared, AnySimpleType):
            return _written(value, declared, at)
        if not isinstance(value, Mapping):
            if isinstance(value, list) and getattr(declared, "_array_type", None) is not None:
                return declared([_written(item, xsd.String(), at) for item in value])
            raise ValueError(f"{at or 'the body'} is no object")
        fields = self.fields(declared)
        found = {}
        for name, item in value.items():
            place = f"{at}.{name}" if at else name
            if name not in fields:
                raise ValueError(f"the WSDL has no {place}")
            field = fields[name]
            if field.many:
                items = item if isinstance(item, list) else [] if item is None else [item]
                found[name] = [self._one(one, field, place) for one in items]
            else:
                found[name] = self._one(item, field, place)
        return found

    def _one(self, item: Any, field: Field, at: str) -> Any:
        if item is not None:
            return self.filled(item, field.type, at)
        if field.nillable:
            return xsd.Nil
        # a text that cannot be nil is emptied; anything else is left out
        return "" if isinstance(field.type, builtins.String) else None

    def missing(self, value: Any, declared: Any, at: str = "") -> Iterator[str]:
        """Every place of a template that the type does not declare."""
        if not isinstance(value, Mapping) or isinstance(declared, AnySimpleType):
            return
        fields = self.fields(declared)
        for name, item in value.items():
            place = f"{at}.{name}" if at else name
            if name not in fields:
                yield place
                continue
            for one in item if isinstance(item, list | tuple) else [item]:
                yield from self.missing(one, fields[name].type, place)

    # --- the schema --------------------------------------------------------------------------

    def fields(self, kind: Any) -> dict[str, Field]:
        """What a complex type declares, by name; nothing for any other."""
        found = self._fields.get(id(kind))
        if found is None:
            found = {}
            if isinstance(kind, xsd.ComplexType):
                for name, attribute in kind.attributes:
                    if attribute.name:
                        found[name] = Field(name, attribute.type)
                for name, element in kind.elements_nested:
                    for field in _declared(name, element, False):
                        found.setdefault(field.name, field)
            self._fields[id(kind)] = found
        return found


def _declared(name: str | None, element: Any, repeated: bool) -> Iterator[Field]:
    many = repeated or element.accepts_multiple
    if isinstance(element, xsd.Element):
        yield Field(str(name or element.attr_name), element.type, many, element.nillable)
    else:
        for inner, nested in getattr(element, "elements_nested", ()):
            yield from _declared(inner, nested, many)


def scalar(text: str, kind: Any) -> Any:
    """A text as its simple type says; an empty element is an empty text, whatever it should hold."""
    if not text.strip() and not isinstance(kind, builtins.String):
        return ""
    try:
        return _READ[_base(kind)](text)
    except (KeyError, ValueError, InvalidOperation, OverflowError, binascii.Error):
        return Unreadable(text, type(kind).__name__)


def _base(kind: Any) -> type[Any]:
    return next((base for base in _READ if isinstance(kind, base)), AnyType)


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]


def _digits(text: str) -> str:
    if "_" in text:  # Python reads 1_000 as a number, and no schema does
        raise ValueError(text)
    return text.strip()


def _moment(text: str) -> str:
    """ISO text; with an offset, in UTC. A fraction is cut to microseconds."""
    time = datetime.fromisoformat(_FRACTION.sub(r"\1", text.strip()))
    return (time if time.tzinfo is None else time.astimezone(UTC)).isoformat()


def _decimal(text: str) -> str:
    value = Decimal(_digits(text))
    if not value.is_finite():
        raise ValueError(text)
    return f"{value:f}"


def _float(text: str) -> float:
    value = float(_digits(text))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _base64(text: str) -> str:
    return base64.b64encode(base64.b64decode("".join(text.split()), validate=True)).decode()


def _hex(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text.strip())).decode()


_READ: dict[type[Any], Any] = {
    builtins.Boolean: _boolean,
    builtins.Integer: lambda text: int(_digits(text)),
    builtins.Decimal: _decimal,
    builtins.Float: _float,
    builtins.Double: _float,
    builtins.DateTime: _moment,
    builtins.Base64Binary: _base64,
    builtins.HexBinary: _hex,
    AnyType: lambda text: text,
}
"""How simple types are read; the first that fits counts (an integer is a decimal, too)."""


def tell_arrays(message: etree._Element) -> None:
    """Have every encoded array of texts say that it is one: not all servers look into the WSDL."""
    for node in {item.getparent() for item in message.iter("item")}:
        told = etree.Element(node.tag, nsmap={"xsd": _XSD, "soapenc": _ENCODING})
        told.set(_TYPE, "soapenc:Array")
        told.set(_ARRAY, f"xsd:string[{len(node)}]")
        for item in node:
            etree.SubElement(told, "item", {_TYPE: "xsd:string"}).text = item.text
        node.getparent().replace(node, told)


def _written(value: Any, kind: Any, at: str) -> Any:
    if isinstance(value, Mapping | list):
        raise ValueError(f"{at} is one value, and it is given several")  # noqa: TRY004
    if isinstance(kind, builtins.HexBinary):
        return base64.b64decode(value, validate=True).hex().upper()
    if isinstance(kind, builtins.Boolean) and not isinstance(value, bool):
        raise ValueError(f"{at} is true or false")  # noqa: TRY004
    if isinstance(kind, builtins.String):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value

"""Between XML and plain values: what a WSDL declares, and what servers make of it."""

import pytest
from lxml import etree

from connectors.runtime.jsonbody import Unreadable
from connectors.soap.description import Description

TYPES = """
<xs:complexType name="Phone"><xs:simpleContent><xs:extension base="xs:string">
  <xs:attribute name="kind" type="xs:string"/></xs:extension></xs:simpleContent></xs:complexType>
<xs:complexType name="Party"><xs:sequence>
  <xs:element name="name" type="xs:string" nillable="true" minOccurs="0"/>
  <xs:element name="code" type="xs:string" minOccurs="0"/>
  <xs:element name="born" type="xs:date" minOccurs="0"/>
  <xs:element name="limit" type="xs:decimal" nillable="true" minOccurs="0"/>
  <xs:element name="count" type="xs:int" minOccurs="0"/>
  <xs:element name="share" type="xs:double" minOccurs="0"/>
  <xs:element name="active" type="xs:boolean" minOccurs="0"/>
  <xs:element name="changed" type="xs:dateTime" minOccurs="0"/>
  <xs:element name="photo" type="xs:base64Binary" minOccurs="0"/>
  <xs:element name="seal" type="xs:hexBinary" minOccurs="0"/>
  <xs:element name="tag" type="xs:string" minOccurs="0" maxOccurs="unbounded"/>
  <xs:element name="phone" type="t:Phone" minOccurs="0" maxOccurs="unbounded"/>
  <xs:element name="parent" type="t:Party" minOccurs="0"/>
  <xs:any minOccurs="0" processContents="lax"/>
</xs:sequence><xs:attribute name="id" type="xs:int"/></xs:complexType>
<xs:complexType name="Company"><xs:complexContent><xs:extension base="t:Party"><xs:sequence>
  <xs:element name="staff" type="xs:int" minOccurs="0"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
"""
WSDL = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<definitions targetNamespace="urn:t" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:t"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
<types><xs:schema targetNamespace="urn:t" elementFormDefault="qualified">{TYPES}
<xs:complexType name="Whole"><xs:sequence><xs:element name="party" type="t:Party"/></xs:sequence></xs:complexType>
<xs:element name="Put" type="t:Whole"/><xs:element name="PutResponse" type="t:Whole"/>
</xs:schema></types>
<message name="In"><part name="p" element="t:Put"/></message>
<message name="Out"><part name="p" element="t:PutResponse"/></message>
<portType name="P"><operation name="Put"><input message="t:In"/><output message="t:Out"/></operation></portType>
<binding name="B" type="t:P"><soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
<operation name="Put"><soap:operation soapAction="put"/><input><soap:body use="literal"/></input>
<output><soap:body use="literal"/></output></operation></binding>
<service name="S"><port name="P" binding="t:B"><soap:address location="http://unused.invalid/"/></port></service>
</definitions>"""
SPACES = 'xmlns="urn:t" xmlns:t="urn:t" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.fixture(scope="module")
def described():
    return Description("t.wsdl", {"t.wsdl": WSDL})


@pytest.fixture(scope="module")
def read(described):
    def value(inner, attributes=""):
        node = etree.fromstring(
            f"<PutResponse {SPACES}><party {attributes}>{inner}</party></PutResponse>"
        )
        return described.schema.plain(node, described.operations["Put"].answer)["party"]

    return value


@pytest.fixture(scope="module")
def written(described):
    def text(party):
        message = described.envelope(described.operations["Put"], {"party": party}, None)
        root = etree.fromstring(message)
        (found,) = root.iter("{urn:t}party")
        plain = etree.tostring(found).decode()
        return plain.replace("ns0:", "").partition(">")[2].removesuffix("</party>")

    return text


@pytest.mark.parametrize(
    ("inner", "document"),
    [
        ("", {}),
        ("<name>Ada</name>", {"name": "Ada"}),
        ('<name xsi:nil="true"/>', {"name": None}),
        ('<name xsi:nil="1"/>', {"name": None}),
        ('<name xsi:nil="false"/>', {"name": ""}),
        ("<name/>", {"name": ""}),
        ("<name> A  b </name>", {"name": " A  b "}),
        ("<limit>1000.10</limit>", {"limit": "1000.10"}),
        ("<limit>1E3</limit>", {"limit": "1000"}),
        ("<limit/>", {"limit": ""}),
        ("<count>7</count>", {"count": 7}),
        ("<share>0.5</share>", {"share": 0.5}),
        ("<active>1</active>", {"active": True}),
        ("<active>false</active>", {"active": False}),
        ("<born>1990-02-28</born>", {"born": "1990-02-28"}),
        ("<changed>2026-01-31T13:00:00.000+01:00</changed>", {"changed": "2026-01-31T12:00:00+00:00"}),
        ("<changed>2026-01-31T12:00:00Z</changed>", {"changed": "2026-01-31T12:00:00+00:00"}),
        ("<changed>2026-01-31T12:00:00</changed>", {"changed": "2026-01-31T12:00:00"}),
        ("<changed>2026-01-31T12:00:00.1234567Z</changed>", {"changed": "2026-01-31T12:00:00.123456+00:00"}),
        ("<photo>AQ\nI=</photo>", {"photo": "AQI="}),
        ("<seal>0102</seal>", {"seal": "AQI="}),
        ("<tag>a</tag>", {"tag": ["a"]}),
        ("<tag>a</tag><tag>b</tag>", {"tag": ["a", "b"]}),
        ('<phone kind="fax">1</phone>', {"phone": [{"kind": "fax", "_value_1": "1"}]}),
        ("<parent><name>Eve</name></parent>", {"parent": {"name": "Eve"}}),
        ('<parent xsi:type="t:Company"><staff>7</staff></parent>', {"parent": {"staff": 7}}),
        ("<later>new</later>", {"later": "new"}),
    ],
)  # fmt: skip
def test_an_element_is_a_plain_value(read, inner, document):
    assert read(inner) == document


def test_an_attribute_is_a_key(read):
    assert read("", 'id="3" other="x"') == {"id": 3}


@pytest.mark.parametrize(
    "inner",
    [
        "<limit>much</limit>", "<limit>NaN</limit>", "<limit>1_0</limit>", "<count>1.5</count>", "<share>INF</share>",
        "<active>maybe</active>", "<changed>yesterday</changed>", "<photo>%</photo>", "<seal>0</seal>", "<name><b/></name>",
    ],
)  # fmt: skip
def test_a_value_that_is_not_what_the_wsdl_says_is_marked(read, inner):
    (value,) = read(inner).values()
    assert isinstance(value, Unreadable)


@pytest.mark.parametrize(
    ("party", "inner"),
    [
        ({"name": "Ada & <Eve>"}, "<name>Ada &amp; &lt;Eve&gt;</name>"),
        ({"name": ""}, "<name/>"),
        ({"code": None}, "<code/>"),
        ({"count": None}, ""),
        ({"active": True, "count": 3}, "<count>3</count><active>true</active>"),
        ({"limit": "1000.10"}, "<limit>1000.10</limit>"),
        ({"photo": "AQI="}, "<photo>AQI=</photo>"),
        ({"seal": "AQI="}, "<seal>0102</seal>"),
        ({"changed": "2026-01-31T12:00:00+00:00"}, "<changed>2026-01-31T12:00:00+00:00</changed>"),
        ({"tag": ["b", "a"]}, "<tag>b</tag><tag>a</tag>"),
        ({"tag": None}, ""),
        ({"parent": {"name": "Eve"}}, "<parent><name>Eve</name></parent>"),
        ({"phone": [{"kind": "fax", "_value_1": "1"}]}, '<phone kind="fax">1</phone>'),
    ],
)
def test_a_plain_value_is_an_element(written, party, inner):
    assert written(party) == inner


def test_null_is_nil_where_the_wsdl_has_it(written):
    assert 'nil="true"' in written({"name": None})
    assert 'nil="true"' in written({"limit": None})


@pytest.mark.parametrize(
    "party",
    [{"shoe": 3}, {"parent": {"shoe": 3}}, {"name": "a\x00"}, {"name": ["a", "b"]}, {"active": "yes"}, {"parent": "Eve"}],
)  # fmt: skip
def test_what_does_not_fit_the_wsdl_is_not_sent(written, party):
    with pytest.raises(ValueError, match=r".") as refused:
        written(party)
    assert "Eve" not in str(refused.value)

"""Services of the rpc/encoded age: arrays that say what they are, parts by their order, and names that are anybody's."""

import pytest
from lxml import etree

from connectors.soap.description import Description
from connectors.soap.envelope import read

ARRAY = "http://schemas.xmlsoap.org/soap/encoding/"
WSDL = f"""<definitions targetNamespace="urn:old" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:old"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
<types><schema targetNamespace="urn:old" xmlns="http://www.w3.org/2001/XMLSchema" xmlns:E="{ARRAY}"
    xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/">
<complexType name="Texts"><complexContent><restriction base="E:Array">
<attribute ref="E:arrayType" wsdl:arrayType="string[]"/></restriction></complexContent></complexType></schema></types>
<message name="In"><part name="service" type="xs:string"/><part name="parameters" type="t:Texts"/></message>
<message name="Out"><part name="return" type="t:Texts"/></message>
<portType name="P"><operation name="Run"><input message="t:In"/><output message="t:Out"/></operation></portType>
<binding name="B" type="t:P"><soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
<operation name="Run"><soap:operation soapAction="run"/>
<input><soap:body use="encoded" namespace="urn:old" encodingStyle="{ARRAY}"/></input>
<output><soap:body use="encoded" namespace="urn:old" encodingStyle="{ARRAY}"/></output></operation></binding>
<service name="S"><port name="P" binding="t:B"><soap:address location="http://unused.invalid/"/></port></service>
</definitions>"""


@pytest.fixture(scope="module")
def described():
    """The encoding schema that this WSDL needs ships with Concord: nothing is asked for."""
    return Description("old.wsdl", {"old.wsdl": WSDL})


def test_an_array_says_that_it_is_one_and_an_argument_may_have_any_name(described):
    sent = {"service": "add", "parameters": ["news", "a&b"]}
    message = described.envelope(described.operations["Run"], sent, None)
    root = etree.fromstring(message)
    (array,) = root.iter("parameters")
    assert array.get(f"{{{ARRAY}}}arrayType") == "xsd:string[2]"
    assert {"xsd", "soapenc"} <= array.nsmap.keys(), "the prefixes of its types are declared"
    assert [item.text for item in array] == ["news", "a&b"]
    assert root.findtext(".//service") == "add"


def _answer(described, inner):
    xml = "http://www.w3.org/2001/XMLSchema"
    spaces = f'xmlns:xsi="{xml}-instance" xmlns:x="{xml}" xmlns:e="{ARRAY}"'
    envelope = f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" {spaces}><s:Body>'
    text = f"{envelope}<RunResponse xmlns='urn:old'>{inner}</RunResponse></s:Body></s:Envelope>"
    return read(described, described.operations["Run"], (), text.encode(), "Run").value


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        ('<return e:arrayType="x:string[1]" xsi:type="e:Array"><item xsi:type="x:string">a</item></return>', ["a"]),
        ('<other e:arrayType="x:anyType[1]" xsi:type="e:Array"><item><n xsi:type="x:int">7</n><b xsi:type="x:boolean">true'
         '</b><g xsi:nil="true"/></item></other>', [{"n": 7, "b": True, "g": None}]),
        ('<gensym3 xsi:type="x:boolean">true</gensym3>', True),
        ("<return/>", []),
    ],
)  # fmt: skip
def test_parts_of_an_answer_are_known_by_their_order(described, inner, value):
    assert _answer(described, inner) == {"return": value}


def test_an_array_of_more_than_texts_is_not_sent(described):
    with pytest.raises(ValueError, match="parameters"):
        described.envelope(described.operations["Run"], {"service": "x", "parameters": [{}]}, None)

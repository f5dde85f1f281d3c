"""Codecs: what each reads and writes, what it refuses, and the lens law (RULES 8)."""

from __future__ import annotations

import json
import runpy
import string
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mappings.codecs import CODECS, Codec, make
from mappings.spec import FieldType, MemberDef
from tests.docs.pages import ROOT

TARGETS = {
    "name": MemberDef(type=FieldType.TEXT),
    "enum": MemberDef(type=FieldType.ENUM, values=("active", "inactive", "lost")),
    "present": MemberDef(type=FieldType.ENUM, values=("granted", "denied")),
    "split": MemberDef(type=FieldType.TEXT),
    "reference": MemberDef(type=FieldType.REFERENCE, to="customer"),
}
NEEDED: dict[str, dict[str, Any]] = {"reference": {"system": "erp", "stream": "parties"}}
"""Options without which a codec cannot be made."""


def codec(name: str, **options: Any) -> Codec:
    assert name in [*TARGETS, *FieldType], f"{name} is no type: add to TARGETS what it decodes to"
    target = TARGETS.get(name) or MemberDef(type=FieldType(name))
    return make(name, NEEDED.get(name, {}) | options, target)


class Case(NamedTuple):
    title: str
    codec: str
    options: dict[str, Any]
    native: Any
    canonical: Any
    written: Any = ...


ENUM = {"active": True, "inactive": False}
READS = [
    Case("text is trimmed and its white space collapsed", "text", {}, "  a \t b\n", "a b"),
    Case("text is composed", "text", {}, "e\u0301", "\u00e9"),
    Case("a whole number is text too", "text", {}, 32801, "32801"),
    Case("quotes are left alone", "text", {}, "O'Brien \"x\"", "O'Brien \"x\""),
    Case("a family emoji stays whole", "text", {}, "\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    Case("lines may be kept", "text", {"lines": "keep"}, " a \r\n b ", "a\nb"),
    Case("a name keeps its case", "name", {}, " van DAMME ", "van DAMME"),
    Case("an address is compared in lower case", "email", {}, " Ann@Example.COM ", "ann@example.com"),
    Case("an international domain is Unicode", "email", {}, "a@xn--exmple-cua.com", "a@ex\u00e4mple.com"),
    Case(
        "an international domain is written as the system wants it",
        "email", {"idn": "ascii"}, "a@EX\u00c4MPLE.com", "a@ex\u00e4mple.com", "a@xn--exmple-cua.com",
    ),
    Case("a reserved domain is an address too", "email", {}, "a@shop.test", "a@shop.test"),
    Case("a lenient address stays text", "email", {"lenient": True}, " no mail ", "no mail"),
    Case("a national number needs its region", "phone", {"region": "BE"}, "0470 12 34 56", "+32470123456"),
    Case("an exit code is a plus", "phone", {"region": "BE"}, "0032 470 12 34 56", "+32470123456"),
    Case("an optional trunk zero goes", "phone", {}, "+32 (0)470 12 34 56", "+32470123456"),
    Case("a region may be left out", "phone", {}, "+1 415 555 2671", "+14155552671"),
    Case("an extension is kept", "phone", {}, "+32 2 550 12 12 ext. 7", "+3225501212;ext=7"),
    Case(
        "a number is written nationally", "phone", {"region": "BE", "format": "national"},
        "+32470123456", "+32470123456", "0470 12 34 56",
    ),
    Case(
        "a foreign number is not written nationally", "phone", {"region": "BE", "format": "national"},
        "+31201234567", "+31201234567", "+31 20 123 4567",
    ),
    Case("an Italian zero stays", "phone", {"region": "IT"}, "06 1234 5678", "+390612345678"),
    Case("a lenient number stays text", "phone", {"lenient": True}, "ask Ann", "ask Ann"),
    Case("an enum maps", "enum", ENUM, True, "active", True),
    Case("an enum is the same without a map", "enum", {}, "lost", "lost", "lost"),
    Case(
        "several system values, the first is written", "enum",
        {"active": ["A", "B"], "lost": "X"}, "B", "active", "A",
    ),
    Case("words are truth", "boolean", {}, " Yes ", True, True),
    Case("a system's own words", "boolean", {"true": ["tYES"], "false": ["tNO"]}, "tNO", False, "tNO"),
    Case("a date", "date", {}, "1980-02-29", "1980-02-29"),
    Case("a date in the system's format", "date", {"formats": ["%d/%m/%Y"]}, "29/02/1980", "1980-02-29", "29/02/1980"),
    Case("midnight is a date", "date", {}, "1980-02-29T00:00:00", "1980-02-29"),
    Case("a time is UTC", "datetime", {}, "2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00Z"),
    Case(
        "a time without a zone", "datetime", {"zone": "Europe/Brussels"},
        "2026-07-01 12:00:00", "2026-07-01T10:00:00Z",
    ),
    Case(
        "a time is written in the system's zone and format", "datetime",
        {"zone": "Europe/Brussels", "formats": ["%d.%m.%Y %H:%M:%S.%f%z"]},
        "2026-01-31T11:00:00Z", "2026-01-31T11:00:00Z", "31.01.2026 12:00:00.000000+0100",
    ),
    Case("seconds since 1970", "datetime", {"formats": ["epoch"]}, 1769857200, "2026-01-31T11:00:00Z", 1769857200),
    Case("seconds before 1970", "datetime", {"formats": ["epoch"]}, -0.5, "1969-12-31T23:59:59.500000Z", -1),
    Case("milliseconds as text", "datetime", {"formats": ["epoch_ms"]}, "1769857200001",
         "2026-01-31T11:00:00.001000Z", 1769857200001),
    Case("an ISO time beside seconds", "datetime", {"formats": ["epoch"]},
         "2026-01-31T11:00:00Z", "2026-01-31T11:00:00Z", 1769857200),
    Case("needless zeros go", "decimal", {}, "0012.500", "12.5"),
    Case("a JSON number is exact", "decimal", {}, 0.1, "0.1"),
    Case("a binary slip is mended", "decimal", {}, 0.1 + 0.2, "0.3"),
    Case("there is no minus zero", "decimal", {}, "-0.00", "0"),
    Case("a decimal comma", "decimal", {"point": ",", "thousands": "."}, "1.234,50", "1234.5", "1234,5"),
    Case("a number for JSON", "decimal", {"write": "number"}, "12.50", "12.5", 12.5),
    Case("amounts are rounded to what the system keeps", "decimal", {"places": 2}, "1.005", "1.005", "1.00"),
    Case("cents", "decimal", {"minor": 2, "write": "number"}, 1250, "12.5", 1250),
    Case("what is smaller than a cent is rounded", "decimal", {"minor": 2}, "1", "0.01", "1"),
    Case("a whole number", "integer", {}, " +7 ", 7, 7),
    Case("a whole number as text", "integer", {"write": "text"}, 7.0, 7, "7"),
    Case("a country's name", "country", {"form": "name", "language": "nl"}, "belgi\u00eb", "BE", "Belgi\u00eb"),
    Case("three letters", "country", {"form": "alpha3"}, "bel", "BE", "BEL"),
    Case("the United Kingdom by its English name", "country", {}, "United Kingdom", "GB", "GB"),
    Case("a language with its country", "language", {}, "nl_BE", "nl", "nl"),
    Case("the system's own language codes", "language", {"codes": {"nl": "nl_BE"}}, "nl-NL", "nl", "nl_BE"),
    Case("three letters of a language", "language", {}, "NLD", "nl"),
    Case("a VAT number with its country", "tax_id", {}, "BE 0428.759.497", "BE0428759497"),
    Case("a VAT number without", "tax_id", {"country": "BE"}, "0428.759.497", "BE0428759497"),
    Case(
        "a VAT number is written bare", "tax_id", {"country": "BE", "form": "bare"},
        "BE0428759497", "BE0428759497", "0428759497",
    ),
    Case("Greece is EL", "tax_id", {"country": "GR"}, "094259216", "EL094259216"),
    Case("a number that begins with its country", "tax_id", {}, "CHE-107.787.577 IVA", "CHE107787577IVA"),
    Case("a key names a record of its stream", "reference", {}, "17", "erp/parties/17", "17"),
    Case("a key that is a number", "reference", {"number": True}, 17, "erp/parties/17", 17),
    Case("a key with a stroke", "reference", {}, "a/7", "erp/parties/a/7", "a/7"),
    Case("presence", "present", {"yes": "granted", "no": "denied"}, False, "denied", False),
    Case("absence that asserts nothing", "present", {"yes": "granted"}, True, "granted", True),
]  # fmt: skip


@pytest.mark.parametrize("case", READS, ids=lambda case: case.title)
def test_reading_and_writing(case: Case):
    made = codec(case.codec, **case.options)
    assert made.decode(case.native) == case.canonical
    written = case.canonical if case.written is ... else case.written
    assert made.encode(case.canonical) == written
    assert type(made.encode(case.canonical)) is type(written)
    if not made.lossy:
        assert made.decode(written) == case.canonical


SIMPLE = sorted(set(CODECS) - {"split", "present", "enum"})
HOSTILE = {
    "an object": {"a": 1},
    "a list": ["a"],
    "ten megabytes": "a" * 10_000_000,
    "a NUL": "a\x00b",
    "a lone surrogate": "a\ud800b",
    "an escape": "a\x1b[31mb",
    "a number beyond measure": 10**400,
}


@pytest.mark.parametrize("native", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", SIMPLE)
def test_hostile_input_is_refused_with_what_is_allowed(name: str, native: Any):
    with pytest.raises(ValueError) as caught:
        codec(name).decode(native)
    assert len(str(caught.value)) < 300
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("native", [None, "", "  ", "\n\t"])
def test_null_and_white_space_are_empty(name: str, native: Any):
    assert codec(name).decode(native) is None
    assert codec("enum", **ENUM).decode(native) is None


REFUSED = [
    ("email", {}, "Secret Person <a@example.com>"),
    ("email", {}, "secret@localhost"),
    ("email", {}, "secret..x@example.com"),
    ("email", {}, "a@" + "b" * 64 + ".com"),
    ("phone", {}, "0470 99 88 77"),
    ("phone", {"region": "BE"}, "+32 1"),
    ("phone", {"region": "BE"}, "secret"),
    ("tax_id", {}, "BE0428759498"),
    ("tax_id", {}, "0203430576"),
    ("enum", ENUM, "secret"),
    ("enum", ENUM, 1),
    ("boolean", {}, "secret"),
    ("boolean", {"true": ["J"], "false": ["N"]}, 1),
    ("date", {}, "31/01/1980"),
    ("date", {}, "1980-02-30"),
    ("date", {}, "1980-01-01T10:00:00"),
    ("datetime", {}, "secret"),
    ("datetime", {}, 1700000000),
    ("datetime", {"formats": ["%Y%m%d"]}, 20260131),
    ("datetime", {"formats": ["epoch"]}, 10**15 - 1),
    ("datetime", {"formats": ["epoch"]}, float("nan")),
    ("datetime", {"formats": ["epoch"]}, True),
    ("decimal", {}, "NaN"),
    ("decimal", {}, float("nan")),
    ("decimal", {}, float("inf")),
    ("decimal", {}, "1e999"),
    ("decimal", {}, "1e-99"),
    ("decimal", {}, "1_000"),
    ("decimal", {}, "\u0661\u0662"),
    ("decimal", {"point": ","}, "1.5"),
    ("integer", {}, "1.5"),
    ("integer", {}, True),
    ("integer", {}, "9" * 19),
    ("country", {}, "Atlantis"),
    ("language", {}, "qqq"),
    ("present", {"yes": "granted"}, "secret"),
]


@pytest.mark.parametrize(("name", "options", "native"), REFUSED)
def test_what_is_not_understood_is_refused_and_never_quoted(name: str, options: Any, native: Any):
    with pytest.raises(ValueError, match="allowed") as caught:
        codec(name, **options).decode(native)
    assert "secret" not in str(caught.value).lower()
    assert str(native) not in str(caught.value) or len(str(native)) < 4


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("enum", ENUM, "lost"),
        ("present", {"yes": "granted", "no": "denied"}, "unknown"),
        ("country", {}, "XX"),
        ("text", {}, {"a": 1}),
        ("boolean", {}, "true"),
        ("integer", {}, True),
        ("decimal", {"write": "number"}, "12345678901234567.123"),
        ("reference", {"number": True}, "erp/parties/017"),
    ],
)
def test_what_the_system_cannot_hold_is_refused(name: str, options: Any, value: Any):
    with pytest.raises(ValueError):
        codec(name, **options).encode(value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("enum", {"active": 1, "inactive": 1}),
        ("enum", {"activ": 1}),
        ("enum", {"active": ""}),
        ("phone", {"region": "Belgium"}),
        ("phone", {"regoin": "BE"}),
        ("datetime", {"zone": "Brussels"}),
        ("datetime", {"formats": ["%H:%M"]}),
        ("date", {"formats": ["%c"]}),
        ("date", {"formats": ["epoch"]}),
        ("decimal", {"point": ",", "thousands": ","}),
        ("boolean", {"true": ["x"], "false": ["X"]}),
        ("country", {"language": "klingon!"}),
        ("language", {"codes": {"nl": "fr_BE"}}),
        ("tax_id", {"country": "be"}),
        ("present", {"yes": "maybe"}),
        ("present", {"yes": "granted", "no": "granted"}),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: Any):
    with pytest.raises(ValidationError):
        codec(name, **options)


def test_several_canonical_values_for_one_system_value_must_be_declared_lossy():
    made = codec("enum", values={"active": 1, "inactive": 2, "lost": 2}, lossy=True)
    assert made.lossy
    assert made.decode(2) == "inactive"
    assert made.encode("lost") == 2


def test_true_is_not_one():
    made = codec("enum", active=True, inactive=1)
    assert made.decode(1) == "inactive"
    assert made.decode(True) == "active"


def test_every_codec_and_every_option_is_documented():
    notes = runpy.run_path(str(ROOT / "docs" / "generate.py"))["_notes"]
    for name, made in CODECS.items():
        assert made.doc, name
        bare = made.options_model.model_fields.keys() - notes(made.options_model).keys()
        assert not bare, f"{name}: write a docstring below each of {sorted(bare)}"


# The law (RULES 8), on whatever a codec reads out of plausible and of arbitrary input.

WORDS = st.text(max_size=20) | st.text(string.printable, max_size=20)
DIGITS = st.text("0123456789 +-./()", max_size=18)
NUMBERS = st.integers() | st.floats() | st.decimals().map(str)
MOMENTS = (
    st.datetimes().map(str) | st.dates().map(str) | st.datetimes(timezones=st.timezones()).map(str)
)
EMAILS = st.emails() | st.emails(
    domains=st.sampled_from(["EXÄMPLE.com", "xn--exmple-cua.com", "x.test"])
)
CODES = st.text(string.ascii_letters + "_-", max_size=6)
NATIVE = WORDS | DIGITS | NUMBERS | MOMENTS | EMAILS | CODES | st.booleans() | st.none()

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("text", {}),
    ("text", {"lines": "keep"}),
    ("name", {}),
    ("email", {}),
    ("email", {"idn": "ascii"}),
    ("email", {"lenient": True}),
    ("phone", {}),
    ("phone", {"region": "BE", "format": "national"}),
    ("phone", {"region": "US", "format": "international"}),
    ("phone", {"region": "IT", "format": "national", "check": "possible"}),
    ("phone", {"region": "AR", "format": "national"}),
    ("phone", {"region": "BE", "lenient": True, "format": "national"}),
    ("enum", ENUM),
    ("enum", {"values": {"active": "A", "lost": "A"}, "lossy": True}),
    ("boolean", {}),
    ("boolean", {"true": ["Y"], "false": [0]}),
    ("date", {}),
    ("date", {"formats": ["%d/%m/%Y", "%Y%m%d"]}),
    ("date", {"formats": ["%d/%m/%y"]}),
    ("datetime", {}),
    ("datetime", {"zone": "America/New_York", "formats": ["%Y-%m-%d %H:%M:%S"]}),
    ("datetime", {"zone": "Asia/Kathmandu", "formats": ["%Y%m%dT%H%M%S.%f%z"]}),
    ("datetime", {"formats": ["epoch"]}),
    ("datetime", {"formats": ["epoch_ms", "%d/%m/%Y"]}),
    ("decimal", {}),
    ("decimal", {"point": ",", "thousands": "."}),
    ("decimal", {"places": 2}),
    ("decimal", {"places": 2, "write": "number"}),
    ("decimal", {"write": "number"}),
    ("integer", {}),
    ("integer", {"write": "text"}),
    ("country", {}),
    ("country", {"form": "alpha3"}),
    ("country", {"form": "name", "language": "ja"}),
    ("language", {}),
    ("language", {"codes": {"nl": "nl_BE", "pt": "pt-BR"}}),
    ("tax_id", {}),
    ("tax_id", {"country": "BE", "form": "bare"}),
    ("tax_id", {"country": "FR", "form": "bare", "lenient": True}),
    ("present", {"yes": "granted", "no": "denied"}),
    ("present", {"yes": "granted"}),
    ("reference", {}),
    ("reference", {"number": True}),
]
ELSEWHERE = {"split": "test_reading.py: a codec of lists, not of single values"}
"""Codecs that are tested in another file, and where."""


@pytest.mark.parametrize("name", sorted(CODECS.keys() - ELSEWHERE))
def test_every_codec_has_cases(name: str):
    assert name in {case.codec for case in READS}, f"add a Case of {name} to READS"
    assert name in {variant for variant, _ in VARIANTS}, f"add the options of {name} to VARIANTS"
    if name not in ("text", "name", "reference"):  # what these refuse, HOSTILE has
        assert name in {refused for refused, _, _ in REFUSED}, f"add to REFUSED what {name} refuses"


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@example(native="0428759497")
@example(native="BE0428759497")
@example(native="FR 83 404 833 048")
@example(native="0470 12 34 56 ext 5")
@example(native="2026-11-01 01:30:00-05:00")
@example(native="İ@EXAMPLE.com")
@example(native="ß\u0323\u0301 \u1e9e")
@example(native="Côte d’Ivoire")
@example(native="granted")
@given(native=NATIVE)
def test_what_is_written_is_read_back_as_the_same(name: str, options: Any, native: Any):
    made = codec(name, **options)
    try:
        value = made.decode(native)
        sent = made.encode(value) if value is not None else None
    except ValueError:
        return
    if value is None:
        return
    json.dumps(value, allow_nan=False)
    if made.lossy:
        again = made.decode(sent)
        assert (None if again is None else made.encode(again)) == sent
    else:
        assert made.decode(sent) == value
    assert type(made.decode(sent)) is type(value) or made.lossy

"""The short cuts of the hot path give what the libraries give, or step aside."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mappings.codecs import phone, text

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize("region", REGIONS)
def test_the_example_numbers_of_every_region_agree_with_the_library(region: str):
    for kind in phonenumbers.PhoneNumberType.values():
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        for form in range(4):
            written = phonenumbers.format_number(number, form)
            agrees(written, region)
            agrees(written[:-1], region)
            agrees(written + "0", region)


def agrees(written: str, region: str | None) -> None:
    quick = phone._quick(written, region)
    if quick is not None:
        assert phone.parsed(written, region) == quick, (written, region)


@settings(max_examples=1000, deadline=None)
@given(
    st.text("0123456789", min_size=5, max_size=14),
    st.sampled_from(["", "+", "00", "0", "+ ", "("]),
    st.sampled_from(REGIONS) | st.none(),
    st.booleans(),
)
@example("3204712345678", "+", "BE", False)
@example("1 4155552671", "", "US", False)
def test_no_number_is_read_otherwise_than_the_library_reads_it(
    digits: str, prefix: str, region: str | None, own: bool
):
    code = phonenumbers.country_code_for_region(region) if region and own else ""
    agrees(f"{prefix}{code}{digits}", region)


def test_most_numbers_take_the_short_cut():
    taken = [
        phone._quick(written, region)
        for written, region in (
            ("+32470123456", None),
            ("0470 12 34 56", "BE"),
            ("+31 20 123 4567", "BE"),
            ("+49 30 123456", None),
            ("+33 1 23 45 67 89", None),
            ("+1 415 555 2671", None),
            ("(415) 555-2671", "US"),
            ("+44 20 7946 0958", None),
        )
    ]
    assert None not in taken


@settings(max_examples=200, deadline=None)
@given(
    st.emails()
    | st.from_regex(r"\A[a-z0-9_.+&'=-]{1,20}@[a-z0-9.-]{1,20}\.[a-z]{1,9}\Z")
    | st.from_regex(r"\A[a-z]{60,70}@(?:[a-z0-9-]{60,65}\.){1,4}[a-z]{1,9}\Z")
)
@example("a@b--c.com")
@example("a@xn--a.com")
@example("a@-b.com")
@example("a@b-.com")
@example("a.@b.com")
def test_an_address_that_takes_the_short_cut_is_one_that_the_library_reads_alike(address: str):
    lower = address.lower()
    if address.isascii() and text._PLAIN.match(lower):
        assert text._checked(address) == lower

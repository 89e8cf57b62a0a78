"""The fast path against the library itself, over every country."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from smsqueue.core import plans

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS = [kind for kind in PhoneNumberType.values() if kind != PhoneNumberType.UNKNOWN]


def by_the_library(number, country):
    """Return the library's answer, None when the number is not a valid one of a country."""
    try:
        parsed = phonenumbers.parse(number, country)
    except NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(parsed)
    if not phonenumbers.is_valid_number(parsed) or region == "001":
        return None
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164), region, phonenumbers.number_type(parsed)


def examples(region):
    found = [phonenumbers.example_number_for_type(region, kind) for kind in KINDS]
    return [f"{each.country_code}|{phonenumbers.national_significant_number(each)}" for each in found if each]


EXAMPLES = sorted({each for region in REGIONS for each in examples(region)})


@st.composite
def numbers(draw):
    """A number that is right, nearly right or random, in one of the usual spellings."""
    code, national = draw(st.sampled_from(EXAMPLES)).split("|")
    kept = draw(st.integers(0, len(national)))
    national = national[:kept] + draw(st.text("0123456789", min_size=0, max_size=len(national) - kept))
    start = draw(st.sampled_from(["+" + code, code, "00" + code, "011" + code, "", "0", "1", "8", "+" + code + "0"]))
    return start + national or "0"


@settings(max_examples=1500)
@given(numbers(), st.sampled_from(REGIONS))
def test_what_the_plans_understand_is_what_the_library_says(number, country):
    found = plans.understand(number, country)

    assert found is None or tuple(found) == by_the_library(number, country)


@settings(max_examples=500)
@given(st.sampled_from(["", "+"]), st.text("0123456789", min_size=1, max_size=17), st.sampled_from(REGIONS))
def test_random_digits_are_understood_as_by_the_library(plus, digits, country):
    found = plans.understand(plus + digits, country)

    assert found is None or tuple(found) == by_the_library(plus + digits, country)


@pytest.mark.parametrize("region", REGIONS)
def test_every_kind_of_number_of_a_country_is_understood_in_every_spelling(region):
    for example in examples(region):
        code, national = example.split("|")
        parsed = phonenumbers.parse(f"+{code}{national}")
        dialled = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
        for number in (
            f"+{code}{national}",
            f"{code}{national}",
            national,
            phonenumbers.normalize_digits_only(dialled),
        ):
            found = plans.understand(number, region)
            assert found is None or tuple(found) == by_the_library(number, region)
        assert plans.understand(f"+{code}{national}", region) is not None or rewritten(code, national)


def rewritten(code, national):
    """Tell whether the library itself takes these digits apart in a way of its own, so that it must be asked."""
    main = plans.plan(phonenumbers.region_code_for_country_code(int(code)))
    return main is not None and main.without_prefix(national) != national


def test_a_country_that_does_not_exist_has_no_plan():
    assert plans.plan("ZZ") is None
    assert plans.understand("07400123456", "ZZ") is None

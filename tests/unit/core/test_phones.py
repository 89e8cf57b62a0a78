import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from smsqueue.core import phones
from smsqueue.core.countries import NAMES
from smsqueue.core.phones import BadNumber, Phone

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
MOBILES = [
    example
    for region in REGIONS
    if (example := phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)) is not None
]
FORMATS = [
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.RFC3966,
]


@pytest.mark.parametrize(
    ("typed", "country"),
    [
        ("+447400123456", "US"),
        ("+44 7400 123456", "US"),
        ("+44 (0)7400 123456", "US"),
        ("(+44) 7400-123.456", "US"),
        ("0044 7400 123456", "FR"),
        ("0044 7400 123456", "US"),  # 00 is not the way out of the US, but nothing else can be meant
        ("011 44 7400 123456", "US"),
        ("07400 123456", "GB"),
        ("07400/123-456", "GB"),
        ("7400123456", "GB"),  # a number cell that lost its zero
        ("447400123456", "GB"),
        ("447400123456.0", "GB"),
        ("７４００ １２３４５６", "GB"),
        ("＋４４７４００１２３４５６", "US"),
        ("٠٧٤٠٠١٢٣٤٥٦", "GB"),
        (" 07400\u00a0123456\t", "GB"),
        ("07400‑123456", "GB"),
        ("\u202a+44 7400 123456\u202c", "US"),
        ("'07400123456", "GB"),
        ('="07400123456"', "GB"),
        ("tel:+447400123456", "US"),
    ],
)
def test_any_usual_spelling_is_understood(typed, country):
    assert phones.parse(typed, country) == Phone("+447400123456", "GB")


@pytest.mark.parametrize(
    ("typed", "country", "code", "sentence"),
    [
        ("", "GB", "empty", "The number is empty: type a mobile number, for example +44 7400 123456"),
        (" \u200b ", "GB", "empty", "The number is empty: type a mobile number, for example +44 7400 123456"),
        ("07400 12345O", "GB", "letters", "“07400 12345O” has letters in it: type the number in digits"),
        ("unknown", "GB", "letters", "“unknown” has letters in it"),
        ("0770", "GB", "too_short", "“0770” is too short for a +44 number"),
        ("1", "GB", "too_short", "“1” is too short"),
        ("555-0123", "US", "too_short", "“555-0123” is too short for a +1 number"),
        ("07400 123456 07400 123457", "GB", "too_long", "one number at a time"),
        ("4.47E+11", "GB", "excel", "Excel changed this number to 4.47E+11: format the column as text"),
        ("4,47E+11", "GB", "excel", "Excel changed this number to 4,47E+11: format the column as text"),
        (
            "020 7946 0958",
            "GB",
            "landline",
            "+44 20 7946 0958 is a landline and can't receive SMS: use a mobile number",
        ),
        ("0909 8790000", "GB", "premium", "is a premium-rate number and can't receive SMS"),
        ("0345 678 9012", "GB", "company", "can't receive SMS"),
        ("1300 123 456", "AU", "shared_cost", "is a shared-cost number and can't receive SMS"),
        ("056 1234 5678", "GB", "voip", "is an internet phone (VoIP) and can't receive SMS"),
        ("076 4012 3456", "GB", "pager", "is a pager and can't receive SMS"),
        ("070 1234 5678", "GB", "personal", "is a follow-me number and can't receive SMS"),
        ("1-800-555-0199", "US", "toll_free", "is a freephone number and can't receive SMS"),
        ("+1 201 155 0123", "US", "unassigned", "No telephone has the number +1 201-155-0123: check the digits"),
        ("+870773111632", "GB", "no_country", "+870 773 111 632 belongs to no country"),  # a satellite terminal
        ("07400#123456", "GB", "not_a_number", "“07400#123456” is not a telephone number: type one number in digits"),
        ("07400 123456; 07400 123457", "GB", "not_a_number", "type one number"),
        ("+", "GB", "not_a_number", "“+” is not a telephone number"),
        ("+999 1234567", "GB", "no_country", "does not start with the code of a country: put + and the country code"),
        ("07400 123456", "", "no_country", "has no country code: put + and the country code in front"),
    ],
)
def test_a_bad_number_is_refused_with_what_to_do(typed, country, code, sentence):
    with pytest.raises(BadNumber) as caught:
        phones.parse(typed, country)

    assert (caught.value.typed, caught.value.code) == (typed, code)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(caught.value.advice)


def test_a_foreign_number_without_its_plus_is_offered_not_guessed():
    with pytest.raises(BadNumber, match=r"if it is \+33 6 12 34 56 78 \(France\), put \+ in front"):
        phones.parse("33612345678", "US")


def test_a_long_cell_is_shortened_in_the_sentence():
    with pytest.raises(BadNumber) as caught:
        phones.parse("x" * 10_000, "GB")

    assert len(str(caught.value)) < 150


def test_phones_of_the_simulated_gateway_are_numbers():
    assert phones.parse("(201) 555-0199", "US").shown == "+1 201-555-0199"


def test_a_number_is_described_as_understood():
    assert phones.describe("+33612345678") == "+33 6 12 34 56 78, France"
    assert phones.describe("+441481256789") == "+44 1481 256789, Guernsey"
    assert phones.describe("nonsense") == "nonsense"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+12015550123", "+••••••••123"),
        ("+44 7400 123456", "+•• •••• •••456"),
        ("123", "123"),
        ("", ""),
    ],
)
def test_only_the_last_three_digits_survive_masking(text, masked):
    assert phones.mask(text) == masked


def test_every_country_has_a_name():
    assert NAMES.keys() == set(REGIONS)
    assert phones.country_name("CI") == "Côte d’Ivoire"
    assert phones.country_name("??") == "??"


@given(st.sampled_from(MOBILES), st.sampled_from(FORMATS), st.sampled_from(["", " ", "\u00a0", "\u202a"]))
def test_what_the_library_writes_is_understood_as_the_library_does(example, style, around):
    region = phonenumbers.region_code_for_number(example) or ""
    typed = around + phonenumbers.format_number(example, style) + around

    assert phones.parse(typed, region) == Phone(phonenumbers.format_number(example, PhoneNumberFormat.E164), region)


@given(st.text(st.sampled_from("0123456789 -()+.７"), max_size=18), st.sampled_from(REGIONS))
def test_what_is_accepted_is_a_valid_mobile_number_of_its_country(typed, country):
    try:
        found = phones.parse(typed, country)
    except BadNumber:
        return
    parsed = phonenumbers.parse(found.e164)

    assert phonenumbers.is_valid_number_for_region(parsed, found.country)
    assert phonenumbers.number_type(parsed) in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


@given(st.text(), st.sampled_from([*REGIONS, ""]))
def test_whatever_is_typed_is_understood_or_refused_with_a_sentence(typed, country):
    try:
        answer = phones.parse(typed, country).e164
    except BadNumber as error:
        answer = str(error)

    assert answer.startswith("+") or ": " in answer


@given(st.sampled_from(MOBILES))
def test_an_accepted_number_is_accepted_again_as_it_is_kept(example):
    e164 = phonenumbers.format_number(example, PhoneNumberFormat.E164)

    assert phones.parse(e164, "US") == phones.parse(phones.parse(e164, "GB").shown, "FR")

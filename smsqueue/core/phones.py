"""Telephone numbers: understood however they are spelled, refused with a sentence that says what to do."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, ValidationResult

from smsqueue.core import plans
from smsqueue.core.countries import country_name
from smsqueue.core.errors import SmsQueueError
from smsqueue.core.plans import Understood

__all__ = ["BadNumber", "Phone", "country_name", "describe", "mask", "parse"]

_DIGITS = re.compile(r"\+?[0-9]{3,20}")
_SEPARATORS = re.compile(r"[\s.\-()\[\]/\u00b7\u2010-\u2015\u2212]+")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")  # pasted along from address books
_START = re.compile(r"(?:tel:|=)", re.IGNORECASE)  # a link, or a formula that keeps Excel from counting
_EXCEL = re.compile(r"\+?[0-9]+(?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_DECIMAL = re.compile(r"(\+?[0-9]{5,})[.,]0+")  # a number cell saved with decimals: 447700900123.0

# kinds of number that can receive SMS; of the others, the code and the words for the sentence
_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_REFUSED = {
    PhoneNumberType.FIXED_LINE: ("landline", "a landline"),
    PhoneNumberType.PREMIUM_RATE: ("premium", "a premium-rate number"),
    PhoneNumberType.TOLL_FREE: ("toll_free", "a freephone number"),
    PhoneNumberType.SHARED_COST: ("shared_cost", "a shared-cost number"),
    PhoneNumberType.VOIP: ("voip", "an internet phone (VoIP)"),
    PhoneNumberType.PERSONAL_NUMBER: ("personal", "a follow-me number"),
    PhoneNumberType.PAGER: ("pager", "a pager"),
    PhoneNumberType.UAN: ("company", "a company number"),
    PhoneNumberType.VOICEMAIL: ("voicemail", "a voicemail box"),
}
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that can receive SMS, as far as its country's numbering plan can tell."""

    e164: str
    country: str

    @property
    def shown(self) -> str:
        """The number as it is written internationally: `+1 201-555-0123`."""
        return _international(self.e164)


class BadNumber(SmsQueueError):
    """What was typed is not a number that can receive SMS."""

    def __init__(self, typed: str, code: str, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}")
        self.typed = typed
        self.code = code
        self.advice = advice


def parse(typed: str, country: str) -> Phone:
    """Understand a number in any usual spelling, national ones as dialled in `country` (ISO 3166, two letters)."""
    number = typed if _DIGITS.fullmatch(typed) else _digits(typed, country)
    found = _understand(number, country)
    if found is None and number.startswith("00"):  # the most usual way out of a country, even where it is another
        found = _understand("+" + number[2:], country)
    if found is None or found.kind not in _MOBILE:
        raise _refusal(typed, number, country, found)
    return Phone(found.e164, found.country)


def describe(e164: str) -> str:
    """Say how a number was understood: `+33 6 12 34 56 78, France`."""
    found = _understand(e164, "")
    return f"{_international(e164)}, {country_name(found.country)}" if found else e164


def mask(text: str) -> str:
    """Hide every digit but the last three of a text, for logs: `+•••••••123`."""
    hidden = max(0, sum(map(str.isdigit, text)) - 3)
    return re.sub(r"\d", "•", text, count=hidden) if hidden else text


def _understand(number: str, country: str) -> Understood | None:
    """Ask the compiled plans, then the library; None: not a valid number of any country."""
    found = plans.understand(number, country)
    if found is not None:
        return found
    try:
        parsed = phonenumbers.parse(number, country or None)
    except NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(parsed)
    if region is None or region == "001" or not phonenumbers.is_valid_number(parsed):  # 001: no country's
        return None
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return Understood(e164, region, phonenumbers.number_type(parsed))


def _digits(typed: str, country: str) -> str:
    """Strip spelling from what was typed, down to digits with or without a plus sign in front."""
    text = _plain(typed)
    if not text:
        raise BadNumber(typed, "empty", "The number is empty", f"type a mobile number, {_such_as(country)}")
    if _EXCEL.fullmatch(text):
        advice = "format the column as text and paste it again"
        raise BadNumber(typed, "excel", f"Excel changed this number to {text}", advice)
    whole = _DECIMAL.fullmatch(text)
    number = _SEPARATORS.sub("", whole[1] if whole else text)
    if re.fullmatch(r"\+?[0-9]+", number):
        return number
    if any(character.isalpha() for character in number):
        problem = f"{_quoted(typed)} has letters in it"
        raise BadNumber(typed, "letters", problem, f"type the number in digits, {_such_as(country)}")
    problem = f"{_quoted(typed)} is not a telephone number"
    raise BadNumber(typed, "not_a_number", problem, f"type one number in digits, {_such_as(country)}")


def _plain(typed: str) -> str:
    """Drop what spreadsheets, address books and links put around a number; digits of any script become 0–9."""
    text = _INVISIBLE.sub("", typed).strip()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)
    start = _START.match(text)
    return text[start.end() if start else 0 :].strip("\"'\t\n ")


def _refusal(typed: str, number: str, country: str, found: Understood | None) -> BadNumber:
    if found is not None:
        code, words = _REFUSED[found.kind]
        problem = f"{_international(found.e164)} is {words} and can't receive SMS"
        return BadNumber(typed, code, problem, f"use a mobile number, {_such_as(found.country)}")
    code, problem = _what_is_wrong(typed, number, country)
    return BadNumber(typed, code, problem, _meant(number, country) or _way_out(code, country))


def _what_is_wrong(typed: str, number: str, country: str) -> tuple[str, str]:
    try:
        parsed = phonenumbers.parse(number, country or None)
    except NumberParseException as error:
        return _unreadable(typed, number, error.error_type)
    match phonenumbers.is_possible_number_with_reason(parsed):
        case ValidationResult.TOO_SHORT | ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            return "too_short", f"{_quoted(typed)} is too short for a +{parsed.country_code} number"
        case ValidationResult.TOO_LONG:
            return "too_long", f"{_quoted(typed)} is too long for a +{parsed.country_code} number"
        case ValidationResult.INVALID_LENGTH:
            return (
                "wrong_length",
                f"{_quoted(typed)} has too many or too few digits for a +{parsed.country_code} number",
            )
        case _ if phonenumbers.is_valid_number(parsed):  # satellites and the like
            return "no_country", f"{_international_of(parsed)} belongs to no country"
        case _:
            return "unassigned", f"No telephone has the number {_international_of(parsed)}"


def _unreadable(typed: str, number: str, error_type: int) -> tuple[str, str]:
    if error_type == NumberParseException.INVALID_COUNTRY_CODE:
        if number.startswith("+"):
            return "no_country", f"{_quoted(typed)} does not start with the code of a country"
        return "no_country", f"{_quoted(typed)} has no country code"
    if error_type == NumberParseException.TOO_LONG:
        return "too_long", f"{_quoted(typed)} is too long for a telephone number"
    return "too_short", f"{_quoted(typed)} is too short for a telephone number"


def _meant(number: str, country: str) -> str | None:
    """Offer the number that a plus sign in front would make; whether it is meant, only the person knows."""
    found = None if number.startswith(("+", "0")) else _understand("+" + number, country)
    if found is None or found.kind not in _MOBILE:
        return None
    return f"if it is {_international(found.e164)} ({country_name(found.country)}), put + in front"


def _way_out(code: str, country: str) -> str:
    if code == "no_country":
        return f"put + and the country code in front, {_such_as(country)}"
    if code == "too_long":
        return f"check the digits, one number at a time, {_such_as(country)}"
    return f"check the digits; a number from another country starts with +, {_such_as(country)}"


@lru_cache(maxsize=512)
def _such_as(country: str) -> str:
    """Return an example of a mobile number of the country."""
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE) if country else None
    return "for example " + (_international_of(example) if example else "+1 201-555-0123")


def _international(e164: str) -> str:
    return _international_of(phonenumbers.parse(e164, None))


def _international_of(parsed: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


def _quoted(typed: str) -> str:
    text = " ".join(typed.split())
    return f"“{text}”" if len(text) <= _SHOWN_CHARACTERS else f"“{text[:_SHOWN_CHARACTERS]}…”"

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.core.segments import measure
from smsqueue.domain import sheets
from smsqueue.domain.checking import Bad, BadText, Duplicate, Good, Rules, check, check_text

RULES = Rules(country="GB", countries=None, max_segments=10, credits_per_segment=2)
ONE, TWO = "+447400123456", "+447400123457"


def results(content, text="Hello", rules=RULES, column=0):
    return list(check(sheets.read(content.encode()), column, text, rules))


def problems(content, text="Hello", rules=RULES):
    return [each.problem for each in results(content, text, rules) if isinstance(each, Bad)]


def test_a_good_row_says_what_will_be_sent_and_what_it_costs():
    assert results("phone\n07400 123456\n") == [Good(2, ONE, "GB", None, "gsm-7", 1, 2)]


def test_the_text_of_each_row_is_filled_and_measured():
    content = f"phone,Name\n{ONE},Zoe\n{TWO},Zoë\n"

    found = results(content, "Hello ((name))!\r\nBye")

    assert found == [
        Good(2, ONE, "GB", "Hello Zoe!\nBye", "gsm-7", 1, 2),
        Good(3, TWO, "GB", "Hello Zoë!\nBye", "ucs-2", 1, 2),
    ]


def test_the_same_number_in_other_spellings_is_merged_into_the_first_row():
    found = results("phone\n07400 123456\n+44 (0)7400 123456\n0044-7400-123456\n")

    assert found[1:] == [Duplicate(3, "+44 (0)7400 123456", 2), Duplicate(4, "0044-7400-123456", 2)]


def test_a_bad_row_takes_no_number_from_a_later_good_one():
    found = results(f"phone,name\n{ONE},\n{ONE},Zoe\n", "Hello ((name))")

    assert [type(each) for each in found] == [Bad, Good]


def test_bad_numbers_keep_their_cell_as_typed_and_say_what_to_do():
    found = results("phone\n 4.47E+11\n020 7946 0958\nZoe\n\n0740\n")

    assert [(each.row, each.cell) for each in found] == [
        (2, " 4.47E+11"),
        (3, "020 7946 0958"),
        (4, "Zoe"),
        (6, "0740"),
    ]
    assert "format the column as text" in found[0].problem
    assert "is a landline and can't receive SMS" in found[1].problem
    assert "has letters in it" in found[2].problem
    assert "is too short" in found[3].problem


def test_a_country_that_is_not_open_says_who_can_open_it():
    rules = replace(RULES, countries=frozenset({"GB", "IE"}))

    assert problems(f"phone\n{ONE}\n+33612345678\n", rules=rules) == [
        "France is not among the countries your team may text; an operator can open it"
    ]


def test_a_row_without_a_value_is_bad_and_names_the_placeholder():
    content = f"phone,name,town\n{ONE},Zoe,\n{TWO}, ,\x07\n"

    found = problems(content, "((name)) of ((town)) ((name))")

    assert found[0].startswith("There is no value for ((town))")
    assert found[1].startswith("There is no value for ((name)), ((town))")


def test_a_row_that_makes_the_message_too_long_says_how_long():
    found = problems(f"phone,name\n{ONE},{'x' * 1606}\n", "Hello ((name))")

    assert found == [
        "The message becomes 1,612 characters (11 SMS); at most 10: shorten the text or the values in the row"
    ]


def test_everything_wrong_with_a_row_is_said_at_once():
    (found,) = problems("phone,name\n0740,\n", "Hello ((name))")

    assert "is too short" in found
    assert "There is no value for ((name))" in found


def test_a_column_outside_the_list_makes_every_row_bad():
    assert [each.problem[:19] for each in results(f"phone\n{ONE}\n", column=7)] == ["The number is empty"]


def test_an_empty_text_makes_every_row_bad():
    assert problems(f"phone\n{ONE}\n", " \n") == ["The message is empty"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("  Zoe ", "Zoe"),
        ("a\tb", "a b"),
        ("a\r\nb", "a\nb"),
        ("a\x07b\x7fc", "abc"),
        ("\u00a0x", "x"),
        ("((name))", "((name))"),
    ],
)
def test_values_go_into_the_text_without_blanks_around_and_control_characters(value, sent):
    quoted = value.replace('"', '""')

    (found,) = results(f'phone,name\n{ONE},"{quoted}"\n', "Hi ((name))")

    assert found.text == "Hi " + sent


def test_a_long_cell_is_shortened():
    (found,) = results(f"phone,x\n{'a' * 5000},1\n")

    assert len(found.cell) == 101


@given(st.lists(st.sampled_from([ONE, "07400 123456", TWO, "07400123457", "bad", "", "+1 201-555-0123"]), min_size=1))
def test_every_row_is_judged_once_and_no_number_is_sent_to_twice(numbers):
    content = "phone,x\n" + "".join(f"{number},x\n" for number in numbers)

    found = results(content, "Hello")
    good = [each.number for each in found if isinstance(each, Good)]

    assert [each.row for each in found] == list(range(2, len(numbers) + 2))
    assert len(good) == len(set(good)) == len({n[-5:] for n in numbers if n[-1:].isdigit()})


@given(st.text(st.sampled_from("abé€ж😀"), min_size=1, max_size=200))
def test_the_price_is_that_of_the_text_that_will_be_sent(value):
    (found,) = results(f"phone,name\n{ONE},{value}\n", "Hello ((name))")

    size = measure(f"Hello {value}")
    assert (found.segments, found.price) == (size.segments, 2 * size.segments)
    assert found.text == f"Hello {value}"


@pytest.mark.parametrize(
    ("text", "headers", "code", "sentence"),
    [
        ("", [], "empty", "The text is empty"),
        (" \r\n\t", [], "empty", "The text is empty"),
        ("a\0b", [], "unsendable", "NUL"),
        ("a\ud800", [], "unsendable", "can't be sent"),
        ("a" * 1531, [], "too_long", "The text has 1,531 characters (11 SMS); at most 10 SMS: shorten it"),
        ("((name))" + "ж" * 671, ["name"], "too_long", "(11 SMS)"),
        (
            "((naem)) ((x))",
            ["phone", "", "name"],
            "unknown_placeholder",
            "No column is called ((naem)), ((x)); the columns are: phone, name",
        ),
        ("Hi ((name))", [], "unknown_placeholder", "Nothing can fill ((name))"),
        ("Hi ((name))", ["Name", "phone", "NAME"], "column_twice", "More than one column could fill ((name))"),
    ],
)
def test_a_text_that_nobody_can_get_is_refused(text, headers, code, sentence):
    with pytest.raises(BadText) as caught:
        check_text(text, headers, RULES)

    assert caught.value.code == code
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("a" * 1530, []),
        ("Hello ((First Name))", ["phone", "first_name"]),
        ("a ((unmatched", []),
        ("(( )) and ))", []),
        ("a\r\n" * 765, []),
    ],
)
def test_a_text_that_can_be_sent_is_taken(text, headers):
    check_text(text, headers, RULES)

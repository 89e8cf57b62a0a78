import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.core import placeholders

words = st.text(st.sampled_from("abcé Z_-1"), min_size=1, max_size=8).filter(placeholders.key)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello", []),
        ("Hello ((name))", ["name"]),
        ("((a)) ((b)) ((a)) ((A ))", ["a", "b"]),
        ("(( first name )) ((First_Name))", ["first name"]),
        ("(((name)))", ["name"]),
        ("((unfinished", []),
        ("unopened))", []),
        ("(single)", []),
        ("(())", []),
        ("((  ))", []),
        ("((two\nlines))", []),
        ("((a(b)))", []),
        ("((((deep))))", ["deep"]),
    ],
)
def test_placeholders_are_found_and_anything_else_is_plain_text(text, found):
    assert placeholders.names(text) == found


def test_filling_ignores_case_and_spaces_and_keeps_what_it_does_not_know():
    filled = placeholders.fill("((First Name)), ((FIRSTNAME)): ((else))", {"first_name": "Zoë"})

    assert filled == "Zoë, Zoë: ((else))"


def test_a_placeholder_inside_a_value_is_plain_text():
    assert placeholders.fill("((a))", {"a": "((b))", "b": "x"}) == "((b))"


def test_names_are_matched_to_columns_and_the_first_of_two_equal_ones_counts():
    found = placeholders.match(["Name", "town", "code"], ["phone", "NAME", "n a m e", "Town "])

    assert found == {"Name": 1, "town": 3}


def test_a_name_of_only_punctuation_matches_no_empty_heading():
    assert placeholders.match(["-"], ["", "_"]) == {}


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="()")), words)), st.text(max_size=5))
def test_what_is_put_together_is_found_and_filled(pieces, value):
    text = "".join(f"{literal}(({name}))" for literal, name in pieces)

    found = placeholders.names(text)

    assert [placeholders.key(name) for name in found] == list(
        dict.fromkeys(placeholders.key(name) for _, name in pieces)
    )
    assert placeholders.fill(text, dict.fromkeys(found, value)) == "".join(literal + value for literal, _ in pieces)


@given(st.text(st.sampled_from("()ab \n")))
def test_splitting_loses_nothing(text):
    pieces = placeholders.split(text)

    assert len(pieces) % 2 == 1
    assert placeholders.fill(text, {}) == text

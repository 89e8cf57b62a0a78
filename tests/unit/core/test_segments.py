import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.core.alphabet import GSM_BASIC, GSM_EXTENSION
from smsqueue.core.lookalikes import TABLE
from smsqueue.core.segments import Encoding, clean, costly, measure

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests/vectors/segments.json").read_text(encoding="utf-8"))

# the table of the specification, by hand
TABLED = [
    ("a" * 160, "gsm-7", 160, 1),
    ("a" * 161, "gsm-7", 161, 2),
    ("a" * 306, "gsm-7", 306, 2),
    ("a" * 307, "gsm-7", 307, 3),
    ("a" * 159 + "€", "gsm-7", 161, 2),
    ("a" * 152 + "{" + "a" * 152, "gsm-7", 306, 3),
    ("a\n" * 80, "gsm-7", 160, 1),
    ("a\r\n" * 80, "gsm-7", 160, 1),
    ("ж" * 70, "ucs-2", 70, 1),
    ("ж" * 71, "ucs-2", 71, 2),
    ("ж" * 134, "ucs-2", 134, 2),
    ("ж" * 135, "ucs-2", 135, 3),
    ("😀" * 35, "ucs-2", 70, 1),
    ("😀" * 36, "ucs-2", 72, 2),
    ("ж" * 66 + "😀" + "ж" * 66, "ucs-2", 134, 3),
    ("a" * 159 + "’", "ucs-2", 160, 3),
]

ALPHABET = GSM_BASIC.replace("\r", "") + GSM_EXTENSION
gsm_texts = st.text(st.sampled_from("aé\n€{~" + ALPHABET), max_size=700)
texts = st.one_of(gsm_texts, st.text(st.sampled_from("aж’😀🏳€\n"), max_size=400), st.text(max_size=300))


def parts(text):
    """Fill parts with one character after the other, the slow and plain way; returns the units in each."""
    encoding = "gsm-7" if all(character in ALPHABET for character in text) else "ucs-2"
    single, several = (160, 153) if encoding == "gsm-7" else (70, 67)
    sizes = [
        (2 if character in GSM_EXTENSION else 1) if encoding == "gsm-7" else (2 if ord(character) > 0xFFFF else 1)
        for character in text
    ]
    limit = single if sum(sizes) <= single else several
    filled = [0] if sizes else []
    for size in sizes:
        if filled[-1] + size > limit:
            filled.append(0)
        filled[-1] += size
    return encoding, limit, filled


@pytest.mark.parametrize(("text", "encoding", "units", "segments"), TABLED)
def test_the_specified_examples_hold(text, encoding, units, segments):
    found = measure(text)

    assert (found.encoding, found.units, found.segments) == (encoding, units, segments)


def test_every_shared_vector_holds():
    wrong = [each for each in VECTORS if vector(each["text"]) != each]

    assert wrong == []


def test_the_shared_vectors_are_many_and_hold_the_specified_examples():
    known = {each["text"]: (each["encoding"], each["units"], each["segments"]) for each in VECTORS}

    assert len(known) >= 300
    assert all(known[text] == tuple(expected) for text, *expected in TABLED)


def vector(text):
    found = measure(text)
    return {"text": text, "encoding": found.encoding, "units": found.units, "segments": found.segments}


def test_an_empty_text_has_no_segment_and_all_its_room():
    found = measure("")

    assert (found.encoding, found.units, found.segments, found.left) == (Encoding.GSM7, 0, 0, 160)


@given(texts)
def test_counting_equals_filling_part_by_part(text):
    text = clean(text)
    encoding, limit, filled = parts(text)

    found = measure(text)

    assert (found.encoding, found.units, found.segments) == (encoding, sum(filled), len(filled))
    assert found.left == limit - filled[-1] if filled else found.left == 160
    assert found.characters == len(text)


@given(texts)
def test_no_part_is_overfull_and_no_part_could_be_missed(text):
    found = measure(text)
    single, several = (160, 153) if found.encoding is Encoding.GSM7 else (70, 67)

    room = single if found.segments <= 1 else several * found.segments

    assert found.units <= room
    assert found.segments <= 1 or found.units > single
    assert found.segments <= 1 or found.units > (found.segments - 1) * (several - 1)


@given(texts, texts)
def test_a_longer_text_never_has_fewer_segments(text, more):
    assert measure(text + more).segments >= measure(text).segments


@given(gsm_texts, gsm_texts)
def test_two_texts_sent_as_one_cost_at_most_one_segment_more(first, second):
    # a single SMS holds 160, a part 153: each of the two may need one part more than alone
    together = measure(first + second).segments

    assert together <= measure(first).segments + measure(second).segments + 1


@given(texts)
def test_line_ends_do_not_change_the_count(text):
    assert measure(clean(text).replace("\n", "\r\n")) == measure(text)


@given(st.text())
def test_every_character_that_forces_unicode_is_named_once(text):
    found = [each.character for each in costly(text)]

    assert found == list(dict.fromkeys(character for character in clean(text) if character not in ALPHABET))
    assert bool(found) == (measure(text).encoding is Encoding.UCS2)


@given(st.text())
def test_a_replacement_is_always_cheap(text):
    replaced = [each.replacement for each in costly(text) if each.replacement is not None]

    assert all(measure(replacement).encoding is Encoding.GSM7 for replacement in replaced)


@pytest.mark.parametrize(
    ("character", "name", "replacement"),
    [
        ("’", "curly apostrophe", "'"),
        ("ç", "latin small letter c with cedilla", "c"),
        ("ł", "l with stroke", "l"),
        ("…", "ellipsis", "..."),
        ("\u00a0", "non-breaking space", " "),
        ("\t", "tab", " "),
        ("½", "vulgar fraction one half", None),
        ("😀", "grinning face", None),
        ("\ue000", "U+E000", None),
    ],
)
def test_a_costly_character_is_explained(character, name, replacement):
    (found,) = costly(f"It {character} is {character} here")

    assert (found.character, found.name, found.replacement) == (character, name, replacement)


def test_the_page_offers_the_same_replacements():
    script = (ROOT / "smsqueue/web/static/segments.js").read_text(encoding="utf-8")
    (rows,) = re.findall(r"const TABLE = \{\n(.*?),\n\};", script, re.DOTALL)

    assert json.loads("{" + rows + "}") == {character: list(row) for character, row in TABLE.items()}

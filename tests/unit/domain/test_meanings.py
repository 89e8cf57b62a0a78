"""What texts from phones ask for."""

import pytest

from smsqueue.domain.meanings import Meaning, meaning_of, own_words


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "stop", " Stop. ", "STOP ALL", "stopall", "Unsubscribe", "cancel", "End", "QUIT!", "revoke"),
        *(
            "optout",
            "OPT OUT",
            "Opt-Out",
            "arret",
            "Arrêt",
            "ARRE\u0302T",
            "S.T.O.P",
            "STOP!now",
            "\uff33\uff34\uff2f\uff30",
        ),
        *("Stop it please", "unsubscribe me\nnow", "stopall of this", "\u200bSTOP"),
    ],
)
def test_these_want_no_more(text):
    assert meaning_of(text) is Meaning.STOP


@pytest.mark.parametrize("text", ["START", "yes", "Unstop."])
def test_these_want_texts_again(text):
    assert meaning_of(text) is Meaning.START


@pytest.mark.parametrize("text", ["help", "INFO?"])
def test_these_ask_for_help(text):
    assert meaning_of(text) is Meaning.HELP


@pytest.mark.parametrize("text", ["please stop", "Don't stop me now", "nonstop", "I said: STOP!"])
def test_these_should_be_seen_by_a_person(text):
    assert meaning_of(text) is Meaning.MAYBE


@pytest.mark.parametrize("text", ["", "   ", "😀", "Thank you", "yes please", "The end", "cancel my order", "end it"])
def test_these_are_only_texts(text):
    assert meaning_of(text) is Meaning.OTHER


def test_a_team_has_words_of_its_own():
    words = own_words("Basta, nicht mehr ,, Größe")
    assert words == ["Basta", "nicht mehr", "Größe"]
    for text in ("basta!", "Nicht  mehr.", "grosse", "GRÖSSE"):
        assert meaning_of(text, words) is Meaning.STOP, text
    assert meaning_of("so, basta", words) is Meaning.MAYBE
    assert meaning_of("mehr", words) is Meaning.OTHER

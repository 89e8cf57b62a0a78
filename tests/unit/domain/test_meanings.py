"""What texts from phones ask for."""

import pytest

from smsqueue.core import phones
from smsqueue.domain.meanings import OF_LANGUAGES, Meaning, meaning_of, own_words, words_of_country


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


@pytest.mark.parametrize(
    ("country", "text"),
    [
        ("DE", "Stopp!"),
        ("CH", "arrêter"),
        ("CH", "annulla"),
        ("MX", "baja"),
        ("BR", "Sair"),
        ("FI", "lopeta"),
        ("SE", "STOPP"),
    ],
)
def test_the_languages_of_a_teams_country_have_their_words(country, text):
    assert meaning_of(text, words_of_country(country)) is Meaning.STOP
    assert meaning_of(text, words_of_country("US")) is not Meaning.STOP


def test_words_of_languages_are_read_as_they_are_written_and_belong_to_countries():
    for words, countries in OF_LANGUAGES.items():
        assert [meaning_of(word, [word]) for word in words] == [Meaning.STOP] * len(words)
        assert all(phones.country_name(code) != code for code in countries.split())

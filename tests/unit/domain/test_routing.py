"""Routes: who takes whose text, and who stands in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.config import Settings
from smsqueue.core.environment import BadSettings
from smsqueue.domain.routing import Leg, NoSuchGateway, Routes, read_wish

ALL = ("simulated", "log", "twilio", "vonage", "kannel", "http")
COUNTRIES = ("FR", "GB", "US", "CH", "")
LISTS = st.lists(st.sampled_from(ALL), min_size=1, max_size=4, unique=True)


@pytest.fixture
def routes(tmp_path):
    def routes(**environ: str) -> Routes:
        return Routes.of(Settings.from_env({"SMS_INSTANCE": str(tmp_path), **environ}))

    return routes


@pytest.fixture
def complaint(tmp_path):
    def complaint(**environ: str) -> str:
        with pytest.raises(BadSettings) as caught:
            Settings.from_env({"SMS_INSTANCE": str(tmp_path), **environ})
        return str(caught.value)

    return complaint


def test_one_gateway_takes_everything_and_nobody_asks_for_countries(routes):
    found = routes()
    assert found.is_single()
    assert not found.asks_for_countries
    assert found.legs((), "", lambda _name: True) == [Leg("simulated")]
    assert found.legs((), "", lambda _name: False) == []


def test_the_fallback_stands_in_while_the_first_cannot_be_used(routes):
    found = routes(SMS_GATEWAY="simulated", SMS_GATEWAY_FALLBACK="log")
    assert not found.is_single()
    assert found.legs({"FR"}, "", lambda _name: True) == [Leg("simulated")]
    assert found.legs({"FR"}, "", lambda name: name != "simulated") == [Leg("log")]


def test_a_calling_code_stands_for_its_countries_and_one_country_goes_before_it(routes):
    found = routes(SMS_ROUTES="GG:simulated ; +44: log,simulated; ")
    assert found.order("GB") == found.order("JE") == ("log", "simulated")
    assert found.order("GG") == found.order("FR") == ("simulated",)


def test_a_route_for_all_others_stands_in_place_of_the_chosen_gateway(tmp_path):
    settings = Settings.from_env({"SMS_INSTANCE": str(tmp_path), "SMS_ROUTES": "*:log; fr:log"})
    assert settings.gateways_in_use == ("log",)
    assert Routes.of(settings).order("GB") == ("log",)


def test_countries_of_one_gateway_go_together_and_one_without_a_gateway_is_left_out(routes):
    found = routes(SMS_ROUTES="FR:log; CH:log; *:simulated")
    everyone = ("FR", "CH", "US", "GB")
    assert sorted(found.legs(everyone, "", lambda _name: True), key=str) == [
        Leg("log", frozenset({"FR", "CH"})),
        Leg("simulated", frozenset({"US", "GB"})),
    ]
    assert found.legs(everyone, "", lambda name: name == "log") == [Leg("log", frozenset({"FR", "CH"}))]


def test_countries_that_all_go_one_way_need_no_list_of_them(routes):
    found = routes(SMS_ROUTES="FR:log; *:simulated")
    assert found.legs({"US", "GB"}, "", lambda _name: True) == [Leg("simulated")]
    assert found.legs({"FR"}, "", lambda _name: True) == [Leg("log")]


def test_a_teams_list_stands_in_place_of_the_installations(routes):
    found = routes(SMS_GATEWAY="simulated", SMS_GATEWAY_FALLBACK="log")
    assert found.order("US", "log,simulated") == ("log", "simulated")
    assert found.order("US", "log") == ("log",)
    assert found.is_single("log")


def test_a_countrys_own_route_says_who_can_reach_it_and_the_teams_gateways_go_first(routes):
    found = routes(SMS_ROUTES="FR:log,simulated")
    assert found.order("FR", "simulated") == ("simulated", "log")
    assert found.order("FR", "kannel") == ("log", "simulated")


def test_a_team_whose_gateways_were_taken_away_is_served_as_others_are(tmp_path):
    settings = Settings.from_env({"SMS_INSTANCE": str(tmp_path), "SMS_GATEWAY_FALLBACK": "log"})
    found = Routes.of(settings, settings.gateways_ready)
    assert found.order("US", "kannel") == ("simulated", "log")
    assert found.order("US", "kannel,log") == ("log",)


def test_a_name_that_means_nothing_any_more_is_passed_over(routes):
    assert routes().legs((), "pigeon,log", lambda name: name in ALL) == [Leg("log")]


def test_legs_are_in_one_order_whatever_countries_there_are_so_that_rates_are_locked_in_one_order():
    found = Routes(("a",), {"AT": ("b",), "DE": ("a",), "FR": ("b",)})
    for countries in (["AT", "DE"], ["DE", "FR"]):
        assert [leg.gateway for leg in found.legs(countries, "", lambda _name: True)] == ["a", "b"]


@given(
    default=LISTS,
    own=st.dictionaries(st.sampled_from(COUNTRIES[:-1]), LISTS),
    team=st.lists(st.sampled_from(ALL), max_size=3, unique=True),
    asked=st.sets(st.sampled_from(COUNTRIES), min_size=1),
    usable=st.sets(st.sampled_from(ALL)),
)
def test_every_country_is_in_one_leg_of_its_first_usable_gateway_or_has_none(default, own, team, asked, usable):
    found = Routes(tuple(default), {country: tuple(names) for country, names in own.items()})
    legs = found.legs(asked, ",".join(team), usable.__contains__)
    for country in asked:
        mine = [leg.gateway for leg in legs if leg.countries is None or country in leg.countries]
        first = next((name for name in found.order(country, ",".join(team)) if name in usable), None)
        assert mine == ([first] if first else [])


WRONG = [
    (
        {"SMS_ROUTES": "+33:pigeon"},
        "SMS_ROUTES (+33:pigeon) cannot be used: pigeon is no gateway; there are simulated,",
    ),
    ({"SMS_ROUTES": "+33"}, "+33 must be a country, a colon and gateways, such as +33:kannel,twilio"),
    ({"SMS_ROUTES": "FR:"}, "FR: must be a country, a colon and gateways"),
    ({"SMS_ROUTES": "XX:log"}, "XX is no country: write FR, +33, or * for all others"),
    ({"SMS_ROUTES": "+1876:log"}, "+1876 is no calling code of a country; for a part of one write its ISO code"),
    ({"SMS_ROUTES": "+800:log"}, "+800 is no calling code of a country"),
    ({"SMS_ROUTES": "FR:log;fr:simulated"}, "fr has two routes"),
    ({"SMS_ROUTES": "FR:log,log"}, "log,log names a gateway twice"),
    ({"SMS_GATEWAY_FALLBACK": "pigeon"}, "SMS_GATEWAY_FALLBACK (pigeon) cannot be used: pigeon is no gateway"),
    ({"SMS_GATEWAY_FALLBACK": "simulated"}, "SMS_GATEWAY_FALLBACK (simulated) is SMS_GATEWAY itself"),
    ({"SMS_GATEWAY_FALLBACK": "log", "SMS_ROUTES": "*:log"}, "SMS_GATEWAY_FALLBACK (log) is never used, since SMS_ROU"),
    ({"SMS_GATEWAY_FALLBACK": "kannel"}, "KANNEL_URL (not set) is needed by SMS_GATEWAY_FALLBACK=kannel"),
    ({"SMS_ROUTES": "FR:twilio"}, "TWILIO_AUTH_TOKEN (not set) is needed by SMS_ROUTES=twilio"),
]


@pytest.mark.parametrize(("environ", "problem"), WRONG)
def test_what_is_wrong_with_a_route_is_said_when_the_process_starts(complaint, environ, problem):
    assert problem in complaint(**environ)


def test_production_refuses_a_fake_gateway_that_stands_in(complaint):
    environ = {"SMS_ENV": "production", "SMS_GATEWAY": "kannel", "SMS_GATEWAY_FALLBACK": "log"}
    assert "SMS_GATEWAY_FALLBACK (log) sends nothing; production needs SMS_ALLOW_FAKE_GATEWAY" in complaint(**environ)


def test_a_teams_list_is_stored_tidily_and_names_only_what_is_set_up():
    assert read_wish(" log , simulated", ("simulated", "log")) == "log,simulated"
    assert read_wish("", ()) == ""
    with pytest.raises(NoSuchGateway, match="twilio is not set up here"):
        read_wish("twilio", ("simulated",))
    with pytest.raises(NoSuchGateway, match="pigeon is no gateway"):
        read_wish("pigeon", ("simulated",))

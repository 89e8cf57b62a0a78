"""Which gateways are used: the first, those that stand in for it, and the routes of countries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from smsqueue.core.countries import NAMES
from smsqueue.core.environment import BadValue, Problem, Reader, setting

FAKE_GATEWAYS = ("simulated", "log")
GATEWAYS = (*FAKE_GATEWAYS, "twilio", "vonage", "kannel", "http")
EVERYWHERE_ELSE = "*"
NO_COUNTRY = "001"
Route = tuple[str, tuple[str, ...]]
"""A country (ISO code, or `*` for all others), and gateways in order of preference."""


class BadRoute(BadValue):
    """A route or a list of gateways that cannot be understood; the message says which part."""


def gateway_names(typed: str) -> tuple[str, ...]:
    """Read gateways in order of preference, parted by commas; raises BadRoute."""
    found = tuple(part for part in (each.strip() for each in typed.split(",")) if part)
    for name in found:
        if name not in GATEWAYS:
            raise BadRoute(f"{name} is no gateway; there are {', '.join(GATEWAYS)}")
    if len(set(found)) < len(found):
        raise BadRoute(f"{typed} names a gateway twice")
    return found


def read_routes(typed: str) -> tuple[Route, ...]:
    """Read `+33: kannel, twilio; CH: kannel; *: twilio`; a calling code stands for all its countries."""
    routes: dict[str, tuple[str, ...]] = {}
    by_code: dict[str, tuple[str, ...]] = {}
    for written in (part.strip() for part in typed.split(";")):
        if written:
            place, colon, names = written.partition(":")
            gateways = gateway_names(names)
            if not colon or not gateways:
                raise BadRoute(f"{written} must be a country, a colon and gateways, such as +33:kannel,twilio")
            _add(by_code if place.strip().startswith("+") else routes, place.strip(), gateways)
    return tuple((by_code | routes).items())  # what is said of one country goes before what is said of its code


def _add(routes: dict[str, tuple[str, ...]], place: str, gateways: tuple[str, ...]) -> None:
    for country in _countries(place):
        if country in routes:
            raise BadRoute(f"{place} has two routes")
        routes[country] = gateways


def _countries(place: str) -> Sequence[str]:
    if place == EVERYWHERE_ELSE:
        return (place,)
    if place.startswith("+"):
        code = int(place[1:]) if place[1:].isascii() and place[1:].isdigit() else 0
        regions = [region for region in COUNTRY_CODE_TO_REGION_CODE.get(code, ()) if region != NO_COUNTRY]
        if not regions:
            raise BadRoute(f"{place} is no calling code of a country; for a part of one write its ISO code, such as JM")
        return regions
    if place.upper() not in NAMES:
        raise BadRoute(f"{place or 'a route without a country'} is no country: write FR, +33, or * for all others")
    return (place.upper(),)


def _gateway(typed: str) -> str:
    if typed not in GATEWAYS:
        raise ValueError(typed)
    return typed


gateway = Reader(_gateway, f"must be {' or '.join(GATEWAYS)}")
gateways = Reader(gateway_names, f"must be of {', '.join(GATEWAYS)}, each once, with commas between")
routes = Reader(read_routes, "must be as +33:kannel,twilio; CH:kannel; *:twilio")


@dataclass(frozen=True, kw_only=True)
class RouteSettings:
    """Who takes the texts."""

    gateway: str = setting("SMS_GATEWAY", gateway, "simulated", "who takes the texts")
    gateway_fallback: tuple[str, ...] = setting(
        "SMS_GATEWAY_FALLBACK", gateways, "", "who takes what it surely did not take", shown_default="none"
    )
    routes: tuple[Route, ...] = setting("SMS_ROUTES", routes, "", "who takes the texts of a country", shown_default="")

    @property
    def gateways_by_default(self) -> tuple[str, ...]:
        """Gateways in order of preference, where neither a country nor a team has its own."""
        return dict(self.routes).get(EVERYWHERE_ELSE, (self.gateway, *self.gateway_fallback))

    @property
    def gateways_in_use(self) -> tuple[str, ...]:
        """Every gateway that the settings let texts go through, the most usual first."""
        routed = (name for _, names in self.routes for name in names)
        return tuple(dict.fromkeys((*self.gateways_by_default, *routed)))

    @property
    def is_fake_gateway(self) -> bool:
        """Whether nothing is really sent."""
        return all(name in FAKE_GATEWAYS for name in self.gateways_in_use)


def are_real(settings: RouteSettings) -> Iterator[Problem]:
    """Name every gateway in use that sends nothing."""
    for name in settings.gateways_in_use:
        if name in FAKE_GATEWAYS:
            verdict = "sends nothing; production needs SMS_ALLOW_FAKE_GATEWAY=yes for it"
            yield Problem(setting_of(name, settings), name, verdict)


def fit_together(settings: RouteSettings) -> Iterator[Problem]:
    """Say what does not fit together in who takes the texts."""
    if settings.gateway in settings.gateway_fallback:
        yield Problem("SMS_GATEWAY_FALLBACK", settings.gateway, "is SMS_GATEWAY itself, which cannot stand in for it")
    if settings.gateway_fallback and EVERYWHERE_ELSE in dict(settings.routes):
        found = ",".join(settings.gateway_fallback)
        yield Problem(
            "SMS_GATEWAY_FALLBACK", found, "is never used, since SMS_ROUTES has a route for *: set one of them"
        )


def setting_of(name: str, settings: RouteSettings) -> str:
    """Name the setting by which a gateway is in use."""
    by_default = EVERYWHERE_ELSE not in dict(settings.routes)
    if by_default and name == settings.gateway:
        return "SMS_GATEWAY"
    return "SMS_GATEWAY_FALLBACK" if by_default and name in settings.gateway_fallback else "SMS_ROUTES"

"""Which gateway takes whose text: pure; settings, the team's wish and who can be used now come in as arguments."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from smsqueue.config_routes import EVERYWHERE_ELSE, BadRoute, RouteSettings, gateway_names
from smsqueue.core.errors import SmsQueueError


class NoSuchGateway(SmsQueueError):
    """A team's list names a gateway that nothing can be sent through."""


@dataclass(frozen=True, slots=True)
class Leg:
    """Recipients that go through one gateway: those of `countries`, or all of them where it is None."""

    gateway: str
    countries: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """Gateways in order of preference, by country.

    A country's own route says who can reach it, and the team's gateways go first among them. Everywhere else the
    team's list stands in place of the installation's.
    """

    by_default: tuple[str, ...]
    by_country: Mapping[str, tuple[str, ...]]
    ready: Collection[str] | None = None
    """Gateways that are set up; None: whatever a team names. A team that names none of them is treated as if it had no
    list: its gateway was taken away after it was chosen."""

    @classmethod
    def of(cls, settings: RouteSettings, ready: Collection[str] | None = None) -> "Routes":
        """Take them from the settings."""
        own = {country: names for country, names in settings.routes if country != EVERYWHERE_ELSE}
        return cls(settings.gateways_by_default, own, ready)

    @property
    def asks_for_countries(self) -> bool:
        """Whether a recipient's country matters; if not, `legs` and `order` need none."""
        return bool(self.by_country)

    def is_single(self, team_gateways: str = "") -> bool:
        """Say whether there is nothing to choose: one gateway for every text of a team."""
        return not self.by_country and len(self._wished(team_gateways) or self.by_default) == 1

    def order(self, country: str, team_gateways: str = "") -> tuple[str, ...]:
        """List the gateways that may take a text to a country, the preferred one first."""
        wished = self._wished(team_gateways)
        own = self.by_country.get(country)
        if own is None:
            return wished or self.by_default
        return tuple(dict.fromkeys((*(name for name in wished if name in own), *own)))

    def legs(self, countries: Collection[str], team_gateways: str, is_usable: Callable[[str], bool]) -> list[Leg]:
        """Give each country to the first of its gateways that can be used now; one that has none is in no leg.

        Legs are in the order of the gateways' names, so that all who lock something of several do so in one order.
        """
        if not self.by_country:
            chosen = self._chosen("", team_gateways, is_usable)
            return [Leg(chosen)] if chosen else []
        found: dict[str, set[str]] = {}
        for country in sorted(set(countries)):
            chosen = self._chosen(country, team_gateways, is_usable)
            if chosen:
                found.setdefault(chosen, set()).add(country)
        reached = sum(map(len, found.values()))
        if len(found) == 1 and reached == len(set(countries)):
            return [Leg(gateway) for gateway in found]
        return [Leg(gateway, frozenset(mine)) for gateway, mine in sorted(found.items())]

    def takers(self, countries: Collection[str], team_gateways: str = "") -> set[str]:
        """Name the gateways that may take texts to any of these countries; none are known: to everywhere else."""
        return {name for country in countries or ("",) for name in self.order(country, team_gateways)}

    def in_use(self, wishes: Collection[str]) -> set[str]:
        """Name the gateways that anybody's text may go through, with these lists of teams."""
        lists = (self.by_default, *self.by_country.values(), *map(self._wished, wishes))
        return {name for names in lists for name in names}

    def _wished(self, team_gateways: str) -> tuple[str, ...]:
        named = (name for name in team_gateways.split(",") if name)
        return tuple(name for name in named if self.ready is None or name in self.ready)

    def _chosen(self, country: str, team_gateways: str, is_usable: Callable[[str], bool]) -> str | None:
        return next((name for name in self.order(country, team_gateways) if is_usable(name)), None)


def read_wish(typed: str, ready: Collection[str]) -> str:
    """Read a team's list of gateways, as it is stored; raises NoSuchGateway. `ready` are those that are set up."""
    try:
        names = gateway_names(typed)
    except BadRoute as error:
        raise NoSuchGateway(str(error)) from error
    for name in names:
        if name not in ready:
            raise NoSuchGateway(f"{name} is not set up here: docs/gateways.md says which settings it needs")
    return ",".join(names)

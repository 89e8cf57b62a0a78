"""What a view of a page is, and how the addresses of the showroom's pages are found."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page

from tests.acceptance.browser.showroom import Showroom

Address = str | Callable[[Showroom], str]


@dataclass(frozen=True)
class View:
    """One page in one state."""

    endpoint: str
    """What the address leads to; empty where there is no page."""
    address: Address
    who: str = "ann"
    """ann (an operator with many campaigns), newcomer (a member with nothing), unlucky or stranger."""
    status: int = 200
    meanwhile: Callable[[Showroom], None] | None = None
    """What happens elsewhere after the page was loaded."""
    do: Callable[[Page], None] | None = None
    """What is done on the page to bring it into its state."""
    has_worker: bool = True
    wish: str = ""
    """What an operator has asked for: a pause or maintenance."""
    has_dead_session: bool = False

    def path(self, showroom: Showroom) -> str:
        """Return the address in this showroom."""
        return self.address if isinstance(self.address, str) else self.address(showroom)


def at(name: str, ending: str = "") -> Callable[[Showroom], str]:
    """Find the address of a campaign, or of another page of it."""
    return lambda showroom: showroom.path(name, ending)


def single(name: str) -> Callable[[Showroom], str]:
    """Find the address of the review of a single SMS."""
    return lambda showroom: f"/sms/send/{showroom.found[name].uuid}"


def unknown(name: str, ending: str = "") -> Callable[[Showroom], str]:
    """Find the address of a campaign's unknown messages."""
    return lambda showroom: f"/sms/unknown/{showroom.found[name].uuid}{ending}"

"""SMS gateways: each one knows HTTP and one provider, and nothing of the database."""

from collections.abc import Callable

from smsqueue.config import Settings
from smsqueue.gateways.base import Adapter, BadGateway
from smsqueue.gateways.declared import DeclaredGateway
from smsqueue.gateways.kannel import KannelGateway
from smsqueue.gateways.log import LogGateway
from smsqueue.gateways.simulated import SimulatedGateway
from smsqueue.gateways.twilio import TwilioGateway
from smsqueue.gateways.vonage import VonageMessagesGateway, VonageSmsGateway


def _vonage(settings: Settings) -> Adapter:
    return VonageMessagesGateway(settings) if settings.vonage_api == "messages" else VonageSmsGateway(settings)


GATEWAYS: dict[str, Callable[[Settings], Adapter]] = {
    "simulated": SimulatedGateway,
    "log": LogGateway,
    "twilio": TwilioGateway,
    "vonage": _vonage,
    "kannel": KannelGateway,
    "http": DeclaredGateway,
}


def build(settings: Settings, name: str = "") -> Adapter:
    """The gateway of that name, or the most usual one, ready to be used by many threads at once."""
    make = GATEWAYS.get(name or settings.gateways_by_default[0])
    if make is None:
        raise BadGateway(f"SMS_GATEWAY ({name}) must be one of: {', '.join(sorted(GATEWAYS))}.")
    return make(settings)


def build_all(settings: Settings) -> dict[str, Adapter]:
    """Every gateway that is set up, those in use first; nothing is called."""
    return {name: build(settings, name) for name in settings.gateways_ready}

"""SMS gateways: each one knows HTTP and one provider, and nothing of the database."""

from collections.abc import Callable

from smsqueue.gateways.base import BadGateway, Gateway, GatewayOptions
from smsqueue.gateways.log import LogGateway
from smsqueue.gateways.simulated import SimulatedGateway

GATEWAYS: dict[str, Callable[[GatewayOptions], Gateway]] = {"simulated": SimulatedGateway, "log": LogGateway}


def build(options: GatewayOptions) -> Gateway:
    """The gateway of that name, ready to be used by `concurrency` threads at once."""
    make = GATEWAYS.get(options.name)
    if make is None:
        raise BadGateway(f"SMS_GATEWAY ({options.name}) must be one of: {', '.join(sorted(GATEWAYS))}.")
    return make(options)

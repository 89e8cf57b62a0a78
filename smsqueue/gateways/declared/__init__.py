"""A gateway of the operator's own, declared in a TOML file: `SMS_GATEWAY=http`."""

from smsqueue.gateways.declared.sending import DeclaredGateway

__all__ = ["DeclaredGateway"]

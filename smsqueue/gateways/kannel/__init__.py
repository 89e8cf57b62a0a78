"""Kannel's smsbox, run by the operator."""

from smsqueue.gateways.kannel.sending import KannelGateway

__all__ = ["KannelGateway"]

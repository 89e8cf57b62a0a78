"""Vonage: the SMS API and the Messages API, two gateways with one account."""

from smsqueue.gateways.vonage.messages import VonageMessagesGateway
from smsqueue.gateways.vonage.sms import VonageSmsGateway

__all__ = ["VonageMessagesGateway", "VonageSmsGateway"]

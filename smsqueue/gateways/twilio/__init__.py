"""Twilio's Programmable Messaging, API of 2010-04-01."""

from smsqueue.gateways.twilio.sending import TwilioGateway

__all__ = ["TwilioGateway"]

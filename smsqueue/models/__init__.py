"""The domain's tables, as plain SQLAlchemy models."""

from smsqueue.models.accounts import Team, User
from smsqueue.models.campaigns import Campaign, Kind, SkippedRow, Status, UnknownPolicy, Upload
from smsqueue.models.credits import Account, LedgerEntry, LedgerTransaction
from smsqueue.models.gateways import GatewayReference, GatewayState, Rate
from smsqueue.models.inbox import DeliveryReport, InboundText, OptOut
from smsqueue.models.notices import Notice
from smsqueue.models.recipients import Attempt, Recipient, State

__all__ = [
    "Account",
    "Attempt",
    "Campaign",
    "DeliveryReport",
    "GatewayReference",
    "GatewayState",
    "InboundText",
    "Kind",
    "LedgerEntry",
    "LedgerTransaction",
    "Notice",
    "OptOut",
    "Rate",
    "Recipient",
    "SkippedRow",
    "State",
    "Status",
    "Team",
    "UnknownPolicy",
    "Upload",
    "User",
]

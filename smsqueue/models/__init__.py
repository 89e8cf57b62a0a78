"""The domain's tables, as plain SQLAlchemy models."""

from smsqueue.models.accounts import Team, User
from smsqueue.models.campaigns import Campaign, Kind, SkippedRow, Status, Upload
from smsqueue.models.credits import Account, LedgerEntry, LedgerTransaction
from smsqueue.models.notices import Notice
from smsqueue.models.recipients import Attempt, Recipient, State

__all__ = [
    "Account",
    "Attempt",
    "Campaign",
    "Kind",
    "LedgerEntry",
    "LedgerTransaction",
    "Notice",
    "Recipient",
    "SkippedRow",
    "State",
    "Status",
    "Team",
    "Upload",
    "User",
]

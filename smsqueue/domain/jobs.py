"""The jobs of this program, as data: ids only, never a number or a text."""

from dataclasses import dataclass
from uuid import UUID

from smsqueue.queue.job import Job, Policy

QUEUES = ("sms", "notifications", "default")
"""All queues, in the order in which a worker asks them."""
CAMPAIGN = "campaign:"
"""What the tag of a campaign's jobs begins with; its id follows."""


def campaign_tag(campaign_id: int) -> str:
    """Name what all jobs of a campaign carry."""
    return f"{CAMPAIGN}{campaign_id}"


MAIL = Policy(tries=10, backoff=(5, 30, 60, 300, 900), timeout_seconds=60)


@dataclass(frozen=True, kw_only=True)
class SendSingleSmsJob(Job):
    """Send a campaign's only recipient; goes before bulk work."""

    kind, queue, priority = "sms.send-single", "sms", 0
    policy = Policy(tries=3, backoff=(5,), timeout_seconds=60, repeatable=True)
    campaign_id: int

    @property
    def tag(self) -> str:
        """Return the campaign whose part it is."""
        return campaign_tag(self.campaign_id)

    @property
    def rows(self) -> tuple[int, int]:
        """The first and the last row to send."""
        return 1, 1


@dataclass(frozen=True, kw_only=True)
class SendBulkSmsJob(Job):
    """Send to the recipients of one slice of a campaign who have not been sent to yet."""

    kind, queue, priority = "sms.send-bulk", "sms", 10
    policy = Policy(tries=3, backoff=(5,), timeout_seconds=300, repeatable=True)
    campaign_id: int
    first_row: int
    last_row: int

    @property
    def tag(self) -> str:
        """Return the campaign whose part it is."""
        return campaign_tag(self.campaign_id)

    @property
    def rows(self) -> tuple[int, int]:
        """The first and the last row to send."""
        return self.first_row, self.last_row


SendingJob = SendSingleSmsJob | SendBulkSmsJob


@dataclass(frozen=True, kw_only=True)
class CheckRowsJob(Job):
    """Check the rows of a draft whose list is too long for a page's request."""

    kind, queue = "sms.check-rows", "default"
    policy = Policy(tries=3, backoff=(5,), timeout_seconds=300)
    campaign_id: int


@dataclass(frozen=True, kw_only=True)
class LookUpJob(Job):
    """Clear up the unknown recipients of a campaign: ask its gateways, and at the end do what its rule says.

    With `once` they are asked at once, and the job is over: a person wanted to know.
    """

    kind, queue = "sms.look-up", "default"
    policy = Policy(tries=10, backoff=(5, 30, 60, 300), timeout_seconds=300)
    campaign_id: int
    once: bool = False

    @property
    def key(self) -> str:
        """Return the unique key: one such job for each campaign."""
        return f"{'ask' if self.once else 'look-up'}:{self.campaign_id}"


@dataclass(frozen=True, kw_only=True)
class FetchReportsJob(Job):
    """Ask the gateways once a day what became of a campaign's texts whose report did not come."""

    kind, queue = "sms.fetch-reports", "default"
    policy = Policy(tries=10, backoff=(60, 300), timeout_seconds=300)
    campaign_id: int

    @property
    def key(self) -> str:
        """Return the unique key: one such job for each campaign."""
        return f"fetch:{self.campaign_id}"


@dataclass(frozen=True, kw_only=True)
class SendMailJob(Job):
    """Send a notice by mail; may arrive twice when a worker dies at the wrong moment."""

    kind, queue, policy = "mail.notice", "notifications", MAIL
    notice_id: str

    @classmethod
    def about(cls, notice_id: UUID) -> "SendMailJob":
        """Build the job for a notice."""
        return cls(notice_id=str(notice_id))


@dataclass(frozen=True, kw_only=True)
class SendResetMailJob(Job):
    """Send the link by which a person sets a new password; the worker makes the link."""

    kind, queue, policy = "mail.reset", "notifications", MAIL
    user_id: int

"""What may go wrong in a use case; pages, commands and logs each word it from the same facts."""

from smsqueue.core.errors import SmsQueueError


class NotFound(SmsQueueError):
    """There is no such thing in this team."""

    def __init__(self, thing: str = "page") -> None:
        super().__init__(f"There is no such {thing}.")
        self.thing = thing


class NotEnoughCredits(SmsQueueError):
    """The wallet holds less than is needed."""

    def __init__(self, needed: int, available: int) -> None:
        missing = needed - available
        super().__init__(f"This costs {needed:,} credits and the balance is {available:,}: {missing:,} are missing.")
        self.needed, self.available, self.missing = needed, available, missing


class BadDraft(SmsQueueError):
    """A field of a draft cannot be taken as it is; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field

"""The root of every error that this program raises on purpose."""


class SmsQueueError(Exception):
    """Something a person can understand and mend; its message says what was found and what to do."""

"""Words and number formats for pages: what a status is called, what it means, how a rate or a rest of time is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask.blueprints import BlueprintSetupState

from smsqueue.core import phones
from smsqueue.domain import standing
from smsqueue.models import Campaign, Kind, State, Status
from smsqueue.queue.explain import Reason


@dataclass(frozen=True, slots=True)
class Word:
    """How a status or state is shown: never by colour alone."""

    word: str
    icon: str
    """A name in the sprite."""
    tone: str
    """neutral, info, good, bad or warn: the tones of `_macros/ui.html`."""
    meaning: str


STATUSES = {
    Status.DRAFT: Word("Draft", "pencil", "neutral", "Nothing is sent or charged until you confirm."),
    Status.SCHEDULED: Word("Scheduled", "clock", "info", "Paid for, and starts by itself at its time."),
    Status.PAUSED: Word("Paused", "pause", "warn", "Somebody has stopped it for a while."),
    Status.PENDING: Word("Pending", "clock", "neutral", "Paid for and waiting for a worker."),
    Status.PROCESSING: Word("Processing", "play", "info", "Messages are being sent."),
    Status.COMPLETED: Word("Completed", "check", "good", "Every message has an outcome."),
    Status.FAILED: Word("Failed", "cross", "bad", "What was not sent is credited back."),
    Status.CANCELLED: Word("Cancelled", "stop", "warn", "What had not left was not sent and is credited back."),
}
HELD_UP = Word("Waiting", "clock", "warn", "Nothing is being sent at this moment.")
"""How a campaign that is being sent is shown while none of it can go."""
STATES = {
    State.QUEUED: Word("Waiting", "clock", "neutral", "Not sent yet."),
    State.SENDING: Word("Sending", "play", "info", "Handed to the gateway, which has not answered yet."),
    State.SENT: Word("Sent", "check", "good", "The gateway accepted the message."),
    State.DELIVERED: Word("Delivered", "check", "good", "The network says that the phone has it."),
    State.UNDELIVERED: Word("Not delivered", "cross", "bad", "Accepted, but the network could not deliver it."),
    State.FAILED: Word("Failed", "cross", "bad", "Not accepted, and credited back."),
    State.UNKNOWN: Word(
        "Unknown",
        "question",
        "warn",
        "We cannot tell whether the gateway took it. Its credits stay held until it is known.",
    ),
    State.CANCELLED: Word("Cancelled", "stop", "neutral", "Not sent, and credited back."),
    State.EXPIRED: Word("Expired", "stop", "warn", "Could not be handed over in time, and credited back."),
    State.SUPPRESSED: Word("Opted out", "stop", "neutral", "This person asked for no messages; credited back."),
}
ALWAYS = (State.QUEUED, State.SENDING, State.SENT, State.FAILED, State.UNKNOWN)
"""Counts shown even when they are 0."""
OUTCOMES = {
    "sending": "no answer yet",
    "unknown": "unknown: no clear answer",
    "sent": "accepted",
    "rejected": "refused",
    "deferred": "not now, will be tried again",
}
ENCODINGS = {"gsm-7": "GSM-7", "ucs-2": "Unicode"}


def number(value: int | float) -> str:
    """Write 4812 as "4,812"."""
    return f"{value:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write "1 message", "4,812 messages"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Say how long, roughly: "less than a minute", "about 3 min", "about 2 h 5 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def status_word(status: str) -> Word:
    """Return how a campaign's status is shown."""
    return STATUSES[Status(status)]


def standing_word(campaign: Campaign, why: Reason | None = None) -> Word:
    """Return how a campaign is shown of which may be known why it waits."""
    if why and not why.is_moving and campaign.status == Status.PROCESSING and not campaign.sending:
        return HELD_UP
    return status_word(campaign.status)


def state_word(state: str) -> Word:
    """Return how a recipient's state is shown."""
    return STATES[State(state)]


def counts_shown(campaign: Campaign) -> list[tuple[State, Word, int]]:
    """List the counts worth showing: the usual five, and the others when there are any."""
    counts = campaign.counts
    return [(state, word, counts[state]) for state, word in STATES.items() if counts[state] or state in ALWAYS]


def percent(campaign: Campaign) -> int:
    """Say how much is done; 100 only when it is over."""
    if campaign.finished_at is not None:
        return 100
    return min(99, campaign.done * 100 // max(campaign.total, 1))


def sentence(campaign: Campaign, why: Reason | None = None) -> str:
    """Say how a campaign stands of which may be known why it waits, for ears."""
    word = standing_word(campaign, why).word
    counts = ", ".join(f"{count:,} {shown.word.lower()}" for _, shown, count in counts_shown(campaign) if count)
    return f"{word}: {percent(campaign)} %. {counts}."


def campaign_title(campaign: Campaign) -> str:
    """Return what a campaign is called: its name, or for a single SMS whom it goes to."""
    return f"Single {campaign.name}" if campaign.kind == Kind.SINGLE else campaign.name


def starts(campaign: Campaign) -> str:
    """Say when a scheduled campaign starts, in the zone that was chosen."""
    return standing.moment(campaign.scheduled_for, campaign.time_zone) if campaign.scheduled_for else "soon"


FILTERS: dict[str, Callable[..., Any]] = {
    "campaign_title": campaign_title,
    "counts_shown": counts_shown,
    "country_name": phones.country_name,
    "described": phones.describe,
    "duration": duration,
    "encoding": lambda name: ENCODINGS.get(name, name),
    "number": number,
    "outcome": lambda name: OUTCOMES.get(name, name),
    "percent": percent,
    "plural": plural,
    "sentence": sentence,
    "standing_word": standing_word,
    "starts": starts,
    "state_word": state_word,
    "status_word": status_word,
    "trimmed": lambda decimal: decimal.rstrip("0").rstrip("."),
}


def install(state: BlueprintSetupState) -> None:
    """Give the templates these filters (for `Blueprint.record`)."""
    state.app.jinja_env.filters.update(FILTERS)

"""A gateway's codes and what each means: one table per gateway, and what is done with a code that is in none."""

import logging
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

from smsqueue.gateways.base import Deferred, Outcome, Rejected, Sent, Unknown
from smsqueue.gateways.http import tidy

logger = logging.getLogger(__name__)

Class = Literal["refused", "account", "throttled", "not sent", "unknown"]
SAME_REFUSALS = 20
"""So many equal refusals by a code that nobody knows, with no acceptance between, speak of the account."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row: the class, in our words why, and what follows from it."""

    outcome: Class
    reason: str
    may_retry: bool = False
    opted_out: bool = False
    is_our_bug: bool = False
    after_seconds: float = 0


def refused(reason: str, *, may_retry: bool = False, opted_out: bool = False) -> Meaning:
    """This number is refused for good."""
    return Meaning("refused", reason, may_retry, opted_out)


def our_bug(reason: str) -> Meaning:
    """The request was wrong: this text is refused, and somebody must look."""
    return Meaning("refused", reason, is_our_bug=True)


def account(reason: str) -> Meaning:
    """Our account, sender or set-up is refused: no other recipient will fare better."""
    return Meaning("account", reason, may_retry=True)


def throttled(reason: str, after_seconds: float = 0) -> Meaning:
    """Surely not accepted, too fast."""
    return Meaning("throttled", reason, after_seconds=after_seconds)


def not_sent(reason: str, after_seconds: float = 0) -> Meaning:
    """Surely not accepted, since nobody there can take it at the moment."""
    return Meaning("not sent", reason, after_seconds=after_seconds)


def unknown(reason: str) -> Meaning:
    """Nobody can tell."""
    return Meaning("unknown", reason)


class Table:
    """The codes of one gateway, for all threads of a process."""

    def __init__(self, gateway: str, meanings: Mapping[str, Meaning]) -> None:
        self._gateway = gateway
        self._meanings = meanings
        self._lock = threading.Lock()
        self._told: set[Hashable] = set()
        self._streak: tuple[str, int] = ("", 0)

    def outcome(self, code: str, words: object, otherwise: Outcome, *, wait: float = 0) -> Outcome:
        """Say what a code means; one that is in no row means `otherwise`, as its HTTP status has it."""
        meaning = self._meanings.get(code)
        if meaning is None:
            return self._unlisted(code, tidy(words), otherwise)
        if meaning.is_our_bug:
            self._tell_once(
                logging.ERROR, "%s refuses a text by %s, which is a mistake of ours: %s", code, meaning.reason
            )
        return _outcome(meaning, code, wait)

    def accepted(self, sent: Sent) -> Sent:
        """Note that a text was taken, which ends a row of equal refusals."""
        self._streak = ("", 0)
        return sent

    def _unlisted(self, code: str, words: str, otherwise: Outcome) -> Outcome:
        if code:
            # None of its words: part of the text may be in them.
            followed = otherwise.code if isinstance(otherwise, Rejected) else type(otherwise).__name__.lower()
            more = f"({followed}), in {len(words)} letters that are hidden"
            self._tell_once(logging.WARNING, "%s answered with a code that is in no table: %s %s", code, more)
        if not isinstance(otherwise, Rejected):
            return otherwise
        shown = tidy(code, 40) or otherwise.code
        reason = words or otherwise.reason
        if otherwise.scope == "recipient" and self._count(shown) >= SAME_REFUSALS:
            reason = f"{SAME_REFUSALS} texts in a row were refused alike: {reason}"
            return Rejected(shown, reason, "account", may_retry=True)
        return Rejected(shown, reason, otherwise.scope, otherwise.may_retry, otherwise.opted_out)

    def _count(self, code: str) -> int:
        with self._lock:
            last, times = self._streak
            self._streak = (code, times + 1 if code == last else 1)
            return self._streak[1]

    def _tell_once(self, level: int, words: str, code: str, more: str) -> None:
        with self._lock:
            is_new = code not in self._told and len(self._told) < 1000
            self._told.add(code)
        if is_new:
            logger.log(level, words, self._gateway, tidy(code, 40), more)


def _outcome(meaning: Meaning, code: str, wait: float) -> Outcome:
    match meaning.outcome:
        case "throttled":
            return Deferred(wait or meaning.after_seconds, "throttled", f"{meaning.reason} ({code}).")
        case "not sent":
            return Deferred(wait or meaning.after_seconds, "unreachable", f"{meaning.reason} ({code}).")
        case "unknown":
            return Unknown(f"{meaning.reason} ({code}).")
        case "refused" | "account" as kind:
            scope: Literal["recipient", "account"] = "account" if kind == "account" else "recipient"
            return Rejected(code, f"{meaning.reason}.", scope, meaning.may_retry, meaning.opted_out)

"""A job as data: what producers make, what a payload holds."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Self

from smsqueue.core.errors import SmsQueueError


class BadPayload(SmsQueueError):
    """A payload that does not fit its job's class."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a job is run: tries, seconds between them, seconds a run may take, and whether repeating does harm."""

    tries: int = 1
    backoff: tuple[float, ...] = (0,)
    timeout_seconds: float = 60
    repeatable: bool = False
    """True lets finished runs be recorded in batches: a crash may then repeat some of them."""
    retry_for: float = 0
    """Seconds from the job's making during which it is tried again however often; wins over `tries`. 0: tries count."""
    max_exceptions: int = 0
    """So many runs may end by an error of the job's own; deaths and timeouts count as tries only. 0: tries count."""
    fail_on: tuple[type[BaseException], ...] = ()
    """An error of these classes fails the job at once."""
    fail_on_timeout: bool = False
    """A run that takes too long fails the job at once."""

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after the given number of attempts; the last value repeats."""
        return self.backoff[min(attempts, len(self.backoff)) - 1]

    def is_over(self, attempts: int, exceptions: int, age_seconds: float) -> bool:
        """Say whether there is no further try after a run that ended badly."""
        if 0 < self.max_exceptions <= exceptions:
            return True
        if self.retry_for:
            return age_seconds + self.delay(attempts) >= self.retry_for
        return 0 < self.tries <= attempts


@dataclass(frozen=True, kw_only=True)
class Job:
    """The root of all jobs: a frozen dataclass whose fields are ids, and whose class says where it waits.

    A smaller priority goes first. `policy` None means: as the worker's options say.
    """

    kind: ClassVar[str]
    queue: ClassVar[str] = "default"
    priority: ClassVar[int] = 0
    version: ClassVar[int] = 1
    policy: ClassVar[Policy | None] = None

    @property
    def group(self) -> str:
        """Return whose job it is: within a queue and priority, groups take turns."""
        return ""

    @property
    def tag(self) -> str | None:
        """Return what it is a part of: jobs of one tag are put on hold and let go together."""
        return None

    def to_payload(self) -> str:
        """Return the versioned JSON that `jobs.payload` holds."""
        return json.dumps(
            {
                "kind": self.kind,
                "version": self.version,
                "data": {name: getattr(self, name) for name in _names_of(type(self))},
            }
        )

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Build the job from a payload's data; raise BadPayload when the fields differ."""
        if data.keys() != _names_of(cls).keys():
            raise BadPayload(f"{cls.kind} needs the fields {[f.name for f in fields(cls)]}, found {sorted(data)}")
        return cls(**data)


def _find_names(job_class: Any) -> dict[str, None]:
    return {field.name: None for field in fields(job_class)}


_names_of: Callable[[Any], dict[str, None]] = cache(_find_names)
"""The names of a job class's fields, looked up once."""

"""Which handler runs which kind of job. Only registered names run: nothing is imported by a stored path."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.queue.groups import Limit
from smsqueue.queue.job import BadPayload, Job, Policy

Handler = Callable[[Any, Any], Any]
Hook = Callable[[Session, Any], None]
FailedHook = Callable[[Session, Any, str], None]


class UnknownJob(SmsQueueError):
    """A payload names a job that no handler is registered for."""


class UnknownVersion(SmsQueueError):
    """A payload of a known job is of a version that this program does not understand (yet)."""


def _nothing(*_: Any) -> None:
    """Do nothing: most jobs need no hook."""


def parts_of(payload: str) -> tuple[str, Any, dict[str, Any]]:
    """Take a payload apart into kind, version and data; raise BadPayload."""
    try:
        content = json.loads(payload)
        kind, version, data = content["kind"], content["version"], content["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadPayload("the payload is no JSON object with kind, version and data") from error
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise BadPayload("the payload's kind is no text, or its data no JSON object")
    return kind, version, data


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of job: its class, what runs it, how, and what else must happen with it in the same transaction."""

    job_class: type[Job]
    handler: Handler
    policy: Policy | None
    on_failed: FailedHook = _nothing
    """Called with the job and the reason when it is given up."""
    on_retried: Hook = _nothing
    """Called when a person retries the failed job; may refuse by an error."""
    on_cleared: Hook = _nothing
    """Called when the waiting job is deleted by a person."""


@dataclass
class Registry:
    """All kinds of jobs a worker can run."""

    defaults: Policy = field(default_factory=Policy)
    entries: dict[str, Entry] = field(default_factory=dict)
    scrub: Callable[[str], str] = str
    """Takes out of a traceback what must not be stored."""
    group_limit: Limit | None = None
    """How many jobs of a group may be held at once; None: any number."""

    def register(self, job_class: type[Job], handler: Handler, **more: Any) -> None:
        """Let `handler(job, run)` run jobs of `job_class`; `more` are a policy and hooks as in Entry."""
        more.setdefault("policy", job_class.policy)
        self.entries[job_class.kind] = Entry(job_class, handler, **more)

    def entry(self, kind: str) -> Entry:
        """Return the entry for a kind; raise UnknownJob."""
        try:
            return self.entries[kind]
        except KeyError:
            raise UnknownJob(f"no handler is registered for jobs of kind {kind!r}") from None

    def policy(self, kind: str) -> Policy:
        """Return how jobs of this kind run: their own policy, else the worker's options."""
        entry = self.entries.get(kind)
        return (entry and entry.policy) or self.defaults

    def job(self, payload: str) -> Job:
        """Build the job from its payload; raise UnknownJob, UnknownVersion or BadPayload."""
        kind, version, data = parts_of(payload)
        job_class = self.entry(kind).job_class
        if version != job_class.version:
            raise UnknownVersion(f"{kind} of version {version}; this worker knows version {job_class.version}")
        return job_class.from_data(data)

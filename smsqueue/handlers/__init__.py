"""What a worker runs: each handler takes a job's data and asks the domain for the work."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Lock

from smsqueue.config import Settings
from smsqueue.domain import slices
from smsqueue.domain.jobs import (
    CheckRowsJob,
    FetchReportsJob,
    LookUpJob,
    SendBulkSmsJob,
    SendingJob,
    SendMailJob,
    SendResetMailJob,
    SendSingleSmsJob,
)
from smsqueue.domain.routing import Routes
from smsqueue.domain.senders import Senders
from smsqueue.domain.sending import Limits
from smsqueue.gateways import build_all
from smsqueue.handlers import check_rows, look_up, send_mail, send_sms
from smsqueue.mail import Mailer
from smsqueue.queue.job import Policy
from smsqueue.queue.registry import Registry


@dataclass
class Services:
    """What handlers need beside the database; made when first asked for, since not every process sends."""

    settings: Settings
    mailer: Mailer
    threads: int = 1
    """How many jobs run at once in this process."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def senders(self) -> Senders:
        """The threads that call the gateways, shared by all jobs."""
        with self._lock:  # several jobs may be the first
            return self._senders

    @cached_property
    def _senders(self) -> Senders:
        chosen, gateways = self.settings, build_all(self.settings)
        return Senders(
            gateways,
            chosen.concurrency,
            Routes.of(chosen, tuple(gateways)),
            most=chosen.concurrency_max,
            limits={name: adapter.traits.max_per_second for name, adapter in gateways.items()},
            sender_limit=chosen.sender_max_per_second,
        )

    @property
    def limits(self) -> Limits:
        """How much a slice has in flight and for how long; all that run at once share the worker's window."""
        chosen = self.settings
        window = chosen.window and max(1, chosen.window // self.threads)
        return Limits(window, chosen.slice_seconds, chosen.sender_of, self.threads)

    def close(self) -> None:
        """Let the threads end, if there are any."""
        if "_senders" in self.__dict__:
            self._senders.close()


def register_all(registry: Registry, services: Services) -> None:
    """Tell the registry every kind of job there is."""
    settings = services.settings
    hooks = {
        "on_failed": slices.on_failed,
        "on_retried": partial(slices.on_retried, validity_seconds=settings.validity_seconds),
        "on_cleared": slices.on_cleared,
    }
    sending: tuple[tuple[type[SendingJob], int], ...] = (
        (SendSingleSmsJob, settings.single_timeout_seconds),
        (SendBulkSmsJob, settings.bulk_timeout_seconds),
    )
    for job_class, seconds in sending:
        policy = Policy(settings.tries, settings.backoff_seconds, seconds, repeatable=True)
        registry.register(job_class, partial(send_sms.run, services=services), policy=policy, **hooks)
    checking = replace(CheckRowsJob.policy or Policy(), tries=settings.tries, backoff=settings.backoff_seconds)
    handler = partial(check_rows.run, settings=settings)
    registry.register(CheckRowsJob, handler, policy=checking, on_failed=check_rows.on_failed)
    registry.register(LookUpJob, partial(look_up.unknown, services=services))
    registry.register(FetchReportsJob, partial(look_up.reports, services=services))
    registry.register(SendMailJob, partial(send_mail.notice, mailer=services.mailer))
    registry.register(SendResetMailJob, partial(send_mail.reset, mailer=services.mailer))

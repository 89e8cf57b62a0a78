"""What a worker runs: each handler takes a job's data and asks the domain for the work."""

from dataclasses import dataclass, replace
from functools import cached_property, partial

from smsqueue.config import Settings
from smsqueue.domain import slices
from smsqueue.domain.jobs import (
    CheckRowsJob,
    SendBulkSmsJob,
    SendingJob,
    SendMailJob,
    SendResetMailJob,
    SendSingleSmsJob,
)
from smsqueue.domain.senders import Senders
from smsqueue.domain.sending import Limits
from smsqueue.gateways import build
from smsqueue.gateways.base import GatewayOptions
from smsqueue.handlers import check_rows, send_mail, send_sms
from smsqueue.mail import Mailer
from smsqueue.queue.job import Policy
from smsqueue.queue.registry import Registry


@dataclass
class Services:
    """What handlers need beside the database; made when first asked for, since not every process sends."""

    settings: Settings
    mailer: Mailer

    @cached_property
    def senders(self) -> Senders:
        """The threads that call the gateway."""
        settings = self.settings
        options = GatewayOptions(
            name=settings.gateway,
            concurrency=settings.concurrency,
            connect_seconds=settings.connect_timeout_seconds,
            read_seconds=settings.read_timeout_seconds,
            simulated_url=settings.simulated_url,
            log_file=settings.log_gateway_file,
            log_text=settings.log_gateway_text,
        )
        return Senders(build(options), settings.concurrency)

    @property
    def limits(self) -> Limits:
        """How much a slice has in flight and for how long."""
        return Limits(self.settings.window, self.settings.slice_seconds, self.settings.sender)

    def close(self) -> None:
        """Let the threads end, if there are any."""
        if "senders" in self.__dict__:
            self.senders.close()


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
    registry.register(SendMailJob, partial(send_mail.notice, mailer=services.mailer))
    registry.register(SendResetMailJob, partial(send_mail.reset, mailer=services.mailer))

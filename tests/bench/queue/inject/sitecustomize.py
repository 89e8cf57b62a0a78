"""Run by Python as it starts: `flask sms work`, otherwise as it is, knows the jobs of the benchmark, too."""

from smsqueue import handlers
from smsqueue.handlers import Services
from smsqueue.queue.registry import Registry
from tests.bench.queue import jobs

_register_ours = handlers.register_all


def register_all(registry: Registry, services: Services) -> None:
    """Register everybody's jobs."""
    _register_ours(registry, services)
    jobs.register_all(registry)


handlers.register_all = register_all

"""The jobs that are measured: they do nothing, or say at once that they were begun."""

import os
import socket
import time
from dataclasses import dataclass

from smsqueue.queue.job import Job, Policy
from smsqueue.queue.registry import Registry

EAR = "BENCH_EAR"
"""The environment variable with the port that hears of each job's beginning."""


@dataclass(frozen=True, kw_only=True)
class RepeatableJob(Job):
    """Nothing; repeating it does no harm, so many are finished by one commit."""

    kind, policy = "bench.repeatable", Policy(repeatable=True)
    number: int


@dataclass(frozen=True, kw_only=True)
class SafeJob(Job):
    """Nothing, and each is finished by a commit of its own."""

    kind, policy = "bench.safe", Policy()
    number: int


@dataclass(frozen=True, kw_only=True)
class HeardJob(Job):
    """Say by a datagram when it was begun."""

    kind, policy = "bench.heard", Policy()
    number: int


def do_nothing(_job: Job, _run: object) -> None:
    """Do nothing."""


def be_heard(job: HeardJob, _run: object) -> None:
    """Tell the clock that all processes of the machine share."""
    began = time.monotonic_ns()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(f"{job.number} {began}".encode(), ("127.0.0.1", int(os.environ[EAR])))


def register_all(registry: Registry) -> None:
    """Let these jobs run."""
    registry.register(RepeatableJob, do_nothing)
    registry.register(SafeJob, do_nothing)
    registry.register(HeardJob, be_heard)

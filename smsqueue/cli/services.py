"""How a worker, or a command that touches jobs, is put together."""

from collections.abc import Callable
from functools import partial

from flask import Flask, current_app

from smsqueue.cli.base import database, settings
from smsqueue.db import Database
from smsqueue.domain import completion, drafts, expiring, fetching, first_ten, looking_up, pausing, shares
from smsqueue.domain.jobs import FetchReportsJob, LookUpJob
from smsqueue.handlers import Services, register_all
from smsqueue.mail import Mailer
from smsqueue.observe.redaction import scrub
from smsqueue.queue import drill
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.job import Policy
from smsqueue.queue.registry import Registry


def build_services(threads: int = 1) -> Services:
    """Return what handlers need, from this installation's settings, when `threads` of them may run at once."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy has it
    return Services(settings(), Mailer(app), threads)


def build_registry(services: Services | None = None, defaults: Policy | None = None) -> Registry:
    """Return every kind of job with its handler and hooks, and how many of a team's may run at once."""
    registry = Registry(defaults or Policy(), scrub=scrub, group_limit=shares.limit_of_teams(database()))
    register_all(registry, services or build_services())
    drill.register(registry)
    return registry


def chores(store: Database, services: Services) -> tuple[Callable[[], None], ...]:
    """Return what any worker does once a minute beside its jobs."""
    own = (end_overdue, close_left_open, look_after_waiting, look_after_unknown, purge_drafts)
    return *(partial(each, store) for each in own), partial(ask_for_reports, store, services)


def close_left_open(store: Database) -> None:
    """Close campaigns whose last worker died before it could."""
    with store.reading() as session:
        found = completion.open_without_rows(session)
    for campaign_id in found:
        store.write(partial(completion.close, campaign_id=campaign_id))


def end_overdue(store: Database) -> None:
    """End campaigns that are not valid any more, and whose slices nobody takes while their gateway is away."""
    with store.reading() as session:
        found = expiring.overdue(session)
    for campaign_id in found:
        store.write(partial(expiring.end_overdue, campaign_id=campaign_id))
        store.write(partial(completion.close, campaign_id=campaign_id))


def look_after_waiting(store: Database) -> None:
    """Judge first tens that nobody judged, and keep paused campaigns' jobs on hold."""
    with store.reading() as session:
        undecided, paused = first_ten.undecided(session), pausing.paused(session)
    for campaign_id in undecided:
        store.write(partial(completion.close, campaign_id=campaign_id))
    for campaign_id in paused:
        store.write(partial(pausing.hold_again, campaign_id=campaign_id))


def look_after_unknown(store: Database) -> None:
    """Let gateways be asked about unknown recipients, and campaigns' rules end them: one job for each campaign."""
    with store.reading() as session:
        found = looking_up.campaigns_with_unknown(session)
    for campaign_id in found:
        _enqueue(store, LookUpJob(campaign_id=campaign_id))


def ask_for_reports(store: Database, services: Services) -> None:
    """Let gateways be asked once a day about texts whose report did not come."""
    with store.reading() as session:
        found = fetching.campaigns_without_reports(session)
    if not found or not any(map(fetching.can_fetch, services.senders.gateways.values())):
        return  # the gateways are not made for nothing: not every worker sends
    for campaign_id in found:
        _enqueue(store, FetchReportsJob(campaign_id=campaign_id))


def _enqueue(store: Database, job: LookUpJob | FetchReportsJob) -> None:
    store.write(lambda session: enqueue(session, job, unique=job.key))


def purge_drafts(store: Database) -> None:
    """Delete drafts that nobody confirmed within a day."""
    store.write(drafts.purge_old)

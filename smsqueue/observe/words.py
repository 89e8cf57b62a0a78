"""The words for each event. An event without words is written as its facts."""

import logging
from functools import cache
from string import Formatter
from typing import Any

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

WORDS: dict[str, tuple[int, str]] = {
    "worker.started": (INFO, "worker {worker_id} started for the queues {queues}"),
    "worker.stopped": (INFO, "worker {worker_id} stopped after {jobs} jobs: {reason}"),
    "worker.lost": (ERROR, "worker {worker_id} was taken for dead; it starts anew under another number"),
    "worker.buried": (WARNING, "worker {worker_id} is dead; its jobs are free again"),
    "worker.error": (ERROR, "worker {worker_id} stops, by an error of its own: {trace}"),
    "worker.died": (ERROR, "the process of worker {worker_id} died: {reason}"),
    "worker.replaced": (WARNING, "worker {worker_id} is replaced in {pause} s"),
    "heartbeat.missed": (WARNING, "worker {worker_id} could not renew its lease: {reason}"),
    "listener.degraded": (WARNING, "the worker is not told of new jobs any more and looks now and then: {reason}"),
    "listener.back": (INFO, "the worker is told of new jobs again"),
    "history.missed": (WARNING, "the counts of finished jobs could not be written yet: {reason}"),
    "jobs.claimed": (INFO, "worker {worker_id} claimed the jobs {ids}"),
    "jobs.finished": (INFO, "worker {worker_id} finished jobs ({kind}): {count}"),
    "job.claimed": (INFO, "job {job_id} ({kind}) claimed"),
    "job.finished": (INFO, "job {job_id} ({kind}) finished after {seconds} s"),
    "job.batched": (DEBUG, "job {job_id} ({kind}) finished"),
    "job.released": (INFO, "job {job_id} ({kind}) waits for {seconds} s: {reason}"),
    "job.failed": (ERROR, "job {job_id} ({kind}) failed after {attempts} tries: {reason}"),
    "job.broke_late": (WARNING, "job {job_id} ({kind}) was over already when its handler broke: {reason}"),
    "job.lost": (WARNING, "job {job_id} ({kind}) is held by another worker by now; nothing was recorded"),
    "queue.paused": (WARNING, "queue {queue} (* for all) paused by {author}: {reason}"),
    "queue.resumed": (INFO, "queue {queue} (* for all) resumed by {author}"),
    "workers.restarting": (INFO, "all workers were asked to start anew"),
    "maintenance.began": (WARNING, "maintenance began, by {author}: {reason}"),
    "maintenance.ended": (INFO, "maintenance ended, by {author}"),
    "job.retried": (INFO, "failed job {uuid} ({kind}) is back in its queue {queue} as job {job_id}"),
    "job.forgotten": (INFO, "failed job {uuid} ({kind}) was forgotten"),
    "jobs.forgotten": (INFO, "failed jobs were forgotten: {count}"),
    "jobs.cleared": (WARNING, "waiting jobs of the queue {queue} were deleted: {count}"),
    "campaign.launched": (INFO, "campaign {campaign_id} was confirmed: recipients {total}, credits {price}"),
    "campaign.started": (INFO, "campaign {campaign_id} started"),
    "campaign.ended": (INFO, "campaign {campaign_id} ended: {status}"),
    "campaign.retried": (INFO, "campaign {campaign_id} goes again to {count} who failed, for {price} credits"),
    "campaign.cloned": (INFO, "campaign {source_id} was cloned as draft {campaign_id}: recipients {total}"),
    "campaign.reopened": (INFO, "campaign {campaign_id} is sent again to some: jobs {jobs}"),
    "campaign.paused": (INFO, "campaign {campaign_id} was paused"),
    "campaign.resumed": (INFO, "campaign {campaign_id} goes on"),
    "campaign.released": (INFO, "campaign {campaign_id}: the rest goes after its first ten"),
    "campaign.stopped": (INFO, "campaign {campaign_id} was stopped: {reason}"),
    "slice.ended": (INFO, "campaign {campaign_id}: the turn of rows {rows} is over"),
    "slice.crashed": (
        WARNING,
        "campaign {campaign_id}: an earlier worker left {unknown} of rows {rows} without answer",
    ),
    "gateway.drilled": (INFO, "one text {reference} went to {gateway} as a drill: {outcome} after {milliseconds} ms"),
    "reports.applied": (DEBUG, "delivery reports of {gateway} were written down: {count}"),
    "reports.unknown": (INFO, "delivery reports of {gateway} tell of texts that nobody here knows: {count}"),
    "credits.refunded": (INFO, "campaign {campaign_id}: the gateway did not bill {count}, credits back {credits}"),
    "callback.refused": (WARNING, "a call that says it is {gateway} was refused as {reason}: {reference}"),
    "callback.unread": (WARNING, "a call of {gateway} says nothing that can be read: {reference}"),
    "text.received": (INFO, "a text came in for team {team_id}: {meaning}"),
    "goodbye.left_out": (WARNING, "team {team_id}: a STOP was obeyed and could not be answered: {reason}"),
    "opt_outs.added": (INFO, "numbers that want no more texts: {count} ({source})"),
    "opt_outs.removed": (WARNING, "numbers that may be texted again: {count} ({reason})"),
    "recipients.held": (WARNING, "campaign {campaign_id}: held, having had the same words lately: {count}"),
    "recipients.let-go": (INFO, "campaign {campaign_id}: somebody let go what was held: {count}"),
    "window.sent": (INFO, "campaign {campaign_id}: recorded answers for rows {rows}: {answers}"),
    "unknowns.asked": (
        INFO,
        "campaign {campaign_id}: asked about {asked} unknown; {sent} were taken, {not_taken} were not, "
        "and its rule ended {by_rule}",
    ),
    "unknowns.decided": (INFO, "campaign {campaign_id}: {user} decided about {count} unknown: {what}"),
    "reports.fetched": (INFO, "campaign {campaign_id}: asked about {asked} texts without a report; {told} were told"),
    "gateway.opened": (
        ERROR,
        "gateway {gateway} cannot be reached; texts wait, and it is tried now and then: {reason}",
    ),
    "gateway.closed": (WARNING, "gateway {gateway} answers again; it could not be reached since {since}"),
    "gateway.paused": (ERROR, "gateway {gateway} is paused, nothing goes through it, by {by}"),
    "gateway.resumed": (WARNING, "gateway {gateway} is used again, by {by}"),
    "gateway.throttled": (WARNING, "gateway {gateway} asks for less: now {per_second} segments a second"),
    "database.away": (ERROR, "the database cannot be reached: {reason}"),
    "database.back": (WARNING, "the database can be reached again"),
}


QUIET = frozenset(event for event, (level, _) in WORDS.items() if level < INFO)
"""Only told when asked for."""


def level_of(event: str) -> int:
    """Say how loud an event is."""
    return WORDS[event][0] if event in WORDS else INFO


def say(event: str, facts: dict[str, Any]) -> str:
    """Word an event; facts that its sentence does not mention follow as `name=value`, zeros left out."""
    shown = {name: _show(name, value) for name, value in facts.items() if value is not None}
    sentence, told = _sentence(event)
    if not told <= shown.keys():
        sentence, told = "", frozenset()
    rest = " ".join(f"{name}={value}" for name, value in shown.items() if name not in told and value != "0")
    return " ".join(part for part in (sentence.format_map(shown), rest) if part)


@cache
def _sentence(event: str) -> tuple[str, frozenset[str]]:
    """Return an event's sentence and the names of the facts in it."""
    sentence = WORDS[event][1] if event in WORDS else ""
    return sentence, frozenset(name for _, name, _, _ in Formatter().parse(sentence) if name)


def _show(name: str, value: Any) -> str:
    if name == "rows":
        return "-".join(str(row) for row in value)
    return ranges(sorted(value)) if name == "ids" else str(value)


def ranges(numbers: list[int]) -> str:
    """Write ascending numbers short: `3-5, 9`."""
    parts: list[list[int]] = []
    for each in numbers:
        if parts and each == parts[-1][1] + 1:
            parts[-1][1] = each
        else:
            parts.append([each, each])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)

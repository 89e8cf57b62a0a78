"""Eight workers at once on MariaDB: does a deadlock ever reach anybody, is a job ever failed for one?"""

import re

import sqlalchemy as sa

from smsqueue.queue.models import FailedJob
from tests.bench.figures import in_turn, say, show_rates
from tests.bench.queue.jobs import RepeatableJob, SafeJob
from tests.bench.queue.terms import KNOWS_OUR_JOBS, Terms, fill, filled, work
from tests.bench.stage import Stage
from tests.databases import Mariadb, mariadb_url, why_no_mariadb

WORKERS, EACH, MANY, SOME = 8, 10_000, 20_000, 4_000
SURFACED = re.compile(r"deadlock|\b1213\b|worker\.(error|died|replaced)|database\.away", re.IGNORECASE)


def measure(terms: Terms) -> dict[str, float | None]:
    """Count what surfaced; none where there is no MariaDB."""
    reason = why_no_mariadb(mariadb_url())
    print("\nMariaDB")
    if reason:
        say("MariaDB is missing", f"{reason}; mariadb_deadlocks is null")
        return {"mariadb_deadlocks": None}
    server = Mariadb(mariadb_url())
    try:
        with Stage(server.create(), settings=dict(KNOWS_OUR_JOBS)) as stage:
            _alone(terms, stage)
            return {"mariadb_deadlocks": float(_together(terms, stage))}
    finally:
        server.stop()


def _alone(terms: Terms, stage: Stage) -> None:
    repeatable, safe = in_turn(
        terms.rounds,
        filled(stage, RepeatableJob, terms.of(MANY), work),
        filled(stage, SafeJob, terms.of(SOME), work),
    )
    show_rates("MariaDB, repeatable", repeatable, "jobs/s")
    show_rates("MariaDB, one commit each", safe, "jobs/s")


def _together(terms: Terms, stage: Stage) -> int:
    """Return the sum of deadlocks surfaced and failed jobs, for both kinds of jobs."""
    surfaced = failed = 0
    for job_class in (RepeatableJob, SafeJob):
        count = WORKERS * terms.of(EACH)
        fill(stage, job_class, count)
        met = _met_by_the_server(stage)
        run = work(stage, count, "--workers", str(WORKERS))
        met = _met_by_the_server(stage) - met
        said = (stage.folder / "programs.log").read_text(errors="replace")
        surfaced = len(SURFACED.findall(said))
        with stage.database.reading() as session:
            failed = session.scalar(sa.select(sa.func.count()).select_from(FailedJob)) or 0
        what = f"deadlocks: {met} in the server, {surfaced} surfaced; {failed} in failed_jobs"
        say(f"{WORKERS} workers, {job_class.kind}", f"{count:,} jobs, {run.rate:,.0f} jobs/s; {what}")
    return surfaced + failed


def _met_by_the_server(stage: Stage) -> int:
    with stage.database.engine.connect() as connection:
        row = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").first()
        return int(row[1]) if row else 0

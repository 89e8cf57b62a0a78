"""No-op jobs worked off by one worker, beside a bare psycopg loop in the shape of Laravel's database driver."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from smsqueue.queue.dispatch import SECOND, enqueue_many, jobs
from smsqueue.queue.models import WorkerRow
from tests.bench.figures import Run, in_turn, ratios, show_rates, show_ratio
from tests.bench.noop_worker import NoopJob
from tests.bench.stage import Server, Stage
from tests.outside import ROOT

OURS, REFERENCE, ROUNDS = 20_000, 2_000, 3


def measure(server: Server) -> dict[str, float]:
    """Compare on PostgreSQL; print SQLite's figure too."""
    print(f"\nNo-op jobs, one worker process, {OURS:,} (reference: {REFERENCE:,}) jobs a run, {ROUNDS} rounds")
    with Stage(server.create()) as stage:
        ours, reference = in_turn(ROUNDS, lambda: _worker(stage), lambda: _laravel(stage))
    show_rates("smsqueue, PostgreSQL", ours, "jobs/s")
    show_rates("psycopg loop in Laravel's shape", reference, "jobs/s")
    ratio = show_ratio("drain_vs_laravel", ratios(ours, reference), 2)
    with TemporaryDirectory(prefix="smsqueue-bench-") as folder, Stage(f"sqlite:///{Path(folder) / 'b.db'}") as stage:
        show_rates("smsqueue, SQLite (no reference)", in_turn(3, lambda: _worker(stage))[0], "jobs/s")
    return {"drain_vs_laravel": ratio}


def fill(stage: Stage) -> None:
    """Put the same jobs into an empty queue, on tables as tidy as after a vacuum."""
    stage.database.write(lambda session: session.execute(sa.delete(jobs)))
    stage.database.write(lambda session: enqueue_many(session, [NoopJob(number=n) for n in range(OURS)]))
    engine = stage.database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE jobs" if engine.name == "postgresql" else "ANALYZE")


def _worker(stage: Stage) -> Run:
    """Time by the database's clock: from the worker's row, just before its first claim, to its signing off."""
    fill(stage)
    before = _children_cpu()
    with stage.program("-m", "tests.bench.noop_worker") as program:
        program.wait()
    cpu = _children_cpu() - before
    with stage.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(jobs)) == 0
        row = session.scalars(sa.select(WorkerRow).order_by(WorkerRow.id.desc())).first()
    assert row is not None
    assert row.jobs_done == OURS
    return Run(OURS, (row.expires_at - row.started_at) / SECOND, cpu)


def _laravel(stage: Stage) -> Run:
    fill(stage)
    url = stage.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.bench.references", "laravel", url, str(REFERENCE)]
    found = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    return Run(REFERENCE, found["seconds"], found["cpu_seconds"])


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

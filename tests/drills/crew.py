"""Worker processes for drills, and the campaigns that they work on."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import phonenumbers
import psutil
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.domain import accounts, campaigns, credits, drafts, reviewing, sheets
from smsqueue.domain.campaigns import Terms
from smsqueue.domain.rules import rules_for
from smsqueue.models import Campaign, Kind, Team, User
from tests.bench import audience
from tests.drills.judging import Kill
from tests.outside import ROOT, Outside, wait_until

RUNNING = sa.text("SELECT id FROM workers WHERE pid = :pid AND state = 'running' ORDER BY id DESC")
ALL_IDS = sa.text("SELECT id FROM workers WHERE pid = :pid")
IN_HAND = sa.text("SELECT count(*) FROM sms_attempts WHERE worker_id = :worker AND outcome = 'sending'")
OURS = ("SMS_", "SIMULATED_", "MAIL_", "DATABASE_", "QUEUE_", "SECRET_", "BASE_URL", "TRUSTED_", "LOG_GATEWAY_")
IS_FULL = os.environ.get("DRILL_SIZE") == "full"
Numbers = tuple[str, ...]


def kinds(*names: str) -> tuple[str, ...]:
    """Name the databases of a drill: all of these at full size, else the first."""
    return names if IS_FULL else names[:1]


@cache
def numbers(count: int) -> Numbers:
    """Make valid numbers: +1 NXX 555 01xx, which belong to nobody; beyond 45,000 of them any (they stay here)."""
    found: list[str] = []
    for area in range(201, 1000):
        if _is_area(area):
            found += [f"+1{area}55501{last:02d}" for last in range(100)]
        if len(found) >= count:
            return tuple(found[:count])
    more = (audience.number(index) for index in range(count))
    known = set(found)
    return (*found, *islice((each for each in more if each not in known), count - len(found)))


def _is_area(area: int) -> bool:
    return phonenumbers.is_valid_number(phonenumbers.parse(f"+1{area}5550100"))


@dataclass
class Office:
    """One team with one person and enough credits."""

    store: Database
    team: Team
    user: User

    @classmethod
    def open(cls, store: Database, balance: int = 1_000_000) -> "Office":
        """Make the team and the person."""

        def make(session: Any) -> tuple[Team, User]:
            team = accounts.create_team(session, "Drill", "US", "*")
            credits.grant(session, team.id, balance, reason="for a drill")
            user = accounts.create_user(session, email="drill@example.com", password_hash="x", team=team)
            return team, user

        return cls(store, *store.write(make))

    def campaign(self, many: Sequence[str], *, slice_rows: int = 500) -> Campaign:
        """Launch a campaign to these numbers."""
        rules = rules_for(self.team, max_segments=10, credits_per_segment=1)
        content = "\n".join(["phone", *many]).encode()
        more: dict[str, Any] = {"name": "Drill", "text": "Hello", "sheet": sheets.read(content), "column": None}

        def draft(session: Any) -> Campaign:
            upload = drafts.save_upload(session, self.team.id, "drill.csv", content)
            return drafts.draft_bulk(session, user=self.user, upload=upload, replace=None, rules=rules, **more)

        drafted = self.store.write(draft)
        reviewing.check_rows(self.store, drafted.id, rules)
        return self._launch(self.reload(drafted), slice_rows)

    def single(self, number: str) -> Campaign:
        """Launch a single SMS."""
        rules = rules_for(self.team, max_segments=10, credits_per_segment=1)
        draft = self.store.write(
            lambda session: drafts.draft_single(session, user=self.user, number=number, text="Hello", rules=rules)
        )
        assert draft.kind == Kind.SINGLE
        return self._launch(draft, 1)

    def reload(self, campaign: Campaign) -> Campaign:
        """Read a campaign as it is now."""
        with self.store.reading() as session:
            return session.get_one(Campaign, campaign.id)

    def is_closed(self, campaign: Campaign) -> bool:
        """Say whether the campaign has ended."""
        return self.reload(campaign).finished_at is not None

    def done(self, campaign: Campaign) -> int:
        """Count the recipients that need nothing more."""
        return self.reload(campaign).done

    def _launch(self, draft: Campaign, slice_rows: int) -> Campaign:
        terms = Terms(validity_seconds=14_400, slice_rows=slice_rows, credits_per_segment=1)
        launch = campaigns.launch
        return self.store.write(lambda session: launch(session, draft.team_id, draft.uuid, draft.token or "", terms))


@dataclass
class Worker:
    """A parent process (`flask sms work --daemon`) in a group of its own, and the worker that it started."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int | None:
        """The process that sends; nothing while there is none."""
        try:
            children = psutil.Process(self.process.pid).children()
            return next((child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE), None)
        except psutil.NoSuchProcess:
            return None

    def end(self) -> None:
        """End both at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Crew:
    """Some workers on one database."""

    folder: Path
    database_url: str
    environ: dict[str, str]
    options: Sequence[str] = ("--sleep=0.5",)
    workers: list[Worker] = field(default_factory=list)
    engine: sa.Engine = field(init=False)

    def __post_init__(self) -> None:
        """Look at the database by our own connections."""
        self.engine = build_engine(self.database_url)

    def start(self, count: int = 1) -> list[Worker]:
        """Start workers; each registers a little later."""
        started = []
        for _ in range(count):
            log = self.folder / f"worker-{len(self.workers)}.stderr"
            command = [sys.executable, "-m", "smsqueue", "sms", "work", "--daemon", *self.options]
            with log.open("wb") as errors:
                process = subprocess.Popen(command, cwd=ROOT, env=self.environ, stderr=errors, start_new_session=True)
            started.append(Worker(process, log))
            self.workers.append(started[-1])
        return started

    def wait_for(self, workers: Sequence[Worker], seconds: float = 120) -> None:
        """Wait until these have registered."""
        for worker in workers:
            wait_until(partial(self.id_of, worker), seconds)

    def id_of(self, worker: Worker) -> int | None:
        """Return the id by which a worker is registered now."""
        pid = worker.pid
        with self.engine.connect() as connection:
            return connection.execute(RUNNING, {"pid": pid}).scalar() if pid else None

    def in_hand(self, worker_id: int | None) -> int:
        """Count the calls of a worker whose outcome is not on disk."""
        with self.engine.connect() as connection:
            return connection.execute(IN_HAND, {"worker": worker_id}).scalar_one() if worker_id else 0

    def kill(self, worker: Worker, *, whole: bool) -> Kill:
        """End a worker by SIGKILL, alone or (`whole`) with its parent, and say what it had in hand."""
        pid = worker.pid
        in_window = self.in_hand(self.id_of(worker)) if pid else 0
        at = datetime.now(UTC)
        if whole:
            worker.end()
        elif pid:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not pid or _is_gone(pid))
        return Kill(at, datetime.now(UTC), self._ids(pid), pid or 0, in_window)

    def freeze(self, worker: Worker) -> Kill:
        """Stop a worker's process by SIGSTOP, as a sleeping machine would, and say what it had in hand."""
        pid, worker_id = worker.pid, self.id_of(worker)
        assert pid is not None
        at = datetime.now(UTC)
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        return Kill(at, datetime.now(UTC), self._ids(pid), pid, self.in_hand(worker_id))

    def audit(self) -> tuple[int, str]:
        """Run `flask sms audit`; its exit code and what it said."""
        command = [sys.executable, "-m", "smsqueue", "sms", "audit"]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def close(self) -> None:
        """End everything that still runs."""
        for worker in self.workers:
            worker.end()
        self.engine.dispose()

    def tail(self, count: int = 25) -> str:
        """Return the last words of every worker, for a drill that failed."""
        return "\n".join(
            line for worker in self.workers for line in (f"-- {worker.log.name}", *_last_lines(worker.log, count))
        )

    def _ids(self, pid: int | None) -> frozenset[int]:
        with self.engine.connect() as connection:
            return frozenset(connection.execute(ALL_IDS, {"pid": pid or 0}).scalars())


def _is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _last_lines(path: Path, count: int) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-count:]


def environment(folder: Path, database_url: str, outside: Outside, **settings: object) -> dict[str, str]:
    """Return the environment of workers: ours without any setting of the program, and these settings."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environ |= {
        "DATABASE_URL": database_url,
        "SMS_INSTANCE": str(folder / "instance"),
        "SIMULATED_URL": outside.url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(outside.smtp_port),
        "SMS_CONNECT_TIMEOUT": "1",
        "SMS_READ_TIMEOUT": "3",
        "SMS_LEASE": "10",
        "SMS_HEARTBEAT": "2",
    }
    return environ | {name: str(value) for name, value in settings.items()}


def open_calls(most: int) -> dict[str, object]:
    """Let a worker have so many calls open, never more, and twice as many texts in its window."""
    return {"SMS_CONCURRENCY": most, "SMS_CONCURRENCY_MAX": most, "SMS_WINDOW": 2 * most}


@dataclass
class Scene:
    """Everything that a drill needs."""

    outside: Outside
    office: Office
    crew: Crew
    dice: random.Random
    seed: int


@contextmanager
def scene(folder: Path, database_url: str, *, simulator: dict[str, object], **settings: object) -> Iterator[Scene]:
    """Set up the outside world, an office and a crew; take all down at the end."""
    seed = int(os.environ.get("DRILL_SEED") or random.randrange(2**32))
    store = Database(build_engine(database_url))
    with Outside(folder, **{"fates": "off", "seed": seed, **simulator}) as outside:
        crew = Crew(folder, database_url, environment(folder, database_url, outside, **settings))
        try:
            yield Scene(outside, Office.open(store), crew, random.Random(seed), seed)
        except AssertionError as error:
            error.add_note(crew.tail())
            raise
        finally:
            crew.close()
            store.dispose()

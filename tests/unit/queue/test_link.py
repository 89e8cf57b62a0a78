"""What a worker tells its parent through a pipe, and what the parent makes of it."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from smsqueue.queue import link as link_module
from smsqueue.queue.child import Child
from smsqueue.queue.job import Policy
from smsqueue.queue.link import ParentLink


class Held:
    """As much of a claim as a link looks at."""

    def __init__(self, number: int, token: str = "t") -> None:
        self.id, self.token = number, token


class Ends:
    """Both ends of the pipes."""

    def __init__(self) -> None:
        self.said, says = os.pipe()
        alive, lifeline = os.pipe()
        self.link: Any = ParentLink(f"{says},{alive},0")
        process: Any = None  # nobody asks for it here
        self.child = Child(process, self.said, lifeline)
        self._open = [self.said, says, alive, lifeline]

    def heard(self) -> list[str]:
        """What was said since the last time, by lines."""
        return os.read(self.said, 65536).decode().splitlines()

    def close(self) -> None:
        """Close all."""
        for each in self._open:
            os.close(each)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A worker's link and its parent's view."""
    made = Ends()
    yield made
    made.close()


def test_quick_job_costs_one_write(ends, monkeypatch):
    writes = []
    monkeypatch.setattr(os, "write", lambda _pipe, data: writes.append(data.decode()))
    ends.link.registered(7)
    for number in (1, 2):
        ends.link.started(Held(number), Policy(timeout_seconds=30))
        ends.link.ended(Held(number))
    ends.link.idle()
    ends.link.idle()
    assert writes == ["worker 7\n", "job 1 t 30\n", "done 1 t\njob 2 t 30\n", "done 2 t\n"]


def test_end_of_a_job_is_told_at_once_when_others_run_or_it_took_long(ends, monkeypatch):
    ends.link.started(Held(1), Policy())
    ends.link.started(Held(2), Policy())
    ends.link.ended(Held(1))
    assert ends.heard()[-1] == "done 1 t"
    monkeypatch.setattr(link_module, "QUICK_SECONDS", 0)
    ends.link.ended(Held(2))
    assert ends.heard() == ["done 2 t"]


def test_parent_knows_which_jobs_run_and_when_the_first_must_be_over(ends):
    ends.link.registered(7)
    ends.link.started(Held(1, "a"), Policy(timeout_seconds=0))
    ends.child.listen()
    assert (ends.child.worker_id, ends.child.deadline, ends.child.has_worked) == (7, math.inf, True)
    ends.link.started(Held(2, "b"), Policy(timeout_seconds=60))
    ends.link.started(Held(3, "b"), Policy(timeout_seconds=30))
    ends.child.listen()
    assert list(ends.child.running) == [(1, "a"), (2, "b"), (3, "b")]
    assert ends.child.deadline == pytest.approx(ends.child.heard + 30)
    ends.link.ended(Held(3, "b"))
    ends.child.listen()
    assert ends.child.deadline == pytest.approx(ends.child.heard + 60, abs=1)
    assert ends.child.culprits == [(1, "a"), (2, "b")]  # if it died now, it may have died of any of these


def test_what_is_heard_in_pieces_is_put_together(ends):
    for piece in (b"worker 7\njob 1 to", b"ken 6", b"0\n"):
        os.write(ends.link._says, piece)
        ends.child.listen()
    assert list(ends.child.running) == [(1, "token")]


def test_threads_do_not_talk_into_each_other(ends):
    def work(first: int) -> None:
        for number in range(first, first + 50):
            ends.link.started(Held(number), Policy())
            ends.link.ended(Held(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(0, 400, 50)))
    ends.link.idle()
    lines = ends.heard()
    assert sorted(lines) == sorted([f"job {n} t 60" for n in range(400)] + [f"done {n} t" for n in range(400)])
    assert all(lines.index(f"job {n} t 60") < lines.index(f"done {n} t") for n in range(400))


def test_worker_whose_parent_is_gone_goes_on_with_what_is_in_hand(ends):
    os.close(ends.said)
    ends.said = ends._open[0] = os.open(os.devnull, os.O_RDONLY)
    ends.link.started(Held(1), Policy())
    ends.link.ended(Held(1))
    ends.link.idle()

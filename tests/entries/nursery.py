"""Workers that kill themselves at the n-th thing that happens to them, many a second.

`python -m tests.entries.nursery` reads numbers from its input. For each it lets a worker of its own process, with an
engine of its own, run what is ready, and answers with a line of JSON: the exit code and where it died. The process
that forks has one thread and never opens a connection.
"""

import json
import os
import signal
import sys
import traceback
from typing import Any

import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.queue import events
from smsqueue.queue.stops import Stops
from smsqueue.queue.worker import Options, Worker
from tests.entries import labour


class Fate:
    """Counts what happens and ends the process at the n-th: an event, or the moment before or after a statement."""

    def __init__(self, at: int, says: int) -> None:
        self._left, self._says = at, says

    def watch(self, engine: sa.Engine) -> None:
        """Count everything that this engine and the queue do."""
        sa.event.listen(engine, "before_cursor_execute", self._before)
        sa.event.listen(engine, "after_cursor_execute", self._after)
        sa.event.listen(engine, "commit", lambda _connection: self.meet("before COMMIT"))
        events.on(lambda event, _facts: self.meet(f"at {event}"))

    def meet(self, what: str) -> None:
        """Be killed, if this is the n-th."""
        self._left -= 1
        if self._left == 0:
            os.write(self._says, what.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def _before(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.meet(f"before {statement[:50]}")

    def _after(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.meet(f"after {statement[:50]}")


def live(at: int, says: int) -> None:
    """Be a worker until nothing is ready or fate strikes."""
    engine = build_engine(os.environ["DATABASE_URL"])
    Fate(at, says).watch(engine)
    Worker(Database(engine), labour.registry(), Options(["default"], memory_mib=0), Stops()).run()
    engine.dispose()


def bear(at: int) -> dict[str, Any]:
    """Let one worker live, and say how it ended."""
    heard, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            live(at, says)
        except BaseException:  # noqa: BLE001 - a child that failed must not go on as the parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(says)
    _, status = os.waitpid(child, 0)
    with os.fdopen(heard, "rb") as pipe:
        return {"code": os.waitstatus_to_exitcode(status), "at": pipe.read().decode()}


def main() -> int:
    """Bear a worker for each line."""
    for line in sys.stdin:
        print(json.dumps(bear(int(line))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writing, however long the database is away: what a gateway answered is not forgotten for that."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, first_line, is_away
from smsqueue.queue.events import emit

LONGEST_PAUSE_SECONDS = 5.0
T = TypeVar("T")


def insist(database: Database, use_case: Callable[[Session], T], *, worker_id: int) -> T:
    """Write, and try again until the database is back."""
    pause = 0.1
    while True:
        try:
            return database.write(use_case)
        except DBAPIError as error:
            if not is_away(error):
                raise
            emit("database.away", worker_id=worker_id, reason=first_line(error))
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

"""A web server that loads the program once and forks, on one database with workers."""

import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import sqlalchemy as sa

from tests.drills.yard import Yard
from tests.entries.labour import Safe
from tests.outside import wait_until
from tests.processes import Process

CHILDREN, REQUESTS, CLIENTS = 4, 1000, 8
BACKENDS = sa.text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


def ask(port, times):
    """Ask so often whether the database answers; what was said."""
    said = []
    for _ in range(times):
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/healthz")
        said.append(connection.getresponse().status)
        connection.close()
    return said


@pytest.mark.drill
@pytest.mark.databases("postgresql")
def test_forked_web_processes_share_no_connection(database_url, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["-m", "gunicorn", "wsgi:app", "--preload", "--workers", str(CHILDREN), "--threads", "2"]
    command += ["--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    environ = {"DATABASE_URL": database_url, "SMS_INSTANCE": str(tmp_path), "SECRET_KEY": "of-no-use-elsewhere " * 2}
    with Yard(database_url) as yard, Process(*command, **environ) as web:
        yard.store.dispose()
        wait_until(lambda: web.says("Booting worker", CHILDREN), 60)
        assert backends(yard) == set()  # the parent has not asked anything: there is nothing to share
        yard.put(Safe(number=number) for number in range(300))
        workers = yard.prepared(count=2)
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = [clients.submit(ask, port, REQUESTS // CLIENTS) for _ in range(CLIENTS)]
            said = [status for answer in answers for status in answer.result()]
        assert said == [200] * REQUESTS
        assert len(backends(yard)) >= CHILDREN
        yard.drained()
        assert not any(word in web.output + workers.output for word in ("Traceback", "rror"))
        assert set(yard.times_done().values()) == {1}


def backends(yard):
    """The server's processes for connections to this database, but for the one that asks."""
    with yard.store.reading() as session:
        found = set(session.scalars(BACKENDS))
    yard.store.dispose()
    return found

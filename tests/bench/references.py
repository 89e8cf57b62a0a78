"""The references: bare programs, each a process of its own, that print what they did as one line of JSON.

`laravel URL COUNT` works off no-op jobs the way Laravel's database driver does. `pool URL FILE CONNECTIONS` makes the
requests in FILE with a plain `requests` session. `lean URL FILE CONNECTIONS` makes them with next to no work of its
own, to see what the other side alone can take.
"""

import json
import selectors
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import requests
from requests.adapters import HTTPAdapter

CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
TABLE = """CREATE TABLE IF NOT EXISTS laravel_jobs (id bigserial PRIMARY KEY, queue varchar(255) NOT NULL,
    payload text NOT NULL, attempts smallint NOT NULL, reserved_at integer, available_at integer NOT NULL,
    created_at integer NOT NULL)"""
INDEX = "CREATE INDEX IF NOT EXISTS laravel_jobs_queue_index ON laravel_jobs (queue)"
FILL = """INSERT INTO laravel_jobs (queue, payload, attempts, available_at, created_at)
    SELECT queue, payload, 0, available_at / 1000000, created_at / 1000000 FROM jobs ORDER BY id"""
CLAIM = """SELECT * FROM laravel_jobs WHERE queue = %s
    AND ((reserved_at IS NULL AND available_at <= %s) OR reserved_at <= %s)
    ORDER BY id ASC LIMIT 1 FOR UPDATE SKIP LOCKED"""
RESERVE = "UPDATE laravel_jobs SET reserved_at = %s, attempts = attempts + 1 WHERE id = %s"
DELETE = "DELETE FROM laravel_jobs WHERE id = %s"
RETRY_AFTER = 90
CREATED = 201
GOOD = {200, CREATED, 202, 204}


def laravel(url: str, count: str) -> dict[str, float]:
    """On Laravel's table: select one, update it, commit; work (nothing); delete it by id, commit."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (TABLE, INDEX, "TRUNCATE laravel_jobs", FILL, "VACUUM ANALYZE laravel_jobs"):
            connection.execute(statement)
        connection.autocommit = False
        began = _clock(connection)
        for _ in range(int(count)):
            now = int(time.time())
            row = connection.execute(CLAIM, ("default", now, now - RETRY_AFTER)).fetchone()
            assert row is not None, "no job is left"
            connection.execute(RESERVE, (now, row[0]))
            connection.commit()
            json.loads(row[2])
            connection.execute(DELETE, (row[0],))
            connection.commit()
        return {"seconds": _clock(connection) - began}


def _clock(connection: psycopg.Connection) -> float:
    row = connection.execute(CLOCK).fetchone()
    assert row is not None
    connection.commit()
    return float(row[0])


def pool(url: str, file: str, connections: str) -> dict[str, float]:
    """Make every request with one session and as many threads as connections."""
    asked = [(f"{url}{each['path']}", each["headers"], each["body"].encode()) for each in _read(file)]
    before = time.process_time()
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=int(connections)))

    def post(request: tuple[str, dict[str, str], bytes]) -> None:
        address, headers, body = request
        answer = session.post(address, data=body, headers=headers, timeout=(5, 20))
        assert answer.status_code in GOOD, answer.text
        assert answer.status_code != CREATED or answer.json()["reference"]

    with ThreadPoolExecutor(int(connections)) as threads:
        for _ in threads.map(post, asked):
            continue
    return {"cpu_seconds": time.process_time() - before}


def _read(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def lean(url: str, file: str, connections: str) -> dict[str, float]:
    """Make every request over raw sockets, each with one on its way at a time, in one thread."""
    address = urlsplit(url)
    requests_ = iter([_written(each, address.netloc) for each in _read(file)])
    before, began = time.process_time(), time.monotonic()
    with selectors.DefaultSelector() as selector:
        for _, request in zip(range(int(connections)), requests_, strict=False):
            connection = socket.create_connection((address.hostname or "", address.port or 80))
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            for key, _ in selector.select():
                _receive(key, selector, next(requests_, None) if _is_whole(key) else b"")
    return {"cpu_seconds": time.process_time() - before, "seconds": time.monotonic() - began}


def _written(request: dict[str, Any], host: str) -> bytes:
    body = str(request["body"]).encode()
    headers: dict[str, str] = {"Host": host, **request["headers"], "Content-Length": str(len(body))}
    lines = [
        f"{request['method']} {request['path']} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _is_whole(key: selectors.SelectorKey) -> bool:
    """Receive what is there; say whether the answer is complete, and check it."""
    connection, received = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    more = connection.recv(65_536)
    assert more, "the gateway closed the connection"
    received += more
    head, separator, body = bytes(received).partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    length = next(lengths, 0)  # 204 has none
    if len(body) < length:
        return False
    assert int(head.split()[1]) in GOOD, head
    received.clear()
    return True


def _receive(key: selectors.SelectorKey, selector: selectors.BaseSelector, request: bytes | None) -> None:
    """Send the next request; none left: close; an empty one: the answer is still on its way."""
    connection = key.fileobj
    assert isinstance(connection, socket.socket)
    if request is None:
        selector.unregister(connection)
        connection.close()
    elif request:
        connection.sendall(request)


PROGRAMS: dict[str, Callable[..., dict[str, float]]] = {"laravel": laravel, "pool": pool, "lean": lean}


def main(name: str, *arguments: str) -> None:
    """Run one reference and print its figures with the CPU time it took."""
    program = PROGRAMS[name]
    before = time.process_time()
    found = program(*arguments)
    print(json.dumps({"cpu_seconds": time.process_time() - before, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])

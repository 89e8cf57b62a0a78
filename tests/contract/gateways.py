"""Gateways and servers for the contract tests."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from smsqueue.config import Settings
from smsqueue.gateways import build
from smsqueue.gateways.base import Outcome, Outgoing
from tests.outside import RawServer

TEXT = "Meet at the bridge at noon"
SECRET = "q3vT8mYc0LrN5xWz7KdP1sHf9JbG4aUe"
Behaviour = Callable[[socket.socket], None]


def settings(folder: Path, name: str = "simulated", *, url: str = "http://127.0.0.1:9", **environ: str) -> Settings:
    """Settings for a gateway whose server is at `url`."""
    given = {"SMS_INSTANCE": str(folder), "SMS_GATEWAY": name, "SMS_CONCURRENCY": "4", "SIMULATED_URL": url}
    given |= {"LOG_GATEWAY_FILE": str(folder / "gateway.log")}
    return Settings.from_env(given | {"SMS_CONNECT_TIMEOUT": "1", "SMS_READ_TIMEOUT": "1"} | environ)


def outgoing(ends: str = "00", reference: str = "r-1", area: int = 201) -> Outgoing:
    return Outgoing(reference, f"+1{area}55501{ends}", TEXT, "gsm-7", 1, "smsqueue", 14_400)


def send_to(
    behave: Behaviour, folder: Path, connect_seconds: float = 1.0, read_seconds: float = 1.0
) -> tuple[Outcome, int]:
    """What the simulated gateway makes of a server that behaves so, and how many requests it sent."""
    times = {"SMS_CONNECT_TIMEOUT": str(connect_seconds), "SMS_READ_TIMEOUT": str(read_seconds)}
    with RawServer(behave) as server:
        gateway = build(settings(folder, url=server.url, **times))
        try:
            return gateway.send(outgoing()), len(server.requests)
        finally:
            gateway.close()


def noise(dice: Random, pieces: Sequence[bytes], most: int) -> Behaviour:
    """Answer with fewer than `most` of these pieces, in any order."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(b"".join(dice.choices(pieces, k=dice.randrange(most))))
        connection.close()

    return behave


def answering(status: str, body: bytes = b"", *headers: str) -> Behaviour:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return lambda connection: connection.sendall(head.encode() + b"\r\n\r\n" + body)

"""Gateways and servers for the contract tests."""

import socket
from collections.abc import Callable
from pathlib import Path

from smsqueue.gateways import build
from smsqueue.gateways.base import GatewayOptions, Outcome, Outgoing
from tests.outside import RawServer

TEXT = "Meet at the bridge at noon"
Behaviour = Callable[[socket.socket], None]


def options(
    folder: Path,
    *,
    name: str = "simulated",
    url: str = "http://127.0.0.1:9",
    concurrency: int = 4,
    connect_seconds: float = 1.0,
    read_seconds: float = 1.0,
) -> GatewayOptions:
    return GatewayOptions(name, concurrency, connect_seconds, read_seconds, url, folder / "gateway.log", log_text=False)


def outgoing(ends: str = "00", reference: str = "r-1", area: int = 201) -> Outgoing:
    return Outgoing(reference, f"+1{area}55501{ends}", TEXT, "gsm-7", 1, "smsqueue", 14_400)


def send_to(
    behave: Behaviour, folder: Path, connect_seconds: float = 1.0, read_seconds: float = 1.0
) -> tuple[Outcome, int]:
    """What the simulated gateway makes of a server that behaves so, and how many requests it sent."""
    with RawServer(behave) as server:
        gateway = build(options(folder, url=server.url, connect_seconds=connect_seconds, read_seconds=read_seconds))
        try:
            return gateway.send(outgoing()), len(server.requests)
        finally:
            gateway.close()


def answering(status: str, body: bytes = b"", *headers: str) -> Behaviour:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return lambda connection: connection.sendall(head.encode() + b"\r\n\r\n" + body)

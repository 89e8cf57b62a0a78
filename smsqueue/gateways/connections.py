"""Connections on which a timeout is a total: `requests` alone starts its read timeout anew at every received byte.

urllib3 sets the timeout of a connection's socket three times: before connecting, before sending on a connection that
is open already, and before reading the answer. Here each of these starts a time limit for all that follows, so a call
ends within the connect and the read timeout together, however slowly the other side drips.
"""

import socket
import ssl
from time import monotonic
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

IDLE_SECONDS = 5.0  # a gateway that closes an idle connection under our request looks like "read it, then closed"


class TimedSocket(socket.socket):
    """A socket whose timeout limits all that follows together, not each call."""

    _ends: float | None = None
    used_at = 0.0

    def settimeout(self, value: float | None) -> None:
        """Start a new time limit."""
        self._ends = None if value is None else monotonic() + value
        super().settimeout(value)

    def arm(self) -> None:
        """Allow the next call what is left of the limit."""
        if self._ends is None:
            return
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        super().settimeout(left)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive within what is left."""
        self.arm()
        received = super().recv_into(*args, **kwargs)
        self.used_at = monotonic()
        return received

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Send within what is left."""
        self.arm()
        super().sendall(*args, **kwargs)


class TimedTLSSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS."""


class TimedConnection(HTTPConnection):
    """A connection whose attempts to connect share one timeout, and that is not used again after a pause."""

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout if isinstance(self.timeout, (int, float)) else None
        try:
            return _connect(self._dns_host, self.port or 0, seconds, self.socket_options or ())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out.") from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error

    @property
    def is_connected(self) -> bool:
        """False as well when it has been idle: then urllib3 connects anew."""
        used_at = getattr(self.sock, "used_at", 0.0)
        return monotonic() - used_at < IDLE_SECONDS and super().is_connected


class TimedTLSConnection(TimedConnection, HTTPSConnection):
    """The same over TLS."""


class TimedPool(HTTPConnectionPool):
    """A pool of such connections."""

    ConnectionCls = TimedConnection


class TimedTLSPool(HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = TimedTLSConnection


class TimedAdapter(HTTPAdapter):
    """What `requests` mounts; no retries, and as many connections as threads."""

    def __init__(self, concurrency: int) -> None:
        super().__init__(pool_connections=concurrency, pool_maxsize=concurrency, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """Use the pools above."""
        context = create_urllib3_context()
        context.sslsocket_class = TimedTLSSocket
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, ssl_context=context, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": TimedPool, "https": TimedTLSPool}


def trusted_tls() -> ssl.SSLContext:
    """Trust whom calls trust, which nothing in the environment changes."""
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _connect(host: str, port: int, seconds: float | None, options: Any) -> socket.socket:
    """Try the addresses of a host one after the other, within the time for one."""
    ends = None if seconds is None else monotonic() + seconds
    failed: OSError = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM):
        sock = TimedSocket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(None if ends is None else max(ends - monotonic(), 0.001))
            sock.connect(address)
            sock.arm()
            return sock
        except OSError as error:
            sock.close()
            failed = error
    raise failed
